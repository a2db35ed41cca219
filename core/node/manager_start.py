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
from core.consensus.configuration import Configuration, SnapshotReference, encode_snapshot
from core.consensus.engine import ConsensusEngine
from core.consensus.raft.engine import RaftEngine
from core.consensus.raft.settings import RaftSettings
from core.consensus.restart import DiskReport
from core.crypto.keys import PrivateKey
from core.errors import (
    AuthenticationFailed,
    ChannelClosed,
    IncompatibleData,
    LedgerDamaged,
    MalformedMessage,
)
from core.governance.constitution import Constitution
from core.governance.restarts import RestartRecord
from core.ledger.backfill import BackfilledHistory
from core.ledger.entry import VIEW_MAX, OpenedEntry
from core.ledger.files import FOLDER, Chunk, LedgerWriter, arrange_chunks, finish_chunk
from core.ledger.history import LedgerHistory
from core.ledger.replay import Replayed
from core.ledger.replay import replay as replay_ledger
from core.ledger.secrets import EpochSecret, Keyring
from core.ledger.verify import LedgerVerifier, Place, SignedState, damaged
from core.node.config import ManagerConfig
from core.node.manager_keys import NEW_NETWORK_HINT, NodeSecrets, load_secrets, make_secrets, store_secrets
from core.node.manager_restore import Restored, remove_unfinished, restore
from core.node.manager_tables import WRITE_SETS, SystemState
from core.node.messages import FROM_MANAGER, Replay, ReplayedEntry
from core.node.peer_messages import CatchUp
from core.node.replication.epochs import opener
from core.node.replication.head import LedgerHead
from core.node.replication.joining import Joined, random_ticks
from core.node.replication.restart_desk import FoundDisk
from core.node.replication.restarting import last_configuration
from core.node.start_checks import StartPermit, check_alone, check_beside, check_reach
from core.node.system_tables import SystemTables
from core.ports import Disk, Sealer, Transport
from core.types import NodeId, Seqno, View

REPLAY_BYTES_MAX = 1 * limits.MEBIBYTE
PROGRESS_SECONDS = 1.0
ROLLBACK_WARNING = (
    "This network starts with one node, from keys sealed on its own host. If its host (or those of a majority of "
    "several nodes) put back an older copy of the data directory, a node cannot notice it."
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
class ReadBack:
    """A ledger as it was read back from disk, up to its last signature. head: stands there. history: of the same.

    older: what is still to be verified, None after a start without a snapshot.
    """

    head: LedgerHead
    replayed: Replayed
    history: LedgerHistory
    older: Older | None
    restored: Restored | None

    @property
    def snapshot(self) -> Seqno:
        """The seqno of the snapshot that the start was from; 0: of none."""
        return self.older.until.seqno if self.older else Seqno(0)

    @property
    def committed_end(self) -> tuple[Seqno, int] | None:
        """Of the open chunk: its first seqno, and where it ends; None when none is open."""
        return None if self.replayed.open_chunk is None else (self.replayed.open_chunk, self.replayed.open_bytes)


@dataclass(frozen=True, slots=True)
class Started:
    """What a node takes part with. writer: at the ledger's end."""

    secrets: NodeSecrets
    node_key: PrivateKey
    ledger: ReadBack
    writer: LedgerWriter
    engine: ConsensusEngine

    @property
    def node(self) -> NodeId:
        return self.node_key.public_key().node_id()


@dataclass(frozen=True, slots=True)
class Began:
    """A start up to the new view. secrets: already sealed, with the new epoch last. approved: what members signed."""

    secrets: NodeSecrets
    node_key: PrivateKey
    ledger: ReadBack
    writer: LedgerWriter
    approved: RestartRecord | None = None

    @property
    def epoch(self) -> EpochSecret:
        return self.secrets.epochs[-1]

    def as_started(self) -> Started:
        """Return it with an engine that is to stand for election in the new view, and has the one vote."""
        node, last = self.epoch.node, View(self.epoch.first_view - 1)
        reference = SnapshotReference(1 if last else 0, last, Configuration((node,)))
        engine = RaftEngine(node, RaftSettings(), random_ticks, snapshot=encode_snapshot(reference))
        return Started(self.secrets, self.node_key, self.ledger, self.writer, engine)


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


async def begin(
    config: ManagerConfig,
    disk: Disk,
    sealer: Sealer,
    sender: ReplaySender,
    clock: Clock,
    log: Log,
    *,
    permit: StartPermit,
) -> Began:
    """Verify and replay what is on disk, then begin a new view. Raises LedgerDamaged, IncompatibleData, StorageFailed.

    The first two are raised before anything on disk is changed. permit: where it is no other nodes' choice, this must
    have been the network's only node.
    """
    constitution = Constitution.decode(config.genesis)
    old = await load_secrets(disk, sealer)
    await check_beside(disk, old, constitution)
    kept = old or make_secrets(constitution.digest(), constitution.network, clock())
    node_key = permit.node_key
    ledger = await read_back(disk, kept, node_key, constitution, sender, clock, log)
    head, replayed = ledger.head, ledger.replayed
    check_reach(replayed, kept, head.state)
    if not permit.is_chosen:
        check_alone(head.state)
    last_view = View(permit.view_after(head.keyring.last_view) - 1)
    permit.check(constitution, config.slot, kept.service_certificate, replayed.signed, View(last_view + 1))
    if last_view >= VIEW_MAX:
        raise IncompatibleData(f"view {last_view} is the last one there is", hint=NEW_NETWORK_HINT)
    await cut_unsigned(disk, replayed, log)
    await remove_unfinished(disk)
    epoch = EpochSecret(
        epoch=max(kept.epochs[-1].epoch if kept.epochs else 0, head.state.epoch) + 1,
        first_seqno=Seqno(replayed.signed.seqno + 1),
        first_view=View(last_view + 1),
        node=node_key.public_key().node_id(),
        key=secrets.token_bytes(32),
    )
    begun = replace(kept, epochs=(*kept.epochs, epoch), next_node=epoch.node)
    await store_secrets(disk, sealer, begun)
    head.keyring.add_epoch(epoch)
    writer = LedgerWriter(disk, config.chunk_bytes_min, replayed.open_chunk, replayed.positions)
    return Began(begun, node_key, ledger, writer, permit.record)


async def read_disk(disk: Disk, sealer: Sealer, constitution: Constitution, clock: Clock, log: Log) -> FoundDisk | None:
    """Return what this node's disk holds, with its keys; None when no network can start from it. Raises StorageFailed.

    Changes nothing.
    """
    try:
        kept = await load_secrets(disk, sealer)
        if kept is None or kept.constitution != constitution.digest():
            return None
        sender = ReplaySender(_Nobody())
        ledger = await read_back(disk, kept, PrivateKey.generate(), constitution, sender, clock, log)
    except (LedgerDamaged, IncompatibleData) as error:
        log(f"this node's own disk does not count: {error.message}")
        return None
    signed, configuration = ledger.replayed.signed, last_configuration(ledger.head.state)
    node = kept.next_node if kept.next_node in configuration.all_voters else kept.node
    if node not in configuration.all_voters:
        log(f"this node's own disk does not count: it is of node {node[:16]}, which had no vote")
        return None
    report = DiskReport(node, signed.view, signed.seqno, configuration)
    return FoundDisk(report, kept, ledger.head.state, signed, ledger.head.keyring.last_view)


class _Nobody:
    """Takes what would go to an executor."""

    async def send(self, message: bytes) -> None:
        del message

    async def receive(self) -> bytes:
        raise ChannelClosed("nobody is there")

    async def close(self) -> None:
        pass


async def join(
    config: ManagerConfig,
    joined: Joined,
    offer: CatchUp,
    node_key: PrivateKey,
    disk: Disk,
    sender: ReplaySender,
    clock: Clock,
    log: Log,
) -> Started:
    """Start from what was fetched of another node's files. Raises LedgerDamaged, StorageFailed."""
    ledger = await read_back(disk, joined.secrets, node_key, joined.constitution, sender, clock, log)
    replayed = ledger.replayed
    if (replayed.signed.seqno, replayed.signed.view) != (offer.seqno, offer.view) or replayed.cut is not None:
        end = f"{replayed.signed.view}.{replayed.signed.seqno}"
        raise damaged(
            Place(FOLDER, 0), None, f"the leader offered it up to {offer.view}.{offer.seqno}; it ends at {end}"
        )
    joined.engine.restore(offer.reference)
    writer = LedgerWriter(disk, config.chunk_bytes_min, replayed.open_chunk, replayed.positions)
    return Started(joined.secrets, node_key, ledger, writer, joined.engine)


async def read_back(
    disk: Disk,
    kept: NodeSecrets,
    node_key: PrivateKey,
    constitution: Constitution,
    sender: ReplaySender,
    clock: Clock,
    log: Log,
) -> ReadBack:
    """Verify what is on disk and give it to the executor. Raises LedgerDamaged, StorageFailed; changes nothing."""
    keyring = Keyring(kept.epochs)
    restored = await restore(disk, kept, keyring, constitution, sender.executor, log)
    start = restored.start if restored else None
    verifier = LedgerVerifier(keyring, WRITE_SETS, kept.service_certificate, start)
    state = restored.state if restored else SystemState(constitution)
    tables = restored.tables if restored else SystemTables()
    head = LedgerHead(verifier, keyring, state, tables)
    head.open_epochs = opener(head, node_key)
    chunks = arrange_chunks(await disk.list_files(FOLDER))
    older = Older(start.signed, chunks, BackfilledHistory(start.signed.seqno)) if start else None
    history = older.history if older else LedgerHistory()
    replayed = await replay_ledger(disk, verifier, _Deliverer(head, sender, clock, log).deliver, history)
    # What stands after the last signature does not count: it is cut off.
    verifier.go_back(verifier.point())
    if restored:
        log(f"started from {restored.name.file}, and {replayed.signed.seqno - restored.name.seqno} entries after it")
    return ReadBack(head, replayed, history, older, restored)


async def cut_unsigned(disk: Disk, replayed: Replayed, log: Log) -> None:
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

    def __init__(self, head: LedgerHead, sender: ReplaySender, clock: Clock, log: Log) -> None:
        self._head = head
        self._sender = sender
        self._clock = clock
        self._log = log
        self._next_progress = clock() + PROGRESS_SECONDS

    async def deliver(self, block: Sequence[OpenedEntry]) -> None:
        for entry in block:
            if entry.is_signature:
                continue
            try:
                self._head.state.absorb(entry.public)
                self._head.tables.note(entry.seqno, entry.public)
                self._head.learn_epochs(entry.public)
            except (MalformedMessage, AuthenticationFailed) as error:
                raise damaged(Place(FOLDER, 0), entry.seqno, error.message) from None
            await self._sender.add(entry.seqno, entry.public, entry.private)
        if self._clock() >= self._next_progress:
            self._next_progress = self._clock() + PROGRESS_SECONDS
            self._log(f"replaying the ledger: {block[-1].seqno} entries verified")
