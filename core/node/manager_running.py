"""What a manager holds once its ledger is here: the node's consensus, and what works beside it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from core.errors import InvariantBroken
from core.node.manager_older import LedgerStatus
from core.node.manager_receipts import ReceiptMaker
from core.node.manager_snapshots import SnapshotKeeper
from core.node.manager_start import ROLLBACK_WARNING, ReplaySender, Started
from core.node.peer_messages import NodeEvidence
from core.node.replication.blocks import SealedBlock
from core.node.replication.node import ReplicatedNode
from core.types import Seqno


async def until_done(needed: Sequence[asyncio.Task[None]], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until all that is needed is done, or any of the tasks has failed."""
    pending = set(tasks)
    while not all(task.done() for task in needed):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(task.cancelled() or task.exception() is not None for task in done):
            return


class RunningNode:
    """What exists once the ledger is here."""

    def __init__(
        self,
        started: Started,
        node: ReplicatedNode,
        receipts: ReceiptMaker,
        snapshots: SnapshotKeeper,
        status: LedgerStatus,
        evidence: NodeEvidence,
        published: dict[str, Any],
    ) -> None:
        self.started = started
        self.node = node
        self.receipts = receipts
        self.snapshots = snapshots
        self.status = status
        self.evidence = evidence
        self._task: asyncio.Task[None] | None = None
        self._published = published

    def begin(self, tick_ms: int) -> None:
        """Begin to take part in consensus."""
        self._task = asyncio.create_task(self.node.run(tick_ms))

    async def begin_network(self, tick_ms: int, sender: ReplaySender) -> SealedBlock:
        """Begin as a network's one node; returns its first block once that is committed, and was given to `sender`."""
        committed: asyncio.Future[SealedBlock] = asyncio.get_running_loop().create_future()

        async def deliver(block: SealedBlock) -> None:
            for entry in block.entries:
                await sender.add(Seqno(entry.seqno), entry.public, entry.private)
            committed.set_result(block)

        self.node.before_ready = deliver
        self.begin(tick_ms)
        self.node.driver.campaign()
        await asyncio.wait((committed, self.task), return_when=asyncio.FIRST_COMPLETED)
        if not committed.done():
            await self.task
            raise InvariantBroken("the node ended during its start")
        return committed.result()

    @property
    def task(self) -> asyncio.Task[None]:
        if self._task is None:
            raise InvariantBroken("the node does not take part yet")
        return self._task

    async def end(self) -> None:
        """Take part no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def service_info(self, published: dict[str, Any] | None = None) -> bytes:
        """published: the platform's words as they are now, which are kept. Its collateral is renewed meanwhile."""
        if published is not None:
            self._published = published
        constitution, kept = self.node.head.state.constitution, self.started.secrets
        alone = {} if self.node.driver.has_others else {"warning": ROLLBACK_WARNING}
        return msgspec.json.encode(
            self._published
            | {
                "network": constitution.network,
                "constitution_digest": constitution.digest().hex(),
                "service_certificate": kept.service_certificate,
                "front_end_ca": kept.front_end_certificate,
                "node_id": self.node.leadership.node,
                "view": self.node.driver.status.term,
                "quote": base64.b64encode(self.evidence.quote).decode(),
            }
            | alone
        )
