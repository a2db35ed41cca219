"""Verifies a ledger that is read back, entry by entry. No I/O; nothing is taken on the host's word.

Checked per entry: framing, continuity of seqno and view, the authentication tag under the key of the node that led
that view; per signature entry: the Merkle root, and its signature by a node whose certificate, endorsed by the
service, stands in an earlier entry. Whatever is complete but wrong raises LedgerDamaged, which says where.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.crypto.certificates import public_key_of
from core.crypto.keys import PublicKey
from core.errors import AuthenticationFailed, CocoError, LedgerDamaged, MalformedMessage
from core.ledger.cose import verify_root
from core.ledger.entry import (
    OpenedEntry,
    ParsedEntry,
    framed_bytes,
    nonce_of,
    open_entry,
    position_of,
    signature_evidence,
)
from core.ledger.merkle import MerkleFrontier
from core.ledger.secrets import EntryKey, Keyring
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
    """The ledger up to and including its newest signature. views: (view, its first seqno), in order."""

    seqno: Seqno
    view: View
    frontier: MerkleFrontier
    views: tuple[tuple[View, Seqno], ...]


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
    signed: SignedRoot, entry: OpenedEntry | ParsedEntry, root: Digest, nodes: TrustedNodes, service_key: PublicKey
) -> None:
    """Verify what a signature entry says of the root of the entries before it; raises AuthenticationFailed."""
    signature = signed.node
    if (signature.view, signature.seqno) != (entry.view, entry.seqno):
        raise AuthenticationFailed("the signature was made for another entry")
    key = nodes.find(signature.node)
    if key is None:
        raise AuthenticationFailed("the signer is not a trusted node of this ledger")
    signature.verify(key, root)
    verify_root(signed.service, service_key, root, entry.view, entry.seqno)
    if entry.evidence != signature_evidence(entry.view, entry.seqno, root):
        raise AuthenticationFailed("the signature entry's commit evidence is not that of its root")


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
        self._nodes = TrustedNodes()
        self._frontier = MerkleFrontier()
        self._views: list[tuple[View, Seqno]] = []
        self.signed = SignedState(Seqno(0), View(0), self._frontier.copy(), ())
        if start is not None:
            self.signed, self._nodes = start.signed, start.nodes
            self._frontier, self._views = start.signed.frontier.copy(), list(start.signed.views)

    @property
    def next_seqno(self) -> Seqno:
        return Seqno(self._frontier.last_seqno + 1)

    def accept(self, data: bytes, place: Place) -> OpenedEntry:
        """Verify the next entry and return it; raises LedgerDamaged."""
        seqno = self.next_seqno
        try:
            entry = open_entry(data, self._key_of(data))
            if entry.is_signature:
                self._verify_signature(entry)
            elif entry.public:
                self._learn_nodes(entry)
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
        for candidate in self._keyring.views_from(view):
            if self._opens(rest, candidate, seqno):
                raise damaged(place, seqno, "the length in its header is wrong")
            follower = Seqno(seqno + 1)
            found = rest.find(nonce_of(candidate, follower))
            while found >= 0:
                if found >= _NONCE_AT and self._begins_entry(rest[found - _NONCE_AT :], candidate, follower):
                    raise damaged(place, seqno, "the length in its header is wrong: a later entry follows it")
                found = rest.find(nonce_of(candidate, follower), found + 1)

    def _key_of(self, data: bytes) -> EntryKey:
        view, seqno = position_of(data)
        if seqno != self.next_seqno:
            raise MalformedMessage(f"it says it is entry {seqno}; entry {self.next_seqno} belongs here")
        if self._views and view < self._views[-1][0]:
            raise MalformedMessage(f"its view {view} is before view {self._views[-1][0]} of the entry before it")
        key = self._keyring.find(view, seqno)
        if key is None and view > self._keyring.last_view:
            raise MalformedMessage(
                f"it says it is of view {view}, but the sealed keys end with view {self._keyring.last_view}: "
                "they are older than the ledger, or the entry is damaged"
            )
        if key is None:
            raise MalformedMessage(f"it says it is of view {view}, in which no entry {seqno} was sealed")
        return key

    def _append(self, entry: OpenedEntry) -> None:
        if not self._views or entry.view != self._views[-1][0]:
            self._views.append((entry.view, entry.seqno))
        self._frontier.append(entry.leaf)
        if entry.is_signature:
            self.signed = SignedState(entry.seqno, entry.view, self._frontier.copy(), tuple(self._views))

    def _verify_signature(self, entry: OpenedEntry) -> None:
        signed = read_signed_root(entry.public, self._domains)
        leader = self._keyring.find(entry.view, entry.seqno)
        if leader is None or signed.node.node != leader.node:
            raise AuthenticationFailed("the signer did not lead this view")
        verify_signed_root(signed, entry, self._frontier.root(), self._nodes, self._service_key)

    def _learn_nodes(self, entry: OpenedEntry) -> None:
        tables = self._domains.decode(entry.public)
        if NODES in tables or ENDORSED_CERTIFICATES in tables:
            self._nodes.absorb(tables, self._service_certificate)

    def _opens(self, data: bytes, view: View, seqno: Seqno) -> bool:
        key = self._keyring.find(view, seqno)
        if key is None or len(data) < 8:
            return False
        header = ((len(data) - 8) << 16 | 1).to_bytes(8, "little")
        try:
            if position_of(data) != (view, seqno):
                return False
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
