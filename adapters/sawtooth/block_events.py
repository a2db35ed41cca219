"""The events of one block after the other, as one caller sees them: what both kinds of subscription are fed from.

Everything is asked by Sawtooth's own requests, so the rules of the queries hold for what is pushed, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.sawtooth.gateway import ValidatorGateway
from adapters.sawtooth.requests import NEWEST_BLOCK
from adapters.sawtooth.wire.messages import MESSAGES, EventsGetStatus, ListStatus, MessageType, parse
from core.adapter.interface import Backend, Caller, Overloaded
from core.errors import CocoError

NULL_BLOCK_ID = "0" * 16
"""Stands before block 0."""
RETRY_SECONDS = 1.0
"""After which what the node was too busy for is asked again."""


class NoAnswer(CocoError):
    """The validator's answer leaves out what it must have."""


@dataclass(frozen=True, slots=True)
class BlockNews:
    """A committed block, and those of its events that were asked for and may be seen."""

    block_id: str
    number: int
    previous_block_id: str
    events: Sequence[Any]


class BlockEvents:
    """Reads for one caller. Raises what Backend raises, and NoAnswer."""

    def __init__(self, gateway: ValidatorGateway, caller: Caller, backend: Backend) -> None:
        self._gateway = gateway
        self._caller = caller
        self._backend = backend

    async def head_number(self) -> int:
        """Return the newest block's number."""
        block = await self._gateway.block(NEWEST_BLOCK, self._caller, self._backend)
        if block is None:
            raise NoAnswer("the validator has no block yet", hint="Try again in a moment.")
        return _number(block)

    async def number_of(self, block_id: str) -> int | None:
        """Return the number of a block, -1 for what stands before block 0, None for one that is not known."""
        if block_id == NULL_BLOCK_ID:
            return -1
        asked = MESSAGES["ClientBlockGetByIdRequest"](block_id=block_id)
        found = await self._ask(MessageType.CLIENT_BLOCK_GET_BY_ID_REQUEST, asked)
        return _number(found.block) if found.status == ListStatus.OK else None

    async def events(self, subscriptions: Sequence[Any], block_ids: Sequence[str]) -> Any:
        """Return a ClientEventsGetResponse: the events of these blocks that are subscribed to."""
        asked = MESSAGES["ClientEventsGetRequest"](subscriptions=subscriptions, block_ids=block_ids)
        return await self._ask(MessageType.CLIENT_EVENTS_GET_REQUEST, asked)

    async def read(self, number: int, subscriptions: Sequence[Any]) -> BlockNews | None:
        """Return the block of this number, None while there is none."""
        block = await self._gateway.block(number, self._caller, self._backend)
        if block is None:
            return None
        header, block_id = parse("BlockHeader", block.header), block.header_signature
        told = await self.events(subscriptions, [block_id])
        if told.status != EventsGetStatus.OK:
            raise NoAnswer("the events of a committed block cannot be had")
        return BlockNews(block_id, number, header.previous_block_id, told.events)

    async def follow(self, number: int, subscriptions: Sequence[Any]) -> AsyncGenerator[BlockNews, None]:
        """Yield every block after this number, waiting for those to come. Never ends."""
        seqno = 0
        while True:
            try:
                news = await self.read(number + 1, subscriptions)
            except Overloaded:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if news is None:
                seqno = await self._backend.committed_after(seqno)
                continue
            yield news
            number += 1

    async def _ask(self, kind: MessageType, message: Any) -> Any:
        return await self._gateway.request(kind, message, self._caller, self._backend)


def _number(block: Any) -> int:
    return int(parse("BlockHeader", block.header).block_num)
