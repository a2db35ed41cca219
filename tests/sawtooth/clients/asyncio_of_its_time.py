"""What the SDK of 2020 asks of asyncio and later Pythons have taken away, for a process that runs the SDK as it is."""

from __future__ import annotations

import asyncio
import functools
import types
from typing import Any


def coroutine(function: Any) -> Any:
    """Make a generator function a coroutine function."""
    generator = types.coroutine(function)

    @functools.wraps(function)
    async def run(*arguments: Any, **named: Any) -> Any:
        return await generator(*arguments, **named)

    return run


class Queue(asyncio.Queue):
    """A queue that may be told its loop."""

    def __init__(self, maxsize: int = 0, *, loop: Any = None) -> None:
        del loop
        super().__init__(maxsize)


class Task(asyncio.Task):
    """A task whose class knows all of them."""

    all_tasks = staticmethod(asyncio.all_tasks)


def install() -> None:
    """Put them into the module `asyncio`."""
    for name, value in (("coroutine", coroutine), ("Queue", Queue), ("Task", Task)):
        setattr(asyncio, name, value)
