"""Transaction families that run inside the enclave."""
