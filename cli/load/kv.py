"""The workload of the example adapter kv (examples/kv_logger): puts of new keys, or of a few again and again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from cli.errors import Refused
from cli.load.client import Client
from cli.load.requests import Confirmation, Endpoint, Request, Verdict, brief
from cli.load.workload import Recipe, Shape, Target

VALUE = "v" * 100


@dataclass(frozen=True, slots=True)
class PutRecipe:
    """run: in front of every key."""

    endpoint: Endpoint
    run: str
    shape: Shape

    def requests(self, lane: int, first: int, count: int) -> list[Request]:
        """Return a lane's puts from request `first` on; a batch is one command, and so one transaction."""
        made = []
        for number in range(first, first + count):
            start = (lane + number * self.shape.lanes) * self.shape.batch
            names = [self._name(start + i) for i in range(self.shape.batch)]
            if len(names) == 1:
                wire = self.endpoint.wire(VALUE.encode(), "PUT", f"/kv/keys/{names[0]}", "text/plain")
            else:
                wire = self.endpoint.wire(orjson.dumps({"put": dict.fromkeys(names, VALUE)}), "POST", "/kv/batch")
            made.append(Request(wire, (b"",) * len(names)))
        return made

    def judge(self, request: Request, status: int, body: bytes) -> Verdict:
        """Accept what was answered with a transaction id, which is the key of all its items."""
        if status == 200:
            transaction = orjson.loads(body).get("transaction")
            if isinstance(transaction, str):
                return Verdict((transaction.encode(),) * len(request.keys))
        return Verdict(
            (), (brief(f"HTTP status {status}: {body[:100].decode('utf-8', 'replace')}"),) * len(request.keys)
        )

    def confirm(self, client: Client, keys: Sequence[bytes]) -> Confirmation:
        """Ask the node for the status of every transaction."""
        errors: list[str] = []
        known: dict[bytes, str] = {}
        for key in keys:
            if key not in known:
                status, body = client.request("GET", f"/node/tx/{key.decode()}")
                known[key] = str(orjson.loads(body).get("status")) if status == 200 else f"HTTP status {status}"
            if known[key] != "Committed":
                errors.append(known[key])
        return Confirmation(len(keys) - len(errors), tuple(errors))

    def _name(self, number: int) -> str:
        return f"{self.run}-{number % self.shape.recipients if self.shape.recipients else number}"


def prepare_put(client: Client, target: Target, shape: Shape, tell: Callable[[str], None]) -> Recipe:
    """Nothing is needed but the adapter; raises Refused where it is not live."""
    del tell
    status, _ = client.request("GET", "/kv/log")
    if status != 200:
        raise Refused(f"{target.name} does not serve the adapter kv (status {status})", code=status)
    return PutRecipe(target.endpoint, f"bench-{secrets.token_hex(4)}", shape)
