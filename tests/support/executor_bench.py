"""An executor between a manager and gateways that a test plays, over in-memory channels, with two small adapters."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, TypeVar

import pytest

from core import limits
from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    BlockFull,
    CommandRejected,
    Executed,
    ExecutionContext,
    Pending,
    QueryContext,
    Route,
    ScopedTransaction,
)
from core.errors import InvariantBroken
from core.governance.constitution import Constitution, Identity
from core.kv.write_set import WriteSet
from core.node.config import ExecutorConfig
from core.node.executor import Executor
from core.node.messages import (
    FROM_GATEWAY,
    FROM_MANAGER,
    TO_GATEWAY,
    TO_MANAGER,
    Answer,
    Ask,
    BlockApplied,
    BlockCommitted,
    CertificateIssued,
    CertificateRequest,
    Follow,
    ForwardToLeader,
    FromGateway,
    FromManager,
    FrontEnd,
    GovernanceResult,
    Lead,
    ProposeBlock,
    Ready,
    Replay,
    ReplayedEntry,
    Submit,
    WireCaller,
)
from core.types import NO_CLAIMS, Digest, Seqno
from enclave_sim.boundary.memory_transport import memory_pair

ALICE = WireCaller("alice", False, "token")
BOB = WireCaller("bob", False, "token")
MEMBER = WireCaller("admin", True, "certificate")
VIEW = 3
ENTRY = {"one.meta": {b"count": b"1"}, "one.log": {b"0001": b"foreign"}}
"""What an entry of another leader may write."""


class HoldQueue:
    """Holds `hold` for 20 ms."""

    def __init__(self) -> None:
        self.ready: list[Pending] = []
        self.held: list[tuple[int, Pending]] = []

    def push(self, pending: Pending, now_ms: int) -> list[tuple[Pending, bytes]]:
        if pending.payload == b"bug in the queue":
            raise ValueError("secret")
        if pending.payload == b"hold":
            self.held.append((now_ms + 20, pending))
        else:
            self.ready.append(pending)
        return []

    def pop(self) -> Pending | None:
        if self.ready and self.ready[0].payload == b"breaks the queue":
            raise ValueError("secret")
        return self.ready.pop(0) if self.ready else None

    def expire(self, now_ms: int) -> list[tuple[Pending, bytes]]:
        gone = [(pending, b"expired") for deadline, pending in self.held if deadline <= now_ms]
        self.held = [item for item in self.held if item[0] > now_ms]
        return gone

    def next_deadline_ms(self) -> int | None:
        return min((deadline for deadline, _ in self.held), default=None)

    def __len__(self) -> int:
        return len(self.ready) + len(self.held)


class Recorder(Adapter):
    """Writes each payload under the next number; some payloads misbehave."""

    info = AdapterInfo("one", "1", "records")

    def routes(self) -> Sequence[Route]:
        return []

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext) -> None:
        transaction.table("meta").put(b"genesis", b"done")

    def reset(self, transaction: ScopedTransaction) -> None:
        self.resets = getattr(self, "resets", 0) + 1
        self.count = int(transaction.table("meta").get(b"count") or b"0")
        self.block_count = 0

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> HoldQueue:
        return HoldQueue()

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        if payload == b"reject":
            transaction.table("log").put(b"trace", b"of a rejected command")
            raise CommandRejected(b"rejected")
        if payload == b"bug":
            self.count += 1000
            raise ValueError("secret")
        if payload == b"broken":
            raise InvariantBroken("broken")
        if payload == b"huge":
            for number in range(5):
                transaction.table("log").put(b"%d" % number, bytes(limits.VALUE_BYTES_MAX))
        if payload == b"never fits" or self.block_count == 100:
            raise BlockFull
        self.count += 1
        self.block_count += 1
        transaction.table("log").put(b"%04d" % self.count, payload)
        transaction.table("public:seen").put(b"count", b"%d" % self.count)
        transaction.table("meta").put(b"count", b"%d" % self.count)
        return Executed(b"%d %d %d" % (self.count, context.block, context.time_s))

    def close_block(self, transaction: ScopedTransaction, context: ExecutionContext) -> Digest:
        if transaction.table("log").get(b"%04d" % self.count) == b"spoils the close":
            raise ValueError("secret")
        self.block_count = 0
        transaction.table("headers").put(b"%d" % context.block, b"")
        return NO_CLAIMS

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        if payload == b"bug":
            raise ValueError("secret")
        if payload == b"long":
            return bytes(limits.QUERY_REPLY_BYTES_MAX + 1)
        if payload == b"ahead":
            context.at(Seqno(context.seqno + 1))
        keys = [key.decode() for key in context.transaction.table("log").keys()]  # noqa: SIM118 - not a dict
        return json.dumps([context.seqno, keys]).encode()


class Second(Recorder):
    info = AdapterInfo("two", "2", "records as well")


class Bench:
    """An executor with hands on both of its sides. pace: of its blocks, as in ExecutorConfig."""

    def __init__(self, *, block_commands_max: int = 1000, gateways: int = 1, **pace: int) -> None:
        self.manager, theirs = memory_pair()
        pairs = [memory_pair() for _ in range(gateways)]
        self.gateways = [mine for mine, _ in pairs]
        self.logged: list[str] = []
        self.now = 1000.5
        self.adapters: dict[str, Adapter] = {}
        self.front_ends: list[FrontEnd] = []
        self.executor = Executor(
            ExecutorConfig(bytes(32), gateways, block_commands_max, **pace),
            manager=theirs,
            gateways=[other for _, other in pairs],
            clock=lambda: self.now,
            log=self.logged.append,
            load=self.load,
        )
        self.seqno = 0
        self.ticket = 0
        self.entries: list[tuple[int, WriteSet]] = []
        self.answers: dict[int, Answer] = {}
        self.order: list[int] = []

    def load(self, settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
        self.adapters = {"one": Recorder({}, network), "two": Second({}, network)}
        return self.adapters

    async def from_executor(self) -> ProposeBlock | CertificateRequest:
        return TO_MANAGER.decode(await asyncio.wait_for(self.manager.receive(), 5))

    async def proposed(self) -> ProposeBlock:
        message = await self.from_executor()
        assert isinstance(message, ProposeBlock)
        assert (message.view, message.first_seqno) == (VIEW, self.seqno + 1)
        for entry in message.entries:
            self.seqno += 1
            if entry.adapter != "coco":
                self.entries.append((self.seqno, WriteSet.decode(entry.public, entry.private)))
        self.seqno += 1
        return message

    async def commit(self, last_seqno: int | None = None, governance: tuple[GovernanceResult, ...] = ()) -> None:
        last = self.seqno if last_seqno is None else last_seqno
        await self.manager.send(FROM_MANAGER.encode(BlockCommitted(VIEW, last, governance)))

    async def begin(self, replay: Sequence[tuple[int, WriteSet]] = (), last_seqno: int = 2) -> None:
        """Play the manager through the start; entry 1 is the constitution, 2 its signature."""
        self.run = asyncio.create_task(self.executor.run())
        entries = tuple(ReplayedEntry(seqno, *writes.encode()) for seqno, writes in replay)
        await self.manager.send(FROM_MANAGER.encode(Replay(entries)))
        self.seqno = last_seqno
        ready = Ready(VIEW, last_seqno, constitution().encode(), b'{"service":1}', ((1, 1), (VIEW, last_seqno)))
        await self.manager.send(FROM_MANAGER.encode(ready))
        await self.manager.send(FROM_MANAGER.encode(Lead(VIEW, last_seqno)))
        if not replay:
            self.genesis = await self.proposed()
            await self.commit()
        assert isinstance(await self.from_executor(), CertificateRequest)
        await self.manager.send(FROM_MANAGER.encode(CertificateIssued(b"CHAIN")))
        await self.hear()
        assert len(self.front_ends) == 1

    async def hear(self, gateway: int = 0) -> None:
        message = TO_GATEWAY.decode(await asyncio.wait_for(self.gateways[gateway].receive(), 5))
        if isinstance(message, FrontEnd):
            self.front_ends.append(message)
            return
        for answer in message.items:
            assert answer.ticket not in self.answers
            self.answers[answer.ticket] = answer
            self.order.append(answer.ticket)

    async def submit(self, *payloads: bytes, adapter: str = "one", caller: WireCaller = ALICE) -> list[int]:
        items = []
        for payload in payloads:
            self.ticket += 1
            items.append(Submit(self.ticket, adapter, payload, caller))
        await self.gateways[0].send(FROM_GATEWAY.encode(FromGateway(tuple(items))))
        return [item.ticket for item in items]

    async def answer(self, ticket: int) -> Answer:
        while ticket not in self.answers:
            await self.hear()
        return self.answers[ticket]

    async def ask(self, payload: bytes, adapter: str = "one") -> Answer:
        self.ticket += 1
        ask = Ask(self.ticket, adapter, payload, ALICE)
        await self.gateways[0].send(FROM_GATEWAY.encode(FromGateway((ask,))))
        return await self.answer(self.ticket)

    async def status(self) -> dict[str, Any]:
        return json.loads((await self.ask(b'{"kind":"status"}', "coco")).reply)  # type: ignore[no-any-return]

    async def stop(self) -> None:
        self.executor.request_stop()
        await asyncio.wait_for(self.run, 5)


def constitution(default: str = "one") -> Constitution:
    identities = (Identity("admin", "member", "PEM"), Identity("alice", "participant", "PEM"))
    return Constitution(2, "test", identities, {"one": {}, "two": {}}, default)


class RoleBench(Bench):
    """With the manager's words for roles and for blocks of others."""

    async def tell(self, *messages: FromManager) -> None:
        for message in messages:
            await self.manager.send(FROM_MANAGER.encode(message))

    async def apply(self, view: int, *entries: dict[str, dict[bytes, bytes | None]]) -> None:
        """Commit a block of somebody else."""
        first = self.seqno + 1
        replayed = tuple(
            ReplayedEntry(seqno, *WriteSet(writes).encode()) for seqno, writes in enumerate(entries, first)
        )
        self.seqno += len(entries) + 1
        await self.tell(BlockApplied(view, first, self.seqno, replayed))

    async def apply_own(self, block: ProposeBlock, *, view: int = VIEW) -> None:
        """Commit a block that this executor proposed when it led."""
        entries = tuple(
            ReplayedEntry(seqno, entry.public, entry.private)
            for seqno, entry in enumerate(block.entries, block.first_seqno)
        )
        self.seqno = block.first_seqno + len(entries)
        await self.tell(BlockApplied(view, block.first_seqno, self.seqno, entries))

    async def lose(self, block: ProposeBlock, leader: str = "") -> None:
        """Lose the leadership with this block, the oldest of those in flight, not committed."""
        self.seqno = block.first_seqno - 1
        await self.tell(Follow(leader))

    async def forwarded(self) -> ForwardToLeader:
        message = await self.from_executor()
        assert isinstance(message, ForwardToLeader)
        return message

    async def log(self) -> list[str]:
        """What the adapter's queries see."""
        found: list[str] = json.loads((await self.ask(b"")).reply)[1]
        return found

    async def broken(self) -> str:
        with pytest.raises(InvariantBroken) as caught:
            await asyncio.wait_for(self.run, 5)
        return str(caught.value)

    async def proposed_in(self, view: int) -> ProposeBlock:
        message = await self.from_executor()
        assert isinstance(message, ProposeBlock)
        assert (message.view, message.first_seqno) == (view, self.seqno + 1)
        self.seqno += len(message.entries) + 1
        return message

    async def commit_in(self, view: int, governance: tuple[GovernanceResult, ...] = ()) -> None:
        await self.tell(BlockCommitted(view, self.seqno, governance))


BenchKind = TypeVar("BenchKind", bound=Bench)


@contextlib.asynccontextmanager
async def running(bench: BenchKind) -> AsyncIterator[BenchKind]:
    """Stop the executor at the end, however it went."""
    try:
        yield bench
    finally:
        bench.run.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await bench.run
