"""Epoch secrets and the entry keys derived from them. DESIGN section 6.

Entry key = HKDF(epoch key, node id | view | "entry"), and an entry's nonce is its seqno and view. A node id belongs to
one start of one node, a view to one leader, and an `EntrySealer` seals each seqno once, in rising order: so AES-GCM
never sees a nonce twice under a key, whatever leader changes, restarts and rolled-back disks do. Snapshots have keys of
their own, made with "snapshot" in the place of "entry"; a node writes one snapshot of a seqno, in rising order too.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field

from core.crypto.aead import AeadKey
from core.crypto.hashing import hkdf_sha256, sha256
from core.errors import InvariantBroken
from core.types import Digest, NodeId, Seqno, View


@dataclass(frozen=True, slots=True)
class EpochSecret:
    """An epoch session key (32 bytes) and where it begins to be used. node: leads the view `first_view`."""

    epoch: int
    first_seqno: Seqno
    first_view: View
    node: NodeId
    key: bytes = field(repr=False)


class EntryKey:
    """The keys of one node in one view of one epoch: of its entries, and of their commit evidence."""

    __slots__ = ("_evidence_key", "aead", "node", "view")

    def __init__(self, epoch_key: bytes, node: NodeId, view: View) -> None:
        scope = bytes.fromhex(node) + view.to_bytes(8, "little")
        self.aead = AeadKey(hkdf_sha256(epoch_key, info=scope + b"entry"))
        self._evidence_key = hkdf_sha256(epoch_key, info=scope + b"commit evidence")
        self.node = node
        self.view = view

    def commit_evidence(self, seqno: Seqno) -> str:
        """Return what is disclosed once the entry is committed, and nobody else can make before. As CCF writes it."""
        nonce = hmac.digest(self._evidence_key, seqno.to_bytes(8, "little"), "sha256")
        return f"ce:{self.view}.{seqno}:{nonce.hex()}"

    def commit_evidence_digest(self, seqno: Seqno) -> Digest:
        return sha256(self.commit_evidence(seqno).encode())


class Keyring:
    """The epoch secrets this node holds, oldest first, and who leads which view. Old keys only decrypt.

    The key of an entry is made of the newest epoch that had begun there and of the node that leads its view. A view
    that began with an epoch of its own is known from that epoch; any other is learned from its first entry, a
    signature.
    """

    def __init__(self, secrets: Iterable[EpochSecret]) -> None:
        self._epochs: list[EpochSecret] = []
        self._views: dict[View, tuple[Seqno, NodeId]] = {}
        self._cached: tuple[int, EntryKey] | None = None
        for secret in secrets:
            self.add_epoch(secret)

    @property
    def last_view(self) -> View:
        """The highest view that is known; 0 when there is none."""
        return max(self._views, default=View(0))

    @property
    def epochs(self) -> tuple[EpochSecret, ...]:
        return tuple(self._epochs)

    def views_from(self, view: View) -> list[View]:
        """Return the known views from one on, in order."""
        return sorted(known for known in self._views if known >= view)

    def leader(self, view: View) -> NodeId | None:
        """Return who leads a view, None when that is not known."""
        known = self._views.get(view)
        return None if known is None else known[1]

    def add_epoch(self, secret: EpochSecret) -> None:
        """Take the next epoch; raises InvariantBroken for one that is not the next."""
        if self._epochs:
            last = self._epochs[-1]
            if (secret.first_view, secret.first_seqno) <= (last.first_view, last.first_seqno):
                raise InvariantBroken("epoch secrets are out of order")
        self._epochs.append(secret)
        if secret.first_view not in self._views:
            self._views[secret.first_view] = (secret.first_seqno, secret.node)
        elif self._views[secret.first_view][1] != secret.node:
            raise InvariantBroken(f"view {secret.first_view} would be led by two nodes")

    def learn_view(self, view: View, first_seqno: Seqno, node: NodeId) -> None:
        """Note who leads a view, as its first entry says. Raises InvariantBroken for a second leader."""
        known = self._views.get(view)
        if known is not None and known[1] != node:
            raise InvariantBroken(f"view {view} would be led by two nodes")
        if known is None or first_seqno < known[0]:
            self._views[view] = (first_seqno, node)

    def roll_back(self, seqno: Seqno) -> None:
        """Forget what was learned from entries after `seqno`: an epoch is used from the block after its record on."""
        self._epochs = [secret for secret in self._epochs if secret.first_seqno <= seqno + 1]
        kept = {secret.first_view for secret in self._epochs}
        self._views = {view: known for view, known in self._views.items() if known[0] <= seqno or view in kept}
        self._cached = None

    def find(self, view: View, seqno: Seqno) -> EntryKey | None:
        """Return the key an entry was sealed with, None when no secret here was in use then."""
        found = self._find(view, seqno)
        if found is None:
            return None
        number, secret, node = found
        # A reader walks the ledger in order, so remembering one key is enough.
        if self._cached is None or self._cached[0] != number or self._cached[1].view != view:
            self._cached = number, EntryKey(secret.key, node, view)
        return self._cached[1]

    def snapshot_key(self, view: View, seqno: Seqno) -> bytes | None:
        """Return the key of the snapshot at a seqno of a view, None when no secret here was in use then."""
        found = self._find(view, seqno)
        if found is None:
            return None
        _, secret, node = found
        scope = bytes.fromhex(node) + view.to_bytes(8, "little")
        return hkdf_sha256(secret.key, info=scope + b"snapshot")

    def _find(self, view: View, seqno: Seqno) -> tuple[int, EpochSecret, NodeId] | None:
        """Return the epoch, with its place, and the leader of the view."""
        known = self._views.get(view)
        if known is None or seqno < known[0]:
            return None
        for number in range(len(self._epochs) - 1, -1, -1):
            secret = self._epochs[number]
            if secret.first_seqno <= seqno and secret.first_view <= view:
                return number, secret, known[1]
        return None
