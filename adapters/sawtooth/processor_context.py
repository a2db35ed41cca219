"""The state as a processor outside the enclave has it for one transaction, and what the processor leaves.

Rules: those of sdk/context.py, which the executor applies again to the result. In addition a processor reads only where
its own identity may. All reads of a run are from one state root, over what the batch's transactions before wrote; the
result names each with its digest, so that the executor can tell whether they still hold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from adapters.sawtooth.access import Sight
from adapters.sawtooth.addresses import NAMESPACE_BYTES, is_address
from adapters.sawtooth.execution import CHANGES_MAX
from adapters.sawtooth.requests import StateRead, StateWrite, TransactionResult
from adapters.sawtooth.sdk.context import EVENT_BYTES_MAX
from adapters.sawtooth.validation import SignedTransaction
from core import limits
from core.errors import CocoError

READS_MAX = 10_000
"""Addresses that one run of a batch may read."""
READ_BYTES_MAX = 16 * limits.MEBIBYTE
"""What the answers to a processor may come to, in one run of a batch."""
ANSWER_BYTES_MAX = 4 * limits.MEBIBYTE
WRITTEN_BYTES_MAX = limits.COMMAND_BYTES_MAX
"""What a batch's transactions may write, tell and claim to have read, all together: it has to fit into a command."""
_ENTRY_BYTES = 48
"""What an address takes in a command, beside its data."""

ReadState = Callable[[bytes], Awaitable[bytes]]
"""Reads an address at the run's state root; b"" where there is nothing."""


class Unauthorized(Exception):
    """A processor used an address that is not the transaction's, or more than it may."""


class Outdated(CocoError):
    """The state that a run reads cannot be had any more."""


class BatchState:
    """What one run of a batch shares: the changes of the transactions that ran, the root they read at, the bounds.

    root: "" before the first read.
    """

    __slots__ = ("changes", "read_bytes_left", "reads_left", "root", "written_bytes_left")

    def __init__(self) -> None:
        self.changes: dict[bytes, bytes | None] = {}
        self.root = ""
        self.reads_left = READS_MAX
        self.read_bytes_left = READ_BYTES_MAX
        self.written_bytes_left = WRITTEN_BYTES_MAX


class ProcessorContext:
    """One transaction's. read: in the processor's own name; sight: the processor's; usable: the submitter's namespaces.

    Once `close` was called, or a bound was passed, nothing more is taken.
    """

    def __init__(
        self,
        transaction: SignedTransaction,
        batch: BatchState,
        read: ReadState,
        sight: Sight,
        usable: Collection[bytes],
    ) -> None:
        self._inputs = tuple(transaction.header.inputs)
        self._outputs = tuple(transaction.header.outputs)
        self._batch = batch
        self._read = read
        self._sight = sight
        self._usable = usable
        self._reads: dict[bytes, bytes] = {}
        self._changes: dict[bytes, bytes | None] = {}
        self._events: list[bytes] = []
        self._receipt_data: list[bytes] = []
        self._told_bytes_left = EVENT_BYTES_MAX
        self._excess = ""
        self._is_open = True
        self.is_outdated = False
        """Whether something could not be read: then the batch has to run again, whatever the processor says."""

    def close(self) -> None:
        """Take nothing more."""
        self._is_open = False

    async def get(self, addresses: Sequence[str]) -> list[tuple[str, bytes]]:
        """Return what is at each address, b"" where there is nothing. Raises Unauthorized, and what reading raises."""
        keys = self._keys(addresses, self._inputs)
        for key in keys:
            if not self._sight.sees_address(key):
                raise Unauthorized
        found: list[tuple[str, bytes]] = []
        left = ANSWER_BYTES_MAX
        for address, key in zip(addresses, keys, strict=True):
            data = await self._value(key)
            left -= len(data)
            self._batch.read_bytes_left -= len(data)
            if left < 0 or self._batch.read_bytes_left < 0:
                self._exceed(f"the processor was told more than {ANSWER_BYTES_MAX} bytes at a time")
            found.append((address, data))
        return found

    def set(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Set addresses to data. Raises Unauthorized, with nothing set."""
        entries = list(entries)
        keys = self._keys([address for address, _ in entries], self._outputs)
        self._write(zip(keys, (data for _, data in entries), strict=True))

    def delete(self, addresses: Sequence[str]) -> None:
        """Delete addresses. Raises Unauthorized, with nothing deleted."""
        self._write((key, None) for key in self._keys(addresses, self._outputs))

    def add_receipt_data(self, data: bytes) -> None:
        """Add bytes to the transaction's receipt. Raises Unauthorized."""
        self._tell(data)
        self._receipt_data.append(data)

    def add_event(self, event: Any) -> None:
        """Add an Event to the transaction's receipt. Raises Unauthorized."""
        data: bytes = event.SerializeToString()
        self._tell(data)
        self._events.append(data)

    def result(self, error: str | None = None, extended_data: bytes = b"") -> TransactionResult:
        """Return what the processor did, and let the batch's next transactions see it. error: why it is invalid."""
        self.close()
        reads = tuple(StateRead(key, digest) for key, digest in self._reads.items())
        error = self._excess or error
        if error is not None:
            return TransactionResult(reads, error=error, extended_data=extended_data)
        self._batch.changes.update(self._changes)
        writes = tuple(StateWrite(key, data) for key, data in self._changes.items())
        return TransactionResult(reads, writes, tuple(self._events), tuple(self._receipt_data))

    def _keys(self, addresses: Sequence[str], allowed: tuple[str, ...]) -> list[bytes]:
        self._check_open()
        if len(addresses) > READS_MAX:
            self._exceed(f"the processor used more than {READS_MAX} addresses at a time")
        for address in addresses:
            if is_address(address) is None or not address.startswith(allowed):
                raise Unauthorized
        keys = [bytes.fromhex(address) for address in addresses]
        if any(key[:NAMESPACE_BYTES] not in self._usable for key in keys):
            raise Unauthorized
        return keys

    async def _value(self, key: bytes) -> bytes:
        self._check_open()
        for changes in (self._changes, self._batch.changes):
            if key in changes:
                data = changes[key] or b""
                break
        else:
            try:
                data = await self._read(key)
            except CocoError:
                self.is_outdated = True
                self.close()
            self._check_open()
        if key not in self._changes and key not in self._reads:
            self._batch.reads_left -= 1
            if self._batch.reads_left < 0:
                self._exceed(f"the processor read more than {READS_MAX} addresses")
            self._spend(2 * _ENTRY_BYTES)
            self._reads[key] = hashlib.sha256(data).digest() if data else b""
        return data

    def _write(self, changes: Iterable[tuple[bytes, bytes | None]]) -> None:
        for key, data in changes:
            self._spend(_ENTRY_BYTES + len(data or b""))
            self._changes[key] = data
        if len(self._changes) > CHANGES_MAX:
            self._exceed(f"the processor changed more than {CHANGES_MAX} addresses")

    def _tell(self, data: bytes) -> None:
        self._check_open()
        self._spend(_ENTRY_BYTES + len(data))
        self._told_bytes_left -= len(data)
        if self._told_bytes_left < 0:
            self._exceed(f"the processor added events and receipt data of more than {EVENT_BYTES_MAX} bytes")

    def _spend(self, size_bytes: int) -> None:
        self._batch.written_bytes_left -= size_bytes
        if self._batch.written_bytes_left < 0:
            self._exceed(f"what the processors did comes to more than {WRITTEN_BYTES_MAX} bytes")

    def _exceed(self, message: str) -> None:
        """Make the transaction invalid, whatever the processor says of it."""
        self._excess = message
        self.close()
        raise Unauthorized

    def _check_open(self) -> None:
        if not self._is_open:
            raise Unauthorized
