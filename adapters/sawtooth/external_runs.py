"""Runs batches by transaction processors outside the enclave, in a gateway: the whole of a batch, then its command.

A batch with a family that the constitution lets processors run is run here transaction by transaction on the newest
committed state; its families of the enclave are left to the executor. The executor takes what came of it only if all
that was read still holds; otherwise the batch runs again. A processor that fails is avoided in the next run.

A batch whose effects could meet those of an earlier one waits for it. One that names transactions of other batches as
dependencies does not, and nothing waits for it: it might be waiting for a batch that comes later.

Everything is bounded: batches, their bytes, the time for which one waits, runs. What waits here is not durable.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from adapters.sawtooth.access import Sight
from adapters.sawtooth.addresses import namespaces_of
from adapters.sawtooth.execution import MESSAGE_CHARACTERS_MAX
from adapters.sawtooth.processor_context import BatchState, Outdated, ProcessorContext
from adapters.sawtooth.processors import NoProcessor, Processor, ProcessorFailed, Processors
from adapters.sawtooth.requests import COMMANDS, NEWEST_BLOCK, ExternalResult, SubmitBatch, TransactionResult
from adapters.sawtooth.settings import Settings
from adapters.sawtooth.turns import Turns
from adapters.sawtooth.validation import SignedBatch, SignedTransaction
from adapters.sawtooth.wire.messages import (
    MESSAGES,
    BatchStatus,
    MessageType,
    ProcessStatus,
    StateGetStatus,
    SubmitStatus,
    parse,
)
from core import limits
from core.adapter.interface import Backend, Caller, Overloaded
from core.errors import LimitExceeded

BATCHES_MAX = 1_000
BATCHES_PER_IDENTITY_MAX = 200
BYTES_MAX = 64 * limits.MEBIBYTE
EXTENDED_DATA_BYTES_MAX = 64 * limits.KIBIBYTE


@dataclass(frozen=True, slots=True)
class RunBounds:
    """process_seconds_max: for one transaction. processor_seconds_max: how long a batch waits for a processor.

    batch_seconds_max: for everything. failures_max: runs that processors failed in; stale_max: runs that came too late.
    """

    process_seconds_max: float = 10.0
    processor_seconds_max: float = 60.0
    batch_seconds_max: float = 300.0
    failures_max: int = 3
    stale_max: int = 10
    pause_seconds: float = 0.1


class StateGateway(Protocol):
    """What is asked of the validator: the newest block, and the state at its root."""

    async def block(self, number: int, caller: Caller, backend: Backend) -> Any:
        """Return a block without its batches."""
        ...

    async def request(self, message_type: MessageType, request: Any, caller: Caller, backend: Backend) -> Any:
        """Ask a question of the client protocol."""
        ...


class _RootGone(Exception):
    """The state that a run reads is not kept any more."""


@dataclass(slots=True)
class _Job:
    """A batch, and how its runs went. deadline: until when a processor may come."""

    batch: SignedBatch
    caller: Caller
    backend: Backend
    deadline: float
    sight: Sight
    failures: int = 0
    stale: int = 0
    failed: set[Processor] = field(default_factory=set)
    current: Processor | None = None


class ExternalRunner:
    """See the module."""

    def __init__(
        self, settings: Settings, processors: Processors, gateway: StateGateway, bounds: RunBounds | None = None
    ) -> None:
        self._settings = settings
        self._processors = processors
        self._gateway = gateway
        self._bounds = bounds or RunBounds()
        self._turns = Turns()
        self._batches: Counter[str | None] = Counter()
        self._bytes = 0

    def wants(self, batch: SignedBatch) -> bool:
        """Say whether a batch is to be run here."""
        return any(self._is_external(one) for one in batch.transactions)

    async def run(self, batch: SignedBatch, caller: Caller, backend: Backend) -> SubmitStatus:
        """Run a batch to its commit; QUEUE_FULL when it has to be sent again. Raises OutcomeUnknown, CommandFailed."""
        job = _Job(batch, caller, backend, self._deadline(), Sight(self._settings, caller))
        try:
            with self._admit(job):
                async with asyncio.timeout(self._bounds.batch_seconds_max), self._turn(batch):
                    return await self._run(job)
        except (Overloaded, TimeoutError):
            return SubmitStatus.QUEUE_FULL
        except LimitExceeded:
            return SubmitStatus.INVALID_BATCH

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._bounds.processor_seconds_max

    @contextmanager
    def _admit(self, job: _Job) -> Iterator[None]:
        identity, size_bytes = job.caller.identity, len(job.batch.data)
        if (
            self._batches.total() >= BATCHES_MAX
            or self._batches[identity] >= BATCHES_PER_IDENTITY_MAX
            or self._bytes + size_bytes > BYTES_MAX
        ):
            raise Overloaded("too many batches wait for transaction processors", hint="Send it again later.")
        self._batches[identity] += 1
        self._bytes += size_bytes
        try:
            yield
        finally:
            self._bytes -= size_bytes
            self._batches[identity] -= 1
            if not self._batches[identity]:
                del self._batches[identity]

    @asynccontextmanager
    async def _turn(self, batch: SignedBatch) -> AsyncGenerator[None, None]:
        if batch.has_outer_dependencies:
            yield
            return
        headers = [one.header for one in batch.transactions]
        inputs = (prefix for header in headers for prefix in header.inputs)
        outputs = (prefix for header in headers for prefix in header.outputs)
        async with self._turns.turn(inputs, outputs):
            yield

    async def _run(self, job: _Job) -> SubmitStatus:
        while job.stale < self._bounds.stale_max:
            status = await self._attempt(job)
            if status is not None:
                return status
        return await self._too_often(job)

    async def _attempt(self, job: _Job) -> SubmitStatus | None:
        """Run a batch once and have the executor take what came of it; returns None when it is to be run again."""
        try:
            results = await self._run_outside(job)
        except NoProcessor:
            # The executor finds the same, and says so in the batch's status.
            return await self._submit(job, None) or SubmitStatus.QUEUE_FULL
        except _RootGone:
            job.stale += 1
            return None
        except ProcessorFailed as failed:
            if job.current is not None:
                job.failed.add(job.current)
            job.failures += 1
            job.deadline = self._deadline()  # a processor that has died may be started again
            if job.failures < self._bounds.failures_max:
                await asyncio.sleep(self._bounds.pause_seconds)
                return None
            return await self._submit(job, self._all_failed(job, failed.message)) or SubmitStatus.QUEUE_FULL
        status = await self._submit(job, results)
        job.stale += status is None
        return status

    async def _run_outside(self, job: _Job) -> tuple[TransactionResult | None, ...]:
        """Run a batch once. Raises NoProcessor, ProcessorFailed, _RootGone."""
        state, results = BatchState(), list[TransactionResult | None]()
        for transaction in job.batch.transactions:
            result = None
            if self._is_external(transaction):
                result = await self._process(job, transaction, state)
            results.append(result)
            if result is not None and result.error is not None:
                break
        return (*results, *[None] * (len(job.batch.transactions) - len(results)))

    async def _process(self, job: _Job, transaction: SignedTransaction, state: BatchState) -> TransactionResult:
        header = transaction.header
        namespaces = namespaces_of((*header.inputs, *header.outputs))
        sights: dict[Processor, Sight] = {}

        def may(processor: Processor) -> bool:
            sight = sights.setdefault(processor, Sight(self._settings, processor.caller))
            return processor.caller.identity == job.caller.identity or sight.readable.issuperset(namespaces)

        family = (header.family_name, header.family_version)
        job.current = None
        job.current = chosen = await self._processors.acquire(family, may, job.failed, job.deadline)
        read = partial(self._read_state, chosen.caller, job.backend, state)
        context = ProcessorContext(transaction, state, read, sights[chosen], job.sight.usable)
        seconds = self._bounds.process_seconds_max
        response = await self._processors.process(chosen, transaction, context, seconds)
        if context.is_outdated:
            raise _RootGone
        match response.status:
            case ProcessStatus.OK:
                return context.result()
            case ProcessStatus.INVALID_TRANSACTION:
                message = response.message[:MESSAGE_CHARACTERS_MAX]
                return context.result(message, response.extended_data[:EXTENDED_DATA_BYTES_MAX])
            case _:
                raise ProcessorFailed(response.message[:MESSAGE_CHARACTERS_MAX] or "the transaction processor failed")

    async def _read_state(self, caller: Caller, backend: Backend, state: BatchState, address: bytes) -> bytes:
        """Return what is at an address, as a processor's own identity reads it. Raises Outdated, or as Backend.

        The first read of a run says at which root all of them are: the newest.
        """
        if not state.root:
            block = await self._gateway.block(NEWEST_BLOCK, caller, backend)
            if block is None:
                raise Outdated("there is no block yet")
            state.root = parse("BlockHeader", block.header).state_root_hash
        asked = MESSAGES["ClientStateGetRequest"](state_root=state.root, address=address.hex())
        found = await self._gateway.request(MessageType.CLIENT_STATE_GET_REQUEST, asked, caller, backend)
        if found.status not in (StateGetStatus.OK, StateGetStatus.NO_RESOURCE):
            raise Outdated("the state that a processor reads is not kept any more")
        value: bytes = found.value
        return value

    def _all_failed(self, job: _Job, message: str) -> tuple[TransactionResult | None, ...]:
        """Return the result of a batch that no processor ran: its first external transaction is invalid."""
        failed = TransactionResult(error=message)
        return tuple(failed if self._is_external(one) else None for one in job.batch.transactions)

    async def _submit(self, job: _Job, results: tuple[TransactionResult | None, ...] | None) -> SubmitStatus | None:
        """Have the executor take a batch; returns None when it has to be run again."""
        external = None if results is None else ExternalResult(results)
        payload = COMMANDS.encode(SubmitBatch(job.batch.data, external))
        if len(payload) > limits.COMMAND_BYTES_MAX:
            results = self._all_failed(job, f"batch and results are over {limits.COMMAND_BYTES_MAX} bytes")
            payload = COMMANDS.encode(SubmitBatch(job.batch.data, ExternalResult(results)))
        outcome = await job.backend.submit(payload, job.caller)
        if outcome.transaction_id is not None:
            return SubmitStatus.OK
        refused = parse("ClientBatchSubmitResponse", outcome.reply).status
        if refused:
            return SubmitStatus(refused)
        again = parse("ClientBatchStatus", outcome.reply).status == BatchStatus.PENDING
        return None if again else SubmitStatus.OK

    async def _too_often(self, job: _Job) -> SubmitStatus:
        """End a batch whose reads never held: by itself, or because others were always faster."""
        if all(self._is_external(one) for one in job.batch.transactions):
            return SubmitStatus.QUEUE_FULL
        message = (
            "a transaction run outside the enclave may not read what one inside wrote before it in the same batch, "
            "or the state changes too fast: send them in batches of their own"
        )
        return await self._submit(job, self._all_failed(job, message)) or SubmitStatus.QUEUE_FULL

    def _is_external(self, transaction: SignedTransaction) -> bool:
        header = transaction.header
        return self._processors.runs_outside((header.family_name, header.family_version))
