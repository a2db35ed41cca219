"""The sealed, append-only ledger: entries, Merkle tree, chunk files."""
