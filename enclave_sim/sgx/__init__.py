"""Intel SGX structures, byte for byte, and a simulated SGX processor."""
