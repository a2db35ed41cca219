"""secp256k1 signatures: range checks and recovery of the signer's address. EIP-2 (low s), SEC 1."""

from __future__ import annotations

from coincurve import PublicKey

from adapters.ethereum.keccak import keccak
from adapters.jsonrpc import RpcError
from core.errors import MalformedMessage

SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SECP256K1_HALF_N = SECP256K1_N // 2

INVALID_SIGNATURE = "invalid transaction v, r, s values"


def check_signature(y_parity: int, r: int, s: int) -> None:
    """Check the ranges of a transaction's signature; raises RpcError."""
    if y_parity not in (0, 1) or not 0 < r < SECP256K1_N or not 0 < s <= SECP256K1_HALF_N:
        raise RpcError(-32000, INVALID_SIGNATURE)


def recover(message_hash: bytes, y_parity: int, r: int, s: int) -> bytes:
    """Return the address that signed; raises RpcError when no key fits."""
    try:
        return recover_address(message_hash, y_parity, r, s)
    except MalformedMessage:
        raise RpcError(-32000, INVALID_SIGNATURE) from None


def recover_address(message_hash: bytes, y_parity: int, r: int, s: int) -> bytes:
    """Return the address that signed; raises MalformedMessage when no key fits. Ranges were checked before."""
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes((y_parity,))
    try:
        key = PublicKey.from_signature_and_message(signature, message_hash, hasher=None)
    except ValueError:
        raise MalformedMessage("no key fits the signature") from None
    return keccak(key.format(compressed=False)[1:])[12:]
