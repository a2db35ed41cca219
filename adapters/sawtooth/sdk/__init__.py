"""What Sawtooth's SDK gives to a transaction family, made anew for families that run inside the enclave."""
