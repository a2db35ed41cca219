"""The processes of the load, as the command sees them: started, told what to do together, ended."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Self, TypeVar

from cli.errors import Unreachable
from cli.load.requests import Endpoint
from cli.load.runner import Outcome, Tick
from cli.load.schedule import Schedule
from cli.load.worker import Failed, Made, Make, Opened, Run, ToParent, work
from cli.load.workload import Recipe
from core.errors import CocoError

MessageT = TypeVar("MessageT")

START_MARGIN_SECONDS = 0.05
"""From when every process is ready to the first request."""
STOP_SECONDS_MAX = 5.0


class LoadFailed(CocoError):
    """The load itself could not be run."""


class Workers:
    """See the module. Lane n belongs to process n modulo processes. Used as a context manager."""

    def __init__(self, endpoint: Endpoint, recipe: Recipe, *, processes: int, lanes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for number in range(processes):
            ours, theirs = context.Pipe()
            arguments = (theirs, endpoint, recipe, tuple(range(number, lanes, processes)))
            process = context.Process(target=work, args=arguments, daemon=True, name=f"load-{number + 1}")
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(STOP_SECONDS_MAX if kind is None else 0.2)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()

    def make(self, count: int) -> float:
        """Have every lane's next requests made; returns the seconds it took. Raises LoadFailed."""
        self._send(Make(count))
        return max(message.seconds for message in self._gather(Made))

    def run(self, schedule: Schedule, listen: Callable[[Tick], None], began: Callable[[], None]) -> list[Outcome]:
        """Run all lanes together; raises LoadFailed. began: called just before the clock starts."""
        self._send(Run(schedule))
        self._gather(Opened)
        began()
        self._send(time.monotonic() + START_MARGIN_SECONDS)
        return self._gather(Outcome, listen)

    def _send(self, message: object) -> None:
        for pipe in self._pipes:
            try:
                pipe.send(message)
            except OSError as error:
                raise LoadFailed("a process of the load has ended") from error

    def _gather(self, kind: type[MessageT], listen: Callable[[Tick], None] | None = None) -> list[MessageT]:
        """Wait for one message of this kind from every process; ticks go to `listen`."""
        got: list[MessageT] = []
        missing = list(self._pipes)
        while missing:
            ready = wait(missing)
            for pipe in [one for one in missing if one in ready]:
                message = _receive(pipe)
                if isinstance(message, kind):
                    got.append(message)
                    missing.remove(pipe)
                elif isinstance(message, Tick):
                    if listen is not None:
                        listen(message)
                elif isinstance(message, Failed):
                    raise Unreachable(message.message)
        return got


def _receive(pipe: Any) -> ToParent:
    try:
        message: ToParent = pipe.recv()
    except EOFError as error:
        raise LoadFailed("a process of the load has ended unexpectedly") from error
    return message
