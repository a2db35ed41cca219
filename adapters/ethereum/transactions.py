"""Signed transactions: decoded, checked as far as that needs no state, and passed on inside.

Types 0, 1, 2 and, under Prague, 4 (EIP-155, EIP-2718, EIP-2930, EIP-1559, EIP-7702). Runs in a gateway. What needs
state (nonce, balance, sender with code) is checked in validation.py by the executor. Error texts are geth's.
"""

from __future__ import annotations

from adapters.ethereum.gas import floor_gas, intrinsic_gas
from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import SignedTransaction
from adapters.ethereum.settings import Settings
from adapters.ethereum.signatures import check_signature, recover
from adapters.ethereum.transaction_codec import ParsedTransaction, parse, signing_hash
from adapters.jsonrpc import RpcError
from core.errors import InvariantBroken, MalformedMessage

TRANSACTION_BYTES_MAX = 128 * 1024
"""As geth's transaction pool."""
INITCODE_BYTES_MAX = 49_152
"""EIP-3860."""

REJECTED = -32000
INVALID_PARAMS = -32602

STORED_VERSION = 1
_STORED = bytes([STORED_VERSION])


def decode_transaction(raw: bytes, settings: Settings) -> SignedTransaction:
    """Decode and check; raises RpcError with geth's text (-32000), or -32602 for what does not decode.

    raw: as eth_sendRawTransaction carries it. The sender is recovered from the signature.
    """
    if len(raw) > TRANSACTION_BYTES_MAX:
        raise RpcError(REJECTED, f"oversized data: transaction size {len(raw)}, limit {TRANSACTION_BYTES_MAX}")
    _check_type(raw, settings)
    try:
        parsed = parse(raw)
    except MalformedMessage as error:
        raise RpcError(INVALID_PARAMS, error.message) from None
    if parsed.chain_id is None:
        raise RpcError(REJECTED, "only replay-protected (EIP-155) transactions allowed over RPC")
    if parsed.chain_id != settings.chain_id:
        raise RpcError(REJECTED, f"invalid chain id for signer: have {parsed.chain_id} want {settings.chain_id}")
    _check_limits(parsed, settings)
    check_signature(parsed.y_parity, parsed.r, parsed.s)
    sender = recover(signing_hash(parsed), parsed.y_parity, parsed.r, parsed.s)
    return parsed.signed(sender, keccak(raw), raw)


def encode_stored(signed: SignedTransaction) -> bytes:
    """Encode compactly for the executor and the tables: version, sender, hash, canonical encoding."""
    return _STORED + signed.sender + signed.hash + signed.raw


def decode_stored(data: bytes) -> SignedTransaction:
    """Decode what encode_stored made, without recovering the sender again; raises InvariantBroken on anything else."""
    if data[:1] != _STORED or len(data) < 54:
        raise InvariantBroken("a stored transaction of another version")
    raw = data[53:]
    return parse(raw).signed(data[1:21], data[21:53], raw)


def _check_type(raw: bytes, settings: Settings) -> None:
    """Refuse before anything is decoded; a blob transaction drags its blobs along."""
    if not raw:
        raise RpcError(INVALID_PARAMS, "typed transaction too short")
    kind = raw[0]
    if kind >= 0xC0:
        return
    if kind == 3:
        raise RpcError(REJECTED, "transaction type not supported: this network carries no blobs (type 3)")
    if kind not in (1, 2) and not (kind == 4 and settings.is_prague):
        raise RpcError(REJECTED, "transaction type not supported")


def _check_limits(parsed: ParsedTransaction, settings: Settings) -> None:
    """Check, in geth's order, what holds whatever the state."""
    if parsed.to is None and len(parsed.data) > INITCODE_BYTES_MAX:
        text = f"max initcode size exceeded: code size {len(parsed.data)}, limit {INITCODE_BYTES_MAX}"
        raise RpcError(REJECTED, text)
    cap = settings.transaction_gas_limit
    if parsed.gas_limit > cap:
        raise RpcError(REJECTED, f"transaction gas limit too high (cap: {cap}, tx: {parsed.gas_limit})")
    if parsed.max_priority_fee > parsed.max_fee:
        raise RpcError(REJECTED, "max priority fee per gas higher than max fee per gas")
    if parsed.type == 4 and not parsed.authorizations:
        raise RpcError(REJECTED, "set code tx must have at least one authorization tuple")
    check_intrinsic_gas(parsed, settings)


def check_intrinsic_gas(transaction: ParsedTransaction | SignedTransaction, settings: Settings) -> int:
    """Return the gas that is used before the first instruction; raises RpcError when the gas limit is lower."""
    needed = intrinsic_gas(
        transaction.data, transaction.to is None, transaction.access_list, len(transaction.authorizations)
    )
    if transaction.gas_limit < needed:
        text = f"intrinsic gas too low: gas {transaction.gas_limit}, minimum needed {needed}"
        raise RpcError(REJECTED, text)
    if settings.is_prague:
        floor = floor_gas(transaction.data)
        if transaction.gas_limit < floor:
            text = f"insufficient gas for floor data gas cost: gas {transaction.gas_limit}, minimum needed {floor}"
            raise RpcError(REJECTED, text)
    return needed
