"""A WebSocket connection to the harness, without a gateway."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from core.adapter.interface import Backend, Caller
from core.errors import ChannelClosed
from tests.adapters.ethereum.rpc_support import RpcNetwork

SETTLE_TURNS = 50
"""Turns of the event loop after which nothing more comes of what was done: the harness never waits for time."""


class FakeSocket:
    """The gateway's end. sent: every message to the client, parsed, in order."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.sent: list[Any] = []
        self.is_open = True
        self.gate = asyncio.Event()
        self.gate.set()
        self._inbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()

    async def receive(self) -> str | bytes | None:
        return await self._inbox.get()

    async def send(self, message: str | bytes) -> None:
        await self.gate.wait()
        if not self.is_open:
            raise ChannelClosed("closed")
        self.sent.append(orjson.loads(message))

    def put(self, message: str | bytes | None) -> None:
        self._inbox.put_nowait(message)


class Client:
    """A connected client of one identity."""

    def __init__(self, network: RpcNetwork, caller: Caller, backend: Backend | None = None) -> None:
        self.socket = FakeSocket(caller)
        (route,) = network.harness.adapter.web_sockets()
        self.task = asyncio.create_task(route.handler(self.socket, backend or network.harness.backend()))  # type: ignore[arg-type]
        self._number = 0

    async def ask(self, method: str, *params: object) -> dict[str, Any]:
        """Send a request; returns its response object."""
        self._number += 1
        body = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self.socket.put(orjson.dumps(body).decode())
        for _ in range(10 * SETTLE_TURNS):
            await asyncio.sleep(0)
            for one in self.socket.sent:
                if isinstance(one, dict) and one.get("id") == self._number:
                    answer: dict[str, Any] = one
                    return answer
        raise AssertionError(f"no answer to {method}")

    async def call(self, method: str, *params: object) -> Any:
        answer = await self.ask(method, *params)
        assert "result" in answer, answer
        return answer["result"]

    def told(self, subscription: str) -> list[Any]:
        """Return the results of a subscription's notifications so far."""
        return [
            one["params"]["result"]
            for one in self.socket.sent
            if isinstance(one, dict)
            and one.get("method") == "eth_subscription"
            and one["params"]["subscription"] == subscription
        ]

    async def close(self) -> None:
        self.socket.is_open = False
        self.socket.put(None)
        await self.task


async def settle() -> None:
    """Let everything that can happen without time happen."""
    for _ in range(SETTLE_TURNS):
        await asyncio.sleep(0)
