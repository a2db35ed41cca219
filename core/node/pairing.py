"""Pair two enclaves of one node over a channel that the host made, then speak AEAD over it.

The host can read, drop, repeat, reorder and inject whatever it likes. Each side proves by a local report which
measured code it is, and that its ephemeral key was made by that code for this purpose and role:

    initiator -> Hello(key, report over purpose, role, key)
    responder -> Answer(key, report over purpose, role, key, initiator's key)
    initiator -> a first sealed frame, so that the responder never talks to a replayed Hello

Each direction has an AES-256-GCM key of its own (HKDF-SHA256 over the X25519 secret, salted with the transcript) and a
64-bit counter as nonce, so a frame is accepted once, in order, in one direction, of one pairing. Whatever else arrives
is refused: dropped and counted. A genuine frame that the host withheld makes every later one fail, which is why many
refusals in a row stop the node instead of leaving it to wait for ever.
Sources: SIGMA-like binding by Intel SGX local attestation; RFC 7748, RFC 5869, NIST SP 800-38D.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from core import limits
from core.codec import Codec, Message
from core.errors import AuthenticationFailed, InvariantBroken, LimitExceeded, MalformedMessage
from core.ports import Attestor, ReportClaims, Transport

REFUSALS_IN_A_ROW_MAX = 16
"""Refused frames without a genuine one between them, after which the channel counts as lost."""

HANDSHAKE_BYTES_MAX = 64 * limits.KIBIBYTE
TAG_BYTES = 16
PLAINTEXT_BYTES_MAX = limits.MESSAGE_BYTES_MAX - TAG_BYTES

_PROTOCOL = b"coco pairing 1"
_COUNTER_MAX = 2**64 - 1
_CONFIRMATION = b"paired"
_INITIATOR = b"initiator"
_RESPONDER = b"responder"
_HINT = "The channel was tampered with, or the two enclaves run different code. Restart the node."


class Hello(Message, frozen=True, tag=1):
    """The initiator's ephemeral X25519 key (32 bytes) and its local report."""

    key: bytes
    report: bytes


class Answer(Message, frozen=True, tag=2):
    """The responder's ephemeral X25519 key (32 bytes) and its local report, which binds the initiator's key too."""

    key: bytes
    report: bytes


_CODEC: Codec[Hello | Answer] = Codec(Hello | Answer)


async def pair(
    transport: Transport,
    attestor: Attestor,
    *,
    peer_measurement: bytes,
    purpose: str,
    initiator: bool,
    on_peer: Callable[[ReportClaims], None] = lambda claims: None,
) -> Transport:
    """Pair with the enclave of that measurement on the same platform; return the sealed channel.

    on_peer: called with what the peer's report says once it is verified; what it raises ends the pairing.
    Raises AuthenticationFailed when the other end is anything else, and ChannelClosed when it is gone.
    """
    private = X25519PrivateKey.generate()
    own = private.public_key().public_bytes_raw()
    handshake = _Handshake(transport, attestor, peer_measurement, purpose, on_peer)
    if initiator:
        hello = _CODEC.encode(Hello(own, await handshake.report(_INITIATOR, own)))
        await transport.send(hello)
        answer, peer = await handshake.receive(Answer, own)
        to_responder, to_initiator = _derive_keys(private, peer, purpose, hello, answer)
        paired = PairedTransport(transport, send_key=to_responder, receive_key=to_initiator)
        await paired.send(_CONFIRMATION)
        return paired
    hello, peer = await handshake.receive(Hello)
    answer = _CODEC.encode(Answer(own, await handshake.report(_RESPONDER, own, peer)))
    await transport.send(answer)
    to_responder, to_initiator = _derive_keys(private, peer, purpose, hello, answer)
    paired = PairedTransport(transport, send_key=to_initiator, receive_key=to_responder)
    if not hmac.compare_digest(await paired.receive(), _CONFIRMATION):
        raise AuthenticationFailed("the other enclave did not confirm the pairing", hint=_HINT)
    return paired


class _Handshake:
    """What both roles do: report on an own key, and verify the peer's."""

    def __init__(
        self,
        transport: Transport,
        attestor: Attestor,
        peer_measurement: bytes,
        purpose: str,
        on_peer: Callable[[ReportClaims], None],
    ) -> None:
        self._transport = transport
        self._attestor = attestor
        self._on_peer = on_peer
        self._peer_measurement = peer_measurement
        self._purpose = purpose

    async def report(self, role: bytes, *keys: bytes) -> bytes:
        return await self._attestor.local_report(
            _report_data(self._purpose, role, *keys), target=self._peer_measurement
        )

    async def receive(self, kind: type[Hello] | type[Answer], *own_key: bytes) -> tuple[bytes, bytes]:
        """Return the peer's message and its key, verified. own_key: what an Answer must bind beside its own."""
        try:
            data = await self._transport.receive()
            if len(data) > HANDSHAKE_BYTES_MAX:
                raise LimitExceeded(f"pairing message of {len(data)} bytes; the bound is {HANDSHAKE_BYTES_MAX}")
            message = _CODEC.decode(data)
        except (MalformedMessage, LimitExceeded) as error:
            raise AuthenticationFailed(f"not a pairing message: {error.message}", hint=_HINT) from None
        if type(message) is not kind or len(message.key) != 32:
            raise AuthenticationFailed(f"expected a pairing {kind.__name__}", hint=_HINT)
        claims = await self._attestor.verify_local_report(message.report)
        role = _INITIATOR if kind is Hello else _RESPONDER
        if claims.debug:
            raise AuthenticationFailed("the other enclave can be inspected (debug)", hint=_HINT)
        if not hmac.compare_digest(claims.measurement, self._peer_measurement):
            raise AuthenticationFailed(f"unexpected measurement {claims.measurement.hex()}", hint=_HINT)
        expected = _report_data(self._purpose, role, message.key, *own_key)
        if not hmac.compare_digest(claims.report_data, expected):
            raise AuthenticationFailed("the report is for another key, role or purpose", hint=_HINT)
        self._on_peer(claims)
        return data, message.key


class PairedTransport:
    """The sealed channel. `refused` counts the frames that did not authenticate since the pairing."""

    def __init__(self, transport: Transport, *, send_key: bytes, receive_key: bytes) -> None:
        self._transport = transport
        self._seal = AESGCM(send_key)
        self._open = AESGCM(receive_key)
        self._sent = 0
        self._received = 0
        self._refused_in_a_row = 0
        self._sending = asyncio.Lock()
        self.refused = 0

    def __repr__(self) -> str:
        return f"<PairedTransport sent={self._sent} received={self._received} refused={self.refused}>"

    async def send(self, message: bytes) -> None:
        """Seal and send. The lock keeps counters and frames in the same order when several tasks send."""
        if len(message) > PLAINTEXT_BYTES_MAX:
            raise LimitExceeded(f"message of {len(message)} bytes; the bound is {PLAINTEXT_BYTES_MAX}")
        async with self._sending:
            frame = self._seal.encrypt(_nonce(self._sent), message, None)
            self._sent += 1
            await self._transport.send(frame)

    async def receive(self) -> bytes:
        """Return the next genuine message; raises AuthenticationFailed after REFUSALS_IN_A_ROW_MAX refused frames."""
        while True:
            try:
                plaintext = self._open.decrypt(_nonce(self._received), await self._transport.receive(), None)
            except (InvalidTag, LimitExceeded):
                self._refuse()
                continue
            self._received += 1
            self._refused_in_a_row = 0
            return plaintext

    async def close(self) -> None:
        await self._transport.close()

    def _refuse(self) -> None:
        self.refused += 1
        self._refused_in_a_row += 1
        if self._refused_in_a_row >= REFUSALS_IN_A_ROW_MAX:
            raise AuthenticationFailed(f"{self._refused_in_a_row} frames in a row did not authenticate", hint=_HINT)


def _nonce(counter: int) -> bytes:
    if counter >= _COUNTER_MAX:
        raise InvariantBroken("the counter of a paired channel is used up")
    return counter.to_bytes(12, "big")


def _report_data(purpose: str, role: bytes, *keys: bytes) -> bytes:
    """Return the 64 bytes a report binds: SHA-512 over length-prefixed parts."""
    return hashlib.sha512(_join(_PROTOCOL, purpose.encode(), role, *keys)).digest()


def _derive_keys(
    private: X25519PrivateKey, peer: bytes, purpose: str, hello: bytes, answer: bytes
) -> tuple[bytes, bytes]:
    """Return the keys (initiator to responder, responder to initiator)."""
    try:
        secret = private.exchange(X25519PublicKey.from_public_bytes(peer))
    except ValueError:
        raise AuthenticationFailed("the other enclave sent a degenerate key", hint=_HINT) from None
    salt = hashlib.sha256(_join(_PROTOCOL, purpose.encode(), hello, answer)).digest()
    keys = HKDF(algorithm=SHA256(), length=64, salt=salt, info=_PROTOCOL + b" keys").derive(secret)
    return keys[:32], keys[32:]


def _join(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)
