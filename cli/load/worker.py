"""A process of the load: makes its lanes' requests ahead, runs them, and hands back what happened.

It does as the parent says over a pipe, and ends when the pipe does. Nothing of it outlives the command.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TypeVar

from cli.load.requests import Endpoint, Request
from cli.load.runner import Outcome, Runner, Tick
from cli.load.schedule import Schedule
from cli.load.workload import Recipe
from core.errors import CocoError

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Make:
    """Make so many requests for each lane, from where the lane stands."""

    count: int


@dataclass(frozen=True, slots=True)
class Made:
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """Open the lanes and answer Opened; then wait for a time (float, of time.monotonic) and start at it."""

    schedule: Schedule


@dataclass(frozen=True, slots=True)
class Opened:
    pass


@dataclass(frozen=True, slots=True)
class Failed:
    message: str


ToParent = Made | Opened | Tick | Outcome | Failed


def work(pipe: Connection, endpoint: Endpoint, recipe: Recipe, lanes: Sequence[int]) -> None:
    """Serve the parent until it closes the pipe. lanes: this process's, by number."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which closes the pipe.
    requests: list[list[Request]] = [[] for _ in lanes]
    positions = [0] * len(lanes)
    try:
        while True:
            command = pipe.recv()
            try:
                match command:
                    case Make(count):
                        began = time.monotonic()
                        requests = [recipe.requests(lane, at, count) for lane, at in zip(lanes, positions, strict=True)]
                        gc.collect()
                        gc.freeze()
                        pipe.send(Made(time.monotonic() - began))
                    case Run(schedule):
                        outcome = _run(pipe, endpoint, recipe, list(zip(lanes, requests, strict=True)), schedule)
                        positions = [at + gone for at, gone in zip(positions, outcome.positions, strict=True)]
                        pipe.send(outcome)
            except (CocoError, OSError) as error:
                pipe.send(Failed(str(error)))
    except (EOFError, BrokenPipeError):
        return


def _run(
    pipe: Connection,
    endpoint: Endpoint,
    recipe: Recipe,
    lanes: Sequence[tuple[int, Sequence[Request]]],
    schedule: Schedule,
) -> Outcome:
    def start_at() -> float:
        pipe.send(Opened())
        return float(pipe.recv())

    return run_quickly(Runner(endpoint, recipe.judge, pipe.send).run(lanes, schedule, start_at))


def run_quickly(work: Coroutine[None, None, ResultT]) -> ResultT:
    """Run a coroutine, on uvloop where there is one."""
    if sys.platform == "win32":
        return asyncio.run(work)
    import uvloop

    result: ResultT = uvloop.run(work)
    return result
