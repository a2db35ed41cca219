"""The transaction processors outside the enclave that are connected to one gateway, and the work they have.

A processor is a connection with registrations, of a caller whom the constitution names for each of their families.
Invariants: a context is known only on the connection it was handed to, until it is answered; a connection has no
more open work of a family than it registered for, and none at all while it owes an answer that came too late.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from adapters.sawtooth.access import may_process
from adapters.sawtooth.families.registry import FamilyVersion
from adapters.sawtooth.processor_context import ProcessorContext
from adapters.sawtooth.settings import Settings
from adapters.sawtooth.validation import SignedTransaction
from adapters.sawtooth.wire.messages import MESSAGES, HeaderStyle, MessageType
from core.adapter.interface import Caller
from core.errors import CocoError

PROCESSORS_MAX = 256
REGISTRATIONS_MAX = 64
"""Of one processor."""
OCCUPANCY_DEFAULT = 10
"""As in a validator."""
OCCUPANCY_MAX = 32
"""Transactions that a processor has at a time, of one family."""
FAMILY_CHARACTERS_MAX = 256

Send = Callable[[MessageType, Any, str], Awaitable[None]]
"""Sends a message with a correlation id; raises ChannelClosed."""


class ProcessorFailed(CocoError):
    """A processor did not do its work: it is gone, too late, or says that it failed."""


class NoProcessor(CocoError):
    """No processor came in time that may run a transaction."""


@dataclass(slots=True)
class _Registration:
    occupancy_max: int = OCCUPANCY_DEFAULT
    is_raw: bool = False
    occupied: int = 0


@dataclass(frozen=True, slots=True)
class _Work:
    """A transaction that a processor has. answer: None is set when the connection ends."""

    context: ProcessorContext
    answer: asyncio.Future[Any]

    def end(self, response: Any) -> None:
        """Take an answer. What the processor says of the transaction after it, counts no more."""
        self.context.close()
        if not self.answer.done():
            self.answer.set_result(response)


@dataclass(slots=True, eq=False)
class Processor:
    """One connection. work: by correlation id; contexts: of the same work, by the ids that it was handed.

    late: correlation ids of work that was given up and not answered since.
    """

    caller: Caller
    send: Send
    registrations: dict[FamilyVersion, _Registration] = field(default_factory=dict)
    work: dict[str, _Work] = field(default_factory=dict)
    contexts: dict[str, ProcessorContext] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    is_connected: bool = True

    def context(self, context_id: str) -> ProcessorContext | None:
        """Return the context that this connection was handed, while its transaction runs."""
        return self.contexts.get(context_id)


class Processors:
    """See the module. families: those that run in the enclave, and so never outside."""

    def __init__(self, settings: Settings, families: Collection[FamilyVersion]) -> None:
        self._settings = settings
        self._families = families
        self._connected: list[Processor] = []
        self._waiters: set[asyncio.Future[None]] = set()

    def runs_outside(self, family: FamilyVersion) -> bool:
        """Say whether a family's transactions may be run by processors outside."""
        return family not in self._families and family[0] in self._settings.external_processors

    def register(self, processor: Processor, request: Any) -> bool:
        """Take a TpRegisterRequest; returns whether it is allowed, well-formed and within the bounds."""
        family: FamilyVersion = (request.family, request.version)
        if (
            not processor.is_connected
            or not self.runs_outside(family)
            or not may_process(self._settings, processor.caller, request.family)
            or len(request.version) > FAMILY_CHARACTERS_MAX
            or request.request_header_style not in set(HeaderStyle)
        ):
            return False
        if family not in processor.registrations and len(processor.registrations) >= REGISTRATIONS_MAX:
            return False
        if processor not in self._connected:
            if len(self._connected) >= PROCESSORS_MAX:
                return False
            self._connected.append(processor)
        registration = processor.registrations.setdefault(family, _Registration())
        registration.occupancy_max = min(request.max_occupancy or OCCUPANCY_DEFAULT, OCCUPANCY_MAX)
        registration.is_raw = request.request_header_style == HeaderStyle.RAW
        self._wake()
        return True

    def unregister(self, processor: Processor) -> None:
        """Give a processor nothing more. What it has, it may still answer."""
        processor.registrations.clear()
        if processor in self._connected:
            self._connected.remove(processor)

    def disconnect(self, processor: Processor) -> None:
        """Forget a connection that has ended. Its work fails."""
        processor.is_connected = False
        self.unregister(processor)
        for work in processor.work.values():
            work.end(None)

    async def acquire(
        self,
        family: FamilyVersion,
        may: Callable[[Processor], bool],
        avoided: Collection[Processor],
        deadline: float,
    ) -> Processor:
        """Wait for a processor with room for a transaction of this family, the next one in turn.

        Work is to be handed to it before anything else happens. avoided: taken only if there is no other.
        deadline: the loop's time at which NoProcessor is raised if none is registered and in order.
        """
        loop = asyncio.get_running_loop()
        while True:
            able = [one for one in self._connected if family in one.registrations and not one.late and may(one)]
            free = [one for one in able if _has_room(one.registrations[family])]
            if free:
                chosen = next((one for one in free if one not in avoided), free[0])
                self._connected.remove(chosen)
                self._connected.append(chosen)
                return chosen
            left = deadline - loop.time()
            if not able and left <= 0:
                raise NoProcessor(f"no transaction processor for family {family[0][:80]} {family[1][:80]}")
            await self._changed(None if able else left)

    async def process(
        self, processor: Processor, transaction: SignedTransaction, context: ProcessorContext, seconds_max: float
    ) -> Any:
        """Have a transaction run; returns the TpProcessResponse. Raises ProcessorFailed."""
        header = transaction.header
        registration = processor.registrations[header.family_name, header.family_version]
        correlation, context_id = secrets.token_hex(32), secrets.token_hex(32)
        request = MESSAGES["TpProcessRequest"](
            header=None if registration.is_raw else header,
            header_bytes=transaction.header_bytes if registration.is_raw else None,
            payload=transaction.payload,
            signature=transaction.id,
            context_id=context_id,
        )
        work = _Work(context, asyncio.get_running_loop().create_future())
        processor.work[correlation] = work
        processor.contexts[context_id] = context
        registration.occupied += 1
        try:
            async with asyncio.timeout(seconds_max):
                await processor.send(MessageType.TP_PROCESS_REQUEST, request, correlation)
                response = await work.answer
        except TimeoutError:
            processor.late.add(correlation)
            raise ProcessorFailed(f"the transaction processor did not answer within {seconds_max:g} s") from None
        except CocoError:
            response = None
        finally:
            context.close()
            work.answer.cancel()
            del processor.work[correlation], processor.contexts[context_id]
            registration.occupied -= 1
            self._wake()
        if response is None:
            raise ProcessorFailed("the transaction processor has gone")
        return response

    def answered(self, processor: Processor, correlation: str, response: Any) -> None:
        """Take a TpProcessResponse. One to nothing that this connection was asked is dropped, as is a second one."""
        work = processor.work.get(correlation)
        if work is not None:
            work.end(response)
        elif correlation in processor.late:
            processor.late.remove(correlation)
            self._wake()

    async def _changed(self, seconds: float | None) -> None:
        """Wait until a processor has come or has room again, or the time is over."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait({waiter}, timeout=seconds)
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


def _has_room(registration: _Registration) -> bool:
    return registration.occupied < registration.occupancy_max
