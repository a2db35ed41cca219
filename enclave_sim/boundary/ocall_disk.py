"""The Disk port by ocalls: requests are numbered, sent in the order of the calls, and answered by the host.

What comes back is only data from an untrusted disk; callers verify it. Here only its shape and bounds are checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from core import limits
from core.errors import ChannelClosed, CocoError, StorageFailed
from core.ports import FileInfo
from enclave_sim.boundary.messages import (
    FAILURE_CHARACTERS_MAX,
    DiskAppend,
    DiskCall,
    DiskData,
    DiskDone,
    DiskFailed,
    DiskFiles,
    DiskList,
    DiskPatch,
    DiskRead,
    DiskRemove,
    DiskRename,
    DiskReplace,
    DiskResult,
    DiskTruncate,
    printable,
)

REQUESTS_IN_FLIGHT_MAX = 64
_LIE = "The host's answer does not fit the request. Restart the node."


@dataclass(frozen=True, slots=True)
class _Waiting:
    kind: type[DiskDone] | type[DiskData] | type[DiskFiles]
    future: asyncio.Future[DiskResult]


class OcallDisk:
    """See the module. `send` puts a call on the channel to the host; `take` is given the host's results."""

    def __init__(self, send: Callable[[DiskCall], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: dict[int, _Waiting] = {}
        self._next_request = 1
        self._slots = asyncio.Semaphore(REQUESTS_IN_FLIGHT_MAX)

    async def list_files(self, folder: str) -> Sequence[FileInfo]:
        result = await self._call(lambda request: DiskList(request, folder), DiskFiles)
        assert isinstance(result, DiskFiles)
        if any(size_bytes < 0 for _, size_bytes in result.files):
            raise StorageFailed("the host listed a file of negative size", hint=_LIE)
        return [FileInfo(name, size_bytes) for name, size_bytes in result.files]

    async def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        bounded = min(size_bytes, limits.DISK_READ_BYTES_MAX)
        result = await self._call(lambda request: DiskRead(request, name, offset, bounded), DiskData)
        assert isinstance(result, DiskData)
        if len(result.data) > bounded:
            raise StorageFailed(f"the host returned {len(result.data)} bytes of {name} for {bounded}", hint=_LIE)
        return result.data

    async def append(self, name: str, offset: int, data: bytes) -> None:
        await self._call(lambda request: DiskAppend(request, name, offset, data), DiskDone)

    async def replace(self, name: str, data: bytes) -> None:
        await self._call(lambda request: DiskReplace(request, name, data), DiskDone)

    async def patch(self, name: str, offset: int, data: bytes) -> None:
        await self._call(lambda request: DiskPatch(request, name, offset, data), DiskDone)

    async def truncate(self, name: str, size_bytes: int) -> None:
        await self._call(lambda request: DiskTruncate(request, name, size_bytes), DiskDone)

    async def rename(self, old: str, new: str) -> None:
        await self._call(lambda request: DiskRename(request, old, new), DiskDone)

    async def remove(self, name: str) -> None:
        await self._call(lambda request: DiskRemove(request, name), DiskDone)

    def take(self, result: DiskResult) -> bool:
        """Hand a result to the call that waits for it. Returns False when none does: the host made it up."""
        waiting = self._waiting.get(result.request)
        if waiting is None or not isinstance(result, waiting.kind | DiskFailed):
            return False
        del self._waiting[result.request]
        if not waiting.future.done():
            waiting.future.set_result(result)
        return True

    def close(self) -> None:
        """The host is gone: every waiting call raises ChannelClosed."""
        for waiting in self._waiting.values():
            if not waiting.future.done():
                waiting.future.set_exception(ChannelClosed("the host is gone"))
        self._waiting.clear()

    async def _call(
        self, make: Callable[[int], DiskCall], kind: type[DiskDone] | type[DiskData] | type[DiskFiles]
    ) -> DiskResult:
        async with self._slots:
            request = self._next_request
            self._next_request += 1
            future: asyncio.Future[DiskResult] = asyncio.get_running_loop().create_future()
            self._waiting[request] = _Waiting(kind, future)
            try:
                await self._send(make(request))
            except CocoError:
                del self._waiting[request]
                raise
            result = await future
        if isinstance(result, DiskFailed):
            raise StorageFailed(
                printable(result.message, FAILURE_CHARACTERS_MAX), hint=printable(result.hint, FAILURE_CHARACTERS_MAX)
            )
        return result
