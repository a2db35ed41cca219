"""A manager on a memory disk, with the test in the place of its executor."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.governance.constitution import Constitution, Identity
from core.kv.write_set import WriteSet
from core.ledger.files import arrange_chunks, read_records
from core.node.config import ManagerConfig
from core.node.manager import Manager
from core.node.messages import (
    FROM_MANAGER,
    TO_MANAGER,
    BlockCommitted,
    EntryDraft,
    Lead,
    LedgerNews,
    ProposeBlock,
    Ready,
    Replay,
    ReplayedEntry,
    SnapshotBegin,
    StateBegin,
    StateRows,
)
from core.ports import ReportClaims
from core.types import NO_CLAIMS
from enclave_sim.boundary.memory_transport import MemoryTransport, memory_pair
from tests.support.fakes import FakeAttestor, FakeClock, FakeSealer, FakeVerify
from tests.support.manifests import FAKE_ROOT, FAKE_WORKER, admitting
from tests.support.memory_disk import MemoryDisk

MEMBER_KEY = PrivateKey.generate()
PARTICIPANT_KEY = PrivateKey.generate()
_START = datetime(2026, 1, 1, tzinfo=UTC)
MEMBER_CERTIFICATE = self_signed("manufacturer", MEMBER_KEY, not_before=_START, days=3650)
PARTICIPANT_CERTIFICATE = self_signed("carrier", PARTICIPANT_KEY, not_before=_START, days=3650)


def make_constitution(network: str = "bench") -> Constitution:
    return Constitution(
        version=2,
        network=network,
        identities=(
            Identity("manufacturer", "member", MEMBER_CERTIFICATE),
            Identity("carrier", "participant", PARTICIPANT_CERTIFICATE),
        ),
        adapters={"kv": {}, "ethereum": {}},
        default_adapter="ethereum",
        **admitting("kv", "ethereum", roots=(FAKE_ROOT,), signers=(FAKE_WORKER.signer,)),
    )


def make_config(
    genesis: bytes | None = None, chunk_bytes_min: int = 5_000_000, snapshot_entries: int = 10_000
) -> ManagerConfig:
    if genesis is None:
        genesis = make_constitution().encode()
    names = ("localhost", "127.0.0.1")
    return ManagerConfig(genesis, names, bytes(32), chunk_bytes_min, snapshot_entries=snapshot_entries)


def kv_draft(key: bytes, value: bytes, *, public: bytes | None = None) -> EntryDraft:
    tables: dict[str, dict[bytes, bytes | None]] = {"kv.data": {key: value}}
    if public is not None:
        tables["public:kv.log"] = {b"log": public}
    return EntryDraft("kv", *WriteSet(tables).encode(), NO_CLAIMS)


@dataclass(slots=True)
class Machine:
    """What outlives a node: its disk, its platform, and what it logged."""

    disk: MemoryDisk = field(default_factory=MemoryDisk)
    sealer: FakeSealer = field(default_factory=FakeSealer)
    attestor: FakeAttestor = field(default_factory=FakeAttestor)
    clock: FakeClock = field(default_factory=FakeClock)
    config: ManagerConfig = field(default_factory=make_config)
    log: list[str] = field(default_factory=list)
    worker: ReportClaims = FAKE_WORKER
    verify: FakeVerify = field(default_factory=FakeVerify)

    @contextlib.asynccontextmanager
    async def node(self) -> AsyncIterator[Node]:
        """Run a manager until it is ready, and stop it cleanly at the end. Raises what stops it."""
        node = self.launch()
        try:
            await node.until_ready()
            yield node
        finally:
            await node.executor.close()
            await node.running

    def launch(self) -> Node:
        """Begin to run a manager."""
        manager_end, executor_end = memory_pair()
        manager = Manager(
            self.config,
            disk=self.disk,
            sealer=self.sealer,
            attestor=self.attestor,
            executor=manager_end,
            worker=self.worker,
            verify=self.verify,
            clock=self.clock,
            log=self.log.append,
        )
        return Node(manager, executor_end, asyncio.create_task(manager.run()))

    async def refuse(self) -> None:
        """Start, expecting it to fail: raises what stopped the node, which must not have become ready."""
        node = self.launch()
        try:
            await node.running
        finally:
            await node.executor.close()

    async def record_bounds(self) -> list[tuple[str, int, int]]:
        """Where each entry stands: (file, offset, size)."""
        found = []
        for chunk in arrange_chunks(await self.disk.list_files("ledger")):
            async for record in read_records(self.disk, chunk):
                if record.whole:
                    found.append((record.place.file, record.place.offset, len(record.data)))
        return found


@dataclass(slots=True)
class Node:
    manager: Manager
    executor: MemoryTransport
    running: asyncio.Task[None]
    replayed: list[ReplayedEntry] = field(default_factory=list)
    ready: Ready | None = None
    next_seqno: int = 0
    restored_at: int = 0
    rows: dict[str, bytes] = field(default_factory=dict)
    news: list[bytes] = field(default_factory=list)
    room: int = 0
    begun: SnapshotBegin | None = None
    written: list[tuple[int, EntryDraft]] = field(default_factory=list)

    async def until_ready(self) -> Ready:
        while True:
            message = await self.next()
            if isinstance(message, Replay):
                self.replayed.extend(message.entries)
                continue
            if isinstance(message, StateBegin):
                self.restored_at, self.rows = message.seqno, {}
                continue
            if isinstance(message, StateRows):
                self.rows[message.table] = self.rows.get(message.table, b"") + message.data
                continue
            assert isinstance(message, Ready)
            self.ready, self.next_seqno = message, message.last_seqno + 1
            lead = await self.next()
            assert lead == Lead(message.view, message.last_seqno, True, message.time_s)
            return message

    async def propose(self, *drafts: EntryDraft) -> None:
        assert self.ready is not None
        message = ProposeBlock(self.ready.view, self.next_seqno, drafts)
        self.written += [(self.next_seqno + at, draft) for at, draft in enumerate(drafts)]
        self.next_seqno += len(drafts) + 1
        await self.executor.send(TO_MANAGER.encode(message))

    async def committed(self) -> BlockCommitted:
        message = await self.next()
        assert isinstance(message, BlockCommitted)
        return message

    async def commit(self, *drafts: EntryDraft) -> BlockCommitted:
        await self.propose(*drafts)
        return await self.committed()

    def state(self) -> dict[str, dict[bytes, bytes | None]]:
        """What an executor would hold after the replay."""
        return replayed_state(self.replayed)

    async def next(self) -> object:
        """The manager's next message, news aside; raises what stopped it, if it stops instead."""
        while isinstance(message := await self.next_or_news(), LedgerNews):
            self.news.append(message.status)
        return message

    async def next_or_news(self) -> object:
        """The manager's next message; raises as `next`."""
        receiving = asyncio.create_task(self.executor.receive())
        await asyncio.wait((receiving, self.running), return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done():
            receiving.cancel()
            await self.running
            raise AssertionError("the manager ended without a message")
        return FROM_MANAGER.decode(receiving.result())


def replayed_state(entries: Sequence[ReplayedEntry]) -> dict[str, dict[bytes, bytes | None]]:
    state: dict[str, dict[bytes, bytes | None]] = {}
    for entry in entries:
        for name, writes in WriteSet.decode(entry.public, entry.private).tables.items():
            state.setdefault(name, {}).update(writes)
    return state
