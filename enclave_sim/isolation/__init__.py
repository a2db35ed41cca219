"""What an enclave's process gives up once it has started: files, sockets, processes, and being looked into."""
