"""What a gateway serves of Sawtooth: REST, state deltas at `/subscriptions`, the client protocol at `/validator`."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.sawtooth.gateway import Prepared, ValidatorGateway
from adapters.sawtooth.requests import COMMANDS, SubmitBatch
from adapters.sawtooth.rest import RestApi
from adapters.sawtooth.subscriptions import DeltaSocket
from adapters.sawtooth.validation import parse_batch, verify_batch
from adapters.sawtooth.validator_socket import ValidatorSocket
from core.adapter.interface import Backend, Route, WebSocket, WebSocketRoute


class FrontEnd:
    """Makes the routes of one gateway."""

    def __init__(self) -> None:
        self._gateway = ValidatorGateway(prepare_batch)

    def routes(self) -> Sequence[Route]:
        """Return the REST API's."""
        return RestApi(self._gateway).routes()

    def web_sockets(self) -> Sequence[WebSocketRoute]:
        """Return both sockets'."""

        async def deltas(socket: WebSocket, backend: Backend) -> None:
            await DeltaSocket(self._gateway, socket, backend).run()

        async def validator(socket: WebSocket, backend: Backend) -> None:
            await ValidatorSocket(self._gateway, socket, backend).run()

        return (WebSocketRoute("/subscriptions", deltas), WebSocketRoute("/validator", validator))


def prepare_batch(data: bytes) -> Prepared:
    """Check a serialised batch and its signatures, and make it a command. Raises InvalidBatch."""
    batch = parse_batch(data)
    verify_batch(batch)
    own = {one.id for one in batch.transactions}
    may_wait = any(needed not in own for one in batch.transactions for needed in one.header.dependencies)
    return Prepared(batch.id, COMMANDS.encode(SubmitBatch(data)), may_wait)
