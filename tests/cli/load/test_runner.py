"""Lanes against servers that answer late, badly or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cli.load import lane as lane_module
from cli.load import runner as runner_module
from cli.load.requests import Endpoint, Request, Verdict
from cli.load.runner import Outcome, Runner, Tick
from cli.load.schedule import Schedule

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answer = Callable[[int], Awaitable[bytes | None]]
"""Given the number of the request; None: close the connection instead."""


def judge(request: Request, status: int, body: bytes) -> Verdict:
    return Verdict(request.keys) if (status, body) == (200, b"ok") else Verdict((), (f"status {status}",))


class Server:
    """Answers each request as told; `connections` counts who came, `open` who is there."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = self.open = 0
        self.count = 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint = Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1], False, "/")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.count += 1
                answer = await self.answer(self.count)
                if answer is None:
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.open -= 1
            writer.close()


async def run(
    answer: Answer, schedule: Schedule, *, count: int = 1000, lanes: int = 1, sender: int = -1
) -> tuple[Outcome, Server, list[Tick]]:
    ticks: list[Tick] = []
    async with Server(answer) as server:
        wire = server.endpoint.wire(b"", method="GET")
        requests = [Request(wire, (b"%d" % number,), sender) for number in range(count)]
        runner = Runner(server.endpoint, judge, ticks.append)
        outcome = await runner.run([(lane, requests) for lane in range(lanes)], schedule, time.monotonic)
        return outcome, server, ticks


async def at_once(number: int) -> bytes:
    return OK


async def test_a_closed_loop_sends_when_answered() -> None:
    outcome, server, ticks = await run(at_once, Schedule(0.2, 2), lanes=2)
    assert outcome.requests == outcome.items == len(outcome.keys) == server.count > 2
    assert sum(outcome.positions) == server.count
    assert not outcome.errors
    assert sum(tick.accepted for tick in ticks) == outcome.requests
    assert sum(outcome.latencies.values()) == outcome.requests
    assert outcome.start < outcome.last


async def test_a_closed_loop_that_runs_out_says_so() -> None:
    outcome, _, _ = await run(at_once, Schedule(5.0, 1), count=3)
    assert (outcome.requests, outcome.ran_out) == (3, True)


async def test_an_open_loop_keeps_its_rate() -> None:
    outcome, _, _ = await run(at_once, Schedule(0.3, 3, rate=100.0), lanes=3)
    assert outcome.requests == 30
    assert not outcome.ran_out


async def test_a_stall_is_charged_to_all_that_were_due_meanwhile() -> None:
    """Coordinated omission: a closed loop would have seen one slow request."""

    async def stall(number: int) -> bytes:
        if number == 1:
            await asyncio.sleep(0.4)
        return OK

    outcome, _, _ = await run(stall, Schedule(0.4, 1, rate=50.0))
    slow = sum(count for bucket, count in outcome.latencies.items() if bucket >= bucket_of(100_000))
    assert outcome.requests == 20
    assert slow >= 14
    assert outcome.due == sorted(outcome.due)


def bucket_of(value_us: int) -> int:
    from cli.load.histogram import Histogram

    histogram = Histogram()
    histogram.record(value_us)
    return next(iter(histogram.counts))


async def test_an_idle_connection_that_is_closed_is_opened_again() -> None:
    async def closing(number: int) -> bytes:
        return OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    outcome, server, _ = await run(closing, Schedule(0.1, 1, rate=50.0))
    assert (outcome.requests, outcome.errors) == (5, {})
    assert server.connections == 5


async def test_a_connection_lost_in_flight_is_an_error() -> None:
    async def lost(number: int) -> bytes | None:
        return None if number == 2 else OK

    outcome, _, _ = await run(lost, Schedule(0.1, 1, rate=50.0))
    assert outcome.errors == {"connection lost": 1}
    assert len(outcome.keys) == 4


async def test_an_error_ends_its_sender_only() -> None:
    async def refused(number: int) -> bytes:
        return OK if number < 3 else b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"

    outcome, server, _ = await run(refused, Schedule(5.0, 1), sender=7)
    assert (server.count, outcome.errors) == (3, {"status 500": 1})
    outcome, server, _ = await run(refused, Schedule(0.05, 1), sender=-1)
    assert outcome.errors["status 500"] > 1


async def test_answers_that_are_none() -> None:
    async def garbage(number: int) -> bytes:
        return b"garbage\r\n\r\n"

    outcome, server, _ = await run(garbage, Schedule(5.0, 1))
    (error,) = outcome.errors
    assert error.startswith("malformed answer")
    assert outcome.requests == server.connections == lane_module.FAILURES_MAX


async def test_chunked_answers_are_read() -> None:
    async def chunked(number: int) -> bytes:
        return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n"

    outcome, _, _ = await run(chunked, Schedule(0.05, 1, rate=60.0))
    assert (len(outcome.keys), outcome.errors) == (3, {})


async def test_what_is_never_answered_ends_with_the_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "DRAIN_SECONDS_MAX", 0.1)

    async def never(number: int) -> bytes:
        await asyncio.sleep(3600)
        return OK

    async with Server(never) as server:
        wire = server.endpoint.wire(b"", method="GET")
        runner = Runner(server.endpoint, judge, lambda tick: None)
        outcome = await runner.run([(0, [Request(wire, (b"1", b"2"))])], Schedule(0.05, 1), time.monotonic)
    assert outcome.errors == {"no answer": 2}


async def test_nobody_there_is_an_error() -> None:
    runner = Runner(Endpoint("127.0.0.1", 1, False, "/"), judge, lambda tick: None)
    empty: list[tuple[int, list[Any]]] = [(0, [])]
    with pytest.raises(OSError):
        await runner.run(empty, Schedule(0.1, 1), time.monotonic)


async def test_what_was_opened_is_closed_when_the_run_does_not_begin() -> None:
    """As when the parent is gone, which was to say when."""

    def gone() -> float:
        raise EOFError

    async with Server(at_once) as server:
        runner = Runner(server.endpoint, judge, lambda tick: None)
        empty: list[tuple[int, list[Any]]] = [(0, []), (1, [])]
        with pytest.raises(EOFError):
            await runner.run(empty, Schedule(0.1, 1), gone)
        for _ in range(500):
            if server.connections == 2 and not server.open:
                break
            await asyncio.sleep(0.01)
        assert (server.connections, server.open) == (2, 0)
