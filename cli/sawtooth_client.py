"""A client of Sawtooth on Coco: transactions and batches signed as Sawtooth's SDKs sign them, and its REST API.

For the command line, the load generator and the examples. Applications keep the SDK that they have.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson

from adapters.sawtooth.signatures import Signer
from adapters.sawtooth.wire.messages import MESSAGES
from cli.connection import Connection, refusal
from cli.errors import OutcomeUnknown, Refused

PATH = "/sawtooth"
WAIT_SECONDS = 30
STATUSES_MAX = 15
"""Ids in one address, so that it stays short."""


def make_transaction(
    signer: Signer,
    family: tuple[str, str],
    payload: bytes,
    inputs: Sequence[str],
    outputs: Sequence[str] | None = None,
    *,
    dependencies: Sequence[str] = (),
    batcher: str | None = None,
    nonce: str | None = None,
) -> Any:
    """Return a signed Transaction. family: name and version; outputs: as the inputs; nonce: random, when None."""
    header = MESSAGES["TransactionHeader"](
        batcher_public_key=batcher or signer.public_key,
        dependencies=dependencies,
        family_name=family[0],
        family_version=family[1],
        inputs=inputs,
        outputs=inputs if outputs is None else outputs,
        nonce=secrets.token_hex(16) if nonce is None else nonce,
        payload_sha512=hashlib.sha512(payload).hexdigest(),
        signer_public_key=signer.public_key,
    ).SerializeToString()
    return MESSAGES["Transaction"](header=header, header_signature=signer.sign(header), payload=payload)


def make_batch(signer: Signer, transactions: Sequence[Any]) -> Any:
    """Return a signed Batch of Transactions."""
    ids = [one.header_signature for one in transactions]
    header = MESSAGES["BatchHeader"](signer_public_key=signer.public_key, transaction_ids=ids).SerializeToString()
    return MESSAGES["Batch"](header=header, header_signature=signer.sign(header), transactions=transactions)


class SawtoothClient:
    """The REST API of one network, as one identity. Raises Refused, Unreachable, OutcomeUnknown."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def submit(self, batches: Sequence[Any], wait: int = WAIT_SECONDS) -> list[dict[str, Any]]:
        """Send batches, in order, and return where each stands; waits up to that many seconds for those that wait."""
        body = MESSAGES["BatchList"](batches=batches).SerializeToString()
        status, answer = self._connection.request("POST", f"{PATH}/batches", body, "application/octet-stream")
        if status == 503:
            raise OutcomeUnknown(
                "the network does not say what became of the batches",
                transaction=batches[0].header_signature,
                hint="Ask later: a batch that was committed is found by its id.",
            )
        if status != 202:
            raise refusal(status, answer, f"{PATH}/batches")
        return self.statuses([one.header_signature for one in batches], wait)

    def statuses(self, ids: Sequence[str], wait: int = 0) -> list[dict[str, Any]]:
        """Return where batches stand."""
        found: list[dict[str, Any]] = []
        for first in range(0, len(ids), STATUSES_MAX):
            query = urlencode({"id": ",".join(ids[first : first + STATUSES_MAX])} | ({"wait": wait} if wait else {}))
            found += self.get(f"/batch_statuses?{query}")["data"]
        return found

    def state(self, address: str) -> bytes | None:
        """Return what stands at an address, None where nothing does."""
        try:
            return base64.b64decode(self.get(f"/state/{address}")["data"])
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def entries(self, path: str, limit: int | None = None, **query: str) -> Iterator[dict[str, Any]]:
        """Yield the entries of a list, page after page; limit: how many at most."""
        while True:
            page = self.get(f"{path}?{urlencode(query | ({} if limit is None else {'limit': limit}))}")
            yield from page["data"] if limit is None else page["data"][:limit]
            limit = None if limit is None else limit - len(page["data"])
            following = page["paging"].get("next_position")
            if not following or (limit is not None and limit <= 0):
                return
            query |= {"start": following, "head": page["head"]}

    def get(self, path: str) -> Any:
        """Return the JSON of a GET."""
        status, body = self._connection.request("GET", PATH + path)
        if status != 200:
            raise refusal(status, body, PATH + path)
        return orjson.loads(body)
