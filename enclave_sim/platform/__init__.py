"""The simulated CPU: measures and launches enclaves, vouches for them, and derives their sealing keys."""
