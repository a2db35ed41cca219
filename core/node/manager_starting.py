"""What a manager makes at a start: its part in starting a network again, a start's first entries, its snapshots."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from core.governance.constitution import Constitution
from core.governance.restarts import approvals_needed
from core.kv.write_set import encode_domain
from core.ledger.tables import NodeInfo
from core.node.config import ManagerConfig
from core.node.manager_keys import NO_NODE, store_secrets
from core.node.manager_older import LedgerStatus
from core.node.manager_receipts import ReceiptMaker
from core.node.manager_snapshots import SnapshotKeeper, SnapshotSettings
from core.node.manager_start import Began, Started, read_disk
from core.node.manager_tables import genesis_writes, start_writes
from core.node.node_evidence import quote_info
from core.node.peer_messages import NodeEvidence
from core.node.replication import restart_desk
from core.node.replication.node import ReplicatedNode
from core.node.replication.restart_desk import RestartDesk, clear_desk
from core.node.replication.restarting import Restarting
from core.node.start_checks import StartPermit
from core.ports import Disk, Sealer, Transport
from core.types import NodeId, Seqno


async def restarting_of(
    config: ManagerConfig, disk: Disk, sealer: Sealer, clock: Callable[[], float], log: Callable[[str], None]
) -> tuple[Restarting, RestartDesk] | None:
    """Return a node's part in starting its network again, and where it asks people; None when its disk is no good."""
    constitution = Constitution.decode(config.genesis)
    found = await read_disk(disk, sealer, constitution, clock, log)
    if found is None:
        return None
    await clear_desk(disk)
    report, kept = found.report, found.kept
    granted = kept.granted if report.node == kept.node else NO_NODE

    async def seal(granted_to: NodeId) -> None:
        sealed = replace(kept, node=report.node, next_node=NO_NODE, granted=granted_to)
        await store_secrets(disk, sealer, sealed)

    desk = RestartDesk(disk, constitution, found, config.slot, log, is_chosen=config.joins)
    return Restarting(report, granted, seal, log), desk


async def permit_alone(
    config: ManagerConfig, disk: Disk, sealer: Sealer, clock: Callable[[], float], log: Callable[[str], None]
) -> StartPermit:
    """Return what the only node of a network starts by: where that is for its members to say, once they have.

    What is wrong with the disk is told by the start itself. Raises StorageFailed.
    """
    constitution = Constitution.decode(config.genesis)
    if not approvals_needed(constitution, accept_loss=False):
        return StartPermit()
    found = await restarting_of(config, disk, sealer, clock, log)
    if found is None or not found[1].is_only_node:
        return StartPermit()
    restarting, desk = found
    while True:
        permit = await desk.look(restarting)
        if permit is not None:
            return permit
        await asyncio.sleep(restart_desk.POLL_SECONDS)


def start_entries(config: ManagerConfig, began: Began, evidence: NodeEvidence, now: float) -> list[bytes]:
    """Return the public write sets that a start with one node records; of a first start, the constitution before it."""
    state, key = began.ledger.head.state, began.node_key.public_key()
    info = NodeInfo("Trusted", key.to_pem(), quote_info(evidence, int(now)))
    writes = [
        start_writes(
            state,
            info,
            began.secrets.endorse_node(key, now),
            began.epoch,
            began.secrets.service_certificate,
            began.secrets.front_end_certificate,
            slot=config.slot,
            address=config.peer_address,
            approved=began.approved,
        )
    ]
    if not began.ledger.replayed.signed.seqno:
        writes.insert(0, genesis_writes(state.constitution))
    return [encode_domain(one) for one in writes]


def keep_snapshots(
    config: ManagerConfig,
    started: Started,
    node: ReplicatedNode,
    receipts: ReceiptMaker,
    status: LedgerStatus,
    *,
    disk: Disk,
    executor: Transport,
    log: Callable[[str], None],
) -> SnapshotKeeper:
    """Return what writes a node's snapshots."""

    async def receipt_of(seqno: Seqno) -> bytes:
        return (await receipts.make(0, seqno)).receipt

    head = node.head
    settings = SnapshotSettings(config.snapshot_entries, head.keyring, lambda: head.views, started.ledger.snapshot)
    return SnapshotKeeper(settings, disk, executor, head.tables, receipt_of, status, log)
