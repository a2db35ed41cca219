"""Notes when transactions appear in blocks: for end points that answer before a transaction is in one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from cli.load.client import Client
from cli.load.requests import Endpoint
from core.errors import CocoError

POLL_SECONDS = 0.02
AHEAD = 20
"""Blocks asked for at a time while there are more."""
CONFIRM_SECONDS_MAX = 60.0


class BlockWatch:
    """Reads every block from the next one on, in a thread, until its `with` ends. seen: hash -> time.monotonic."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._client = Client(endpoint)
        self._next = int(self._client.rpc("eth_blockNumber"), 16) + 1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.seen: dict[bytes, float] = {}
        self.failure: CocoError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._client.close()

    def wait_for(self, keys: Iterable[bytes]) -> None:
        """Wait until all of these have been seen, CONFIRM_SECONDS_MAX at most."""
        missing = set(keys)
        deadline = time.monotonic() + CONFIRM_SECONDS_MAX
        while missing and self.failure is None and time.monotonic() < deadline:
            missing = {key for key in missing if key not in self.seen}
            time.sleep(POLL_SECONDS)

    def _work(self) -> None:
        ahead = 1
        try:
            while not self._stop.is_set():
                calls = [("eth_getBlockByNumber", [hex(self._next + i), False]) for i in range(ahead)]
                blocks = self._client.results(calls)
                now = time.monotonic()
                count = 0
                for block in blocks:
                    if block is None:
                        break
                    count += 1
                    for transaction in block["transactions"]:
                        self.seen[bytes.fromhex(transaction[2:])] = now
                self._next += count
                ahead = AHEAD if count == ahead else 1
                if not count:
                    self._stop.wait(POLL_SECONDS)
        except CocoError as error:
            self.failure = error
