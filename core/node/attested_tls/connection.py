"""One attested connection between two nodes, without I/O: bytes in, bytes out.

    HELLO       both sides send a hello in the clear (hello.py), the responder after the initiator
    EVIDENCE    mode join only: the caller gets evidence over `report_data` and hands it in
    HANDSHAKE   TLS 1.3, each side with a certificate for this connection, checked inside the handshake (peer.py)
    CONFIRMING  each side says inside TLS that it accepted the other. A client finishes before the server has seen its
                certificate, so neither sends or delivers anything of its own before it has the other's confirmation
    OPEN

Invariants: no byte of the application is sent or delivered before OPEN; after a refusal nothing but TLS's alert is
sent, and every call raises the refusal; what is held is bounded. Sources: RFC 8446, RFC 7301; RA-TLS (claims.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, ChannelClosed, InvariantBroken, LimitExceeded
from core.node.attested_tls.certificate import make_certificate
from core.node.attested_tls.claims import NONCE_BYTES, Claims, encode_extension, report_data
from core.node.attested_tls.errors import (
    CertificateInvalid,
    ConfirmationInvalid,
    HandshakeTimedOut,
    HandshakeTooLong,
    HandshakeTruncated,
    HelloReflected,
    HellosDiffer,
    ModeRefused,
)
from core.node.attested_tls.hello import HELLO_BYTES, Hello, Mode, check_hello_start, parse_hello, protocol_of
from core.node.attested_tls.peer import Admit, Peer, verify_peer
from core.node.attested_tls.tls_context import make_context, refusal_of
from core.ports import Evidence, EvidenceVerifier

_CONFIRMATION = b"coco node confirmed 1\n"
_SLICE_BYTES = 16 * limits.KIBIBYTE
_OUTPUT_BYTES_MAX = 2 * limits.MESSAGE_BYTES_MAX
BOTH_MODES = frozenset(Mode)


class State(Enum):
    HELLO = auto()
    EVIDENCE = auto()
    HANDSHAKE = auto()
    CONFIRMING = auto()
    OPEN = auto()
    CLOSED = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What a node brings to its connections. key: the node's (P-256); random: returns that many random bytes."""

    key: PrivateKey
    verifier: EvidenceVerifier
    admit: Admit
    random: Callable[[int], bytes] = secrets.token_bytes


class AttestedConnection:
    """See the module. Made by `initiate` or `respond`.

    A refusal is raised once from where it happens (an AuthenticationFailed), and by every later call. Fetch
    `data_to_send` after each call, also after one that raised: the alert tells the other side.
    """

    def __init__(self, settings: ChannelSettings, *, mode: Mode | None, modes: Set[Mode], at: datetime) -> None:
        if at.tzinfo is None:
            raise InvariantBroken("the time of verification needs a time zone")
        self._settings = settings
        self._initiator = mode is not None
        self._modes = modes
        self._at = at
        self._own_id = settings.key.public_key().node_id()
        self._nonce = settings.random(NONCE_BYTES)
        self._hellos: tuple[Hello, Hello] | None = None
        self._claims_buffer = b""
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self._plaintext = bytearray()
        self._handshake_bytes = 0
        self._tls: SSL.Connection | None = None
        self._checked: Peer | None = None
        self._refusal: AuthenticationFailed | None = None
        self._peer: Peer | None = None
        self.state = State.HELLO
        if mode is not None:
            self._outgoing += Hello(mode, self._nonce).encode()

    @classmethod
    def initiate(cls, settings: ChannelSettings, mode: Mode, *, at: datetime) -> AttestedConnection:
        """Return the side that speaks first and chooses the mode. at: the time at which evidence must hold."""
        return cls(settings, mode=mode, modes={mode}, at=at)

    @classmethod
    def respond(cls, settings: ChannelSettings, *, at: datetime, modes: Set[Mode] = BOTH_MODES) -> AttestedConnection:
        """Return the side that answers, in one of these modes."""
        return cls(settings, mode=None, modes=modes, at=at)

    def __repr__(self) -> str:
        return f"<AttestedConnection {self.state.name} {'initiator' if self._initiator else 'responder'}>"

    @property
    def refusal(self) -> AuthenticationFailed | None:
        """Why the connection was refused, None when it was not."""
        return self._refusal

    @property
    def peer(self) -> Peer:
        """The other side, from OPEN on."""
        if self._peer is None:
            raise InvariantBroken("the other side is not confirmed")
        return self._peer

    @property
    def report_data(self) -> bytes | None:
        """What evidence must be made over (64 bytes) in state EVIDENCE, None in every other."""
        return report_data(self._claims_buffer) if self.state is State.EVIDENCE else None

    def give_evidence(self, evidence: Evidence) -> None:
        """Go on with evidence over `report_data`."""
        self._require_alive()
        if self.state is not State.EVIDENCE:
            raise InvariantBroken(f"evidence was given in state {self.state.name}")
        if len(evidence.data) > limits.EVIDENCE_BYTES_MAX or len(evidence.endorsements) > limits.ENDORSEMENTS_BYTES_MAX:
            raise LimitExceeded(
                f"evidence of {len(evidence.data)} bytes with endorsements of {len(evidence.endorsements)}; the bounds "
                f"are {limits.EVIDENCE_BYTES_MAX} and {limits.ENDORSEMENTS_BYTES_MAX}"
            )
        extension = encode_extension(evidence, self._claims_buffer)
        with _Guard(self):
            self._start_tls(extension, evidence.endorsements)

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the other side; return what it sent inside TLS, b"" until OPEN.

        Raises an AuthenticationFailed when the other side is refused, ChannelClosed after its end. Holds up to `data`
        and what it decrypts to: read in pieces.
        """
        self._require_alive()
        with _Guard(self):
            for start in range(0, len(data), _SLICE_BYTES):
                if self.state is State.CLOSED:
                    break  # What follows the other side's own end is nobody's.
                self._take(data[start : start + _SLICE_BYTES])
        plaintext = bytes(self._plaintext)
        self._plaintext.clear()
        return plaintext

    def end_of_stream(self) -> None:
        """Note that no more bytes come; raises HandshakeTruncated before OPEN."""
        if self.state in (State.OPEN, State.CLOSED):
            self.state = State.CLOSED
            return
        self._require_alive()
        with _Guard(self):
            raise HandshakeTruncated("the other side closed the connection before it was confirmed")

    def expire(self) -> None:
        """Say that the time for the handshake is over; raises HandshakeTimedOut unless OPEN was reached."""
        if self.state in (State.OPEN, State.CLOSED):
            return
        self._require_alive()
        with _Guard(self):
            raise HandshakeTimedOut("the other side was not confirmed in time")

    def send(self, data: bytes) -> None:
        """Encrypt data; raises LimitExceeded while too much waits for `data_to_send`."""
        self._require_alive()
        if self.state is not State.OPEN or self._tls is None:
            raise InvariantBroken(f"data was sent in state {self.state.name}")
        if len(self._outgoing) + len(data) > _OUTPUT_BYTES_MAX:
            raise LimitExceeded(f"{len(self._outgoing)} bytes wait to be sent; the bound is {_OUTPUT_BYTES_MAX}")
        if data:
            self._tls.sendall(data)
            self._collect()

    def data_to_send(self) -> bytes:
        """Return the bytes for the other side, and forget them."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def close(self) -> None:
        """Close in order; what is in `data_to_send` says so to the other side."""
        if self.state is State.OPEN and self._tls is not None:
            self._tls.shutdown()
            self._collect()
        if self.state is not State.REFUSED:
            self.state = State.CLOSED

    def abort(self, refusal: AuthenticationFailed) -> None:
        """End at once, for this reason, and send nothing more, not even what waited."""
        if self.state is State.REFUSED:
            return
        self._refuse(refusal)
        self._outgoing.clear()

    def _require_alive(self) -> None:
        if self._refusal is not None:
            raise self._refusal
        if self.state is State.CLOSED:
            raise ChannelClosed("the other end of the channel is gone")

    def _refuse(self, refusal: AuthenticationFailed) -> None:
        self._drop()
        self.state, self._refusal = State.REFUSED, refusal

    def _drop(self) -> None:
        self.state, self._peer, self._tls = State.CLOSED, None, None
        self._incoming.clear()
        self._plaintext.clear()

    def _take(self, piece: bytes) -> None:
        if self.state is not State.OPEN:
            self._handshake_bytes += len(piece)
            if self._handshake_bytes > limits.NODE_HANDSHAKE_BYTES_MAX:
                raise HandshakeTooLong("the other side sent too much before the connection was confirmed")
        if self._tls is not None:
            self._tls.bio_write(piece)
            self._advance()
            return
        self._incoming += piece
        if self.state is State.HELLO:
            check_hello_start(self._incoming)
            if len(self._incoming) >= HELLO_BYTES:
                hello = parse_hello(bytes(self._incoming[:HELLO_BYTES]))
                del self._incoming[:HELLO_BYTES]
                self._take_hello(hello)

    def _take_hello(self, hello: Hello) -> None:
        if hello.nonce == self._nonce:
            raise HelloReflected("the other side's hello is our own, sent back")
        if hello.mode not in self._modes:
            raise ModeRefused(f"the other side speaks in mode {hello.mode.name.lower()}, which is not taken here")
        own = Hello(hello.mode, self._nonce)
        self._hellos = (own, hello) if self._initiator else (hello, own)
        if not self._initiator:
            self._outgoing += own.encode()
        if hello.mode is Mode.JOIN:
            self._claims_buffer = Claims.over(self._settings.key.public_key(), hello.nonce).encode()
            self.state = State.EVIDENCE
        else:
            self._start_tls(None, b"")

    def _start_tls(self, evidence: bytes | None, endorsements: bytes) -> None:
        if self._hellos is None:
            raise InvariantBroken("TLS starts after the hellos")
        key = self._settings.key
        context = make_context(
            key,
            make_certificate(key, evidence=evidence, endorsements=endorsements),
            protocol=protocol_of(*self._hellos),
            initiator=self._initiator,
            verify=self._verify,
        )
        self._tls = SSL.Connection(context, None)
        if self._initiator:
            self._tls.set_connect_state()
        else:
            self._tls.set_accept_state()
        self.state = State.HANDSHAKE
        if self._incoming:
            self._tls.bio_write(bytes(self._incoming))
            self._incoming.clear()
        self._advance()

    def _verify(self, tls: SSL.Connection, shown: crypto.X509, depth: int) -> bool:
        """OpenSSL's verify callback: several calls for one certificate, and one for each fault that it sees.

        Its own findings do not count (there is no authority to lead to); ours do. It raises, which ends the handshake.
        """
        if depth != 0:
            raise CertificateInvalid("the certificate is not self-signed")
        if self._checked is None:
            self._require_protocol(tls)
            certificate = shown.to_cryptography()
            peer = verify_peer(
                certificate.public_bytes(serialization.Encoding.DER),
                mode=self._agreed()[0].mode,
                nonce=self._nonce,
                own_id=self._own_id,
                verifier=self._settings.verifier,
                admit=self._settings.admit,
                at=self._at,
            )
            if shown.get_pubkey().to_cryptography_key() != peer.public_key.raw:
                raise CertificateInvalid("the certificate's key reads in two ways")
            self._checked = peer
        return True

    def _require_protocol(self, tls: SSL.Connection) -> None:
        if tls.get_alpn_proto_negotiated() != protocol_of(*self._agreed()):
            raise HellosDiffer("the other side saw other hellos than this one")

    def _agreed(self) -> tuple[Hello, Hello]:
        if self._hellos is None:
            raise InvariantBroken("the hellos are not exchanged")
        return self._hellos

    def _advance(self) -> None:
        """Let TLS work on what has arrived."""
        tls = self._tls
        if tls is None:
            raise InvariantBroken("TLS has not started")
        try:
            if self.state is State.HANDSHAKE:
                tls.do_handshake()
                self._finish_handshake(tls)
            self._read(tls)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            if self.state is not State.OPEN:
                raise HandshakeTruncated("the other side closed the connection before it was confirmed") from None
            self.state = State.CLOSED
        except SSL.Error as error:
            raise refusal_of(error) from None
        finally:
            self._collect()

    def _finish_handshake(self, tls: SSL.Connection) -> None:
        self._require_protocol(tls)
        if self._checked is None:
            # A resumed session would come here without a certificate. There are none to resume.
            raise CertificateInvalid("the handshake ended without a certificate to check")
        self.state = State.CONFIRMING
        tls.sendall(_CONFIRMATION)

    def _read(self, tls: SSL.Connection) -> None:
        while True:
            self._plaintext += tls.recv(_SLICE_BYTES)
            if self.state is not State.CONFIRMING:
                continue
            if self._plaintext[: len(_CONFIRMATION)] != _CONFIRMATION[: len(self._plaintext)]:
                raise ConfirmationInvalid("the other side did not confirm the connection")
            if len(self._plaintext) >= len(_CONFIRMATION):
                del self._plaintext[: len(_CONFIRMATION)]
                self.state, self._peer = State.OPEN, self._checked

    def _collect(self) -> None:
        """Move what TLS wrote to the outgoing bytes."""
        if self._tls is None:
            return
        try:
            while True:
                self._outgoing += self._tls.bio_read(128 * limits.KIBIBYTE)
        except SSL.WantReadError:
            return


class _Guard:
    """Makes whatever is raised inside the block the end of the connection: a refusal, or a fault of our own."""

    def __init__(self, connection: AttestedConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, AuthenticationFailed):
            self._connection._refuse(error)
        elif error is not None:
            self._connection._drop()
