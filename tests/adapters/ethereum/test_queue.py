"""The queue of transactions: refusals, replacement, holding back, fairness; and against a plain model."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from adapters.ethereum.queue import GAP_MILLISECONDS_MAX, GAPPED_PER_SENDER_MAX, EthereumQueue, Standing
from adapters.ethereum.requests import COMMANDS, Bind, SendTransaction
from adapters.jsonrpc import RpcError
from core.adapter.interface import Caller, CommandRejected, Pending

ALICE = Caller("alice")


class State:
    """Nonces, and who is bound: every sender to alice."""

    def __init__(self) -> None:
        self.nonces: dict[bytes, int] = {}
        self.standings: dict[bytes, Standing] = {}

    def nonce(self, sender: bytes) -> int:
        return self.nonces.get(sender, 0)

    def standing(self, transaction_hash: bytes) -> Standing:
        return self.standings.get(transaction_hash, "")

    def check_sender(self, sender: bytes, caller: Caller) -> None:
        if caller != ALICE:
            raise RpcError(-32001, "not bound")


@dataclass
class Fixture:
    state: State
    queue: EthereumQueue
    ticket: int = 0

    def push(
        self,
        sender: bytes,
        nonce: int,
        *,
        at: int = 0,
        fee: int = 0,
        tip: int = 0,
        tag: int = 0,
        caller: Caller = ALICE,
    ) -> list[tuple[Pending, bytes]]:
        self.ticket += 1
        transaction_hash = sender + bytes((nonce % 256, fee % 256, tip % 256, tag))
        payload = COMMANDS.encode(
            SendTransaction(b"", sender, nonce, transaction_hash, fee.to_bytes(32, "big"), tip.to_bytes(32, "big"))
        )
        return self.queue.push(Pending(self.ticket, payload, caller), at)

    def run(self) -> list[tuple[bytes, int]]:
        """Pop all that is ready, each using its nonce."""
        ran = []
        while (pending := self.queue.pop()) is not None:
            command = COMMANDS.decode(pending.payload)
            assert isinstance(command, SendTransaction)
            assert self.state.nonce(command.sender) == command.nonce
            self.state.nonces[command.sender] = command.nonce + 1
            ran.append((command.sender, command.nonce))
        return ran


@pytest.fixture
def fixture() -> Fixture:
    state = State()
    return Fixture(state, EthereumQueue(lambda: state, total_max=200))


def refusal(reply: bytes) -> str:
    return str(orjson.loads(b"{" + reply + b"}")["error"]["message"])


def refused(fixture: Fixture, *arguments: object, **more: object) -> str:
    with pytest.raises(CommandRejected) as caught:
        fixture.push(*arguments, **more)  # type: ignore[arg-type]
    return refusal(caught.value.reply)


def test_unbound_caller_learns_nothing_about_nonces(fixture: Fixture) -> None:
    fixture.state.nonces[b"a"] = 5
    for nonce in (0, 5, 9):
        assert refused(fixture, b"a", nonce, caller=Caller("mallory")) == "not bound"
    assert len(fixture.queue) == 0


def test_nonce_too_low(fixture: Fixture) -> None:
    fixture.state.nonces[b"a"] = 5
    assert refused(fixture, b"a", 4) == "nonce too low"


@pytest.mark.parametrize(("standing", "text"), [("run", "already known"), ("", "nonce too low")])
def test_what_has_run_and_is_not_committed_is_known(fixture: Fixture, standing: Standing, text: str) -> None:
    fixture.state.nonces[b"a"] = 5
    fixture.state.standings[b"a" + bytes((4, 0, 0, 0))] = standing
    assert refused(fixture, b"a", 4) == text


def test_what_is_committed_is_answered_by_its_hash(fixture: Fixture) -> None:
    fixture.state.nonces[b"a"] = 5
    fixture.state.standings[b"a" + bytes((4, 0, 0, 0))] = "committed"
    with pytest.raises(CommandRejected) as answered:
        fixture.push(b"a", 4)
    assert answered.value.reply == b'"result":"0x6104000000"'
    assert refused(fixture, b"a", 4, tag=1) == "nonce too low"
    with pytest.raises(CommandRejected) as hidden:
        fixture.push(b"a", 4, caller=Caller("bob"))
    assert b"not bound" in hidden.value.reply


def test_already_known(fixture: Fixture) -> None:
    fixture.push(b"a", 0)
    assert refused(fixture, b"a", 0) == "already known"
    assert len(fixture.queue) == 1


@pytest.mark.parametrize(("fee", "tip"), [(100, 100), (109, 110), (110, 109), (200, 100), (100, 200), (99, 200)])
def test_underpriced_replacement(fixture: Fixture, fee: int, tip: int) -> None:
    fixture.push(b"a", 0, fee=100, tip=100)
    assert refused(fixture, b"a", 0, fee=fee, tip=tip, tag=1) == "replacement transaction underpriced"


def test_free_transactions_replace_nothing(fixture: Fixture) -> None:
    fixture.push(b"a", 0)
    assert refused(fixture, b"a", 0, tag=1) == "replacement transaction underpriced"


def test_replacement(fixture: Fixture) -> None:
    fixture.push(b"a", 0, fee=100, tip=100)
    ((displaced, reply),) = fixture.push(b"a", 0, fee=110, tip=110)
    assert displaced.ticket == 1
    assert refusal(reply) == "transaction replaced by another with the same nonce"
    assert len(fixture.queue) == 1
    pending = fixture.queue.pop()
    assert pending is not None
    assert pending.ticket == 2


def test_gap_is_held_until_filled(fixture: Fixture) -> None:
    fixture.push(b"a", 1)
    assert fixture.queue.pop() is None
    assert fixture.queue.next_deadline_ms() == GAP_MILLISECONDS_MAX
    fixture.push(b"a", 0, at=500)
    assert fixture.run() == [(b"a", 0), (b"a", 1)]
    assert fixture.queue.expire(10_000) == []
    assert len(fixture.queue) == 0


def test_gap_expires(fixture: Fixture) -> None:
    fixture.push(b"a", 1, at=5)
    fixture.push(b"a", 0, at=5)
    fixture.push(b"a", 3, at=5)
    assert fixture.queue.expire(GAP_MILLISECONDS_MAX + 4) == []
    ((expired, reply),) = fixture.queue.expire(GAP_MILLISECONDS_MAX + 5)
    assert (expired.ticket, refusal(reply)) == (3, "nonce too high")
    assert fixture.run() == [(b"a", 0), (b"a", 1)]


def test_at_most_64_are_held(fixture: Fixture) -> None:
    for nonce in range(1, GAPPED_PER_SENDER_MAX + 1):
        fixture.push(b"a", nonce)
    assert refused(fixture, b"a", 100) == "nonce too high"
    fixture.push(b"b", 5)
    fixture.push(b"a", 0)
    fixture.push(b"a", 100)
    assert len(fixture.run()) == GAPPED_PER_SENDER_MAX + 1


def test_a_rejected_command_leaves_its_followers_held(fixture: Fixture) -> None:
    for nonce in range(3):
        fixture.push(b"a", nonce)
    assert fixture.queue.pop() is not None  # rejected: the state's nonce stays
    assert fixture.queue.pop() is None
    fixture.push(b"a", 0, at=100)
    assert fixture.run() == [(b"a", 0), (b"a", 1), (b"a", 2)]


def test_followers_of_a_rejected_command_expire(fixture: Fixture) -> None:
    for nonce in range(3):
        fixture.push(b"a", nonce)
    fixture.queue.pop()
    assert fixture.queue.pop() is None
    assert [refusal(reply) for _, reply in fixture.queue.expire(GAP_MILLISECONDS_MAX)] == ["nonce too high"] * 2
    assert len(fixture.queue) == 0
    assert fixture.queue.next_deadline_ms() is None


def test_nonces_used_by_others_overtake(fixture: Fixture) -> None:
    for nonce in (0, 1, 2):
        fixture.push(b"a", nonce)
    fixture.state.nonces[b"a"] = 2
    assert fixture.run() == [(b"a", 2)]
    assert fixture.queue.next_deadline_ms() == 0
    assert [refusal(reply) for _, reply in fixture.queue.expire(0)] == ["nonce too low"] * 2
    assert len(fixture.queue) == 0


def test_senders_take_turns_and_bindings_too(fixture: Fixture) -> None:
    for nonce in range(3):
        fixture.push(b"a", nonce)
    fixture.queue.push(Pending(99, COMMANDS.encode(Bind("m", b"s")), ALICE), 0)
    fixture.push(b"b", 0)
    order = []
    while (pending := fixture.queue.pop()) is not None:
        command = COMMANDS.decode(pending.payload)
        if isinstance(command, SendTransaction):
            fixture.state.nonces[command.sender] = command.nonce + 1
            order.append((command.sender, command.nonce))
        else:
            order.append((b"bind", 0))
    assert order == [(b"a", 0), (b"bind", 0), (b"b", 0), (b"a", 1), (b"a", 2)]


def test_bounded_in_total(fixture: Fixture) -> None:
    for sender in range(200):
        fixture.push(bytes((sender,)), 0)
    assert refused(fixture, b"zz", 0) == "txpool is full"


def test_malformed_payload_is_refused(fixture: Fixture) -> None:
    with pytest.raises(CommandRejected):
        fixture.queue.push(Pending(1, b"\x01junk", ALICE), 0)


def test_next_nonce(fixture: Fixture) -> None:
    fixture.state.nonces[b"a"] = 2
    assert fixture.queue.next_nonce(b"a") == 2
    for nonce in (2, 3, 5):
        fixture.push(b"a", nonce)
    assert fixture.queue.next_nonce(b"a") == 4
    fixture.queue.pop()
    fixture.state.nonces[b"a"] = 3
    assert fixture.queue.next_nonce(b"a") == 4


class QueueMachine(RuleBasedStateMachine):
    """Against a model that keeps a plain dict of what waits: (sender, nonce) -> (ticket, hash, fee, since)."""

    def __init__(self) -> None:
        super().__init__()
        self.state = State()
        self.fixture = Fixture(self.state, EthereumQueue(lambda: self.state, total_max=40))
        self.waiting: dict[tuple[bytes, int], tuple[int, int, int, int]] = {}
        self.now = 0
        self.tag = 0

    def run_end(self, sender: bytes) -> int:
        nonce = self.state.nonce(sender)
        while (sender, nonce) in self.waiting:
            nonce += 1
        return nonce

    @rule(sender=st.sampled_from([b"a", b"b", b"c"]), ahead=st.integers(-1, 4), fee=st.sampled_from([0, 10, 11, 100]))
    def push(self, sender: bytes, ahead: int, fee: int) -> None:
        nonce = max(0, self.state.nonce(sender) + ahead)
        self.tag = (self.tag + 1) % 256
        old = self.waiting.get((sender, nonce))
        ticket = self.fixture.ticket + 1
        if len(self.waiting) >= 40:
            expected = "txpool is full"
        elif nonce < self.state.nonce(sender):
            expected = "nonce too low"
        elif old is not None and (fee <= old[2] or fee < old[2] * 110 // 100):
            expected = "replacement transaction underpriced"
        else:
            expected = ""
        if expected:
            assert refused(self.fixture, sender, nonce, at=self.now, fee=fee, tip=fee, tag=self.tag) == expected
            return
        displaced = self.fixture.push(sender, nonce, at=self.now, fee=fee, tip=fee, tag=self.tag)
        assert [one.ticket for one, _ in displaced] == ([] if old is None else [old[0]])
        self.waiting[sender, nonce] = (ticket, self.tag, fee, self.now)

    @rule(succeeds=st.booleans())
    def pop(self, succeeds: bool) -> None:
        ready = {self.waiting[sender, nonce][0] for sender in (b"a", b"b", b"c")
                 if (sender, nonce := self.state.nonce(sender)) in self.waiting}  # fmt: skip
        pending = self.fixture.queue.pop()
        if pending is None:
            # What a nonce used elsewhere made due is found when its time is up, at the latest.
            return
        assert pending.ticket in ready
        key = next(key for key, value in self.waiting.items() if value[0] == pending.ticket)
        del self.waiting[key]
        if succeeds:
            self.state.nonces[key[0]] = key[1] + 1

    @rule(sender=st.sampled_from([b"a", b"b"]))
    def use_a_nonce_elsewhere(self, sender: bytes) -> None:
        self.state.nonces[sender] = self.state.nonce(sender) + 1

    @rule(milliseconds=st.integers(0, 700))
    def expire(self, milliseconds: int) -> None:
        self.now += milliseconds
        for pending, reply in self.fixture.queue.expire(self.now):
            key = next(key for key, value in self.waiting.items() if value[0] == pending.ticket)
            since = self.waiting[key][3]
            if refusal(reply) == "nonce too low":
                assert key[1] < self.state.nonce(key[0])
            else:
                assert refusal(reply) == "nonce too high"
                assert key[1] >= self.run_end(key[0])
                assert since + GAP_MILLISECONDS_MAX <= self.now
            del self.waiting[key]

    @rule()
    def settle(self) -> None:
        """Nothing waits for ever: popping all and waiting a second, in turn, empties the queue."""
        for _ in range(50):
            while (pending := self.fixture.queue.pop()) is not None:
                key = next(key for key, value in self.waiting.items() if value[0] == pending.ticket)
                assert key[1] == self.state.nonce(key[0])
                del self.waiting[key]
                self.state.nonces[key[0]] = key[1] + 1
            deadline = self.fixture.queue.next_deadline_ms()
            if deadline is None:
                break
            self.now = max(self.now, deadline)
            self.expire(0)
        assert not self.waiting
        assert len(self.fixture.queue) == 0

    @invariant()
    def counts_agree(self) -> None:
        assert len(self.fixture.queue) == len(self.waiting)

    @invariant()
    def pending_nonces_agree(self) -> None:
        for sender in (b"a", b"b", b"c"):
            assert self.fixture.queue.next_nonce(sender) == self.run_end(sender)


QueueMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestQueueMachine = QueueMachine.TestCase


def test_who_else_waits(fixture: Fixture) -> None:
    queue, alice, bob = fixture.queue, ALICE.identity, "bob"
    assert not queue.waits_for_another(bob)
    fixture.push(b"a", 1)
    assert not queue.waits_for_another(bob), "its nonce is not due"
    fixture.push(b"a", 0)
    assert queue.waits_for_another(bob)
    assert not queue.waits_for_another(alice)
    fixture.run()
    assert not queue.waits_for_another(bob)
