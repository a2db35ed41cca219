"""How an executor waits for its work beside the channels that may end it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.errors import ChannelClosed, NodeStopped


async def until_done(work: asyncio.Task[None], others: set[asyncio.Task[None]], may_close: Callable[[], bool]) -> None:
    """Wait for the work to end; whatever else ends first ends the node, save channels that close at a stop.

    may_close: whether it has come to that. Raises NodeStopped when another enclave is gone, and what fails.
    """
    while not work.done():
        done, _ = await asyncio.wait({work, *others}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {work}:
            others.discard(task)
            error = task.exception()
            if isinstance(error, ChannelClosed):
                if not may_close():
                    raise NodeStopped("another enclave of this node is gone", hint="Start it again.") from error
            elif error is not None:
                raise error
    try:
        await work
    except ChannelClosed as error:
        raise NodeStopped("the manager enclave is gone", hint="Start the node again.") from error
