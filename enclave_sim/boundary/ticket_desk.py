"""The TicketDesk of a manager behind the host's boundary (core/node/manager_joining.py)."""

from __future__ import annotations

import asyncio

from core import limits
from core.governance.join_refusals import Refusal
from core.ports import Transport
from enclave_sim.boundary.messages import TO_HOST, TicketAnswered, TicketWanted


class HostTickets:
    """See the module."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._brought: asyncio.Queue[bytes] = asyncio.Queue(limits.TICKETS_QUEUED_MAX)
        self._is_wanted = False

    def take(self, data: bytes) -> str:
        """Take what the host brings; returns why it is refused, "" when it is not."""
        if not self._is_wanted:
            return "a ticket that is not waited for"
        if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
            return f"a ticket of {len(data)} bytes"
        try:
            self._brought.put_nowait(data)
        except asyncio.QueueFull:
            return "more tickets than are looked at"
        return ""

    async def want(self, request: bytes) -> None:
        self._is_wanted = True
        await self._transport.send(TO_HOST.encode(TicketWanted(request)))

    async def receive(self) -> bytes:
        return await self._brought.get()

    async def answer(self, refusal: Refusal | None) -> None:
        self._is_wanted = refusal is not None
        answered = TicketAnswered("", "", "") if refusal is None else _answered(refusal)
        await self._transport.send(TO_HOST.encode(answered))


def _answered(refusal: Refusal) -> TicketAnswered:
    return TicketAnswered(refusal.reason, refusal.message, refusal.hint)
