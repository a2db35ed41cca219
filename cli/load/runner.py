"""Runs the lanes of one process by a schedule, and counts: the part of the load generator that must be quick."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from cli.load.histogram import Histogram
from cli.load.lane import Judge, Lane
from cli.load.requests import Endpoint, Request, Verdict
from cli.load.schedule import Schedule

OPEN_AT_ONCE_MAX = 16
"""Connections that are opened at a time."""
DRAIN_SECONDS_MAX = 30.0
"""How long answers are waited for after the last request."""
TICK_SECONDS = 0.25


class Tick(msgspec.Struct, frozen=True):
    """What happened in one process since the tick before. latencies: as Histogram.counts, of requests."""

    answered: int
    accepted: int
    errors: int
    latencies: dict[int, int]


class Outcome(msgspec.Struct, frozen=True):
    """What one process did. Items are what requests hold: one, or a batch of several.

    start, last: when the clock started, and when the last accepted answer came (time.monotonic). keys, due: of the
    accepted items. lag_us_max: the most that this process's event loop was late. positions: where each lane stands.
    """

    requests: int
    items: int
    errors: dict[str, int]
    latencies: dict[int, int]
    start: float
    last: float
    keys: list[bytes]
    due: list[float]
    cpu_s: float
    lag_us_max: int
    ran_out: bool
    positions: list[int]


class Runner:
    """See the module. `run` is called once. tick: told four times a second what has happened since."""

    def __init__(self, endpoint: Endpoint, judge: Judge, tick: Callable[[Tick], None]) -> None:
        self._endpoint = endpoint
        self._judge = judge
        self._tick = tick
        self._histogram, self._fresh = Histogram(), Histogram()
        self._errors: Counter[str] = Counter()
        self._keys: list[bytes] = []
        self._due: list[float] = []
        self._requests = self._items = self._told_accepted = self._told_errors = self._lag_us = 0
        self._last = 0.0

    def record(self, due: float, now: float, verdict: Verdict) -> None:
        """Count an answer."""
        latency_us = round((now - due) * 1e6)
        self._histogram.record(latency_us)
        self._fresh.record(latency_us)
        self._requests += 1
        self._items += len(verdict.accepted) + len(verdict.errors)
        if verdict.accepted:
            self._last = now
            self._keys.extend(verdict.accepted)
            self._due.extend([due] * len(verdict.accepted))
        if verdict.errors:
            self._errors.update(verdict.errors)

    async def run(
        self, lanes: Sequence[tuple[int, Sequence[Request]]], schedule: Schedule, start_at: Callable[[], float]
    ) -> Outcome:
        """Open the lanes, ask `start_at` for the time to start at (time.monotonic), and run.

        lanes: (number among all, requests). Raises OSError when nothing answers.
        """
        context = tls_context(self._endpoint)
        opened = [Lane(number, self._endpoint, context, requests, self._judge, self) for number, requests in lanes]
        try:
            await _open(opened)
            start = start_at()
            offset = time.monotonic() - asyncio.get_running_loop().time()
            cpu = time.process_time()
            for lane in opened:
                lane.begin(schedule, start - offset)
            watch = asyncio.create_task(self._watch())
            try:
                await _finished(opened, start - offset + schedule.duration_s + DRAIN_SECONDS_MAX)
            finally:
                watch.cancel()
                await asyncio.gather(watch, return_exceptions=True)
        finally:
            for lane in opened:
                await lane.stop()
        self._report()
        return Outcome(
            requests=self._requests,
            items=self._items,
            errors=dict(self._errors),
            latencies=self._histogram.counts,
            start=start,
            last=self._last + offset if self._keys else start,
            keys=self._keys,
            due=[due + offset for due in self._due],
            cpu_s=time.process_time() - cpu,
            lag_us_max=self._lag_us,
            ran_out=any(lane.ran_out for lane in opened),
            positions=[lane.position for lane in opened],
        )

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            planned = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            self._lag_us = max(self._lag_us, round((loop.time() - planned) * 1e6))
            self._report()

    def _report(self) -> None:
        accepted, errors = len(self._keys), self._errors.total()
        fresh, self._fresh = self._fresh, Histogram()
        self._tick(Tick(fresh.total, accepted - self._told_accepted, errors - self._told_errors, fresh.counts))
        self._told_accepted, self._told_errors = accepted, errors


def tls_context(endpoint: Endpoint) -> ssl.SSLContext | None:
    """Return what an endpoint is spoken to with: the pinned authority, or the system's; None without TLS."""
    return ssl.create_default_context(cafile=endpoint.ca_file) if endpoint.tls else None


async def _open(lanes: Sequence[Lane]) -> None:
    """Connect them all; raises the first OSError once nothing is being opened any more."""
    for first in range(0, len(lanes), OPEN_AT_ONCE_MAX):
        some = lanes[first : first + OPEN_AT_ONCE_MAX]
        for failure in await asyncio.gather(*(lane.open() for lane in some), return_exceptions=True):
            if failure is not None:
                raise failure


async def _finished(lanes: Sequence[Lane], deadline: float) -> None:
    """Wait for the lanes' last answers, until the deadline (the loop's time)."""
    waits = [asyncio.create_task(lane.finished.wait()) for lane in lanes]
    _, late = await asyncio.wait(waits, timeout=max(0.0, deadline - asyncio.get_running_loop().time()))
    for wait in late:
        wait.cancel()
