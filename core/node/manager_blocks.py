"""Turns a proposed block into sealed entries and a signature entry.

What a worker may write is checked here: its own adapter's tables and nothing else. A worker that tries more has been
taken over, or is broken: InvariantBroken stops the node. Governance messages are verified here, by the manager itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
from core.node.manager_tables import EMPTY_DOMAIN, GOVERNANCE, SNAPSHOT, SystemState, rejection
from core.node.messages import EntryDraft, GovernanceResult, ProposeBlock
from core.node.system_tables import SystemTables
from core.types import NO_CLAIMS, Digest, NodeId, Seqno, View

CLAIMS_BYTES = 32

Evidence = Callable[[Seqno], tuple[bytes, Digest]]


@dataclass(frozen=True, slots=True)
class SealedBlock:
    """Whole entries, the last of which is the signature at `last`. leaves: of each, with its size in bytes.

    frontier: of the Merkle tree with all of them.
    """

    data: bytes
    first: Seqno
    last: Seqno
    view: View
    frontier: MerkleFrontier
    governance: tuple[GovernanceResult, ...] = ()
    leaves: tuple[tuple[Digest, int], ...] = ()


class BlockSealer:
    """Seals the blocks of one view. Owns the Merkle tree and the next seqno."""

    def __init__(
        self,
        key: EntryKey,
        node_key: PrivateKey,
        service: RootSigner,
        frontier: MerkleFrontier,
        state: SystemState,
        tables: SystemTables,
        clock: Callable[[], float],
    ) -> None:
        self._tables = tables
        self._node = key.node
        self._view = key.view
        self._node_key = node_key
        self._service = service
        self._frontier = frontier
        self._sealer = EntrySealer(key, Seqno(frontier.last_seqno))
        self._state = state
        self._clock = clock
        self._prefixes = {
            adapter: (f"{PUBLIC_PREFIX}{adapter}.", f"{adapter}.") for adapter in state.constitution.adapters
        }

    @property
    def view(self) -> View:
        return self._view

    @property
    def node(self) -> NodeId:
        return self._node

    @property
    def last_seqno(self) -> Seqno:
        """Of the newest entry sealed."""
        return Seqno(self._frontier.last_seqno)

    def seal_system(self, entries: Sequence[bytes]) -> SealedBlock:
        """Seal a block of the manager's own: encoded public write sets."""
        first = Seqno(self.last_seqno + 1)
        return self._finish(first, [self._seal_own(public, NO_CLAIMS) for public in entries], [])

    def seal_proposed(self, proposed: ProposeBlock, evidence: Evidence) -> SealedBlock:
        """Check and seal a worker's block; raises InvariantBroken for anything the worker may not do.

        evidence: returns what the entry of that seqno is to say of a snapshot, and claim.
        """
        first = Seqno(self.last_seqno + 1)
        if proposed.view != self._view or proposed.first_seqno != first:
            raise InvariantBroken(
                f"the worker proposed a block at {proposed.view}.{proposed.first_seqno}; {self._view}.{first} is next"
            )
        if not proposed.entries:
            raise InvariantBroken("the worker proposed a block without entries")
        sealed, results = list[SealedEntry](), list[GovernanceResult]()
        for draft in proposed.entries:
            if draft.adapter == GOVERNANCE:
                result = self._govern(draft)
                results.append(result)
                sealed.append(self._seal_own(result.public, NO_CLAIMS))
            elif draft.adapter == SNAPSHOT:
                _check_empty(draft)
                seqno = Seqno(self.last_seqno + 1)
                public, claims = evidence(seqno)
                results.append(GovernanceResult(seqno, public, ""))
                sealed.append(self._seal_own(public, claims))
            else:
                self._check(draft)
                sealed.append(self._seal(draft.public, draft.private, Digest(draft.claims)))
        return self._finish(first, sealed, results)

    def _seal_own(self, public: bytes, claims: Digest) -> SealedEntry:
        """Seal an entry of the manager's own."""
        self._tables.note(Seqno(self.last_seqno + 1), public)
        return self._seal(public, EMPTY_DOMAIN, claims)

    def _seal(self, public: bytes, private: bytes, claims: Digest) -> SealedEntry:
        entry = self._sealer.seal(Seqno(self.last_seqno + 1), public, private, claims)
        self._frontier.append(entry.leaf)
        return entry

    def _finish(self, first: Seqno, sealed: Sequence[SealedEntry], results: Sequence[GovernanceResult]) -> SealedBlock:
        last = Seqno(self.last_seqno + 1)
        root = self._frontier.root()
        signature = RootSignature.make(self._node_key, self._node, self._view, last, root)
        signed = SignedRoot(signature, self._service.sign(root, self._view, last))
        entry = self._sealer.seal_signature(last, encode_domain(signed.to_tables()), root)
        self._frontier.append(entry.leaf)
        entries = [*sealed, entry]
        leaves = tuple((one.leaf, len(one.data)) for one in entries)
        data = b"".join([one.data for one in entries])
        return SealedBlock(data, first, last, self._view, self._frontier.copy(), tuple(results), leaves)

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

    def _govern(self, draft: EntryDraft) -> GovernanceResult:
        seqno = self.last_seqno + 1
        _check_empty(draft)
        try:
            message = verify_message(draft.private, self._state.constitution, self._clock())
            writes, reason = self._state.accept(message, draft.private), ""
        except CocoError as error:
            # The entry stands even so: the worker has already counted on its seqno.
            writes, reason = rejection(sha256(draft.private), error)
        return GovernanceResult(seqno, encode_domain(writes), reason)


def _check_empty(draft: EntryDraft) -> None:
    if draft.public not in (b"", EMPTY_DOMAIN):
        raise InvariantBroken("the worker proposed an entry of the manager's with writes of its own")
