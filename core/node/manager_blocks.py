"""Turns a proposed block into sealed entries and a signature entry.

What a worker may write is checked here: its own adapter's tables and nothing else. A worker that tries more has been
taken over, or is broken: InvariantBroken stops the node. Governance messages are verified here, by the manager itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from core import limits
from core.crypto.hashing import sha256
from core.crypto.keys import PrivateKey
from core.errors import CocoError, InvariantBroken, MalformedMessage
from core.governance.messages import verify_message
from core.kv.write_set import PUBLIC_PREFIX, decode_domain, encode_domain, table_names
from core.ledger.cose import RootSigner
from core.ledger.entry import EntrySealer, SealedEntry
from core.ledger.merkle import MerkleFrontier
from core.ledger.secrets import EntryKey
from core.ledger.tables import RootSignature, SignedRoot
from core.node.manager_tables import EMPTY_DOMAIN, GOVERNANCE, SNAPSHOT, SYSTEM, rejection
from core.node.messages import EntryDraft, GovernanceResult, ProposeBlock, ReplayedEntry
from core.node.replication.blocks import SealedBlock
from core.node.replication.head import LedgerHead
from core.types import NO_CLAIMS, Digest, Seqno, View

CLAIMS_BYTES = 32


@dataclass(frozen=True, slots=True)
class Own:
    """What the manager puts into an entry that its worker proposed for it. public: the encoded write set.

    change: the change of configuration (encoded) that belongs to it, b"" for none. claims: the entry's.
    """

    public: bytes
    claims: Digest = NO_CLAIMS
    change: bytes = b""


FillIn = Callable[[str, Seqno], Own]
"""Takes what the draft names (SNAPSHOT, SYSTEM) and the entry's seqno."""


class BlockSealer:
    """Seals the blocks of one view, which this node leads, at the ledger's head. Owns the rule of who writes what."""

    def __init__(
        self, view: View, head: LedgerHead, node_key: PrivateKey, service: RootSigner, clock: Callable[[], float]
    ) -> None:
        self._view = view
        self._head = head
        self._node = node_key.public_key().node_id()
        self._node_key = node_key
        self._service = service
        self._clock = clock
        self._frontier = MerkleFrontier()
        self._sealer: EntrySealer | None = None
        self._key: EntryKey | None = None
        self._prefixes = {
            adapter: (f"{PUBLIC_PREFIX}{adapter}.", f"{adapter}.") for adapter in head.state.constitution.adapters
        }

    @property
    def view(self) -> View:
        return self._view

    def seal_system(self, entries: Sequence[bytes]) -> SealedBlock:
        """Seal a block of the manager's own: encoded public write sets, or none: then it holds a signature only."""
        block = self._open()
        for public in entries:
            block.append(self._seal_own(public, NO_CLAIMS), public, EMPTY_DOMAIN)
        return self._finish(block, [], int(self._clock()))

    def check_place(self, proposed: ProposeBlock) -> None:
        """Raise InvariantBroken for a block of this view that is not the next."""
        first = self._head.seqno + 1
        if proposed.view != self._view or proposed.first_seqno != first:
            raise InvariantBroken(
                f"the worker proposed a block at {proposed.view}.{proposed.first_seqno}; {self._view}.{first} is next"
            )
        if not proposed.entries:
            raise InvariantBroken("the worker proposed a block without entries")

    def seal_proposed(self, proposed: ProposeBlock, fill_in: FillIn) -> tuple[SealedBlock, bytes]:
        """Check and seal a worker's block; raises InvariantBroken for anything the worker may not do.

        Returns the change of configuration that belongs to it, too; b"" for none.
        """
        self.check_place(proposed)
        block, results, change = self._open(), list[GovernanceResult](), b""
        for draft in proposed.entries:
            seqno = Seqno(self._frontier.last_seqno + 1)
            if draft.adapter == GOVERNANCE:
                result = self._govern(draft, seqno)
                results.append(result)
                block.append(self._seal_own(result.public, NO_CLAIMS), result.public, EMPTY_DOMAIN)
            elif draft.adapter in (SNAPSHOT, SYSTEM):
                if len(proposed.entries) != 1:
                    raise InvariantBroken("the worker proposed an entry of the manager's among others")
                _check_empty(draft)
                own = fill_in(draft.adapter, seqno)
                change = own.change
                results.append(GovernanceResult(seqno, own.public, ""))
                block.append(self._seal_own(own.public, own.claims), own.public, EMPTY_DOMAIN)
            else:
                self._check(draft)
                entry = self._seal(draft.public, draft.private, Digest(draft.claims))
                block.append(entry, draft.public, draft.private)
        latest_s = int(self._clock()) + limits.BLOCK_TIME_AHEAD_SECONDS_MAX
        return self._finish(block, results, min(proposed.time_s, latest_s)), change

    def _open(self) -> _Open:
        """Begin a block at the ledger's head, under the key in use there."""
        self._frontier = self._head.frontier.copy()
        first = Seqno(self._frontier.last_seqno + 1)
        self._head.keyring.learn_view(self._view, first, self._node)
        key = self._head.keyring.find(self._view, first)
        if key is None:
            raise InvariantBroken(f"view {self._view} has no key")
        if self._sealer is None or key is not self._key:
            self._sealer, self._key = EntrySealer(key, Seqno(self._frontier.last_seqno)), key
        return _Open(first)

    def _seal_own(self, public: bytes, claims: Digest) -> SealedEntry:
        """Seal an entry of the manager's own, and take in what it writes."""
        self._head.tables.note(Seqno(self._frontier.last_seqno + 1), public)
        self._head.changing_state().absorb(public)
        return self._seal(public, EMPTY_DOMAIN, claims)

    def _seal(self, public: bytes, private: bytes, claims: Digest) -> SealedEntry:
        entry = self._entry_sealer.seal(Seqno(self._frontier.last_seqno + 1), public, private, claims)
        self._frontier.append(entry.leaf)
        return entry

    @property
    def _entry_sealer(self) -> EntrySealer:
        if self._sealer is None:
            raise InvariantBroken("an entry is sealed outside a block")
        return self._sealer

    def _finish(self, block: _Open, results: Sequence[GovernanceResult], time_s: int) -> SealedBlock:
        """time_s: the block's, unless the one before it is later: clocks differ, and are set."""
        time_s = max(time_s, self._head.time_s)
        last = Seqno(self._frontier.last_seqno + 1)
        root = self._frontier.root()
        signature = RootSignature.make(self._node_key, self._node, self._view, last, root)
        signed = SignedRoot(signature, self._service.sign(root, self._view, last, time_s))
        entry = self._entry_sealer.seal_signature(last, encode_domain(signed.to_tables()), root)
        self._frontier.append(entry.leaf)
        sealed = [*block.sealed, entry]
        finished = SealedBlock(
            data=b"".join([one.data for one in sealed]),
            first=block.first,
            last=last,
            view=self._view,
            frontier=self._frontier.copy(),
            governance=tuple(results),
            leaves=tuple((one.leaf, len(one.data)) for one in sealed),
            entries=tuple(block.entries),
            time_s=time_s,
        )
        self._head.adopt(finished)
        # A new epoch's key seals what comes after the block that records it.
        changed = any([self._head.learn_epochs(one.public) for one in block.entries])
        return replace(finished, keys_changed=True) if changed else finished

    def _check(self, draft: EntryDraft) -> None:
        prefixes = self._prefixes.get(draft.adapter)
        if prefixes is None:
            raise InvariantBroken(f"the worker proposed an entry of adapter {draft.adapter[:40]!r}, which is not live")
        if len(draft.claims) != CLAIMS_BYTES:
            raise InvariantBroken(f"the worker proposed a claims digest of {len(draft.claims)} bytes")
        if len(draft.public) + len(draft.private) > limits.ENTRY_BYTES_MAX - limits.KIBIBYTE:
            raise InvariantBroken(f"the worker proposed an entry of more than {limits.ENTRY_BYTES_MAX} bytes")
        try:
            # Others read the public domain without a worker's help, so all of it must parse.
            public = () if draft.public == EMPTY_DOMAIN else decode_domain(draft.public)
            names = [(name, prefixes[0]) for name in public]
            names += [(name, prefixes[1]) for name in table_names(draft.private)]
        except MalformedMessage as error:
            raise InvariantBroken(f"the worker proposed a misshapen entry: {error.message}") from None
        for name, prefix in names:
            if not name.startswith(prefix):
                raise InvariantBroken(
                    f"the worker's adapter {draft.adapter} wrote to table {name[:140]!r}; only {prefix}* is its own"
                )

    def _govern(self, draft: EntryDraft, seqno: Seqno) -> GovernanceResult:
        _check_empty(draft)
        state = self._head.changing_state()
        try:
            message = verify_message(draft.private, state.constitution, self._clock())
            writes, reason = state.accept(message, draft.private), ""
        except CocoError as error:
            # The entry stands even so: the worker has already counted on its seqno.
            writes, reason = rejection(sha256(draft.private), error)
        return GovernanceResult(seqno, encode_domain(writes), reason)


@dataclass(slots=True)
class _Open:
    """A block that is being made."""

    first: Seqno
    sealed: list[SealedEntry] = field(default_factory=list)
    entries: list[ReplayedEntry] = field(default_factory=list)

    def append(self, entry: SealedEntry, public: bytes, private: bytes) -> None:
        self.entries.append(ReplayedEntry(self.first + len(self.sealed), public, private))
        self.sealed.append(entry)


def _check_empty(draft: EntryDraft) -> None:
    if draft.public not in (b"", EMPTY_DOMAIN):
        raise InvariantBroken("the worker proposed an entry of the manager's with writes of its own")
