"""What a manager makes at a start: its part in starting a network again, a start's first entries, its snapshots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from core.governance.constitution import Constitution
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
from core.node.replication.node import ReplicatedNode
from core.node.replication.restarting import Restarting
from core.ports import Disk, Sealer, Transport
from core.types import NodeId, Seqno


async def restarting_of(
    config: ManagerConfig, disk: Disk, sealer: Sealer, clock: Callable[[], float], log: Callable[[str], None]
) -> Restarting | None:
    """Return a node's part in starting its network again; None when nothing can start from its disk."""
    found = await read_disk(disk, sealer, Constitution.decode(config.genesis), clock, log)
    if found is None:
        return None
    report, kept = found
    granted = kept.granted if report.node == kept.node else NO_NODE

    async def seal(granted_to: NodeId) -> None:
        sealed = replace(kept, node=report.node, next_node=NO_NODE, granted=granted_to)
        await store_secrets(disk, sealer, sealed)

    return Restarting(report, granted, seal, log)


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
