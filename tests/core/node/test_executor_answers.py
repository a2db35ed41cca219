"""Every command gets one answer, and a true one, whatever happens to leaders: random histories, replayed from a seed.

The test plays the manager and what the rest of the network does: it keeps the committed ledger, and at each step lets
something happen that may happen. At the end the executor's state is that ledger's, every ticket has been answered
once, and each answer agrees with what the ledger holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node.messages import (
    FROM_GATEWAY,
    FROM_MANAGER,
    TO_GATEWAY,
    TO_MANAGER,
    Answer,
    AnswersReturned,
    BlockApplied,
    BlockCommitted,
    CommandsForwarded,
    Follow,
    ForwardAnswers,
    ForwardToLeader,
    FromGateway,
    FromManager,
    FrontEnd,
    Lead,
    ProposeBlock,
    ReplayedEntry,
    Submit,
)
from core.types import Seqno
from tests.support.executor_bench import ALICE, BOB, VIEW, Bench

STEPS = 120


@dataclass(slots=True)
class Ledger:
    """What is committed. payloads: by (view, seqno) of the entry that logs it."""

    store: Store = field(default_factory=Store)
    last: int = 2
    view: int = VIEW
    payloads: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def take(self, view: int, entries: tuple[ReplayedEntry, ...]) -> None:
        for entry in entries:
            writes = WriteSet.decode(entry.public, entry.private)
            self.store.apply(Seqno(entry.seqno), writes)
            for key, value in writes.tables.get("one.log", {}).items():
                assert value is not None, key
                self.payloads[(view, entry.seqno)] = value
        self.last += len(entries) + 1
        self.view = view
        self.store.advance(Seqno(self.last))

    def count(self) -> int:
        return int(self.store.begin().table("one.meta").get(b"count") or b"0")


class World:
    """See the module."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.bench = Bench(block_commands_max=3)
        self.ledger = Ledger()
        self.view = VIEW
        self.leads = True
        self.leader = ""
        self.view_is_theirs = False
        self.sealed: deque[tuple[int, tuple[ReplayedEntry, ...]]] = deque()
        self.elsewhere: list[Submit] = []
        self.sent: dict[int, bytes] = {}
        self.answers: dict[int, Answer] = {}
        self.remote: dict[int, bytes] = {}
        self.remote_answers: dict[int, Answer] = {}

    async def begin(self) -> None:
        await self.bench.begin()
        entries = tuple(
            ReplayedEntry(seqno, entry.public, entry.private)
            for seqno, entry in enumerate(self.bench.genesis.entries, 3)
        )
        self.ledger.store.advance(Seqno(2))
        self.ledger.take(VIEW, entries)

    async def tell(self, message: FromManager) -> None:
        await self.bench.manager.send(FROM_MANAGER.encode(message))

    async def settle(self) -> None:
        """Let the executor work, and take what it says."""
        for _ in range(self.random.choice((0, 3, 40))):
            await asyncio.sleep(0)
        while (data := await received(self.bench.manager)) is not None:
            message = TO_MANAGER.decode(data)
            match message:
                case ProposeBlock():
                    self.seal(message)
                case ForwardToLeader(items):
                    if self.leader and not self.leads:
                        self.elsewhere += items
                case ForwardAnswers(_, items):
                    for item in items:
                        assert item.ticket not in self.remote_answers
                        self.remote_answers[item.ticket] = item
                case _:
                    raise AssertionError(message)
        while (data := await received(self.bench.gateways[0])) is not None:
            heard = TO_GATEWAY.decode(data)
            if isinstance(heard, FrontEnd):
                continue
            for answer in heard.items:
                assert answer.ticket not in self.answers
                self.answers[answer.ticket] = answer
                # Who is answered reads what it has written.
                assert answer.seqno <= heard.committed or answer.failure == "unknown_outcome"

    def seal(self, block: ProposeBlock) -> None:
        if not self.leads or block.view < self.view:
            return
        head = self.ledger.last + sum(len(entries) + 1 for _, entries in self.sealed)
        assert (block.view, block.first_seqno) == (self.view, head + 1)
        drafts = enumerate(block.entries, block.first_seqno)
        self.sealed.append((block.view, tuple(ReplayedEntry(seqno, one.public, one.private) for seqno, one in drafts)))

    # What may happen.

    async def submit(self) -> None:
        items = []
        for _ in range(self.random.randint(1, 5)):
            ticket = len(self.sent) + 1
            payload = self.random.choice((b"%d", b"%d", b"%d", b"reject", b"bug"))
            self.sent[ticket] = payload = payload % ticket if b"%" in payload else payload
            items.append(Submit(ticket, "one", payload, self.random.choice((ALICE, BOB))))
        await self.bench.gateways[0].send(FROM_GATEWAY.encode(FromGateway(tuple(items))))

    async def submit_from_elsewhere(self) -> None:
        ticket = len(self.remote) + 1
        self.remote[ticket] = b"r%d" % ticket
        await self.tell(CommandsForwarded("node2", (Submit(ticket, "one", self.remote[ticket], BOB),)))

    async def commit(self) -> None:
        if self.leads and self.sealed:
            view, entries = self.sealed.popleft()
            self.ledger.take(view, entries)
            await self.tell(BlockCommitted(view, self.ledger.last, ()))

    async def depose(self) -> None:
        self.leads = False
        self.elsewhere = []
        self.leader = self.random.choice(("", "node2", "node3"))
        await self.tell(Follow(self.leader))

    async def keep_sealed(self) -> None:
        """The next leader has the oldest block that this one had proposed."""
        if not self.leads and self.sealed:
            view, entries = self.sealed.popleft()
            await self.apply(view, entries)

    async def apply_others(self) -> None:
        """Somebody else leads, in a later view; of what it was sent it runs some, and answers, or not."""
        if self.leads:
            return
        self.sealed.clear()
        self.view += self.random.choice((0, 1)) if self.view_is_theirs else 1
        self.view_is_theirs = True
        ran = [
            item for item in self.elsewhere if self.random.random() < 0.7 and item.payload not in (b"reject", b"bug")
        ]
        self.elsewhere = [item for item in self.elsewhere if item not in ran]
        payloads = [item.payload for item in ran] + [b"foreign"] * self.random.randint(0, 2)
        entries, answers, count = [], [], self.ledger.count()
        for position, payload in enumerate(payloads):
            count, seqno = count + 1, self.ledger.last + 1 + position
            writes = WriteSet({"one.log": {b"%04d" % count: payload}, "one.meta": {b"count": b"%d" % count}})
            entries.append(ReplayedEntry(seqno, *writes.encode()))
            if position < len(ran):
                answers.append(Answer(ran[position].ticket, b"%d" % count, "", self.view, seqno))
        rest = [item for item in self.elsewhere if self.random.random() < 0.7]
        self.elsewhere = [item for item in self.elsewhere if item not in rest]
        answers += [Answer(item.ticket, b"", self.random.choice(("not_leader", "overloaded")), 0, 0) for item in rest]
        self.random.shuffle(answers)
        if self.random.random() < 0.5:
            await self.tell(AnswersReturned(tuple(answers)))
            await self.settle()
        await self.apply(self.view, tuple(entries))
        await self.tell(AnswersReturned(tuple(one for one in answers if self.random.random() < 0.8)))

    async def apply(self, view: int, entries: tuple[ReplayedEntry, ...]) -> None:
        first = self.ledger.last + 1
        self.ledger.take(view, entries)
        await self.tell(BlockApplied(view, first, self.ledger.last, entries))

    async def lead(self) -> None:
        if self.leads and self.random.random() < 0.8:
            return
        if not self.leads:
            while self.sealed and self.random.random() < 0.5:
                await self.keep_sealed()
        self.sealed.clear()
        self.leads, self.leader, self.elsewhere = True, "", []
        self.view += 1
        self.view_is_theirs = False
        self.ledger.take(self.view, ())
        await self.tell(Lead(self.view, self.ledger.last))

    async def run(self) -> None:
        """Let things happen, then let this node lead in peace until everything is answered."""
        await self.begin()
        happenings: list[Callable[[], object]] = [self.submit, self.submit, self.submit_from_elsewhere, self.commit]
        happenings += [self.commit, self.depose, self.keep_sealed, self.apply_others, self.apply_others, self.lead]
        for _ in range(STEPS):
            await self.random.choice(happenings)()  # type: ignore[misc]
            await self.settle()
        while not self.leads:
            await self.lead()
        for _ in range(2_000):
            if self.is_quiet():
                break
            await self.commit()
            await self.settle()

    def is_quiet(self) -> bool:
        is_answered = len(self.answers) == len(self.sent) and len(self.remote_answers) == len(self.remote)
        return is_answered and self.bench.executor._state.committed == self.ledger.last and not self.sealed

    def check(self) -> None:
        """See the module."""
        assert set(self.answers) == set(self.sent)
        assert set(self.remote_answers) == set(self.remote)
        logged = list(self.ledger.payloads.values())
        for ticket, answer in self.answers.items():
            self.check_answer(answer, self.sent[ticket], logged)
        for ticket, answer in self.remote_answers.items():
            self.check_answer(answer, self.remote[ticket], logged)
        state = self.bench.executor._state
        assert state.committed == self.ledger.last
        state.go_back(0)
        for name in ("one.log", "one.meta"):
            assert dict(rows(state.store, name)) == dict(rows(self.ledger.store, name))
        assert self.bench.adapters["one"].count == self.ledger.count()  # type: ignore[attr-defined]

    def check_answer(self, answer: Answer, payload: bytes, logged: list[bytes]) -> None:
        if answer.failure == "" and answer.seqno:
            assert self.ledger.payloads[(answer.view, answer.seqno)] == payload
            assert logged.count(payload) == 1
            position = list(self.ledger.payloads).index((answer.view, answer.seqno)) + 1
            assert int(answer.reply.split()[0]) == position
        elif answer.failure == "":
            assert (payload, answer.reply) == (b"reject", b"rejected")
        elif answer.failure == "unknown_outcome":
            assert logged.count(payload) <= 1
        elif payload not in (b"reject", b"bug"):
            assert answer.failure in ("not_leader", "overloaded")
            assert payload not in logged


def rows(store: Store, name: str) -> list[tuple[bytes, tuple[int, bytes | None]]]:
    return [(key, row) for key, row in store.table(name).current.items() if row[1] is not None]


async def received(transport: object) -> bytes | None:
    """Return what has come already."""
    task = asyncio.ensure_future(transport.receive())  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    if task.done():
        return task.result()  # type: ignore[no-any-return]
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return None


@pytest.mark.parametrize("seed", range(25))
async def test_every_command_gets_one_true_answer(seed: int) -> None:
    world = World(seed)
    try:
        await world.run()
        if world.bench.run.done():
            world.bench.run.result()
        world.check()
    finally:
        world.bench.run.cancel()
        await asyncio.gather(world.bench.run, return_exceptions=True)
