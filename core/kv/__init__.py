"""Versioned key-value maps, transactions over them, and the write sets that transactions leave."""
