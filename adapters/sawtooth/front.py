"""What a gateway serves of Sawtooth: REST, state deltas at `/subscriptions`, the client protocol at `/validator`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from adapters.sawtooth.external_runs import ExternalRunner
from adapters.sawtooth.families.registry import FamilyVersion
from adapters.sawtooth.gateway import Prepared, ValidatorGateway
from adapters.sawtooth.processors import Processors
from adapters.sawtooth.requests import COMMANDS, SubmitBatch
from adapters.sawtooth.rest import RestApi
from adapters.sawtooth.settings import Settings
from adapters.sawtooth.subscriptions import DeltaSocket
from adapters.sawtooth.validation import parse_batch, verify_batch
from adapters.sawtooth.validator_socket import ValidatorSocket
from core.adapter.interface import Backend, Route, WebSocket, WebSocketRoute


class FrontEnd:
    """Makes the routes of one gateway."""

    def __init__(self, settings: Settings, families: Collection[FamilyVersion]) -> None:
        """families: those that run in the enclave."""
        self._gateway = ValidatorGateway(self._prepare)
        self._processors = Processors(settings, families)
        self._runner = ExternalRunner(settings, self._processors, self._gateway)

    def routes(self) -> Sequence[Route]:
        """Return the REST API's."""
        return RestApi(self._gateway).routes()

    def web_sockets(self) -> Sequence[WebSocketRoute]:
        """Return both sockets'."""

        async def deltas(socket: WebSocket, backend: Backend) -> None:
            await DeltaSocket(self._gateway, socket, backend).run()

        async def validator(socket: WebSocket, backend: Backend) -> None:
            await ValidatorSocket(self._gateway, socket, backend, self._processors).run()

        return (WebSocketRoute("/subscriptions", deltas), WebSocketRoute("/validator", validator))

    def _prepare(self, data: bytes) -> Prepared:
        return prepare_batch(data, self._runner)


def prepare_batch(data: bytes, runner: ExternalRunner | None = None) -> Prepared:
    """Check a serialised batch and its signatures, and make it a command. Raises InvalidBatch.

    runner: runs what has to run outside the enclave.
    """
    batch = parse_batch(data)
    verify_batch(batch)
    run = partial(runner.run, batch) if runner is not None and runner.wants(batch) else None
    return Prepared(batch.id, COMMANDS.encode(SubmitBatch(data)), batch.has_outer_dependencies, run)
