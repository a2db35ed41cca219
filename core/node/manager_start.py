"""How a manager starts: keys, ledger, new view. DESIGN section 5, restart policy `sealed`.

The order matters. Everything on disk is verified before anything is changed. Then, each step on disk before the next:
what was never acknowledged is cut; the new view's keys are sealed; the start block, which names the new node, is
appended (by the manager, through consensus); the keys are sealed again, now knowing how far the ledger reached.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, IncompatibleData, LedgerDamaged, MalformedMessage
from core.governance.constitution import Constitution
from core.ledger.backfill import BackfilledHistory
from core.ledger.entry import VIEW_MAX, OpenedEntry
from core.ledger.files import FOLDER, Chunk, LedgerWriter, arrange_chunks, finish_chunk
from core.ledger.history import LedgerHistory
from core.ledger.replay import Replayed
from core.ledger.replay import replay as replay_ledger
from core.ledger.secrets import EpochSecret, Keyring
from core.ledger.verify import DAMAGE_HINT, LedgerVerifier, Place, SignedState, damaged
from core.node.config import ManagerConfig
from core.node.manager_keys import NEW_NETWORK_HINT, NodeSecrets, load_secrets, make_secrets, store_secrets
from core.node.manager_restore import remove_unfinished, restore
from core.node.manager_tables import WRITE_SETS, SystemState
from core.node.messages import FROM_MANAGER, Replay, ReplayedEntry
from core.node.system_tables import SystemTables
from core.ports import Disk, Sealer, Transport
from core.types import Seqno, View

REPLAY_BYTES_MAX = 1 * limits.MEBIBYTE
PROGRESS_SECONDS = 1.0
ROLLBACK_WARNING = (
    "This network has one node, which starts again from keys sealed on its own host. If the host put back an older "
    "copy of the data directory, this node cannot notice it."
)

Log = Callable[[str], None]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Older:
    """The part of the ledger that a snapshot stood for, up to `until`. chunks: the ledger's, at the start."""

    until: SignedState
    chunks: Sequence[Chunk]
    history: BackfilledHistory


@dataclass(frozen=True, slots=True)
class Began:
    """A start up to the new view. secrets: already sealed, with the new epoch last. history: of what was replayed.

    tables: the system's. older: what is still to be verified of the ledger, None after a start without a snapshot.
    """

    secrets: NodeSecrets
    node_key: PrivateKey
    state: SystemState
    replayed: Replayed
    writer: LedgerWriter
    history: LedgerHistory
    tables: SystemTables
    older: Older | None

    @property
    def epoch(self) -> EpochSecret:
        return self.secrets.epochs[-1]

    @property
    def snapshot(self) -> Seqno:
        """The seqno of the snapshot that the start was from; 0: of none."""
        return self.older.until.seqno if self.older else Seqno(0)


class ReplaySender:
    """Sends replayed entries to the executor in messages of bounded size."""

    def __init__(self, executor: Transport) -> None:
        self.executor = executor
        self._batch: list[ReplayedEntry] = []
        self._bytes = 0

    async def add(self, seqno: Seqno, public: bytes, private: bytes) -> None:
        """Take an entry; sends when the batch is large enough."""
        size = len(public) + len(private)
        if self._batch and self._bytes + size > REPLAY_BYTES_MAX:
            await self.flush()
        self._batch.append(ReplayedEntry(seqno, public, private))
        self._bytes += size

    async def flush(self) -> None:
        """Send what is left."""
        if self._batch:
            batch, self._batch, self._bytes = tuple(self._batch), [], 0
            await self.executor.send(FROM_MANAGER.encode(Replay(batch)))


def read_genesis(config: ManagerConfig) -> Constitution:
    """Decode the constitution the host gave; raises CocoError."""
    constitution = Constitution.decode(config.genesis)
    if constitution.restart != "sealed":
        raise CocoError(
            f"restart policy {constitution.restart!r} needs several nodes",
            hint='A network of one node restarts under "sealed"; set it in the genesis constitution.',
        )
    return constitution


async def begin(
    config: ManagerConfig, disk: Disk, sealer: Sealer, sender: ReplaySender, clock: Clock, log: Log
) -> Began:
    """Verify and replay what is on disk, then begin a new view. Raises LedgerDamaged, IncompatibleData, StorageFailed.

    The first two are raised before anything on disk is changed.
    """
    constitution = read_genesis(config)
    old = await load_secrets(disk, sealer)
    await _check_beside(disk, old, constitution)
    kept = old or make_secrets(constitution.digest(), constitution.network, clock())
    restored = await restore(disk, kept, constitution, sender.executor, log)
    state = restored.state if restored else SystemState(constitution)
    tables = restored.tables if restored else SystemTables()
    start = restored.start if restored else None
    verifier = LedgerVerifier(Keyring(kept.epochs), WRITE_SETS, kept.service_certificate, start)
    chunks = arrange_chunks(await disk.list_files(FOLDER))
    older = Older(start.signed, chunks, BackfilledHistory(start.signed.seqno)) if start else None
    history = older.history if older else LedgerHistory()
    deliverer = _Deliverer(state, tables, sender, clock, log)
    replayed = await replay_ledger(disk, verifier, deliverer.deliver, history)
    _check_reach(replayed, kept, state)
    if restored:
        log(f"started from {restored.name.file}, and {replayed.signed.seqno - restored.name.seqno} entries after it")
    if kept.last_view >= VIEW_MAX:
        raise IncompatibleData(f"view {kept.last_view} is the last one there is", hint=NEW_NETWORK_HINT)
    await _cut(disk, replayed, log)
    await remove_unfinished(disk)
    node_key = PrivateKey.generate()
    epoch = EpochSecret(
        epoch=kept.epochs[-1].epoch + 1 if kept.epochs else 1,
        first_seqno=Seqno(replayed.signed.seqno + 1),
        first_view=View(kept.last_view + 1),
        node=node_key.public_key().node_id(),
        key=secrets.token_bytes(32),
    )
    begun = replace(kept, epochs=(*kept.epochs, epoch))
    await store_secrets(disk, sealer, begun)
    writer = LedgerWriter(disk, config.chunk_bytes_min, replayed.open_chunk, replayed.positions)
    return Began(begun, node_key, state, replayed, writer, history, tables, older)


async def _check_beside(disk: Disk, kept: NodeSecrets | None, constitution: Constitution) -> None:
    """Check that keys and ledger are both there, or neither, and of this network; raises IncompatibleData."""
    files = [info for info in await disk.list_files(FOLDER) if info.size_bytes]
    if kept is None:
        if files:
            raise IncompatibleData(
                "there is a ledger here, but its sealed keys are missing",
                hint=f"Restore sealed/keys from a backup of the same moment or later. {NEW_NETWORK_HINT}",
            )
        return
    if kept.constitution != constitution.digest():
        raise IncompatibleData(
            f"the data directory is of network {kept.constitution.hex()[:16]}; "
            f"the constitution given is of {constitution.digest().hex()[:16]}",
            hint=f"Give the genesis constitution the network was created with. {NEW_NETWORK_HINT}",
        )
    if kept.known_seqno and not files:
        raise IncompatibleData(
            f"the sealed keys are here, but the ledger, which held {kept.known_seqno} entries or more, is missing",
            hint=f"Restore the ledger folder from a backup. {NEW_NETWORK_HINT}",
        )


def _check_reach(replayed: Replayed, kept: NodeSecrets, state: SystemState) -> None:
    """Check that the ledger reaches as far as it once did, and begins with the constitution."""
    reached = replayed.signed.seqno
    if reached < kept.known_seqno:
        file = replayed.cut.file if replayed.cut else FOLDER
        offset = replayed.cut.keep_bytes if replayed.cut else replayed.open_bytes
        what = f"it ends at entry {reached}, but it held entry {kept.known_seqno} when the node last started"
        raise damaged(Place(file, offset), reached + 1, what)
    if reached and not state.constitution_seen:
        raise LedgerDamaged(
            "the ledger holds no constitution", file=f"{FOLDER}/ledger_1", offset=0, entry=1, hint=DAMAGE_HINT
        )


async def _cut(disk: Disk, replayed: Replayed, log: Log) -> None:
    """Cut off what was never acknowledged, or finish the closing of a file."""
    cut, unfinished = replayed.cut, replayed.unfinished
    if unfinished is not None:
        await finish_chunk(disk, unfinished.first, unfinished.last, unfinished.table_at)
        log(f"ledger_{unfinished.first}: its closing was cut short, and is now done")
    if cut is None:
        return
    if cut.is_table:
        log(f"{cut.file}: {cut.torn_bytes} bytes of a table are cut off: the closing of the file was cut short")
    else:
        zeros = ", all of them zero" if cut.zeros and cut.torn_bytes else ""
        log(
            f"{cut.file}: cut after entry {replayed.signed.seqno}, the last one signed: {cut.entries} whole entries "
            f"and {cut.torn_bytes} bytes of a torn one followed{zeros}; "
            "none was acknowledged, unless the disk lost what it had confirmed"
        )
    await disk.truncate(cut.file, cut.keep_bytes)


class _Deliverer:
    """Takes verified blocks: to the system's own state, and on to the executor."""

    def __init__(self, state: SystemState, tables: SystemTables, sender: ReplaySender, clock: Clock, log: Log) -> None:
        self._state = state
        self._tables = tables
        self._sender = sender
        self._clock = clock
        self._log = log
        self._next_progress = clock() + PROGRESS_SECONDS

    async def deliver(self, block: Sequence[OpenedEntry]) -> None:
        for entry in block:
            if entry.is_signature:
                continue
            try:
                self._state.absorb(entry.public)
                self._tables.note(entry.seqno, entry.public)
            except (MalformedMessage, AuthenticationFailed) as error:
                raise damaged(Place(FOLDER, 0), entry.seqno, error.message) from None
            await self._sender.add(entry.seqno, entry.public, entry.private)
        if self._clock() >= self._next_progress:
            self._next_progress = self._clock() + PROGRESS_SECONDS
            self._log(f"replaying the ledger: {block[-1].seqno} entries verified")
