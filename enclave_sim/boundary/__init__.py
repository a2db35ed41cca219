"""What crosses the boundary of an enclave: frames, transports, typed messages, and the enclave's end of it."""
