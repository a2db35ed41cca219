"""The interface a ledger protocol implements, and the context it may touch."""
