"""The workload of Sawtooth's family intkey: batches of one transaction each, which set new names or count up a few."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import cbor2
import orjson

from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.signatures import Signer
from adapters.sawtooth.wire.messages import MESSAGES
from cli.errors import Refused
from cli.load.client import Client
from cli.load.requests import Confirmation, Endpoint, Request, Verdict, brief
from cli.load.workload import Recipe, Shape, Target
from cli.sawtooth_client import PATH, make_batch, make_transaction

FAMILY = ("intkey", "1.0")
OCTETS = "application/octet-stream"
_BATCHES_OF_PREPARING = 100


@dataclass(frozen=True, slots=True)
class IntkeyRecipe:
    """run: in front of every name, of four characters. key: that signs."""

    endpoint: Endpoint
    run: str
    key: bytes = field(repr=False)
    shape: Shape

    def requests(self, lane: int, first: int, count: int) -> list[Request]:
        """Sign a lane's requests from `first` on; an item is a batch of one transaction."""
        signer = Signer(self.key)
        made = []
        for number in range(first, first + count):
            start = (lane + number * self.shape.lanes) * self.shape.batch
            batches = [self._batch(signer, start + place) for place in range(self.shape.batch)]
            body = MESSAGES["BatchList"](batches=batches).SerializeToString()
            wire = self.endpoint.wire(body, "POST", f"{PATH}/batches", OCTETS)
            made.append(Request(wire, tuple(bytes.fromhex(one.header_signature) for one in batches)))
        return made

    def judge(self, request: Request, status: int, body: bytes) -> Verdict:
        """Accept what was answered with 202: all batches of a request, or none."""
        if status == 202:
            return Verdict(request.keys)
        text = f"HTTP status {status}: {body[:100].decode('utf-8', 'replace')}"
        with suppress(orjson.JSONDecodeError, KeyError, TypeError):  # an answer that is not Sawtooth's
            text = f"HTTP status {status}: {orjson.loads(body)['error']['title']}"
        return Verdict((), (brief(text),) * len(request.keys))

    def confirm(self, client: Client, keys: Sequence[bytes]) -> Confirmation:
        """Ask for the status of every batch."""
        status, body = client.request("POST", f"{PATH}/batch_statuses", orjson.dumps([key.hex() for key in keys]))
        if status != 200:
            return Confirmation(0, (brief(f"HTTP status {status}"),) * len(keys))
        errors = tuple(one["status"] for one in orjson.loads(body)["data"] if one["status"] != "COMMITTED")
        return Confirmation(len(keys) - len(errors), errors)

    def _batch(self, signer: Signer, number: int) -> Any:
        counted = self.shape.recipients
        name = f"{self.run}{number % counted if counted else number:x}"
        payload = {"Verb": "inc" if counted else "set", "Name": name, "Value": 1}
        return signed(signer, payload, f"{number:x}")


def signed(signer: Signer, payload: dict[str, str | int], nonce: str) -> Any:
    """Return a signed batch of one intkey transaction."""
    address = intkey_address(str(payload["Name"]))
    transaction = make_transaction(signer, FAMILY, cbor2.dumps(payload), [address], nonce=nonce)
    return make_batch(signer, [transaction])


def prepare_intkey(client: Client, target: Target, shape: Shape, tell: Callable[[str], None]) -> Recipe:
    """Set the names that are counted up, if any; raises Refused where the adapter is not live."""
    status, _ = client.request("GET", f"{PATH}/blocks?limit=1")
    if status != 200:
        raise Refused(f"{target.name} does not serve the adapter sawtooth (status {status})", code=status)
    recipe = IntkeyRecipe(target.endpoint, secrets.token_hex(2), secrets.token_bytes(32), shape)
    if shape.recipients:
        tell("setting names")
    signer = Signer(recipe.key)
    for first in range(0, shape.recipients, _BATCHES_OF_PREPARING):
        numbers = range(first, min(first + _BATCHES_OF_PREPARING, shape.recipients))
        names = [f"{recipe.run}{number:x}" for number in numbers]
        batches = [signed(signer, {"Verb": "set", "Name": name, "Value": 0}, "") for name in names]
        body = MESSAGES["BatchList"](batches=batches).SerializeToString()
        status, answer = client.request("POST", f"{PATH}/batches", body, OCTETS)
        if status != 202:
            raise Refused(f"names cannot be set: {answer[:200]!r}", code=status)
    return recipe
