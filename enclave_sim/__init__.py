"""A simulated TEE: the host, the platform (the simulated CPU) and the boundary between host and enclave."""
