"""The committed state of an executor, in whatever role: tables, adapters, views, constitution, and who is told of it.

A block becomes committed here in one of two ways: it was run here and the manager says that it is committed
(`committed_here`), or it comes from the ledger (`apply`). Invariants: `committed` never goes back; readers, gateways
and adapters hear of each block once, in order, before any answer that depends on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from core.adapter.block_builder import GENESIS_TABLE, BlockBuilder, settle
from core.adapter.interface import Adapter, ScopedTransaction
from core.errors import InvariantBroken, MalformedMessage
from core.governance.constitution import Constitution
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node.manager_tables import CONSTITUTION, CURRENT, DEFAULT_ADAPTER, SETTINGS
from core.node.messages import BlockApplied, Lead, Ready, ReplayedEntry
from core.node.reader_feed import ReaderFeeds
from core.node.transaction_status import ViewHistory
from core.types import Seqno, View


class ExecutorState:
    """See the module. announce: tells the gateways what is committed. pinned: seqnos whose states are being copied.

    builder: on the same store, with the same adapters.
    """

    def __init__(
        self,
        ready: Ready,
        store: Store,
        adapters: dict[str, Adapter],
        builder: BlockBuilder,
        feeds: ReaderFeeds,
        *,
        announce: Callable[[Seqno], None],
        pinned: Callable[[], Iterable[Seqno]],
        log: Callable[[str], None],
    ) -> None:
        self.store = store
        self.adapters = adapters
        self.builder = builder
        self.views = ViewHistory(ready.view_history)
        self.constitution = Constitution.decode(ready.constitution)
        self.committed = Seqno(ready.last_seqno)
        self.started = self.committed
        self.front_end_changed = False
        """Whether what gateways serve by has changed since this was set to False."""
        builder.note_time(ready.time_s)
        self._feeds = feeds
        self._announce = announce
        self._pinned = pinned
        self._log = log
        self._asleep = dict(adapters)

    @property
    def is_complete(self) -> bool:
        """Whether every adapter has its first state, committed: queries can be answered."""
        return not self._asleep

    def default_adapter(self) -> str:
        """What governance set last, else what the constitution says."""
        chosen = self.store.begin(self.committed).table(SETTINGS).get(DEFAULT_ADAPTER)
        return self.constitution.default_adapter if chosen is None else chosen.decode()

    def wake_adapters(self, *, reset: bool) -> None:
        """Let those adapters begin whose first state is committed. reset: unless that has been done."""
        for name, adapter in list(self._asleep.items()):
            transaction = ScopedTransaction(self.store.begin(self.committed), name)
            if transaction.table(GENESIS_TABLE).get(b"version") is not None:
                if reset:
                    adapter.reset(transaction)
                del self._asleep[name]
        self._settle()

    def apply(self, message: BlockApplied) -> None:
        """Take a committed block out of the ledger. Nothing that was run here may stand above what is committed.

        Raises InvariantBroken for one that does not follow, or whose entries do not.
        """
        seqnos = range(message.first_seqno, message.last_seqno)
        if self.store.head != self.committed or message.first_seqno != self.committed + 1:
            raise InvariantBroken(
                f"the manager applies a block from {message.first_seqno} on; {self.committed} is here"
            )
        if [entry.seqno for entry in message.entries] != list(seqnos) or message.last_seqno < message.first_seqno:
            raise InvariantBroken(f"the block up to {message.last_seqno} is not whole")
        self._enter(View(message.view), Seqno(message.first_seqno))
        for entry in message.entries:
            try:
                writes = WriteSet.decode(entry.public, entry.private)
            except MalformedMessage as error:
                raise InvariantBroken(f"the manager applies a malformed entry {entry.seqno}: {error.message}") from None
            self._write(Seqno(entry.seqno), writes)
        self.builder.open_after(Seqno(message.last_seqno))
        # Where a block tells no time (older ledgers), it was made before now.
        self.builder.note_time(message.time_s or self.builder.now_s())
        self._pass_on(message.entries, Seqno(message.last_seqno))
        if self._asleep:
            self.wake_adapters(reset=True)
        else:
            self._settle()

    def committed_here(self, entries: Sequence[ReplayedEntry], last_seqno: Seqno) -> None:
        """Take a block for committed that was run here."""
        self._pass_on(entries, last_seqno)
        if self._asleep:
            self.wake_adapters(reset=False)
        else:
            self._settle()

    def write_own(self, seqno: Seqno, public: bytes) -> ReplayedEntry | None:
        """Apply what the manager itself wrote into an entry of a block that this executor proposed."""
        writes = WriteSet.decode(public, b"")
        if not writes:
            return None
        self._write(seqno, writes)
        return ReplayedEntry(seqno, public, b"")

    def begin_view(self, message: Lead) -> None:
        """Check that a view may be led from here. Its first block is committed, and may be a signature not told of."""
        if message.last_seqno == self.committed + 1:
            self.apply(BlockApplied(message.view, message.last_seqno, message.last_seqno, (), message.time_s))
        self.builder.note_time(message.time_s)
        if self.committed != message.last_seqno or self.views.view_at(self.committed) != message.view:
            raise InvariantBroken(
                f"the manager leads {message.view} after {message.last_seqno}; {self.committed} is here"
            )

    def go_back(self, blocks: int) -> None:
        """Go back to what is committed. blocks: how many had been closed since."""
        self.builder.go_back(self.committed, blocks)
        for name, adapter in self.adapters.items():
            if name not in self._asleep:
                try:
                    adapter.reset(ScopedTransaction(self.store.begin(), name))
                except Exception as error:  # noqa: BLE001 - the node loop: adapters are other people's code
                    # Its text may hold what the adapter keeps, so only its type goes on.
                    raise InvariantBroken(f"an adapter failed to reset itself ({type(error).__name__})") from None

    def _enter(self, view: View, first_seqno: Seqno) -> None:
        if view < self.views.view:
            raise InvariantBroken(f"a block of view {view} is committed after one of view {self.views.view}")
        if view > self.views.view:
            self.views.begin(view, first_seqno)

    def _write(self, seqno: Seqno, writes: WriteSet) -> None:
        self.store.apply(seqno, writes)
        constitution = writes.tables.get(CONSTITUTION, {}).get(CURRENT)
        if constitution is not None:
            changed = Constitution.decode(constitution)
            if changed.adapters != self.constitution.adapters:
                self._log("the constitution's adapters changed; that takes effect when the node starts again")
            self.constitution = changed
        if constitution is not None or SETTINGS in writes.tables:
            self.front_end_changed = True

    def _pass_on(self, entries: Sequence[ReplayedEntry], last_seqno: Seqno) -> None:
        self._feeds.block(entries, self.committed, last_seqno, self.builder.now_s())
        self.committed = last_seqno
        self._announce(last_seqno)

    def _settle(self) -> None:
        if self._asleep:
            return
        try:
            settle(self.store, self.adapters, self.committed, pinned=self._pinned())
        except InvariantBroken:
            raise
        except Exception as error:  # noqa: BLE001 - the node loop: adapters are other people's code
            self._log(f"an adapter failed to take note of a commit ({type(error).__name__})")
