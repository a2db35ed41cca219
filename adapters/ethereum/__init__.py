"""Ethereum on Coco: py-evm over the key-value store, JSON-RPC, and the rules of who may see what."""
