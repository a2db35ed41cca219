"""Epoch secrets and the entry keys derived from them. DESIGN section 6.

Entry key = HKDF(epoch key, node id | view | "entry"), and an entry's nonce is its seqno and view. A node id belongs to
one start of one node, a view to one leader, and an `EntrySealer` seals each seqno once, in rising order: so AES-GCM
never sees a nonce twice under a key, whatever restarts and rolled-back disks do. Snapshots have keys of their own, made
with "snapshot" in the place of "entry"; a node writes one snapshot of a seqno, in rising order too.
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
    """All epoch secrets this node holds, oldest first, one per view. Old ones only decrypt."""

    def __init__(self, secrets: Iterable[EpochSecret]) -> None:
        listed = list(secrets)
        self._by_view = {secret.first_view: secret for secret in listed}
        self._cached: EntryKey | None = None
        if [secret.first_view for secret in listed] != sorted(self._by_view):
            raise InvariantBroken("epoch secrets are out of order")

    @property
    def last_view(self) -> View:
        """The highest view any secret was made for; 0 when there is none."""
        return max(self._by_view, default=View(0))

    def views_from(self, view: View) -> list[View]:
        """Return the views from one on, in order."""
        return [known for known in self._by_view if known >= view]

    def find(self, view: View, seqno: Seqno) -> EntryKey | None:
        """Return the key an entry was sealed with, None when no secret here was in use then."""
        secret = self._by_view.get(view)
        if secret is None or seqno < secret.first_seqno:
            return None
        # A reader walks the views in order, so remembering one key is enough.
        if self._cached is None or self._cached.view != view:
            self._cached = EntryKey(secret.key, secret.node, view)
        return self._cached

    def snapshot_key(self, view: View, seqno: Seqno) -> bytes | None:
        """Return the key of the snapshot at a seqno of a view, None when no secret here was in use then."""
        secret = self._by_view.get(view)
        if secret is None or seqno < secret.first_seqno:
            return None
        scope = bytes.fromhex(secret.node) + view.to_bytes(8, "little")
        return hkdf_sha256(secret.key, info=scope + b"snapshot")
