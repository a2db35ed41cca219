"""Pairing and the sealed channel against a host that holds the wire: mostly rejections."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import pytest

from core import limits
from core.errors import AuthenticationFailed, ChannelClosed, LimitExceeded
from core.node import pairing
from core.node.pairing import PairedTransport, pair
from core.ports import Transport
from enclave_sim.boundary.memory_transport import memory_pair
from enclave_sim.platform.cpu import EnclaveIdentity
from enclave_sim.platform.memory import LocalAttestor, MemoryPlatform

PURPOSE = "manager-executor"
Tamper = Callable[[int, bytes], list[bytes]]
"""(frame number in its direction, frame) -> the frames to deliver in its place."""


class Wire:
    """The host's tap: two channels with a relay between them that sees and may change every frame."""

    def __init__(self, *, to_responder: Tamper | None = None, to_initiator: Tamper | None = None) -> None:
        self.initiator, self.host_left = memory_pair()
        self.host_right, self.responder = memory_pair()
        self.seen: dict[str, list[bytes]] = {"to_responder": [], "to_initiator": []}
        self.tampers = {"to_responder": to_responder, "to_initiator": to_initiator}
        self.tasks = [
            asyncio.create_task(self._relay("to_responder", self.host_left, self.host_right)),
            asyncio.create_task(self._relay("to_initiator", self.host_right, self.host_left)),
        ]

    async def _relay(self, direction: str, source: Transport, target: Transport) -> None:
        try:
            while True:
                frame = await source.receive()
                number = len(self.seen[direction])
                self.seen[direction].append(frame)
                tamper = self.tampers[direction]
                for delivered in tamper(number, frame) if tamper else [frame]:
                    await target.send(delivered)
        except ChannelClosed:
            await target.close()


@pytest.fixture
def platform() -> MemoryPlatform:
    return MemoryPlatform(bytes(range(32)))


async def pair_over(
    wire: Wire,
    platform: MemoryPlatform,
    *,
    responder_platform: MemoryPlatform | None = None,
    purposes: tuple[str, str] = (PURPOSE, PURPOSE),
    expected: tuple[bytes | None, bytes | None] = (None, None),
    responder_is_initiator: bool = False,
) -> tuple[PairedTransport, PairedTransport]:
    manager, worker = platform.measurement("manager"), platform.measurement("worker")
    other = responder_platform or platform
    left: Awaitable[Transport] = pair(
        wire.initiator,
        platform.attestor("worker"),
        peer_measurement=expected[0] or manager,
        purpose=purposes[0],
        initiator=True,
    )
    right: Awaitable[Transport] = pair(
        wire.responder,
        other.attestor("manager"),
        peer_measurement=expected[1] or worker,
        purpose=purposes[1],
        initiator=responder_is_initiator,
    )
    tasks = [asyncio.ensure_future(left), asyncio.ensure_future(right)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
        first, second = tasks[0].result(), tasks[1].result()
        assert isinstance(first, PairedTransport)
        assert isinstance(second, PairedTransport)
        return first, second
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_both_directions_carry_messages(platform: MemoryPlatform) -> None:
    wire = Wire()
    left, right = await pair_over(wire, platform)
    for message in (b"", b"a", b"b" * 100_000):
        await left.send(message)
        assert await right.receive() == message
        await right.send(message + b"!")
        assert await left.receive() == message + b"!"
    assert left.refused == right.refused == 0


async def test_the_host_sees_no_plaintext_and_no_repetition(platform: MemoryPlatform) -> None:
    wire = Wire()
    left, right = await pair_over(wire, platform)
    for _ in range(2):
        await left.send(b"the secret of the parties")
        await right.receive()
    frames = wire.seen["to_responder"]
    assert all(b"secret" not in frame for frame in frames)
    assert frames[-1] != frames[-2]


async def test_sessions_have_keys_of_their_own(platform: MemoryPlatform) -> None:
    frames = []
    for _ in range(2):
        wire = Wire()
        left, right = await pair_over(wire, platform)
        await left.send(b"same")
        await right.receive()
        frames.append(wire.seen["to_responder"][-1])
    assert frames[0] != frames[1]


@pytest.mark.parametrize("side", [0, 1])
async def test_wrong_measurement_is_refused(platform: MemoryPlatform, side: int) -> None:
    other = hashlib.sha256(b"other code").digest()
    expected = (other, None) if side == 0 else (None, other)
    with pytest.raises(AuthenticationFailed, match=r"unexpected measurement|for this enclave"):
        await pair_over(Wire(), platform, expected=expected)


async def test_another_platform_is_refused(platform: MemoryPlatform) -> None:
    with pytest.raises(AuthenticationFailed, match="not made on this platform"):
        await pair_over(Wire(), platform, responder_platform=MemoryPlatform(bytes(32)))


async def test_another_purpose_is_refused(platform: MemoryPlatform) -> None:
    with pytest.raises(AuthenticationFailed, match="another key, role or purpose"):
        await pair_over(Wire(), platform, purposes=("executor-gateway", PURPOSE))


async def test_two_initiators_are_refused(platform: MemoryPlatform) -> None:
    with pytest.raises(AuthenticationFailed, match="expected a pairing Answer"):
        await pair_over(Wire(), platform, responder_is_initiator=True)


async def test_reflection_of_the_hello_is_refused(platform: MemoryPlatform) -> None:
    left, host = memory_pair()
    measurement = platform.measurement("worker")
    attestor = platform.attestor("worker")
    task = asyncio.create_task(pair(left, attestor, peer_measurement=measurement, purpose=PURPOSE, initiator=True))
    await host.send(await host.receive())
    with pytest.raises(AuthenticationFailed):
        await task


async def test_an_answer_made_of_the_own_hello_is_refused(platform: MemoryPlatform) -> None:
    """The same code on both sides: only the role in the report keeps a hello from passing as an answer."""
    left, host = memory_pair()
    attestor = platform.attestor("worker")
    task = asyncio.create_task(
        pair(left, attestor, peer_measurement=platform.measurement("worker"), purpose=PURPOSE, initiator=True)
    )
    hello = pairing._CODEC.decode(await host.receive())
    await host.send(pairing._CODEC.encode(pairing.Answer(hello.key, hello.report)))
    with pytest.raises(AuthenticationFailed, match="another key, role or purpose"):
        await task


@pytest.mark.parametrize("direction", ["to_responder", "to_initiator"])
async def test_a_swapped_key_is_refused(platform: MemoryPlatform, direction: str) -> None:
    def swap(number: int, frame: bytes) -> list[bytes]:
        if number:
            return [frame]
        message = pairing._CODEC.decode(frame)
        return [pairing._CODEC.encode(type(message)(bytes([9]) + bytes(31), message.report))]

    with pytest.raises(AuthenticationFailed, match="another key, role or purpose"):
        await pair_over(Wire(**{direction: swap}), platform)


@pytest.mark.parametrize("direction", ["to_responder", "to_initiator"])
@pytest.mark.parametrize("position", [0, 1, 3, 20, 60, 150, -1])
async def test_any_flipped_bit_of_the_handshake_is_refused(
    platform: MemoryPlatform, direction: str, position: int
) -> None:
    def flip(number: int, frame: bytes) -> list[bytes]:
        if number:
            return [frame]
        changed = bytearray(frame)
        changed[position] ^= 1
        return [bytes(changed)]

    with pytest.raises(AuthenticationFailed):
        await pair_over(Wire(**{direction: flip}), platform)


async def test_a_replayed_hello_does_not_pair(platform: MemoryPlatform) -> None:
    wire = Wire()
    await pair_over(wire, platform)
    hello, confirmation = wire.seen["to_responder"][:2]
    responder, host = memory_pair()
    task = asyncio.create_task(
        pair(
            responder,
            platform.attestor("manager"),
            peer_measurement=platform.measurement("worker"),
            purpose=PURPOSE,
            initiator=False,
        )
    )
    await host.send(hello)
    await host.receive()
    for _ in range(pairing.REFUSALS_IN_A_ROW_MAX):
        await host.send(confirmation)
    with pytest.raises(AuthenticationFailed, match="in a row"):
        await task


async def test_a_replayed_answer_is_refused(platform: MemoryPlatform) -> None:
    wire = Wire()
    await pair_over(wire, platform)
    old = wire.seen["to_initiator"][0]
    with pytest.raises(AuthenticationFailed, match="another key, role or purpose"):
        await pair_over(Wire(to_initiator=lambda number, frame: [frame] if number else [old]), platform)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02\x00", b"x" * (pairing.HANDSHAKE_BYTES_MAX + 1)])
async def test_garbage_in_the_handshake_is_refused(platform: MemoryPlatform, data: bytes) -> None:
    with pytest.raises(AuthenticationFailed, match="not a pairing message"):
        await pair_over(Wire(to_responder=lambda number, frame: [frame] if number else [data]), platform)


async def test_a_debug_enclave_is_refused(platform: MemoryPlatform) -> None:
    measurement = platform.measurement("worker")
    debug = LocalAttestor(platform.cpu, EnclaveIdentity(measurement, "worker", debug=True))
    left, right = memory_pair()
    task = asyncio.create_task(pair(left, debug, peer_measurement=measurement, purpose=PURPOSE, initiator=True))
    with pytest.raises(AuthenticationFailed, match="can be inspected"):
        await pair(right, platform.attestor("worker"), peer_measurement=measurement, purpose=PURPOSE, initiator=False)
    await right.close()
    with pytest.raises(ChannelClosed):
        await task


async def test_a_degenerate_key_is_refused(platform: MemoryPlatform) -> None:
    """All-zero X25519 output, from an attested peer gone wrong: the report is genuine, the key is not usable."""
    attestor = platform.attestor("worker")
    left, host = memory_pair()
    key = bytes(32)
    report = await attestor.local_report(
        pairing._report_data(PURPOSE, b"initiator", key), target=platform.measurement("worker")
    )
    await host.send(pairing._CODEC.encode(pairing.Hello(key, report)))
    with pytest.raises(AuthenticationFailed, match="degenerate"):
        await pair(left, attestor, peer_measurement=platform.measurement("worker"), purpose=PURPOSE, initiator=False)


async def test_a_peer_that_goes_away_closes_the_pairing(platform: MemoryPlatform) -> None:
    left, host = memory_pair()
    await host.close()
    with pytest.raises(ChannelClosed):
        await pair(left, platform.attestor("worker"), peer_measurement=bytes(32), purpose=PURPOSE, initiator=False)


# The sealed channel.


def sealed_pair() -> tuple[PairedTransport, PairedTransport, Transport]:
    """Return a sender, a receiver, and the host's end from which the receiver is fed."""
    sender_end, host_in = memory_pair()
    host_out, receiver_end = memory_pair()
    sender = PairedTransport(sender_end, send_key=b"a" * 32, receive_key=b"b" * 32)
    receiver = PairedTransport(receiver_end, send_key=b"b" * 32, receive_key=b"a" * 32)
    return sender, receiver, _Tap(host_in, host_out)


class _Tap:
    def __init__(self, source: Transport, target: Transport) -> None:
        self._source = source
        self._target = target

    async def receive(self) -> bytes:
        return await self._source.receive()

    async def send(self, message: bytes) -> None:
        await self._target.send(message)

    async def close(self) -> None:
        await self._target.close()


async def test_injected_replayed_and_changed_frames_are_dropped_and_genuine_ones_still_pass() -> None:
    sender, receiver, host = sealed_pair()
    await sender.send(b"one")
    await sender.send(b"two")
    one, two = await host.receive(), await host.receive()
    for frame in (b"", b"injected", bytes(100), one[:-1], one + b"\0", bytes([one[0] ^ 1]) + one[1:], two):
        await host.send(frame)
    await host.send(one)
    await host.send(one)
    await host.send(two)
    assert await receiver.receive() == b"one"
    assert await receiver.receive() == b"two"
    assert receiver.refused == 8


async def test_own_frames_sent_back_are_dropped() -> None:
    sender, receiver, host = sealed_pair()
    await sender.send(b"mine")
    frame = await host.receive()
    own_end, reflect = memory_pair()
    alone = PairedTransport(own_end, send_key=b"a" * 32, receive_key=b"b" * 32)
    await reflect.send(frame)
    await reflect.close()
    with pytest.raises(ChannelClosed):
        await alone.receive()
    assert alone.refused == 1
    await host.send(frame)
    assert await receiver.receive() == b"mine"


async def test_a_withheld_frame_stops_the_channel_instead_of_hanging() -> None:
    sender, receiver, host = sealed_pair()
    await sender.send(b"withheld")
    await host.receive()
    for _ in range(pairing.REFUSALS_IN_A_ROW_MAX):
        await sender.send(b"later")
        await host.send(await host.receive())
    with pytest.raises(AuthenticationFailed, match="16 frames in a row"):
        await receiver.receive()


async def test_refusals_are_counted_in_a_row_only() -> None:
    sender, receiver, host = sealed_pair()
    for _ in range(3):
        for _ in range(pairing.REFUSALS_IN_A_ROW_MAX - 1):
            await host.send(b"noise")
        await sender.send(b"genuine")
        await host.send(await host.receive())
        assert await receiver.receive() == b"genuine"
    assert receiver.refused == 45


async def test_oversized_messages_are_refused_before_sealing(monkeypatch: pytest.MonkeyPatch) -> None:
    sender, receiver, host = sealed_pair()
    monkeypatch.setattr(pairing, "PLAINTEXT_BYTES_MAX", 10)
    with pytest.raises(LimitExceeded):
        await sender.send(b"x" * 11)
    await sender.send(b"x" * 10)
    await host.send(await host.receive())
    assert await receiver.receive() == b"x" * 10


def test_the_bound_leaves_room_for_the_tag() -> None:
    assert pairing.PLAINTEXT_BYTES_MAX + pairing.TAG_BYTES == limits.MESSAGE_BYTES_MAX


async def test_many_senders_keep_frames_in_order() -> None:
    left, right = memory_pair()
    sender = PairedTransport(left, send_key=b"a" * 32, receive_key=b"b" * 32)
    receiver = PairedTransport(right, send_key=b"b" * 32, receive_key=b"a" * 32)
    tasks = [asyncio.create_task(sender.send(bytes([number % 256]) * 40_000)) for number in range(400)]
    received = [await receiver.receive() for _ in range(400)]
    await asyncio.gather(*tasks)
    assert len(received) == 400
    assert receiver.refused == 0


def test_keys_do_not_show_in_the_repr() -> None:
    left, _ = memory_pair()
    assert "aaaa" not in repr(PairedTransport(left, send_key=b"a" * 32, receive_key=b"b" * 32))
