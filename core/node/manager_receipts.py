"""Makes receipts, in the manager: from the ledger on disk, what is known of it in memory, and the entries' keys.

Commit evidence leaves the manager here and nowhere else, and only of committed entries. What the disk returns is
checked against the tree in memory, so that a host that returns something else gets no receipt made of it; the node goes
on, since nothing that it decides or writes depends on old entries.

Invariant: at most limits.RECEIPTS_IN_FLIGHT_MAX wait; one is made at a time.
"""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from core import limits
from core.crypto.hashing import sha256
from core.errors import InvariantBroken, LedgerDamaged, StorageFailed
from core.ledger.cose_receipt import CoseReceipt
from core.ledger.entry import open_entry
from core.ledger.history import LedgerHistory, Proven
from core.ledger.receipt import LeafComponents, Receipt
from core.ledger.secrets import Keyring
from core.ledger.tables import SignedRoot
from core.node.manager_tables import WRITE_SETS
from core.node.messages import FROM_MANAGER, ReceiptMade, ReceiptRequest
from core.ports import Disk, Transport
from core.types import NO_CLAIMS, Seqno


class ReceiptMaker:
    """See the module. certificates: of every node, by id (PEM); endorsements: of earlier services, as Receipt has."""

    def __init__(
        self,
        history: LedgerHistory,
        disk: Disk,
        keyring: Keyring,
        certificates: Mapping[str, str],
        *,
        log: Callable[[str], None],
        endorsements: Sequence[str] = (),
    ) -> None:
        self._history = history
        self._disk = disk
        self._keyring = keyring
        self._certificates = certificates
        self._endorsements = tuple(endorsements)
        self._log = log
        self._failed = 0
        self._closed = False
        self._waiting: deque[ReceiptRequest] = deque()
        self._something = asyncio.Event()

    def take(self, request: ReceiptRequest) -> ReceiptMade | None:
        """Queue a request; returns the answer at once when there is no receipt to be made."""
        if not 0 < request.seqno <= self._history.newest_seqno:
            return ReceiptMade(request.ticket, "not_committed")
        # After a start from a snapshot, what has been verified of the ledger may not reach so far yet.
        is_late = request.seqno > self._history.last_seqno
        if is_late or len(self._waiting) >= limits.RECEIPTS_IN_FLIGHT_MAX:
            return ReceiptMade(request.ticket, "overloaded")
        self._waiting.append(request)
        self._something.set()
        return None

    async def run(self, executor: Transport) -> None:
        """Make what is asked for, until `close` or until the channel closes (ChannelClosed)."""
        while not self._closed:
            await self._something.wait()
            self._something.clear()
            while self._waiting and not self._closed:
                made = await self._answer(self._waiting[0])
                self._waiting.popleft()
                await executor.send(FROM_MANAGER.encode(made))

    def close(self) -> None:
        """Have `run` return after the receipt that is being made."""
        self._closed = True
        self._something.set()

    async def _answer(self, request: ReceiptRequest) -> ReceiptMade:
        try:
            return await self.make(request.ticket, Seqno(request.seqno))
        except (LedgerDamaged, StorageFailed) as error:
            self._failed += 1
            if self._failed & (self._failed - 1) == 0:  # 1, 2, 4, 8, ...: asking again does not fill the log.
                self._log(f"no receipt of entry {request.seqno} ({self._failed} so far): {error.message}")
            return ReceiptMade(request.ticket, "unreadable")

    async def make(self, ticket: int, seqno: Seqno) -> ReceiptMade:
        """Make the receipts of a committed entry. Raises LedgerDamaged, StorageFailed."""
        proven = await self._history.prove(self._disk, seqno)
        signed = SignedRoot.from_tables(WRITE_SETS.decode(proven.signature.public))
        certificate = self._certificates.get(signed.node.node)
        if certificate is None:
            raise InvariantBroken(f"the certificate of node {signed.node.node[:16]} is not known")
        signature = base64.b64decode(signed.node.sig)
        if proven.entry.is_signature:
            root = signed.node.signed_root
            receipt = Receipt(certificate, signed.node.signer, root, (), signature, self._endorsements)
            return ReceiptMade(ticket, "", receipt.encode(), claims=NO_CLAIMS, is_signature=True)
        leaf, public, private = self._open(proven)
        receipt = Receipt(certificate, signed.node.signer, leaf, proven.path, signature, self._endorsements)
        if receipt.root != signed.node.signed_root:
            raise InvariantBroken(f"the proof of entry {seqno} does not lead to the root that was signed")
        cose = CoseReceipt.make(signed.service, leaf, proven.path)
        return ReceiptMade(ticket, "", receipt.encode(), cose.encode(), public, private, proven.entry.claims)

    def _open(self, proven: Proven) -> tuple[LeafComponents, bytes, bytes]:
        """Decrypt an entry; returns its leaf's components and its two encoded write sets."""
        entry = proven.entry
        key = self._keyring.find(entry.view, entry.seqno)
        if key is None:
            raise InvariantBroken(f"no key for entry {entry.seqno}, which is committed")
        evidence = key.commit_evidence(entry.seqno)
        if sha256(evidence.encode()) != entry.evidence:
            raise InvariantBroken(f"entry {entry.seqno} has other commit evidence than its key makes")
        opened = open_entry(proven.data, key)
        return LeafComponents(entry.digest, evidence, entry.claims), opened.public, opened.private
