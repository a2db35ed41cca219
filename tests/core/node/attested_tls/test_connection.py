"""Two attested ends speak; what each knows of the other; bounds and order of the states."""

from __future__ import annotations

import gc
import weakref

import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import ChannelClosed, InvariantBroken, LimitExceeded
from core.node.attested_tls.connection import AttestedConnection, State
from core.node.attested_tls.errors import HandshakeTimedOut, HandshakeTooLong, HandshakeTruncated, NodeRemoved
from core.node.attested_tls.hello import Hello, Mode
from core.ports import Evidence
from tests.support.attestation import ENCLAVE, NOW
from tests.support.attested_tls import (
    IDENTITY,
    SIGNATURES_DIFFER_BYTES,
    End,
    VsmEvidence,
    assert_refused,
    ends,
    mixed_store,
    reason_of,
    run,
    settings,
)

MODES = pytest.mark.parametrize("mode", list(Mode))


@MODES
def test_both_ends_open_and_hear_each_other(mode: Mode) -> None:
    first, second = ends(mode)
    run(first, second, application=b"ledger entry")
    assert (first.refusal, second.refusal) == (None, None)
    assert first.opened
    assert second.opened
    assert (bytes(first.delivered), bytes(second.delivered)) == (b"ledger entry", b"ledger entry")
    for end in (first, second):
        assert b"ledger entry" not in end.sent


@MODES
def test_each_knows_who_the_other_is(mode: Mode) -> None:
    key = PrivateKey.generate()
    first, second = ends(mode, initiator=settings(key))
    run(first, second)
    peer = second.connection.peer
    assert (peer.node_id, peer.public_key, peer.mode) == (key.public_key().node_id(), key.public_key(), mode)
    if mode is Mode.PINNED:
        assert peer.claims is None
        return
    assert peer.claims is not None
    assert (peer.claims.measurement, peer.claims.signer) == (ENCLAVE.mrenclave, ENCLAVE.mrsigner)
    assert (peer.claims.tee, peer.claims.simulated, peer.claims.debug) == ("sgx", True, False)


def test_an_sgx_and_a_vsm_node() -> None:
    vsm = VsmEvidence()
    store = mixed_store(vsm)
    first, second = ends(initiator=settings(store=store), responder=settings(store=store), make_responder=vsm.make)
    run(first, second, application=b"mixed")
    assert (bytes(first.delivered), bytes(second.delivered)) == (b"mixed", b"mixed")
    claims = (first.connection.peer.claims, second.connection.peer.claims)
    assert [one.tee for one in claims if one is not None] == ["vsm", "sgx"]
    assert claims[0] is not None
    assert claims[0].measurement == IDENTITY.unique_id


def test_a_vsm_node_where_only_sgx_is_trusted() -> None:
    vsm = VsmEvidence()
    first, second = ends(responder=settings(store=mixed_store(vsm)), make_responder=vsm.make)
    run(first, second, application=b"mixed")
    assert_refused(first, second, "unknown-root")


@MODES
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_any_cut_of_the_stream(mode: Mode, step: int) -> None:
    """Nothing opens early, whatever the pieces."""
    first, second = ends(mode)
    to_second, to_first = bytearray(first.take()), bytearray()
    while to_second or to_first:
        for queue, end, other in ((to_second, second, to_first), (to_first, first, to_second)):
            piece = bytes(queue[:step])
            del queue[:step]
            other += end.step(piece) if piece else b""
        # The responder opens with the initiator's last byte, the initiator with the responder's.
        assert not first.opened or not (to_first or to_second)
        assert not second.opened or not to_second
    assert first.connection.state is second.connection.state is State.OPEN


def test_much_data_both_ways() -> None:
    first, second = ends(Mode.PINNED)
    run_open(first, second)
    blob = bytes(range(256)) * 4096
    first.connection.send(blob)
    second.connection.send(blob)
    assert second.connection.receive(first.take()) == blob
    assert first.connection.receive(second.take()) == blob


def run_open(first: End, second: End) -> None:
    """As `run`, without ending the streams."""
    data = first.take()
    while data:
        answer = second.step(data)
        data = first.step(answer) if answer else b""
    assert first.connection.state is second.connection.state is State.OPEN


@MODES
def test_nothing_is_sent_before_it_is_open(mode: Mode) -> None:
    """At every step of the handshake, on both sides."""
    first, second = ends(mode)
    to_second, to_first = first.take(), b""
    while to_second or to_first:
        for end in (first, second):
            if end.connection.state is not State.OPEN:
                with pytest.raises(InvariantBroken):
                    end.connection.send(b"early")
                with pytest.raises(InvariantBroken):
                    _ = end.connection.peer
        to_first = second.step(to_second) if to_second else b""
        to_second = first.step(to_first) if to_first else b""
    assert first.connection.state is second.connection.state is State.OPEN
    assert (bytes(first.delivered), bytes(second.delivered)) == (b"", b"")


def test_the_client_waits_though_tls_is_done() -> None:
    """The client's TLS ends before the server has seen the client's certificate."""
    first, second = ends(Mode.PINNED)
    flight = second.step(first.step(second.step(first.take())))
    last = first.step(flight)
    assert (first.connection.state, second.connection.state) == (State.CONFIRMING, State.HANDSHAKE)
    with pytest.raises(InvariantBroken):
        first.connection.send(b"early")
    confirmation = second.step(last)
    assert (first.connection.state, second.connection.state) == (State.CONFIRMING, State.OPEN)
    second.connection.send(b"after it")
    first.step(confirmation + second.take())
    assert first.connection.state is State.OPEN
    assert first.delivered == b"after it"


@pytest.mark.parametrize(("mode", "stride"), [(Mode.PINNED, 7), (Mode.JOIN, 41)])
@pytest.mark.parametrize("initiator_is_cut", [False, True])
def test_truncated(mode: Mode, stride: int, initiator_is_cut: bool) -> None:
    """One side's stream ends early: the other refuses, and nothing is delivered. `test_any_cut` sees every length."""
    whole_first, whole_second = ends(mode)
    run(whole_first, whole_second)
    size_bytes = len(whole_first.sent if initiator_is_cut else whole_second.sent)
    for size in range(0, size_bytes - SIGNATURES_DIFFER_BYTES, stride):
        first, second = ends(mode, initiator=CHEAP, responder=CHEAP_TOO)
        cut = Cut(size)
        changes = {"to_second": cut} if initiator_is_cut else {"to_first": cut}
        run(first, second, application=b"never", **changes)
        waiting, cut_off = (second, first) if initiator_is_cut else (first, second)
        assert reason_of(waiting) == "truncated-handshake"
        assert not waiting.opened
        assert not waiting.delivered
        assert not cut_off.delivered


class Cut:
    """Passes that many bytes."""

    def __init__(self, size_bytes: int) -> None:
        self.left = size_bytes

    def __call__(self, data: bytes) -> bytes:
        piece = data[: self.left]
        self.left -= len(piece)
        return piece


CHEAP, CHEAP_TOO = settings(), settings()


def test_the_ends_of_a_stream() -> None:
    first, second = ends(Mode.PINNED)
    run_open(first, second)
    first.connection.send(b"last words")
    first.connection.close()
    assert second.connection.receive(first.take() + b"more") == b"last words"
    assert second.connection.state is State.CLOSED
    for end in (first, second):
        for call in (lambda end=end: end.connection.receive(b""), lambda end=end: end.connection.send(b"x")):
            with pytest.raises(ChannelClosed):
                call()
        end.connection.end_of_stream()
        end.connection.expire()


def test_too_much_before_it_is_open() -> None:
    connection = AttestedConnection.respond(settings(), at=NOW)
    connection.receive(Hello(Mode.JOIN, bytes(32)).encode())
    connection.receive(bytes(limits.NODE_HANDSHAKE_BYTES_MAX - 45))
    with pytest.raises(HandshakeTooLong):
        connection.receive(b"\0")
    connection = AttestedConnection.respond(settings(), at=NOW)
    with pytest.raises(HandshakeTooLong):
        connection.receive(Hello(Mode.JOIN, bytes(32)).encode() + bytes(limits.NODE_HANDSHAKE_BYTES_MAX))


def test_too_much_to_send() -> None:
    first, second = ends(Mode.PINNED)
    run_open(first, second)
    with pytest.raises(LimitExceeded):
        first.connection.send(bytes(2 * limits.MESSAGE_BYTES_MAX + 1))
    first.connection.send(b"still open")
    assert second.connection.receive(first.take()) == b"still open"


@MODES
def test_the_time_is_over(mode: Mode) -> None:
    first, second = ends(mode)
    second.step(first.take())
    for end in (first, second):
        with pytest.raises(HandshakeTimedOut):
            end.connection.expire()
        with pytest.raises(HandshakeTimedOut):
            end.connection.receive(b"late")
    first, second = ends(mode)
    run_open(first, second)
    first.connection.expire()
    assert first.connection.state is State.OPEN


def test_aborted_while_open() -> None:
    first, second = ends(Mode.PINNED)
    run_open(first, second)
    first.connection.send(b"not to you")
    first.connection.abort(NodeRemoved("removed"))
    assert first.connection.data_to_send() == b""
    for call in (lambda: first.connection.send(b"x"), lambda: first.connection.receive(b"x")):
        with pytest.raises(NodeRemoved):
            call()
    first.connection.abort(HandshakeTruncated("the first reason stays"))
    first.connection.close()
    assert reason_of(End(first.connection, refusal=first.connection.refusal)) == "removed-node"


def test_evidence_is_given_once_and_within_its_bound() -> None:
    first, _ = ends(Mode.PINNED)
    with pytest.raises(InvariantBroken):
        first.connection.give_evidence(Evidence(60000, b""))
    connection = AttestedConnection.respond(settings(), at=NOW)
    connection.receive(Hello(Mode.JOIN, bytes(32)).encode())
    assert connection.report_data is not None
    with pytest.raises(LimitExceeded):
        connection.give_evidence(Evidence(60000, bytes(limits.EVIDENCE_BYTES_MAX + 1)))
    with pytest.raises(LimitExceeded):
        connection.give_evidence(Evidence(60000, b"", bytes(limits.ENDORSEMENTS_BYTES_MAX + 1)))


def test_a_time_without_zone() -> None:
    with pytest.raises(InvariantBroken):
        AttestedConnection.respond(settings(), at=NOW.replace(tzinfo=None))


def test_a_connection_is_freed() -> None:
    first, second = ends(Mode.PINNED)
    run_open(first, second)
    seen = weakref.ref(first.connection)
    del first, second
    gc.collect()
    assert seen() is None
