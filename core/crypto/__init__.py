"""Hashes, signatures, AEAD, key derivation and certificates, each in terms of the cryptography package."""
