"""Which Ethereum addresses belong to which identity, and how an address is proved: by a signed EIP-4361 message.

The node writes the message and its owner signs it with the address's key (personal_sign, EIP-191). What comes back
must be, byte for byte, what the node would write for this identity, address and time; the nonce in it is a MAC under a
secret of this start of the node, so that nothing is remembered for messages that never come back. A message is good
for ten minutes and for the identity it names only.

An address belongs to one identity. Its owner moves it by signing a newer message for another identity: with the
address goes the view of its past transactions. A message older than the binding that stands moves nothing, so the
identity that lost an address cannot replay its way back. Contracts cannot be bound (no EIP-1271).

Tables: bindings (address -> identity, time the message was issued), identity_addresses (identity -> its addresses in
the order they were bound).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

import msgspec

from adapters.ethereum.formatting import checksum_address
from adapters.ethereum.keccak import keccak
from adapters.ethereum.signatures import SECP256K1_HALF_N, SECP256K1_N, recover_address
from adapters.jsonrpc import DENIED, INVALID_PARAMS, SERVER_ERROR, RpcError
from core.adapter.interface import Caller, ScopedTransaction
from core.errors import InvariantBroken, MalformedMessage

MESSAGE_SECONDS_MAX = 600
CLOCK_SKEW_SECONDS_MAX = 60
"""A block's time is that of its opening, which may be before the message was issued."""
MESSAGE_CHARACTERS_MAX = 4_096
ADDRESSES_PER_IDENTITY_MAX = 1_000
BINDING_VERSION = 1

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_TIME_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_ADDRESS_PATTERN = re.compile(r"0x[0-9a-fA-F]{40}")
_LINE_OF_ADDRESS, _LINE_OF_TIME, _LINES = 1, 9, 11


class Binding(NamedTuple):
    """identity: who holds the address. issued_s: when the message was issued (Unix seconds)."""

    identity: str
    issued_s: int


def binding_of(transaction: ScopedTransaction, address: bytes) -> Binding | None:
    """Return whom an address belongs to."""
    data = transaction.table("bindings").get(address)
    if data is None:
        return None
    return decode_binding(data)


def decode_binding(data: bytes) -> Binding:
    """Decode a row of the table bindings."""
    version, identity, issued_s = msgspec.msgpack.decode(data, type=tuple[int, str, int])
    if version != BINDING_VERSION:
        raise InvariantBroken(f"a binding of version {version}")
    return Binding(identity, issued_s)


def addresses_of(transaction: ScopedTransaction, identity: str | None) -> tuple[bytes, ...]:
    """Return an identity's addresses in the order they were bound."""
    if identity is None:
        return ()
    data = transaction.table("identity_addresses").get(_identity_key(identity)) or b""
    return tuple(data[start : start + 20] for start in range(0, len(data), 20))


def check_sender(transaction: ScopedTransaction, sender: bytes, caller: Caller) -> None:
    """Raise RpcError (-32001), the same whoever holds the address, unless it is bound to the caller's identity."""
    found = binding_of(transaction, sender)
    if caller.identity is None or found is None or found.identity != caller.identity:
        raise RpcError(
            DENIED,
            f"address {checksum_address(sender)} is not bound to your identity; bind it first: coco account bind",
        )


def bind(transaction: ScopedTransaction, address: bytes, identity: str, issued_s: int) -> None:
    """Give an address to an identity, taking it from another; raises RpcError."""
    before = binding_of(transaction, address)
    if before is not None and before.identity != identity:
        if issued_s <= before.issued_s:
            raise RpcError(DENIED, "a newer message has bound this address; ask for a new message and sign that")
        left = [one for one in addresses_of(transaction, before.identity) if one != address]
        transaction.table("identity_addresses").put(_identity_key(before.identity), b"".join(left))
    if before is None or before.identity != identity:
        held = addresses_of(transaction, identity)
        if len(held) >= ADDRESSES_PER_IDENTITY_MAX:
            raise RpcError(SERVER_ERROR, f"an identity holds at most {ADDRESSES_PER_IDENTITY_MAX} addresses")
        transaction.table("identity_addresses").put(_identity_key(identity), b"".join((*held, address)))
    newest_s = issued_s if before is None else max(issued_s, before.issued_s)
    transaction.table("bindings").put(address, msgspec.msgpack.encode((BINDING_VERSION, identity, newest_s)))


def _identity_key(identity: str) -> bytes:
    return hashlib.sha256(identity.encode()).digest()


class BindingMessages:
    """Writes and checks the messages of one start of the node. secret: 32 random bytes."""

    def __init__(self, secret: bytes, *, network: str, chain_id: int) -> None:
        self._secret = secret
        self._domain = quote(network.lower(), safe="").replace("%", "-")[:200] or "coco"
        self._network = network
        self._chain_id = chain_id

    def write(self, identity: str, address: bytes, issued_s: int) -> str:
        """Return the message (EIP-4361) that binds an address to an identity. issued_s: Unix seconds."""
        parts = (self._network.encode(), identity.encode(), address, issued_s.to_bytes(8, "big"))
        body = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        nonce = hmac.new(self._secret, body, hashlib.sha256).hexdigest()[:32]
        return "\n".join(
            (
                f"{self._domain} wants you to sign in with your Ethereum account:",
                checksum_address(address),
                "",
                f"Bind this address to the identity {_statement_text(identity)} "
                f"of the Coco network {_statement_text(self._network)}.",
                "",
                f"URI: coco://{self._domain}",
                "Version: 1",
                f"Chain ID: {self._chain_id}",
                f"Nonce: {nonce}",
                f"Issued At: {_format_time(issued_s)}",
                f"Expiration Time: {_format_time(issued_s + MESSAGE_SECONDS_MAX)}",
            )
        )

    def verify(self, message: str, signer: bytes, identity: str, now_s: int) -> int:
        """Check a message that came back; returns when it was issued. Raises RpcError.

        signer: the address that the signature recovers to. The message must be this node's own, for this identity and
        this address, and not expired.
        """
        lines = message.split("\n")
        if len(lines) != _LINES or not _ADDRESS_PATTERN.fullmatch(lines[_LINE_OF_ADDRESS]):
            raise _not_ours()
        label, _, issued_at = lines[_LINE_OF_TIME].partition(": ")
        issued_s = _parse_time(issued_at)
        if label != "Issued At" or issued_s is None:
            raise _not_ours()
        address = bytes.fromhex(lines[_LINE_OF_ADDRESS][2:])
        expected = self.write(identity, address, issued_s)
        if not hmac.compare_digest(expected.encode(), message.encode(errors="replace")):
            raise _not_ours()
        if not hmac.compare_digest(address, signer):
            raise RpcError(DENIED, "the signature is not by the address that the message names")
        if not issued_s - CLOCK_SKEW_SECONDS_MAX <= now_s <= issued_s + MESSAGE_SECONDS_MAX:
            raise RpcError(DENIED, "the message has expired; ask for a new one with coco_bindMessage")
        return issued_s


def recover_message_signer(message: str, signature: bytes) -> bytes:
    """Return the address that signed a text with personal_sign (EIP-191); raises RpcError.

    signature: r, s and v (27, 28, 0 or 1), 65 bytes, with a low s.
    """
    refused = RpcError(INVALID_PARAMS, "the signature is not one of personal_sign (65 bytes: r, s, v)")
    if len(signature) != 65 or len(message) > MESSAGE_CHARACTERS_MAX:
        raise refused
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    if v not in (0, 1, 27, 28) or not 0 < r < SECP256K1_N or not 0 < s <= SECP256K1_HALF_N:
        raise refused
    try:
        text = message.encode()
        digest = keccak(b"\x19Ethereum Signed Message:\n" + str(len(text)).encode() + text)
        return recover_address(digest, v % 27, r, s)
    except (UnicodeEncodeError, MalformedMessage):
        raise refused from None


def _statement_text(name: str) -> str:
    """Return a name as it may stand in an EIP-4361 statement: characters of a URI and spaces, others escaped."""
    return quote(name, safe=" ;/?:@&=+$,!*'()")


def _format_time(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime(_TIME_FORMAT)


def _parse_time(text: str) -> int | None:
    if not _TIME_PATTERN.fullmatch(text):
        return None
    try:
        return int(datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC).timestamp())
    except (ValueError, OverflowError):
        return None


def _not_ours() -> RpcError:
    return RpcError(
        DENIED,
        "this is not the message that this node wrote for your identity; ask for a new one with coco_bindMessage",
    )
