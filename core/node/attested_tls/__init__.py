"""Node to node: mutually authenticated TLS 1.3 that ends in the manager enclave and carries evidence (RA-TLS)."""
