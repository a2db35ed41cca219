"""Everything that can be asked of a Sawtooth network about one batch, and what of it would be told to somebody.

An identity that may not see a batch must be told of it what it is told of one that does not exist, byte for byte.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from adapters.sawtooth.families.intkey import NAMESPACE
from adapters.sawtooth.wire.messages import MESSAGES, MessageType
from tests.support.sawtooth_nodes import Sent, unknown_id


@dataclass(frozen=True, slots=True)
class Subject:
    """What is asked about. block, root: of the block that holds it, which everybody may know."""

    batch: str
    transaction: str
    address: str
    block: str
    number: int
    root: str

    def unknown(self) -> Subject:
        """Return one that nobody ever sent, said to be in the same block."""
        address = NAMESPACE + unknown_id(self.transaction)[-64:]
        return Subject(
            unknown_id(self.batch), unknown_id(self.transaction), address, self.block, self.number, self.root
        )

    def as_unknown(self, answer: bytes, asked: bytes) -> bytes:
        """Return an answer with the ids that were asked for changed to those of the unknown one."""
        theirs = asdict(self.unknown())
        for name, mine in asdict(self).items():
            if name in _SECRET and mine.encode() in asked:
                answer = answer.replace(mine.encode(), theirs[name].encode())
        return answer


REST: dict[tuple[str, str], tuple[str, ...]] = {
    ("GET", "/batches"): (
        "/batches?limit=1000",
        "/batches?id={batch}",
        "/batches?start={batch}",
        "/batches?head={block}&reverse",
    ),
    ("GET", "/batches/{id}"): ("/batches/{batch}",),
    ("GET", "/batch_statuses"): ("/batch_statuses?id={batch}", "/batch_statuses?id={batch}&wait=1"),
    ("POST", "/batch_statuses"): ("/batch_statuses [batch]",),
    ("GET", "/state"): (
        "/state?limit=1000",
        "/state?address=" + NAMESPACE,
        "/state?address={address}",
        "/state?start={address}",
        "/state?head={block}",
    ),
    ("GET", "/state/{address}"): ("/state/{address}", "/state/{address}?head={block}"),
    ("GET", "/blocks"): ("/blocks?limit=1000", "/blocks?id={block}", "/blocks?head={block}&reverse"),
    ("GET", "/blocks/{id}"): ("/blocks/{block}",),
    ("GET", "/transactions"): (
        "/transactions?limit=1000",
        "/transactions?id={transaction}",
        "/transactions?start={transaction}",
        "/transactions?head={block}&reverse",
    ),
    ("GET", "/transactions/{id}"): ("/transactions/{transaction}",),
    ("GET", "/receipts"): ("/receipts?id={transaction}",),
    ("POST", "/receipts"): ("/receipts [transaction]",),
    ("GET", "/peers"): ("/peers",),
    ("GET", "/status"): ("/status",),
}
"""What to ask of each route; `[name]` is the body of a POST. POST /batches tells nothing: it is another test's."""

TELL_NOBODY = ("/peers", "/status")
_SECRET = ("batch", "transaction", "address")


def rest_request(template: str, subject: Subject) -> tuple[str, str, bytes | None]:
    """Return method, path and body."""
    path, _, listed = template.partition(" ")
    ids = asdict(subject)
    body = orjson.dumps([ids[listed[1:-1]]]) if listed else None
    return "GET" if body is None else "POST", path.format(**ids), body


def _ask(name: str, **fields: Callable[[Subject], Any]) -> Callable[[Subject], Any]:
    return lambda subject: MESSAGES[name](**{key: value(subject) for key, value in fields.items()})


_TYPE = MessageType
_DELTAS = MESSAGES["EventSubscription"](event_type="sawtooth/state-delta")
VALIDATOR: dict[MessageType, Callable[[Subject], Any]] = {
    _TYPE.CLIENT_BLOCK_LIST_REQUEST: _ask("ClientBlockListRequest", head_id=lambda one: one.block),
    _TYPE.CLIENT_BLOCK_GET_BY_ID_REQUEST: _ask("ClientBlockGetByIdRequest", block_id=lambda one: one.block),
    _TYPE.CLIENT_BLOCK_GET_BY_NUM_REQUEST: _ask("ClientBlockGetByNumRequest", block_num=lambda one: one.number),
    _TYPE.CLIENT_BLOCK_GET_BY_TRANSACTION_ID_REQUEST: _ask(
        "ClientBlockGetByTransactionIdRequest", transaction_id=lambda one: one.transaction
    ),
    _TYPE.CLIENT_BLOCK_GET_BY_BATCH_ID_REQUEST: _ask("ClientBlockGetByBatchIdRequest", batch_id=lambda one: one.batch),
    _TYPE.CLIENT_BATCH_LIST_REQUEST: _ask("ClientBatchListRequest", batch_ids=lambda one: [one.batch]),
    _TYPE.CLIENT_BATCH_GET_REQUEST: _ask("ClientBatchGetRequest", batch_id=lambda one: one.batch),
    _TYPE.CLIENT_TRANSACTION_LIST_REQUEST: _ask("ClientTransactionListRequest"),
    _TYPE.CLIENT_TRANSACTION_GET_REQUEST: _ask(
        "ClientTransactionGetRequest", transaction_id=lambda one: one.transaction
    ),
    _TYPE.CLIENT_STATE_LIST_REQUEST: _ask("ClientStateListRequest", state_root=lambda one: one.root),
    _TYPE.CLIENT_STATE_GET_REQUEST: _ask(
        "ClientStateGetRequest", state_root=lambda one: one.root, address=lambda one: one.address
    ),
    _TYPE.CLIENT_BATCH_STATUS_REQUEST: _ask("ClientBatchStatusRequest", batch_ids=lambda one: [one.batch]),
    _TYPE.CLIENT_RECEIPT_GET_REQUEST: _ask("ClientReceiptGetRequest", transaction_ids=lambda one: [one.transaction]),
    _TYPE.CLIENT_EVENTS_GET_REQUEST: _ask(
        "ClientEventsGetRequest", subscriptions=lambda _: [_DELTAS], block_ids=lambda one: [one.block]
    ),
    _TYPE.CLIENT_PEERS_GET_REQUEST: _ask("ClientPeersGetRequest"),
    _TYPE.CLIENT_STATUS_GET_REQUEST: _ask("ClientStatusGetRequest"),
}
"""Every request of a client save that which submits."""


class Secrets:
    """Whatever tells of batches: their transactions' ids, keys, payloads and addresses, and what they wrote.

    Batches' own ids stand in block headers, which everybody may read.
    """

    def __init__(self, sent: Iterable[Sent], written: Iterable[bytes]) -> None:
        """written: the data that stands in state."""
        found = {form for data in written for form in _forms(data)}
        for one in sent:
            found.update(self._of(one))
        self._pattern = re.compile(b"|".join(map(re.escape, sorted(found, key=len, reverse=True))))

    @staticmethod
    def _of(sent: Sent) -> Iterator[bytes]:
        for one in sent.batch.transactions:
            yield one.header_signature.encode()
            yield from _forms(one.payload)
            header = MESSAGES["TransactionHeader"]()
            header.MergeFromString(one.header)
            yield header.signer_public_key.encode()
            yield header.payload_sha512.encode()
            yield from (address.encode() for address in header.inputs)

    def found_in(self, answer: bytes) -> bytes | None:
        """Return one that stands in an answer."""
        found = self._pattern.search(answer)
        return None if found is None else found[0]


def _forms(data: bytes) -> tuple[bytes, bytes]:
    return data, b64encode(data)
