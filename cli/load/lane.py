"""One connection's share of the load: one request in flight, latency from when each was due.

A connection that the server closes while nothing is in flight is opened again and is no error. Once an item of a sender
has failed, that sender's later requests are left out: they could only wait behind the gap in its nonces.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from cli.load.http_connection import HttpConnection
from cli.load.requests import Endpoint, Request, Verdict
from cli.load.schedule import Schedule

FAILURES_MAX = 10
"""Requests in a row without an answer after which a lane ends."""


class Recorder(Protocol):
    """Who counts what happens on the lanes. Times are the loop's."""

    def record(self, due: float, now: float, verdict: Verdict) -> None: ...


Judge = Callable[[Request, int, bytes], Verdict]
"""Says what an answer (status, body) to a request means."""


class Lane:
    """See the module. number: among all lanes of the run. requests: the lane's own, in order; each is sent once."""

    def __init__(
        self,
        number: int,
        endpoint: Endpoint,
        tls: ssl.SSLContext | None,
        requests: Sequence[Request],
        judge: Judge,
        recorder: Recorder,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._number = number
        self._endpoint = endpoint
        self._tls = tls
        self._requests = requests
        self._judge = judge
        self._recorder = recorder
        self._connection: HttpConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._in_flight: Request | None = None
        self._due = 0.0
        self._schedule = Schedule(0.0, 1)
        self._start = self._end = 0.0
        self._turn = 0
        self._failures = 0
        self._broken: set[int] = set()
        self.position = 0
        """The next request is requests[position]."""
        self.ran_out = False
        self.finished = asyncio.Event()

    async def open(self) -> None:
        """Connect; raises OSError."""
        connection = HttpConnection(self._answered, self._fail)
        await self._loop.create_connection(lambda: connection, self._endpoint.host, self._endpoint.port, ssl=self._tls)
        self._connection = connection

    def begin(self, schedule: Schedule, start: float) -> None:
        """Send by the schedule from `start` (the loop's time) on; `finished` is set when the last is answered."""
        self._schedule = schedule
        self._start, self._end = start, start + schedule.duration_s
        self._loop.call_at(start, self._next)

    async def stop(self) -> None:
        """Count what is still unanswered as an error, and close."""
        self.finished.set()
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        if self._connection is not None:
            self._connection.close()
            await asyncio.sleep(0)  # The loop closes the socket in its next turn, if it has one.
        self._fail("no answer")

    def _answered(self, status: int, body: bytes) -> None:
        request, self._in_flight = self._in_flight, None
        if request is not None:  # Else nobody asked.
            self._failures = 0
            self._conclude(request, self._judge(request, status, body))

    def _fail(self, error: str) -> None:
        """The connection is gone. That is an error only if something was in flight."""
        request, self._in_flight = self._in_flight, None
        if request is not None:
            self._failures += 1
            self._conclude(request, Verdict((), (error,) * len(request.keys)))

    def _conclude(self, request: Request, verdict: Verdict) -> None:
        if verdict.errors and request.sender >= 0:
            self._broken.add(request.sender)
        self._recorder.record(self._due, self._loop.time(), verdict)
        self._next()

    def _next(self) -> None:
        """Send what is due now, or come back when it is."""
        if self._in_flight is not None or self.finished.is_set():
            return
        now = self._loop.time()
        due = self._next_due(now)
        if due is None or self._failures >= FAILURES_MAX:
            self.finished.set()
            return
        if due > now:
            self._loop.call_at(due, self._next)
            return
        while self._broken and self._is_broken():
            self.position += 1
        if self.position >= len(self._requests):
            self.ran_out = True
            self.finished.set()
            return
        self._due = due
        self._turn += 1
        self._in_flight = self._requests[self.position]
        self.position += 1
        if self._connection is not None and self._connection.is_open:
            self._connection.send(self._in_flight.wire)
        else:
            self._opening = self._loop.create_task(self._reopen())

    def _next_due(self, now: float) -> float | None:
        """Return when the next request is due (the loop's time), None when there is none any more."""
        if self._schedule.is_open:
            offset = self._schedule.due_s(self._number, self._turn)
            return None if offset is None else self._start + offset
        return now if now < self._end else None

    def _is_broken(self) -> bool:
        return self.position < len(self._requests) and self._requests[self.position].sender in self._broken

    async def _reopen(self) -> None:
        try:
            await self.open()
        except OSError as error:
            self._fail(f"cannot connect ({error.strerror or type(error).__name__})")
            return
        if self._in_flight is not None and self._connection is not None:
            self._connection.send(self._in_flight.wire)
