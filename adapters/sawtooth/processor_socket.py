"""What a transaction processor says over a validator connection (types 1 to 16), and whether it still lives.

A context that the connection was not handed, or that has ended, is no context: it is answered as an address that the
transaction may not use. A connection with registrations that is silent is pinged, and ended when it stays so.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from adapters.sawtooth.processor_context import ProcessorContext, Unauthorized
from adapters.sawtooth.processors import Processor, Processors, Send
from adapters.sawtooth.wire.messages import MESSAGES, MessageType, SimpleStatus, StateAccessStatus, parse
from core.adapter.interface import Caller
from core.errors import ChannelClosed

PROTOCOL_VERSION = 1
"""The newest one that is spoken: it lets a processor choose how headers come."""
PING_SECONDS = 10.0
"""Of silence, after which a processor is pinged."""
SILENT_SECONDS_MAX = 90.0
"""Of silence, after which its connection is ended; `coco proxy` does so before, for one client alone."""

_TYPE = MessageType
PROCESSOR_MESSAGES = frozenset(
    {
        _TYPE.TP_REGISTER_REQUEST,
        _TYPE.TP_UNREGISTER_REQUEST,
        _TYPE.TP_PROCESS_RESPONSE,
        _TYPE.TP_STATE_GET_REQUEST,
        _TYPE.TP_STATE_SET_REQUEST,
        _TYPE.TP_STATE_DELETE_REQUEST,
        _TYPE.TP_RECEIPT_ADD_DATA_REQUEST,
        _TYPE.TP_EVENT_ADD_REQUEST,
    }
)


class ProcessorPeer:
    """One connection's."""

    def __init__(self, processors: Processors, caller: Caller, send: Send) -> None:
        self._processors = processors
        self._processor = Processor(caller, send)
        self._send = send
        self._heard = asyncio.get_running_loop().time()
        self._reading = asyncio.Lock()

    def heard(self) -> None:
        """Note that the connection sent something."""
        self._heard = asyncio.get_running_loop().time()

    def close(self) -> None:
        """Forget the connection."""
        self._processors.disconnect(self._processor)

    async def watch(self) -> None:
        """Ping the processor when it is silent. Raises ChannelClosed when it stays so. Never returns."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(PING_SECONDS)
            if not self._processor.registrations:
                continue
            silent = loop.time() - self._heard
            if silent > SILENT_SECONDS_MAX:
                raise ChannelClosed("a transaction processor does not answer pings")
            if silent >= PING_SECONDS:
                await self._send(_TYPE.PING_REQUEST, MESSAGES["PingRequest"](), secrets.token_hex(16))

    async def answer(self, kind: MessageType, content: bytes, correlation: str) -> None:
        """Answer a message of PROCESSOR_MESSAGES. Raises MalformedMessage."""
        match kind:
            case _TYPE.TP_PROCESS_RESPONSE:
                self._processors.answered(self._processor, correlation, parse("TpProcessResponse", content))
            case _TYPE.TP_REGISTER_REQUEST:
                request = parse("TpRegisterRequest", content)
                status = _status(self._processors.register(self._processor, request))
                version = min(request.protocol_version, PROTOCOL_VERSION)
                done = MESSAGES["TpRegisterResponse"](status=status, protocol_version=version)
                await self._send(_TYPE.TP_REGISTER_RESPONSE, done, correlation)
            case _TYPE.TP_UNREGISTER_REQUEST:
                self._processors.unregister(self._processor)
                done = MESSAGES["TpUnregisterResponse"](status=SimpleStatus.OK)
                await self._send(_TYPE.TP_UNREGISTER_RESPONSE, done, correlation)
            case _TYPE.TP_STATE_GET_REQUEST:
                await self._get(parse("TpStateGetRequest", content), correlation)
            case _TYPE.TP_STATE_SET_REQUEST | _TYPE.TP_STATE_DELETE_REQUEST:
                await self._change(kind, content, correlation)
            case _:
                await self._tell(kind, content, correlation)

    async def _get(self, request: Any, correlation: str) -> None:
        response = MESSAGES["TpStateGetResponse"](status=StateAccessStatus.OK)
        try:
            async with self._reading:  # one at a time, so that what waits for the state is bounded
                for address, data in await self._context(request).get(request.addresses):
                    response.entries.add(address=address, data=data)
        except Unauthorized:
            response = MESSAGES["TpStateGetResponse"](status=StateAccessStatus.AUTHORIZATION_ERROR)
        await self._send(_TYPE.TP_STATE_GET_RESPONSE, response, correlation)

    async def _change(self, kind: MessageType, content: bytes, correlation: str) -> None:
        verb = "Set" if kind == _TYPE.TP_STATE_SET_REQUEST else "Delete"
        request = parse(f"TpState{verb}Request", content)
        response = MESSAGES[f"TpState{verb}Response"](status=StateAccessStatus.OK)
        try:
            context = self._context(request)
            if verb == "Set":
                context.set((entry.address, entry.data) for entry in request.entries)
                response.addresses.extend(entry.address for entry in request.entries)
            else:
                context.delete(request.addresses)
                response.addresses.extend(request.addresses)
        except Unauthorized:
            response = MESSAGES[f"TpState{verb}Response"](status=StateAccessStatus.AUTHORIZATION_ERROR)
        await self._send(MessageType(kind + 1), response, correlation)

    async def _tell(self, kind: MessageType, content: bytes, correlation: str) -> None:
        is_event = kind == _TYPE.TP_EVENT_ADD_REQUEST
        name = "TpEventAdd" if is_event else "TpReceiptAddData"
        request = parse(f"{name}Request", content)
        try:
            if is_event:
                self._context(request).add_event(request.event)
            else:
                self._context(request).add_receipt_data(request.data)
            status = SimpleStatus.OK
        except Unauthorized:
            status = SimpleStatus.ERROR
        await self._send(MessageType(kind + 1), MESSAGES[f"{name}Response"](status=status), correlation)

    def _context(self, request: Any) -> ProcessorContext:
        context = self._processor.context(request.context_id)
        if context is None:
            raise Unauthorized
        return context


def _status(done: bool) -> SimpleStatus:
    return SimpleStatus.OK if done else SimpleStatus.ERROR
