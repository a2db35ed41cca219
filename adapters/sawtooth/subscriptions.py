"""State deltas over the WebSocket `/subscriptions`, as Sawtooth's REST API has them: JSON texts both ways.

{"action": "subscribe", "address_prefixes": [...]} brings the newest block's changes and then each block's as it is
committed; "unsubscribe" ends that; "get_block_deltas" asks for one block's. A block of which one may see nothing comes
with no changes. Source: `sawtooth_rest_api`'s state delta subscription handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import orjson

from adapters.sawtooth import rest_json
from adapters.sawtooth.block_events import BlockEvents, BlockNews
from adapters.sawtooth.errors import RestError
from adapters.sawtooth.gateway import ValidatorGateway
from adapters.sawtooth.wire.messages import MESSAGES, parse
from core.adapter.interface import Backend, Overloaded, WebSocket
from core.errors import CocoError

PREFIXES_MAX = 256
_STATE_DELTA, _BLOCK_COMMIT = "sawtooth/state-delta", "sawtooth/block-commit"
_ECHO_MAX = 200
"""Characters of a wrong message that are repeated to its sender."""


class DeltaSocket:
    """One connection. Made for each; run ends when it is closed."""

    def __init__(self, gateway: ValidatorGateway, socket: WebSocket, backend: Backend) -> None:
        self._socket = socket
        self._events = BlockEvents(gateway, socket.caller, backend)
        self._subscriptions = [MESSAGES["EventSubscription"](event_type=kind) for kind in (_STATE_DELTA, _BLOCK_COMMIT)]
        self._following: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until the connection ends."""
        try:
            async with asyncio.TaskGroup() as group:
                while (text := await self._socket.receive()) is not None:
                    await self._serve(text, group)
                self._stop_following()
        except* CocoError:
            pass  # the connection or the executor is gone, or changes that were due cannot be had

    async def _serve(self, text: str | bytes, group: asyncio.TaskGroup) -> None:
        try:
            asked = orjson.loads(text)
        except orjson.JSONDecodeError:
            asked = None
        if not isinstance(asked, dict):
            shown = text if isinstance(text, str) else text.decode(errors="replace")
            await self._send({"error": f'Invalid input: "{shown[:_ECHO_MAX]}"'})
            return
        prefixes = asked.get("address_prefixes", [])
        if not _are_prefixes(prefixes):
            await self._send({"error": f"address_prefixes is a list of at most {PREFIXES_MAX} strings"})
            return
        match asked.get("action", ""):
            case "subscribe":
                await self._subscribe(prefixes, group)
            case "unsubscribe":
                self._stop_following()
            case "get_block_deltas":
                await self._send_block(asked.get("block_id"), prefixes)
            case action:
                await self._send({"error": f'Unknown action "{str(action)[:_ECHO_MAX]}"'})

    async def _subscribe(self, prefixes: Sequence[str], group: asyncio.TaskGroup) -> None:
        self._stop_following()
        try:
            newest = await self._events.head_number()
        except Overloaded:
            await self._send({"warning": "Validator unavailable"})
            return
        self._following = group.create_task(self._follow(newest, prefixes))

    def _stop_following(self) -> None:
        if self._following is not None:
            self._following.cancel()
            self._following = None

    async def _follow(self, newest: int, prefixes: Sequence[str]) -> None:
        async with aclosing(self._events.follow(newest - 1, self._subscriptions)) as blocks:
            async for news in blocks:
                await self._send(_deltas(news, prefixes))

    async def _send_block(self, block_id: object, prefixes: Sequence[str]) -> None:
        if not isinstance(block_id, str):
            await self._send({"error": "Must specify a block id"})
            return
        try:
            number = await self._events.number_of(block_id)
            news = await self._events.read(number, self._subscriptions) if number is not None and number >= 0 else None
        except Overloaded:
            await self._send({"warning": "Validator unavailable"})
            return
        if news is None:
            await self._send({"error": RestError.BLOCK_NOT_FOUND.value.message})
        else:
            await self._send(_deltas(news, prefixes))

    async def _send(self, document: dict[str, Any]) -> None:
        await self._socket.send(orjson.dumps(document).decode())


def _deltas(news: BlockNews, prefixes: Sequence[str]) -> dict[str, Any]:
    """Return a block as a subscriber is told of it."""
    changes = [
        rest_json.plain(change)
        for event in news.events
        if event.event_type == _STATE_DELTA
        for change in parse("StateChangeList", event.data).state_changes
        if not prefixes or change.address.startswith(tuple(prefixes))
    ]
    return {
        "block_id": news.block_id,
        "block_num": str(news.number),
        "previous_block_id": news.previous_block_id,
        "state_changes": changes,
    }


def _are_prefixes(value: object) -> bool:
    return isinstance(value, list) and len(value) <= PREFIXES_MAX and all(isinstance(one, str) for one in value)
