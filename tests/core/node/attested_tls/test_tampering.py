"""Someone in between: changed hellos, reflection, flipped bytes, and ends that speak TLS in another way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC

import pytest
from cryptography import x509
from OpenSSL import SSL

from core.crypto.certificates import issue, self_signed
from core.crypto.keys import PrivateKey
from core.node.attested_tls.certificate import make_certificate
from core.node.attested_tls.connection import AttestedConnection, State
from core.node.attested_tls.errors import ChannelRefused, HelloReflected, ModeRefused
from core.node.attested_tls.hello import HELLO_BYTES, Hello, Mode, parse_hello, protocol_of
from core.node.attested_tls.register import NodeRegister
from tests.support.attestation import NOW
from tests.support.attested_tls import SIGNATURES_DIFFER_BYTES, End, assert_refused, ends, reason_of, run, settings

MODES = pytest.mark.parametrize("mode", list(Mode))
FIRST, SECOND = settings(), settings()
DELIVERED = b"application bytes"


def in_mode(mode: Mode) -> Callable[[bytes], bytes]:
    """Return what changes a hello's mode on its way and lets everything else pass."""
    start = Hello(mode, bytes(32)).encode()[:12]
    return lambda data: start + bytes([mode.value]) + data[13:] if data.startswith(start) else data


@MODES
def test_a_mode_changed_on_the_way_there_is_answered_in_another(mode: Mode) -> None:
    other = Mode.PINNED if mode is Mode.JOIN else Mode.JOIN
    first, second = ends(mode)
    run(first, second, to_second=in_mode(other), application=DELIVERED)
    assert_refused(first, second, "mode-refused")


@MODES
def test_a_mode_changed_both_ways_is_seen_by_tls(mode: Mode) -> None:
    """Each believes the other speaks in its own mode. The responder sees it before it sends any certificate."""
    other = Mode.PINNED if mode is Mode.JOIN else Mode.JOIN
    first, second = ends(mode)
    run(first, second, to_second=in_mode(other), to_first=in_mode(mode), application=DELIVERED)
    assert_refused(second, first, "hellos-differ")
    assert reason_of(first) == "hellos-differ"


def test_a_mode_that_the_responder_does_not_take() -> None:
    initiator = AttestedConnection.initiate(FIRST, Mode.JOIN, at=NOW)
    responder = AttestedConnection.respond(SECOND, at=NOW, modes={Mode.PINNED})
    with pytest.raises(ModeRefused):
        responder.receive(initiator.data_to_send())
    assert responder.data_to_send() == b""


@MODES
@pytest.mark.parametrize("way", ["to_first", "to_second"])
def test_a_changed_nonce(mode: Mode, way: str) -> None:
    first, second = ends(mode)
    run(first, second, application=DELIVERED, **{way: flipped(HELLO_BYTES - 1)})
    assert_refused(second, first, "hellos-differ")


@MODES
def test_the_own_hello_sent_back(mode: Mode) -> None:
    connection = AttestedConnection.initiate(FIRST, mode, at=NOW)
    with pytest.raises(HelloReflected):
        connection.receive(connection.data_to_send())
    assert connection.state is State.REFUSED
    responder = AttestedConnection.respond(FIRST, at=NOW)
    responder.receive(Hello(mode, bytes(32)).encode())
    assert parse_hello(responder.data_to_send()[:HELLO_BYTES]).mode is mode


def test_everything_sent_back() -> None:
    """A hello of another nonce, then whatever the initiator says, back to it."""
    connection = AttestedConnection.initiate(FIRST, Mode.PINNED, at=NOW)
    connection.data_to_send()
    connection.receive(Hello(Mode.PINNED, bytes(32)).encode())
    with pytest.raises(ChannelRefused) as refused:
        connection.receive(connection.data_to_send())
    assert refused.value.reason == "tls-failed"


@MODES
def test_a_recorded_connection_played_again(mode: Mode) -> None:
    """Each side's whole recording, to a new connection of the same other side."""
    first, second = ends(mode, initiator=FIRST, responder=SECOND)
    run(first, second)
    for recording, fresh in (
        (second.sent, End(AttestedConnection.initiate(FIRST, mode, at=NOW))),
        (first.sent, End(AttestedConnection.respond(SECOND, at=NOW))),
    ):
        fresh.step(bytes(recording))
        fresh.finish()
        assert reason_of(fresh) in ("tls-failed", "hellos-differ")
        assert not fresh.opened
        assert not fresh.delivered


def flipped(offset: int) -> Callable[[bytes], bytes]:
    """Return what flips a bit of one byte of a stream."""
    passed = 0

    def change(data: bytes) -> bytes:
        nonlocal passed
        start, passed = passed, passed + len(data)
        place = offset - start
        if not 0 <= place < len(data):
            return data
        return data[:place] + bytes([data[place] ^ 1 << offset % 8]) + data[place + 1 :]

    return change


def record_headers(stream: bytes) -> set[int]:
    """Return the places in a stream that TLS does not protect: versions of plain records, and the byte that
    middleboxes want (RFC 8446, 5.1 and D.4).
    """
    places, position = set(), HELLO_BYTES
    while position < len(stream):
        kind, size = stream[position], int.from_bytes(stream[position + 3 : position + 5], "big")
        if kind in (20, 22):
            places |= {position + 1, position + 2}
        position += 5 + size
    return places


@pytest.mark.parametrize(("mode", "stride"), [(Mode.PINNED, 5), (Mode.JOIN, 43)])
@pytest.mark.parametrize("to_responder", [True, False])
def test_a_flipped_byte_in_each_flight(mode: Mode, stride: int, to_responder: bool) -> None:
    """The receiver refuses; where the byte is of no meaning, everything is as without."""
    first, second = ends(mode, initiator=FIRST, responder=SECOND)
    run(first, second)
    stream = bytes(first.sent if to_responder else second.sent)
    harmless = record_headers(stream)
    seen = set()
    for offset in [*range(HELLO_BYTES), *range(HELLO_BYTES, len(stream) - SIGNATURES_DIFFER_BYTES, stride)]:
        first, second = ends(mode, initiator=FIRST, responder=SECOND)
        change = {"to_second" if to_responder else "to_first": flipped(offset)}
        run(first, second, application=DELIVERED, **change)
        receiver, sender = (second, first) if to_responder else (first, second)
        if receiver.opened:
            assert offset in harmless
            assert (bytes(first.delivered), bytes(second.delivered)) == (DELIVERED, DELIVERED)
            continue
        assert not receiver.delivered
        assert not sender.delivered
        seen.add(reason_of(receiver) or reason_of(sender))
    assert seen <= {
        "malformed-hello",
        "mode-refused",
        "hellos-differ",
        "tls-failed",
        "tls-version",
        "truncated-handshake",
        "refused-by-peer",
        "missing-certificate",
    }
    assert {"malformed-hello", "hellos-differ", "tls-failed"} <= seen


def test_a_flipped_byte_while_open() -> None:
    first, second = ends(Mode.PINNED, initiator=FIRST, responder=SECOND)
    data = first.take()
    while data:
        answer = second.step(data)
        data = first.step(answer) if answer else b""
    first.connection.send(b"one")
    good = first.take()
    first.connection.send(b"two")
    bad = bytearray(first.take())
    bad[-1] ^= 1
    assert second.step(good) == b""
    second.step(bytes(bad))
    assert second.delivered == b"one"
    assert reason_of(second) == "tls-failed"


# Ends that speak TLS in another way. The hellos are right, TLS is pyOpenSSL as it comes.


class Foreign:
    """A TLS end of another make, on the other side of an honest one."""

    def __init__(
        self,
        honest: AttestedConnection,
        *,
        client: bool,
        configure: Callable[[SSL.Context, bytes], None],
        session_of: Foreign | None = None,
    ) -> None:
        self.honest = End(honest)
        own = Hello(Mode.PINNED, b"f" * 32)
        theirs = self.honest.step(own.encode()) if client else self.honest.take()
        hello = parse_hello(theirs[:HELLO_BYTES])
        protocol = protocol_of(own, hello) if client else protocol_of(hello, own)
        if session_of is None:
            context = SSL.Context(SSL.TLS_METHOD)
            context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
            configure(context, protocol)
            self.tls = SSL.Connection(context, None)
        else:
            self.tls = SSL.Connection(session_of.tls.get_context(), None)
            self.tls.set_alpn_protos([protocol])
        if client:
            self.tls.set_connect_state()
        else:
            self.tls.set_accept_state()
            self.tls.bio_write(self.honest.step(own.encode()))

    def run(self, *, says: bytes = b"") -> None:
        """Go on until both are silent. says: what the foreign end sends once its TLS is done."""
        done = False
        for _ in range(12):
            try:
                if not done:
                    self.tls.do_handshake()
                    done = True
                    if says:
                        self.tls.sendall(says)
                else:
                    self.tls.recv(100)
            except SSL.WantReadError:
                pass
            except SSL.Error:
                break
            answer = self.honest.step(self._written())
            if answer:
                self.tls.bio_write(answer)
        if self.honest.refusal is None:
            self.honest.step(self._written())
        self.honest.finish()

    def _written(self) -> bytes:
        try:
            return self.tls.bio_read(2**17)
        except SSL.WantReadError:
            return b""


KEY = PrivateKey.generate()


def configure(context: SSL.Context, protocol: bytes) -> None:
    context.use_privatekey(KEY.raw)
    context.use_certificate(make_certificate(KEY))
    context.set_alpn_protos([protocol])
    context.set_alpn_select_callback(lambda _, offered: protocol)


def only_tls_1_2(context: SSL.Context, protocol: bytes) -> None:
    configure(context, protocol)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)


def without_certificate(context: SSL.Context, protocol: bytes) -> None:
    context.set_alpn_protos([protocol])


def without_protocol(context: SSL.Context, protocol: bytes) -> None:
    context.use_privatekey(KEY.raw)
    context.use_certificate(make_certificate(KEY))


def more_protocols(context: SSL.Context, protocol: bytes) -> None:
    configure(context, protocol)
    context.set_alpn_protos([b"h2", protocol])
    context.set_alpn_select_callback(lambda _, offered: SSL.NO_OVERLAPPING_PROTOCOLS)


def issued_by_another(context: SSL.Context, protocol: bytes) -> None:
    """A chain as web servers have it: the leaf is issued by the certificate beside it."""
    start = NOW.replace(tzinfo=UTC)
    authority = self_signed("authority", KEY, not_before=start, days=30)
    leaf = issue("leaf", KEY.public_key(), issuer=authority, issuer_key=KEY, not_before=start, days=30, usage="signing")
    configure(context, protocol)
    context.use_certificate(x509.load_pem_x509_certificate(leaf.encode()))
    context.add_extra_chain_cert(x509.load_pem_x509_certificate(authority.encode()))


FOREIGN = {
    "a chain of certificates": (issued_by_another, "invalid-certificate"),
    "TLS 1.2": (only_tls_1_2, "tls-version"),
    "no certificate": (without_certificate, "missing-certificate"),
    "no protocol": (without_protocol, "hellos-differ"),
    "another protocol": (more_protocols, "hellos-differ"),
    "no confirmation": (configure, "truncated-handshake"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_client(name: str) -> None:
    set_up, reason = FOREIGN[name]
    foreign = Foreign(AttestedConnection.respond(FIRST, at=NOW), client=True, configure=set_up)
    foreign.run()
    assert reason_of(foreign.honest) == reason, foreign.honest.refusal
    assert not foreign.honest.opened


@pytest.mark.parametrize("name", [name for name in FOREIGN if name != "no certificate"])
def test_a_foreign_server(name: str) -> None:
    set_up, reason = FOREIGN[name]
    foreign = Foreign(AttestedConnection.initiate(FIRST, Mode.PINNED, at=NOW), client=False, configure=set_up)
    foreign.run()
    assert reason_of(foreign.honest) == reason, foreign.honest.refusal
    assert not foreign.honest.opened


@pytest.mark.parametrize("client", [True, False])
def test_a_wrong_and_a_right_confirmation(client: bool) -> None:
    def meet(says: bytes) -> End:
        if client:
            honest = AttestedConnection.respond(FIRST, at=NOW)
        else:
            honest = AttestedConnection.initiate(FIRST, Mode.PINNED, at=NOW)
        foreign = Foreign(honest, client=client, configure=configure)
        foreign.run(says=says)
        return foreign.honest

    early = meet(b"GET / HTTP/1.1\r\n")
    assert reason_of(early) == "invalid-confirmation"
    assert not early.opened
    assert not early.delivered
    partial = meet(b"coco node confirmed 2\n")
    assert reason_of(partial) == "invalid-confirmation"
    right = meet(b"coco node confirmed 1\n" + b"and this")
    assert right.opened
    assert right.delivered == b"and this"


def test_no_session_is_resumed() -> None:
    """A client that offers an earlier session is looked at again."""
    known = {KEY.public_key().node_id(): KEY.public_key()}
    register = NodeRegister(known)
    settled = settings(admit=register.admit)
    earlier = Foreign(AttestedConnection.respond(settled, at=NOW), client=True, configure=configure)
    earlier.run(says=b"coco node confirmed 1\n")
    assert earlier.honest.opened
    session = earlier.tls.get_session()
    assert session is not None
    for nodes in (known, {}):
        register.replace(nodes)
        again = Foreign(
            AttestedConnection.respond(settled, at=NOW), client=True, configure=configure, session_of=earlier
        )
        again.tls.set_session(session)
        again.run(says=b"coco node confirmed 1\n")
        assert again.honest.opened == bool(nodes)
    assert reason_of(again.honest) == "unregistered-node"
