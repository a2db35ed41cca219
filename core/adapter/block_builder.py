"""Runs adapters' commands into blocks over the key-value store. The executor and the test harness share it.

Each command runs in a key-value transaction of its own, at the sequence number its ledger entry will have; a block ends
with one entry of each adapter that had commands in it (`close_block`) and one sequence number for the signature.

Invariants: the store's head is always the newest entry built; a command that is rejected, does not fit or fails leaves
nothing behind. What an adapter raises beside CommandRejected and BlockFull is a bug of the adapter: the open block is
taken back, its adapters are reset, and the block's other commands run again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from core import limits
from core.adapter.interface import (
    ANONYMOUS,
    Adapter,
    BlockFull,
    Caller,
    CommandRejected,
    ExecutionContext,
    Pending,
    QueryContext,
    ScopedTransaction,
    WrittenEntry,
    scoped_name,
)
from core.errors import CocoError, InvariantBroken, LimitExceeded
from core.kv.errors import SnapshotGone
from core.kv.store import Store
from core.kv.transaction import Transaction
from core.kv.write_set import WriteSet
from core.types import NO_CLAIMS, Digest, Seqno

GENESIS_TABLE = "coco_genesis"
"""The table, in each adapter's own namespace, that says its genesis has been run."""
WRITE_SET_BYTES_MAX = limits.ENTRY_BYTES_MAX - 2 * limits.KIBIBYTE
"""Leaves room for what the ledger adds to an entry."""


class BuiltEntry(msgspec.Struct, frozen=True, gc=False):
    """One ledger entry: the two encoded domains of its write set, and what its receipt will prove."""

    adapter: str
    seqno: Seqno
    public: bytes
    private: bytes
    claims: Digest


class Ran(msgspec.Struct, frozen=True, gc=False):
    """A command that left an entry; its reply may go out once the entry is committed."""

    adapter: str
    pending: Pending
    seqno: Seqno
    reply: bytes


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A command that left nothing; its reply may go out at once."""

    reply: bytes


@dataclass(frozen=True, slots=True)
class DoesNotFit:
    """The command waits in the backlog; the block must be closed before it runs again."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A bug of the adapter: the command left nothing."""

    error: Exception


Result = Ran | Rejected | DoesNotFit | Failed


@dataclass(frozen=True, slots=True)
class Block:
    """A closed block. last_seqno: of the signature entry that follows the entries. time_s: as its commands saw it."""

    number: int
    first_seqno: Seqno
    last_seqno: Seqno
    entries: Sequence[BuiltEntry]
    commands: Sequence[Ran]
    time_s: int


class CloseFailed(Exception):
    """An adapter failed to end the block, which is taken back. commands: what had run in it."""

    def __init__(self, adapter: str, error: Exception, commands: Sequence[Ran]) -> None:
        super().__init__(f"adapter {adapter} failed to close a block")
        self.adapter = adapter
        self.error = error
        self.commands = commands


class BlockBuilder:
    """Holds the one open block. clock: Unix seconds. random: returns that many random bytes."""

    def __init__(
        self,
        store: Store,
        adapters: Mapping[str, Adapter],
        *,
        clock: Callable[[], float],
        random: Callable[[int], bytes],
        commands_max: int = limits.BLOCK_COMMANDS_MAX,
        bytes_max: int = limits.BLOCK_BYTES_MAX,
    ) -> None:
        self._store = store
        self._adapters = adapters
        self._clock = clock
        self._random = random
        self._commands_max = commands_max
        self._bytes_max = bytes_max
        self._time_s = 0
        self._entropy = b""
        self._start = store.head
        self._must_close = False
        self.number = 0
        self.entries: list[BuiltEntry] = []
        self.commands: list[Ran] = []
        self.size_bytes = 0
        self.backlog: deque[tuple[str, Pending]] = deque()
        """Commands to run before any queue is asked: what did not fit, and what a failure took back."""

    @property
    def is_empty(self) -> bool:
        return not self.entries

    @property
    def is_full(self) -> bool:
        """Whether the block must close before another command runs."""
        return self._must_close or len(self.commands) >= self._commands_max or self.size_bytes >= self._bytes_max

    def now_s(self) -> int:
        """The current time in whole seconds, never before a block's."""
        return max(self._time_s, int(self._clock()))

    def genesis(self) -> None:
        """Write the first state of each adapter that has none yet into the open block, then reset every adapter.

        Whatever is written is to be a block of its own: nothing else fits.
        """
        for name, adapter in self._adapters.items():
            transaction = self._store.begin()
            scoped = ScopedTransaction(transaction, name)
            if scoped.table(GENESIS_TABLE).get(b"version") is None:
                adapter.genesis(scoped, self._context(ANONYMOUS))
                scoped.table(GENESIS_TABLE).put(b"version", adapter.info.version.encode())
                self._append(name, transaction, NO_CLAIMS)
                self._must_close = True
        self.reset()

    def reset(self) -> None:
        """Have every adapter forget what it holds outside the tables."""
        for name, adapter in self._adapters.items():
            adapter.reset(ScopedTransaction(self._store.begin(), name))

    def execute(self, name: str, pending: Pending) -> Result:
        """Run one command in the open block. InvariantBroken passes through: it stops the node."""
        if self.is_full:
            raise InvariantBroken("a command was run in a full block")
        transaction = self._store.begin()
        try:
            executed = self._adapters[name].execute(
                ScopedTransaction(transaction, name), pending.payload, self._context(pending.caller)
            )
            reply = bytes(executed.reply)
            seqno = self._append(name, transaction, executed.claims)
        except CommandRejected as rejected:
            return Rejected(rejected.reply)
        except BlockFull as full:
            if self.is_empty:
                return Failed(full)
            self.backlog.appendleft((name, pending))
            self._must_close = True
            return DoesNotFit()
        except InvariantBroken:
            raise
        except Exception as error:  # noqa: BLE001 - the adapter is other people's code; its failure is the answer
            self._take_back()
            return Failed(error)
        ran = Ran(name, pending, seqno, reply)
        self.commands.append(ran)
        return ran

    def close(self) -> Block:
        """Close the open block and open the next. Raises CloseFailed, with the block taken back."""
        active = dict.fromkeys(ran.adapter for ran in self.commands)
        for name in active:
            transaction = self._store.begin()
            try:
                claims = self._adapters[name].close_block(
                    ScopedTransaction(transaction, name), self._context(ANONYMOUS)
                )
                if claims != NO_CLAIMS or transaction.undo_log:
                    self._append(name, transaction, claims)
            except InvariantBroken:
                raise
            except Exception as error:
                commands = self.commands
                self.commands = []
                self._take_back()
                raise CloseFailed(name, error, commands) from error
        last = Seqno(self._store.head + 1)
        self._store.advance(last)
        block = Block(self.number, Seqno(self._start + 1), last, self.entries, self.commands, self._time_s)
        self._open_next()
        return block

    def open_after(self, head: Seqno) -> None:
        """Begin the open block, which must be empty, after entries that were made elsewhere."""
        if not self.is_empty:
            raise InvariantBroken("entries from elsewhere came into an open block")
        self._store.advance(head)
        self._open_next()

    def go_back(self, seqno: Seqno, blocks: int) -> None:
        """Drop the open block, the backlog and that many closed blocks, and go back to the state at seqno.

        The caller resets the adapters.
        """
        self.backlog.clear()
        self._store.rollback(seqno)
        self.number -= blocks + 1
        self._open_next()

    def note_time(self, time_s: int) -> None:
        """Take a block that was made elsewhere into account: no later one is older."""
        self._time_s = max(self._time_s, time_s)

    def _append(self, name: str, transaction: Transaction, claims: Digest) -> Seqno:
        seqno = Seqno(self._store.head + 1)
        writes = transaction.take_write_set()
        public, private = writes.encode()
        size_bytes = len(public) + len(private)
        if (
            size_bytes > WRITE_SET_BYTES_MAX
            or self.size_bytes + size_bytes > limits.MESSAGE_BYTES_MAX - limits.MEBIBYTE
        ):
            raise LimitExceeded(f"a write set of {size_bytes} bytes; the bound is {WRITE_SET_BYTES_MAX}")
        if len(claims) != len(NO_CLAIMS):
            raise CocoError(f"claims of {len(claims)} bytes; a digest has {len(NO_CLAIMS)}")
        self._store.apply(seqno, writes)
        self.entries.append(BuiltEntry(name, seqno, public, private, claims))
        self.size_bytes += size_bytes
        return seqno

    def _context(self, caller: Caller) -> ExecutionContext:
        if not self._entropy:
            self._time_s = self.now_s()
            self._entropy = self._random(32)
        return ExecutionContext(
            Seqno(self._store.head + 1), self.number, self._time_s, self._entropy, caller, self._random
        )

    def _take_back(self) -> None:
        self.backlog.extendleft((ran.adapter, ran.pending) for ran in reversed(self.commands))
        self._store.rollback(self._start)
        self.number -= 1
        self._open_next()
        try:
            self.reset()
        except Exception as error:  # noqa: BLE001 - other people's code, as in execute
            # Its text may hold what the adapter keeps, so only its type goes on.
            raise InvariantBroken(f"an adapter failed to reset itself ({type(error).__name__})") from None

    def _open_next(self) -> None:
        self.number += 1
        self._start = self._store.head
        self._must_close = False
        self._entropy = b""
        self.entries, self.commands, self.size_bytes = [], [], 0


def indexed_tables(adapters: Iterable[Adapter]) -> dict[str, int]:
    """Return the tables the adapters scan by a key prefix, by full name, with the prefix's length in bytes."""
    found = {}
    for adapter in adapters:
        for table, prefix_bytes in adapter.info.indexed_tables.items():
            found[scoped_name(adapter.info.name, table)] = prefix_bytes
    return found


def run_query(
    store: Store, adapter: Adapter, payload: bytes, caller: Caller, *, committed: Seqno, time_s: int
) -> bytes:
    """Run a query on committed state; a rejection's reply is the answer. Raises LimitExceeded for too long a reply."""
    context = query_context(store, adapter, caller, committed=committed, time_s=time_s)
    try:
        reply = adapter.query(payload, context)
    except CommandRejected as rejected:
        reply = rejected.reply
    if len(reply) > limits.QUERY_REPLY_BYTES_MAX:
        raise LimitExceeded(f"a reply of {len(reply)} bytes; the bound is {limits.QUERY_REPLY_BYTES_MAX}")
    return reply


def query_context(store: Store, adapter: Adapter, caller: Caller, *, committed: Seqno, time_s: int) -> QueryContext:
    """Return what a query on committed state may know."""

    def at(seqno: Seqno) -> ScopedTransaction:
        if seqno > committed:
            raise SnapshotGone(f"the state at {seqno} is not committed")
        return ScopedTransaction(store.begin(seqno), adapter.info.name)

    return QueryContext(at(committed), committed, time_s, caller, at)


def written_entry(adapter: Adapter, seqno: Seqno, writes: WriteSet, claims: Digest) -> WrittenEntry:
    """Return an entry as its adapter knows it: its own tables, by the names that it gives them."""
    name = adapter.info.name
    own = {scoped_name(name, ""): "", scoped_name(name, "public:"): "public:"}
    tables = {}
    for full, written in writes.tables.items():
        for prefix, short in own.items():
            if full.startswith(prefix):
                tables[short + full[len(prefix) :]] = written
    return WrittenEntry(seqno, tables, claims)


def settle(store: Store, adapters: Mapping[str, Adapter], committed: Seqno, *, pinned: Iterable[Seqno] = ()) -> None:
    """Tell the adapters what is committed, and forget the states that none of them asks for, save the pinned ones."""
    horizon = min((committed, *pinned))
    for name, adapter in adapters.items():
        adapter.committed(committed)
        retained = adapter.retained_from(ScopedTransaction(store.begin(committed), name))
        if retained is not None:
            horizon = min(horizon, retained)
    if horizon > store.horizon:
        store.compact(horizon)
