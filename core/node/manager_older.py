"""Verifies, beside the node's work, the ledger that a snapshot stood for at the start, and tells how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from core.ledger.older import OlderPart
from core.ledger.secrets import Keyring
from core.node.manager_start import PROGRESS_SECONDS, Older
from core.node.manager_tables import WRITE_SETS
from core.node.messages import FROM_MANAGER, LedgerNews
from core.ports import Disk, Transport
from core.types import Seqno


class LedgerStatus:
    """What node status tells of ledger and snapshots. Told to the executor once that listens, whenever it changes."""

    def __init__(self, executor: Transport, older: Older | None, snapshot: Seqno) -> None:
        self._executor = executor
        self._document: dict[str, Any] = {"snapshot": snapshot, "verified": "all"}
        self._listens = False
        if older is not None:
            self._document["verified"] = f"0 of {older.until.seqno} entries before the snapshot"

    async def listens(self) -> None:
        """Say that the executor listens now. Raises ChannelClosed."""
        if not self._listens:
            self._listens = True
            await self.tell()

    async def tell(self, **facts: Any) -> None:
        """Change some of it, and tell. Raises ChannelClosed."""
        self._document |= facts
        if self._listens:
            await self._executor.send(FROM_MANAGER.encode(LedgerNews(msgspec.json.encode(self._document))))


async def verify_older(
    older: Older,
    disk: Disk,
    keyring: Keyring,
    service_certificate: str,
    status: LedgerStatus,
    log: Callable[[str], None],
) -> None:
    """Verify it all. Raises LedgerDamaged, StorageFailed; a channel that closes meanwhile is no harm."""
    total = older.until.seqno
    part = OlderPart(
        older.until,
        keyring=keyring,
        domains=WRITE_SETS,
        service_certificate=service_certificate,
        history=older.history,
    )
    reached = Seqno(0)

    def note(seqno: Seqno) -> None:
        nonlocal reached
        reached = seqno

    async def tell() -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            await status.tell(verified=f"{reached} of {total} entries before the snapshot")

    telling = asyncio.create_task(tell())
    try:
        await part.verify(disk, older.chunks, note)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    log(f"the {total} entries before the snapshot are verified")
    await status.tell(verified="all")
