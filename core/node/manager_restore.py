"""How a manager starts from a snapshot: the newest one that is good, else an older one, else the whole ledger.

A snapshot that is refused is no damage: its name and the reason go into the log, and nothing of it counts. The ledger
after it is replayed and verified before the node is ready; that before it is verified afterwards (older.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.errors import AuthenticationFailed, MalformedMessage
from core.governance.constitution import Constitution
from core.ledger.secrets import Keyring
from core.ledger.snapshot_format import FOLDER, Rows, SnapshotName, SnapshotPoint, cut_rows
from core.ledger.snapshot_reader import (
    SnapshotRefused,
    VerifiedSnapshot,
    list_snapshots,
    read_tables,
    verify_snapshot,
)
from core.ledger.tables import ENDORSED_CERTIFICATES, NODES, TrustedNodes
from core.ledger.verify import SignedState, StartingPoint
from core.node.manager_keys import NodeSecrets
from core.node.manager_tables import WRITE_SETS, SystemState
from core.node.messages import FROM_MANAGER, StateBegin, StateRows
from core.node.system_tables import SystemTables, is_system_table
from core.ports import Disk, Transport
from core.types import Seqno

Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Restored:
    """What a snapshot gave. The executor has all of its tables."""

    start: StartingPoint
    state: SystemState
    tables: SystemTables
    name: SnapshotName


async def restore(
    disk: Disk, kept: NodeSecrets, constitution: Constitution, executor: Transport, log: Log
) -> Restored | None:
    """Hand the newest good snapshot's state to the executor; None when there is none, and the executor has nothing.

    Raises StorageFailed, ChannelClosed.
    """
    snapshots = await list_snapshots(disk)
    for name, info in snapshots:
        try:
            snapshot = await verify_snapshot(
                disk, name, info.size_bytes, service_certificate=kept.service_certificate, domains=WRITE_SETS
            )
            return await _load(disk, snapshot, kept, constitution, executor)
        except SnapshotRefused as error:
            log(f"a snapshot is refused, and another one or the whole ledger used: {error.message}")
    if snapshots:
        await executor.send(FROM_MANAGER.encode(StateBegin(0)))
    return None


async def remove_unfinished(disk: Disk) -> None:
    """Remove what was being written when the node ended. Raises StorageFailed."""
    for info in await disk.list_files(FOLDER):
        if info.name.endswith(".partial"):
            await disk.remove(info.name)


async def _load(
    disk: Disk, snapshot: VerifiedSnapshot, kept: NodeSecrets, constitution: Constitution, executor: Transport
) -> Restored:
    prefix, file = snapshot.prefix, snapshot.file
    key = Keyring(kept.epochs).snapshot_key(prefix.view, prefix.seqno)
    if key is None:
        raise SnapshotRefused(f"{file}: no key of view {prefix.view} is here")
    points: list[SnapshotPoint] = []
    system = _Rows()
    await executor.send(FROM_MANAGER.encode(StateBegin(prefix.seqno)))
    async for part in read_tables(disk, snapshot, key, points.append):
        if is_system_table(part.table):
            system.add(part.table, part.data, file)
        await executor.send(FROM_MANAGER.encode(StateRows(part.table, part.data)))
    (point,) = points
    try:
        return _take_system(point, system.finish(file), kept, constitution, snapshot.name)
    except (MalformedMessage, AuthenticationFailed) as error:
        raise SnapshotRefused(f"{file}: {error.message}") from None


def _take_system(
    point: SnapshotPoint,
    rows: dict[str, Rows],
    kept: NodeSecrets,
    constitution: Constitution,
    name: SnapshotName,
) -> Restored:
    """Take what the manager itself decides by. Raises MalformedMessage, AuthenticationFailed."""
    written: dict[str, dict[bytes, bytes | None]] = {
        table: {key: value for key, (_, value) in its_rows.items()} for table, its_rows in rows.items()
    }
    state, tables, nodes = SystemState(constitution), SystemTables(), TrustedNodes()
    state.absorb_tables(written)
    tables.load(Seqno(point.seqno), rows)
    trusted = {table: written.get(table, {}) for table in (NODES, ENDORSED_CERTIFICATES)}
    nodes.absorb(trusted, kept.service_certificate)
    signed = SignedState(point.seqno, point.view, point.frontier, point.views)
    return Restored(StartingPoint(signed, nodes), state, tables, name)


class _Rows:
    """Puts the rows of tables together that come in parts cut anywhere."""

    def __init__(self) -> None:
        self._tables: dict[str, Rows] = {}
        self._rest: dict[str, bytes] = {}

    def add(self, table: str, data: bytes, file: str) -> None:
        data = self._rest.get(table, b"") + data
        try:
            rows, end = cut_rows(data)
        except MalformedMessage as error:
            raise SnapshotRefused(f"{file}: {error.message}") from None
        whole = self._tables.setdefault(table, {})
        if not whole.keys().isdisjoint(rows):
            raise SnapshotRefused(f"{file}: a system table has two rows of one key")
        whole.update(rows)
        self._rest[table] = data[end:]

    def finish(self, file: str) -> dict[str, Rows]:
        if any(self._rest.values()):
            raise SnapshotRefused(f"{file}: a system table ends within a row")
        return self._tables
