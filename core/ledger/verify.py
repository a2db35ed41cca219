"""Verifies a ledger that is read back, entry by entry. No I/O; nothing is taken on the host's word.

Checked per entry: framing, continuity of seqno and view, the authentication tag under the key of the node that led
that view; per signature entry: the Merkle root, and its signature by a node whose certificate, endorsed by the
service, stands in an earlier entry. A view whose epoch key names no leader begins with a signature entry: whoever signs
it, and is trusted there, leads the view. Whatever is complete but wrong raises LedgerDamaged, which says where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.crypto.certificates import public_key_of
from core.crypto.keys import PublicKey
from core.errors import AuthenticationFailed, CocoError, InvariantBroken, LedgerDamaged, MalformedMessage
from core.ledger.cose import verify_root
from core.ledger.entry import (
    VIEW_MAX,
    OpenedEntry,
    ParsedEntry,
    framed_bytes,
    nonce_of,
    open_entry,
    open_signature,
    parse_entry,
    position_of,
    signature_evidence,
)
from core.ledger.merkle import MerkleFrontier
from core.ledger.secrets import Keyring
from core.ledger.tables import ENDORSED_CERTIFICATES, NODES, DomainCodec, SignedRoot, TrustedNodes
from core.types import Digest, Seqno, View

DAMAGE_HINT = (
    "Nothing on disk was changed. Restore the node's whole data directory from a backup; if there is none, "
    "remove the network with `coco network destroy` and start a new one with `coco network create`."
)
_NONCE_AT = 24
"""Where an entry's nonce stands: after header and tag."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry begins."""

    file: str
    offset: int


@dataclass(frozen=True, slots=True)
class SignedState:
    """The ledger up to and including its newest signature. views: (view, its first seqno), in order.

    time_s: of the newest block, 0 where none is known.
    """

    seqno: Seqno
    view: View
    frontier: MerkleFrontier
    views: tuple[tuple[View, Seqno], ...]
    time_s: int = 0


def damaged(place: Place, seqno: int | None, what: str) -> LedgerDamaged:
    """Make the error that names file, byte and entry."""
    entry = "" if seqno is None else f", entry {seqno}"
    message = f"the ledger is damaged: {place.file}, byte {place.offset}{entry}: {what}"
    return LedgerDamaged(message, file=place.file, offset=place.offset, entry=seqno, what=what, hint=DAMAGE_HINT)


def read_signed_root(public: bytes, domains: DomainCodec) -> SignedRoot:
    """Parse the public write set of a signature entry; raises MalformedMessage for all but its one canonical form."""
    signed = SignedRoot.from_tables(domains.decode(public))
    if domains.encode(signed.to_tables()) != public:
        raise MalformedMessage("a signature entry is not in its one canonical form")
    return signed


def verify_signed_root(
    signed: SignedRoot,
    entry: OpenedEntry | ParsedEntry,
    root: Digest,
    nodes: TrustedNodes,
    service_key: PublicKey,
    *,
    after_s: int,
) -> int:
    """Verify what a signature entry says of the root of the entries before it; raises AuthenticationFailed.

    after_s: the time of the block before, 0 where none is known. Returns this one's, likewise.
    """
    signature = signed.node
    if (signature.view, signature.seqno) != (entry.view, entry.seqno):
        raise AuthenticationFailed("the signature was made for another entry")
    key = nodes.find(signature.node)
    if key is None:
        raise AuthenticationFailed("the signer is not a trusted node of this ledger")
    signature.verify(key, root)
    time_s = verify_root(signed.service, service_key, root, entry.view, entry.seqno)
    if entry.evidence != signature_evidence(entry.view, entry.seqno, root):
        raise AuthenticationFailed("the signature entry's commit evidence is not that of its root")
    if time_s is None and after_s:
        raise AuthenticationFailed("it states no time, and the block before it did")
    if (time_s or 0) < after_s:
        raise AuthenticationFailed(f"its time, {time_s}, is before that of the block before it, {after_s}")
    return time_s or 0


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """A signature, known to be good, from which a ledger is verified on, and the nodes trusted there."""

    signed: SignedState
    nodes: TrustedNodes


class LedgerVerifier:
    """Takes the entries of a ledger in order, from the first, or from the first after `start`."""

    def __init__(
        self, keyring: Keyring, domains: DomainCodec, service_certificate: str, start: StartingPoint | None = None
    ) -> None:
        self._keyring = keyring
        self._domains = domains
        self._service_certificate = service_certificate
        self._service_key = public_key_of(service_certificate)
        self._nodes = self._signed_nodes = TrustedNodes()
        self._frontier = MerkleFrontier()
        self._views: list[tuple[View, Seqno]] = []
        self._time_s = 0
        self.signed = SignedState(Seqno(0), View(0), self._frontier.copy(), ())
        if start is not None:
            self.go_back(start)

    @property
    def next_seqno(self) -> Seqno:
        return Seqno(self._frontier.last_seqno + 1)

    def point(self) -> StartingPoint:
        """Return the newest signature, to which `go_back` may go. What it holds is not changed later."""
        return StartingPoint(self.signed, self._signed_nodes)

    def go_back(self, point: StartingPoint) -> None:
        """Go on from a point. What the keyring learned since then is the caller's to forget."""
        self.signed, self._nodes, self._signed_nodes = point.signed, point.nodes, point.nodes
        self._frontier, self._views = point.signed.frontier.copy(), list(point.signed.views)

    def adopt(
        self, frontier: MerkleFrontier, view: View, first: Seqno, written: Sequence[bytes], *, time_s: int
    ) -> None:
        """Take a block that this node itself has just sealed from entry `first` on. frontier: with all of it.

        written: the public write sets of its entries. Raises AuthenticationFailed, MalformedMessage.
        """
        if first != self.next_seqno:
            raise InvariantBroken(f"a block from {first} on is adopted; {self.next_seqno} is next")
        for public in written:
            self._learn_nodes(public)
        if not self._views or view != self._views[-1][0]:
            self._views.append((view, first))
        self._frontier = frontier.copy()
        self.signed = SignedState(Seqno(frontier.last_seqno), view, frontier, tuple(self._views), time_s)
        self._signed_nodes = self._nodes

    def accept(self, data: bytes, place: Place) -> OpenedEntry:
        """Verify the next entry and return it; raises LedgerDamaged."""
        seqno = self.next_seqno
        try:
            entry = self._open(data)
            if entry.is_signature:
                self._verify_signature(entry)
            elif entry.public:
                self._learn_nodes(entry.public)
        except AuthenticationFailed as error:
            raise damaged(place, seqno, error.message) from None
        except MalformedMessage as error:
            raise damaged(place, seqno, error.message) from None
        self._append(entry)
        return entry

    def reject_unless_torn(self, rest: bytes, place: Place) -> None:
        """Judge the bytes after the last whole entry, whose header says that it is longer than what is there.

        A write that was cut off is a prefix of an entry, and nothing follows it. Raises LedgerDamaged when the entry
        is there in full, or a later one is: then it is the length in the header that is wrong.
        """
        seqno = self.next_seqno
        view = self._views[-1][0] if self._views else View(0)
        for candidate in self._candidates(rest, view):
            if self._opens(rest, candidate, seqno):
                raise damaged(place, seqno, "the length in its header is wrong")
            follower = Seqno(seqno + 1)
            found = rest.find(nonce_of(candidate, follower))
            while found >= 0:
                if found >= _NONCE_AT and self._begins_entry(rest[found - _NONCE_AT :], candidate, follower):
                    raise damaged(place, seqno, "the length in its header is wrong: a later entry follows it")
                found = rest.find(nonce_of(candidate, follower), found + 1)

    def _candidates(self, rest: bytes, view: View) -> list[View]:
        """Return the views that what follows may be of: those known, and one that may begin with it."""
        known = self._keyring.views_from(view)
        try:
            stated, _ = position_of(rest)
        except MalformedMessage:
            return known
        return known if stated <= self._keyring.last_view else [*known, stated]

    def _open(self, data: bytes) -> OpenedEntry:
        """Check place and view, and open the next entry. Raises MalformedMessage, AuthenticationFailed."""
        view, seqno = position_of(data)
        if seqno != self.next_seqno:
            raise MalformedMessage(f"it says it is entry {seqno}; entry {self.next_seqno} belongs here")
        before = self._views[-1][0] if self._views else View(0)
        if view < before:
            raise MalformedMessage(f"its view {view} is before view {before} of the entry before it")
        if view > before and self.signed.seqno != seqno - 1:
            raise MalformedMessage(f"its view {view} begins before the block of view {before} is signed")
        key = self._keyring.find(view, seqno)
        if key is not None:
            return open_entry(data, key)
        if before < view <= VIEW_MAX and (entry := parse_entry(data)).is_signature:
            return open_signature(entry)
        if view > self._keyring.last_view:
            raise MalformedMessage(
                f"it says it is of view {view}, but the sealed keys end with view {self._keyring.last_view}: "
                "they are older than the ledger, or the entry is damaged"
            )
        raise MalformedMessage(f"it says it is of view {view}, in which no entry {seqno} was sealed")

    def _append(self, entry: OpenedEntry) -> None:
        if not self._views or entry.view != self._views[-1][0]:
            self._views.append((entry.view, entry.seqno))
        self._frontier.append(entry.leaf)
        if entry.is_signature:
            self.signed = SignedState(entry.seqno, entry.view, self._frontier.copy(), tuple(self._views), self._time_s)
            self._signed_nodes = self._nodes

    def _verify_signature(self, entry: OpenedEntry) -> None:
        signed = read_signed_root(entry.public, self._domains)
        begins = self.signed.seqno == entry.seqno - 1 and self.signed.view < entry.view
        leader = self._keyring.leader(entry.view)
        if signed.node.node != leader and not (leader is None and begins):
            raise AuthenticationFailed("the signer did not lead this view")
        self._time_s = verify_signed_root(
            signed, entry, self._frontier.root(), self._nodes, self._service_key, after_s=self.signed.time_s
        )
        if begins:
            self._keyring.learn_view(entry.view, entry.seqno, signed.node.signer)

    def _learn_nodes(self, public: bytes) -> None:
        names = self._domains.names(public)
        if NODES in names or ENDORSED_CERTIFICATES in names:
            self._nodes = self._nodes.copy()
            self._nodes.absorb(self._domains.decode(public), self._service_certificate)

    def _opens(self, data: bytes, view: View, seqno: Seqno) -> bool:
        if len(data) < 8:
            return False
        key = self._keyring.find(view, seqno)
        header = ((len(data) - 8) << 16 | 1).to_bytes(8, "little")
        try:
            if position_of(data) != (view, seqno):
                return False
            if key is None:
                return parse_entry(header + data[8:]).is_signature
            open_entry(header + data[8:], key)
        except CocoError:
            return False
        return True

    def _begins_entry(self, data: bytes, view: View, seqno: Seqno) -> bool:
        try:
            size = framed_bytes(data)
        except CocoError:
            return False
        return size <= len(data) and self._opens(data[:size], view, seqno)
