"""A network of several nodes in one process: managers and executors, over channels in memory (memory_peers.py).

Time is the cluster's own: every few milliseconds all nodes that run get one tick, so that a slow machine makes no node
miss its leader. What a test waits for, it waits for with `until`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.adapter.interface import (
    Adapter,
    AdapterInfo,
    Caller,
    Executed,
    ExecutionContext,
    Outcome,
    QueryContext,
    Route,
    ScopedTransaction,
)
from core.consensus.engine import Role
from core.crypto.certificates import fingerprint
from core.governance.authorizations import Measurements, sign_delegation
from core.governance.constitution import Constitution, Identity
from core.governance.messages import Action, admit_node, proposal_id, remove_node, sign_ballot, sign_message
from core.ledger.state_digest import digest_of
from core.node.config import ExecutorConfig, ManagerConfig
from core.node.executor import Executor
from core.node.executor_client import ExecutorClient
from core.node.ledger_state import rows_of
from core.node.manager import Manager
from core.node.manager_joining import TicketDesk
from core.node.replication.node import ReplicatedNode
from core.types import NodeId
from enclave_sim.boundary.memory_transport import MemoryTransport, memory_pair
from tests.support.fakes import FakeAttestor, FakeClock, FakeSealer, FakeVerify
from tests.support.governance_bench import CERTIFICATES, DAY, KEYS, MEMBERS
from tests.support.manifests import FAKE_ROOT, FAKE_WORKER, admitting
from tests.support.memory_disk import MemoryDisk
from tests.support.memory_peers import Hub

TICK_SECONDS = 0.004
SECONDS_MAX = 60.0
MEMBER = Caller("alpha", True, "certificate")
USER = Caller("partner", False, "certificate")


class Keys(Adapter):
    """A command `KEY=VALUE` writes it, and replies with how many commands there were; a query reads a key."""

    info = AdapterInfo("kv", "1", "keys and values")

    def routes(self) -> Sequence[Route]:
        return []

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext) -> None:
        transaction.table("meta").put(b"count", b"0")

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        key, _, value = payload.partition(b"=")
        count = int(transaction.table("meta").get(b"count") or b"0") + 1
        transaction.table("meta").put(b"count", b"%d" % count)
        transaction.table("data").put(key, value)
        transaction.table("times").put(b"%08d" % count, b"%d" % context.time_s)
        transaction.table("public:log").put(b"%08d" % count, key)
        return Executed(b"%d" % count)

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        return context.transaction.table("data").get(payload) or b""


def make_constitution(members: Sequence[str] = MEMBERS) -> Constitution:
    return Constitution(
        version=2,
        network="cluster",
        identities=(
            *(Identity(name, "member", CERTIFICATES[name]) for name in members),
            Identity("partner", "participant", CERTIFICATES["partner"]),
        ),
        adapters={"kv": {}},
        default_adapter="kv",
        **admitting("kv", roots=(FAKE_ROOT,), signers=(FAKE_WORKER.signer,)),
    )


CONSTITUTION = make_constitution()


def load(settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
    return {"kv": Keys(settings["kv"], network)}


@dataclass(slots=True)
class Node:
    """One node's life under one identity. address: its slot's name, and where others reach it."""

    name: str
    disk: MemoryDisk
    manager: Manager
    executor: Executor
    client: ExecutorClient
    channels: Sequence[MemoryTransport]
    log: list[str]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    crashed: bool = False

    @property
    def ready(self) -> bool:
        return self.manager._running is not None and hasattr(self.executor, "_state")

    @property
    def core(self) -> ReplicatedNode:
        return self.manager.node

    @property
    def id(self) -> NodeId:
        return self.core.leadership.node

    @property
    def leads(self) -> bool:
        return self.ready and not self.crashed and self.core.leadership.leads

    @property
    def role(self) -> Role:
        return self.core.driver.status.role

    @property
    def committed(self) -> int:
        return self.core.driver.applied_seqno

    @property
    def applied(self) -> int:
        """By the executor."""
        return self.executor._state.committed

    def digest(self) -> bytes:
        """Of the executor's whole state."""
        return digest_of(rows_of(self.executor._state.store))

    async def read(self, key: bytes, caller: Caller = USER) -> bytes:
        return await self.client.ask("kv", key, caller)

    async def submit(self, payload: bytes, caller: Caller = USER, adapter: str = "kv") -> Outcome:
        return await self.client.submit(adapter, payload, caller)

    def crash(self) -> None:
        """Drop everything at once, as kill -9 does."""
        self.crashed = True
        for channel in self.channels:
            channel.crash()
        for task in self.tasks:
            task.cancel()


class Cluster:
    """See the module. Make it with `cluster`."""

    def __init__(self, **config: Any) -> None:
        self.hub = Hub()
        self.clock = FakeClock()
        self.nodes: list[Node] = []
        self.sealers: dict[int, FakeSealer] = {}
        """Of the platforms, by the id of the disk there."""
        self.ticking = True
        self.constitution: Constitution = config.pop("constitution", CONSTITUTION)
        self._config = config

    # Nodes.

    def launch(
        self,
        name: str,
        *,
        authorization: bytes = b"",
        contacts: Sequence[str] = (),
        disk: MemoryDisk | None = None,
        tickets: TicketDesk | None = None,
        ahead_s: float = 0,
        **changes: Any,
    ) -> Node:
        """Start a node in a slot; its name is the slot's and its address. disk: of an earlier node, on its platform.

        ahead_s: of its clock, of the others'.
        """
        log: list[str] = []
        disk = disk or MemoryDisk()
        sealer = self.sealers.setdefault(id(disk), FakeSealer())
        manager_end, executor_end = memory_pair()
        gateway_end, client_end = memory_pair()
        config = self._manager_config(name, authorization, contacts, changes)
        hub = self.hub

        def clock() -> float:
            return self.clock() + ahead_s

        manager = Manager(
            config,
            disk=disk,
            sealer=sealer,
            attestor=FakeAttestor(),
            executor=manager_end,
            worker=FAKE_WORKER,
            verify=FakeVerify(),
            clock=clock,
            log=log.append,
            connect=lambda key, constitution: hub.connect(key, f"{name}:1"),
            tickets=tickets,
        )
        executor = Executor(
            ExecutorConfig(bytes(32)),
            manager=executor_end,
            gateways=[gateway_end],
            clock=clock,
            log=lambda line: log.append(f"executor: {line}"),
            load=load,
        )
        client = ExecutorClient(client_end, lambda message: setattr(client, "removed", message.removed), log.append)
        client.linearizable = True
        node = Node(name, disk, manager, executor, client, (manager_end, executor_end, gateway_end, client_end), log)
        node.tasks = [
            asyncio.create_task(one) for one in (manager.run(), executor.run(), client.read(), client.write())
        ]
        self.nodes.append(node)
        return node

    def _manager_config(
        self, name: str, authorization: bytes, contacts: Sequence[str], changes: dict[str, Any]
    ) -> ManagerConfig:
        return ManagerConfig(
            self.constitution.encode(),
            ("localhost",),
            bytes(32),
            authorization=authorization,
            contacts=tuple(f"{one}:1" for one in contacts),
            tick_ms=0,
            **({"slot": name, "peer_address": f"{name}:1"} | self._config | changes),
        )

    async def found(self, name: str = "node1", **changes: Any) -> Node:
        """Start the network's first node."""
        node = self.launch(name, **changes)
        await self.until(lambda: node.leads, node)
        return node

    async def admit(self, name: str, member: str = "beta") -> None:
        """Have the members admit a slot."""
        await self.decide(admit_node(name, member, f"{name}:1"))

    async def decide(self, *actions: Action) -> None:
        """Propose, and have as many members approve as it takes."""
        digest, now = self.constitution.digest(), int(self.clock())
        credentials: list[dict[str, Any]] = [
            {"certificate": CERTIFICATES[one], "key": KEYS[one], "created_at": now} for one in MEMBERS
        ]
        message = sign_message(actions, network=digest, **credentials[0])
        await self.administer(message)
        await self.administer(sign_ballot(proposal_id(message), True, network=digest, **credentials[1]))

    async def administer(self, message: bytes) -> None:
        outcome = await self.leader().submit(message, MEMBER, "coco")
        assert b'"accepted":true' in outcome.reply, outcome.reply

    def authorize(self, name: str, member: str = "beta", count: int = 10) -> bytes:
        """Sign a delegation for a slot."""
        service = next(node.core.secrets().service_certificate for node in self.nodes if node.ready)
        now = int(self.clock())
        return sign_delegation(
            network=self.constitution.digest(),
            service=fingerprint(service),
            slot=name,
            address=f"{name}:1",
            measurements=Measurements(bytes(32).hex(), FAKE_WORKER.measurement.hex()),
            count=count,
            not_after=now + DAY,
            certificate=CERTIFICATES[member],
            key=KEYS[member],
            created_at=now,
        )

    def join(self, name: str, *, contacts: Sequence[str] = ("node1",), member: str = "beta", **changes: Any) -> Node:
        """Start a node that joins in a slot that was admitted."""
        return self.launch(name, authorization=self.authorize(name, member), contacts=contacts, **changes)

    async def grow(self, count: int, **changes: Any) -> list[Node]:
        """Have nodes join, one after the other, until there are so many; returns the living ones."""
        for number in range(len(self.nodes) + 1, count + 1):
            await self.admit(f"node{number}")
            node = self.join(f"node{number}", **changes)
            await self.until(lambda node=node: node.ready and node.role is Role.FOLLOWER, node)  # type: ignore[misc]
        return self.living

    async def remove(self, name: str) -> None:
        """Have the members take a slot off the list."""
        await self.decide(remove_node(name))

    @property
    def living(self) -> list[Node]:
        return [node for node in self.nodes if not node.crashed]

    def leader(self) -> Node:
        """Return the node that leads, of the highest view."""
        leading = [node for node in self.living if node.leads]
        assert leading, "no node leads"
        return max(leading, key=lambda node: node.core.leadership.view)

    def followers(self) -> list[Node]:
        leader = self.leader()
        return [node for node in self.living if node is not leader and node.ready]

    # Waiting.

    async def until(self, holds: Callable[[], bool], *watched: Node) -> None:
        """Wait until something holds; raises what a watched node (all living ones, without any) failed with."""
        async with asyncio.timeout(SECONDS_MAX):
            while not holds():
                for node in watched or self.living:
                    for task in node.tasks:
                        if task.done() and not node.crashed and task.exception() is not None:
                            await task
                await asyncio.sleep(TICK_SECONDS)

    async def run_ticks(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self.ticking:
                self.clock.now += 0.1
                for node in self.nodes:
                    if not node.crashed and node.ready:
                        await node.core.tick()

    async def settled(self, *nodes: Node) -> None:
        """Wait until nodes (all living ones, without any) have applied the same, and all of it."""
        which = nodes or tuple(self.living)

        def same() -> bool:
            ends = {node.applied for node in which} | {node.committed for node in which}
            ends |= {node.executor._state.store.head for node in which}
            return len(ends) == 1 and all(not node.core.driver.uncommitted for node in which)

        await self.until(same)

    async def equal(self, *nodes: Node) -> None:
        """Wait until nodes are settled, and check that their states and ledgers are the same."""
        await self.settled(*nodes)
        which = nodes or tuple(self.living)
        assert len({node.digest() for node in which}) == 1
        assert len({entries_of(node.disk) for node in which}) == 1

    def elected(self) -> bool:
        """Whether some living node leads, and a majority of the living follows it."""
        leading = [node for node in self.living if node.leads]
        if not leading:
            return False
        leader = max(leading, key=lambda node: node.core.leadership.view)
        following = [node for node in self.living if node.ready and node.core.leadership.leader == leader.id]
        return len(following) > len(self.living) // 2


def entries_of(disk: MemoryDisk) -> bytes:
    """Return the entries of a ledger, whichever files they stand in."""
    found = []
    chunks = sorted((int(name.split("_")[1].split("-")[0]), name) for name in disk.files if name.startswith("ledger/"))
    for _, name in chunks:
        data = disk.files[name]
        table = int.from_bytes(data[:8], "little")
        found.append(data[8 : table or len(data)])
    return b"".join(found)


@contextlib.asynccontextmanager
async def cluster(**config: Any) -> AsyncIterator[Cluster]:
    """Give a cluster without nodes, and end what was started."""
    made = Cluster(**config)
    ticking = asyncio.create_task(made.run_ticks())
    try:
        yield made
        for node in made.living:
            for task in node.tasks:
                if task.done() and task.exception() is not None:
                    await task
        if ticking.done():
            await ticking
    finally:
        ticking.cancel()
        for node in made.nodes:
            node.crash()
        tasks = [task for node in made.nodes for task in node.tasks]
        await asyncio.gather(ticking, *tasks, return_exceptions=True)
