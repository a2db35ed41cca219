"""What runs first in an enclave's process, and imports measured bytes only."""
