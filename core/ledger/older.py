"""Verifies the part of a ledger that a snapshot stands for, after the start and beside the node's work.

Leaf hashes, Merkle roots and both signatures over each, by nodes that were trusted then; nothing is decrypted: each
entry's every byte is in its leaf. The tree must end as the one in the snapshot. What is wrong raises LedgerDamaged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from core.crypto.certificates import public_key_of
from core.errors import AuthenticationFailed, MalformedMessage
from core.ledger.backfill import BackfilledHistory
from core.ledger.entry import ParsedEntry, parse_entry
from core.ledger.files import FOLDER, Chunk, Record, arrange_chunks, read_records
from core.ledger.merkle import MerkleFrontier
from core.ledger.secrets import Keyring
from core.ledger.tables import ENDORSED_CERTIFICATES, NODES, DomainCodec, TrustedNodes
from core.ledger.verify import Place, SignedState, damaged, read_signed_root, verify_signed_root
from core.ports import Disk
from core.types import Seqno, View

ENTRIES_AT_A_TIME = 32
"""Between two of which the event loop may do other work: about a millisecond."""


class OlderPart:
    """See the module. until: the signature at which the snapshot stands. history: takes what is verified."""

    def __init__(
        self,
        until: SignedState,
        *,
        keyring: Keyring,
        domains: DomainCodec,
        service_certificate: str,
        history: BackfilledHistory,
    ) -> None:
        self._until = until
        self._keyring = keyring
        self._domains = domains
        self._service_certificate = service_certificate
        self._service_key = public_key_of(service_certificate)
        self._nodes = TrustedNodes()
        self._frontier = MerkleFrontier()
        self._view = View(0)
        self._time_s = 0
        self._history = history
        self._block: list[tuple[ParsedEntry, Record]] = []

    async def verify(self, disk: Disk, chunks: Sequence[Chunk], progress: Callable[[Seqno], None]) -> None:
        """Verify all of it. chunks: of the ledger at the start. progress: called after each slice.

        The last chunk may be closed, and renamed, meanwhile: it is read under the history's lock. Raises LedgerDamaged,
        StorageFailed.
        """
        for chunk in chunks:
            if chunk.first > self._until.seqno:
                break
            if chunk.last is None:
                async with self._history.lock:
                    now = arrange_chunks(await disk.list_files(FOLDER))
                    await self._verify_chunk(
                        disk, next((one for one in now if one.first == chunk.first), chunk), progress
                    )
            else:
                await self._verify_chunk(disk, chunk, progress)
            if chunk.last is not None and chunk.last <= self._until.seqno:
                self._history.close_older_chunk()
        self._finish(chunks)
        progress(self._until.seqno)

    async def _verify_chunk(self, disk: Disk, chunk: Chunk, progress: Callable[[Seqno], None]) -> None:
        async with aclosing(read_records(disk, chunk)) as records:
            async for record in records:
                if not record.whole or self._frontier.last_seqno == self._until.seqno:
                    return
                self._accept(record, chunk)
                if self._frontier.last_seqno % ENTRIES_AT_A_TIME == 0:
                    progress(self._history.last_seqno)
                    await asyncio.sleep(0)

    def _accept(self, record: Record, chunk: Chunk) -> None:
        seqno = Seqno(self._frontier.last_seqno + 1)
        try:
            entry = parse_entry(record.data)
            if entry.seqno != seqno or entry.view < self._view:
                raise MalformedMessage(f"it says it is entry {entry.view}.{entry.seqno}")
            if entry.is_signature:
                self._verify_signature(entry)
            elif entry.public:
                tables = self._domains.decode(entry.public)
                if NODES in tables or ENDORSED_CERTIFICATES in tables:
                    self._nodes.absorb(tables, self._service_certificate)
        except (AuthenticationFailed, MalformedMessage) as error:
            raise damaged(record.place, seqno, error.message) from None
        self._view = entry.view
        self._frontier.append(entry.leaf)
        self._block.append((entry, record))
        if entry.is_signature:
            for one, place in self._block:
                self._history.add_older(one.leaf, chunk.first, place.place.offset, len(place.data))
            self._block = []

    def _verify_signature(self, entry: ParsedEntry) -> None:
        signed = read_signed_root(entry.public, self._domains)
        begins = not self._block and entry.view > self._view
        leader = self._keyring.leader(entry.view)
        if signed.node.node != leader and not (leader is None and begins):
            raise AuthenticationFailed("the signer did not lead this view")
        self._time_s = verify_signed_root(
            signed, entry, self._frontier.root(), self._nodes, self._service_key, after_s=self._time_s
        )
        if begins:
            self._keyring.learn_view(entry.view, entry.seqno, signed.node.signer)

    def _finish(self, chunks: Sequence[Chunk]) -> None:
        last = max((chunk for chunk in chunks if chunk.first <= self._until.seqno), key=lambda one: one.first)
        if self._frontier.to_bytes() != self._until.frontier.to_bytes() or self._block:
            what = f"the entries up to {self._until.seqno} are not those that the snapshot stands for"
            raise damaged(Place(last.file, 0), self._until.seqno, what)
        self._history.complete()
