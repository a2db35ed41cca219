"""The registry, and what each workload's recipe makes, accepts and refuses."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import cbor2
import orjson
import pytest

from adapters.ethereum.settings import parse_settings
from adapters.ethereum.transactions import decode_transaction
from adapters.sawtooth.wire.messages import MESSAGES
from cli.errors import WrongUse
from cli.load.intkey import IntkeyRecipe
from cli.load.kv import PutRecipe
from cli.load.reads import BalanceRecipe
from cli.load.requests import Endpoint, Request, brief
from cli.load.signing import Fees, Signer, derive_keys
from cli.load.transfers import TransferRecipe
from cli.load.workload import WORKLOADS, Shape, choose_workload

ENDPOINT = Endpoint("127.0.0.1", 8443, True, "/ethereum/", ("Authorization: Bearer secret",), "ca.pem")
KEYS = tuple(derive_keys(b"test", 4))
TOKEN = b"\x22" * 20


def transfers(batch: int = 1, recipients: int = 0, token: bytes | None = TOKEN) -> TransferRecipe:
    return TransferRecipe(ENDPOINT, 1337, KEYS, (5, 0, 0, 0), token, Fees(), Shape(2, 4, batch, recipients))


def body_of(request: Request) -> Any:
    head, _, body = request.wire.partition(b"\r\n\r\n")
    assert b"Authorization: Bearer secret" in head
    assert f"Content-Length: {len(body)}".encode() in head
    return orjson.loads(body)


def decoded(request: Request) -> list[Any]:
    document = body_of(request)
    calls = document if isinstance(document, list) else [document]
    return [
        decode_transaction(bytes.fromhex(one["params"][0][2:]), parse_settings({"chain_id": 1337})) for one in calls
    ]


def test_choosing() -> None:
    assert choose_workload(None, None).name == "erc20"
    assert choose_workload(None, "kv").name == "kv-put"
    assert choose_workload(None, "sawtooth").name == "intkey"
    assert choose_workload("plain", None).adapter == "ethereum"
    for name, adapter in (("nothing", None), (None, "nothing"), ("plain", "kv")):
        with pytest.raises(WrongUse):
            choose_workload(name, adapter)
    assert {one.name for one in WORKLOADS.values()} == set(WORKLOADS)


def test_transactions_of_a_sender_are_in_order_and_on_one_lane() -> None:
    recipe = pickle.loads(pickle.dumps(transfers()))
    lanes = [recipe.requests(lane, 0, 6) for lane in (0, 1)]
    nonces: dict[bytes, list[int]] = {}
    for lane in lanes:
        for request in lane:
            (transaction,) = decoded(request)
            assert request.keys == (transaction.hash,)
            nonces.setdefault(transaction.sender, []).append(transaction.nonce)
    assert len(nonces) == 4
    assert sorted(nonces.values()) == [[0, 1, 2]] * 3 + [[5, 6, 7]]
    assert nonces[Signer(KEYS[0], 1).address] == [5, 6, 7]
    assert recipe.requests(1, 4, 2) == lanes[1][4:]


def test_receivers_are_new_or_a_few() -> None:
    def receivers(recipe: TransferRecipe) -> list[bytes]:
        return [one.data[4:36] for lane in (0, 1) for item in recipe.requests(lane, 0, 10) for one in decoded(item)]

    assert len(set(receivers(transfers()))) == 20
    assert len(set(receivers(transfers(recipients=3)))) == 3
    (plain,) = decoded(transfers(token=None).requests(0, 0, 1)[0])
    assert (plain.value, plain.data, plain.gas_limit) == (1, b"", 21_000)


def test_a_batch_has_one_sender() -> None:
    first, second = transfers(batch=3).requests(0, 0, 2)
    assert len({one.sender for one in decoded(first)}) == 1
    assert [one.nonce for one in decoded(first)] == [5, 6, 7]
    assert [one.nonce for one in decoded(second)] == [0, 1, 2]


def test_only_the_right_hash_is_accepted() -> None:
    recipe = transfers()
    request = recipe.requests(0, 0, 1)[0]
    right = b'{"jsonrpc":"2.0","id":0,"result":"0x' + request.keys[0].hex().encode() + b'"}'
    assert recipe.judge(request, 200, right).accepted == request.keys
    assert recipe.judge(request, 200, right.replace(b":", b": ")).accepted
    refused = b'{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"nonce too low: next nonce 12, tx nonce 3"}}'
    for status, body, error in (
        (200, right.replace(b"0x", b"0xff"), "an unexpected result: N"),
        (200, refused, "-32000: nonce too low: next nonce N tx nonce N"),
        (503, b'{"error":"too busy"}', "HTTP status N too busy"),
        (200, b"", "HTTP status N"),
        (200, b"[]", "HTTP status N"),
    ):
        verdict = recipe.judge(request, status, body)
        assert not verdict.accepted
        assert verdict.errors == (error,) or verdict.errors == [error], verdict


def test_items_of_a_batch_are_judged_each() -> None:
    recipe = transfers(batch=2)
    request = recipe.requests(0, 0, 1)[0]
    answers = [
        {"id": 1, "result": "0x" + request.keys[1].hex()},
        {"id": 0, "error": {"code": -32000, "message": "no"}},
    ]
    verdict = recipe.judge(request, 200, orjson.dumps(answers))
    assert list(verdict.accepted) == [request.keys[1]]
    assert len(verdict.errors) == 1


class Receipts:
    """A client that knows receipts."""

    def __init__(self, receipts: list[Any]) -> None:
        self.receipts = receipts

    def batch(self, calls: list[Any]) -> list[Any]:
        return [{"id": number, "result": receipt} for number, receipt in enumerate(self.receipts)]


def test_a_receipt_confirms_only_what_succeeded_in_a_block() -> None:
    good = {"status": "0x1", "blockNumber": "0x5"}
    client: Any = Receipts([good, None, {**good, "status": "0x0"}, {**good, "blockNumber": None}])
    confirmation = transfers().confirm(client, [b"a", b"b", b"c", b"d"])
    assert confirmation.confirmed == 1
    assert sorted(confirmation.errors) == ["no receipt", *["the receipt says that it failed"] * 2]


def test_reads() -> None:
    owners = tuple(bytes([number]) * 20 for number in range(3))
    recipe = BalanceRecipe(ENDPOINT, TOKEN, owners, Shape(2, 3, 1, 0))
    requests = recipe.requests(0, 0, 3) + recipe.requests(1, 0, 3)
    assert len({request.wire for request in requests}) == 3
    call = body_of(requests[0])["params"][0]
    assert call == {"to": "0x" + TOKEN.hex(), "data": "0x70a08231" + bytes(32).hex()}
    word = b'{"jsonrpc":"2.0","id":0,"result":"0x' + b"0" * 64 + b'"}'
    assert recipe.judge(requests[0], 200, word).accepted
    assert not recipe.judge(requests[0], 200, b'{"jsonrpc":"2.0","id":0,"result":"0x"}').accepted
    assert not recipe.judge(requests[0], 200, b'{"id":0,"error":{"code":3,"message":"execution reverted"}}').accepted


def test_puts() -> None:
    recipe = PutRecipe(ENDPOINT, "run", Shape(2, 2, 1, 0))
    wires = [request.wire.split(b" ")[:2] for lane in (0, 1) for request in recipe.requests(lane, 0, 2)]
    assert wires == [[b"PUT", f"/kv/keys/run-{number}".encode()] for number in (0, 2, 1, 3)]
    batch = PutRecipe(ENDPOINT, "run", Shape(1, 1, 2, 3)).requests(0, 0, 2)
    assert [sorted(body_of(request)["put"]) for request in batch] == [["run-0", "run-1"], ["run-0", "run-2"]]
    assert recipe.judge(batch[0], 200, b'{"transaction":"2.7"}').accepted == (b"2.7", b"2.7")
    assert recipe.judge(batch[0], 409, b'{"error":"this key cannot be written"}').errors[0].startswith("HTTP status N")


def test_intkey() -> None:
    recipe = pickle.loads(pickle.dumps(IntkeyRecipe(ENDPOINT, "run-", b"\x01" * 32, Shape(2, 2, 2, 0))))
    requests = [request for lane in (0, 1) for request in recipe.requests(lane, 0, 2)]
    assert recipe.requests(1, 1, 1) == requests[3:]
    batches = [batch for request in requests for batch in MESSAGES["BatchList"].FromString(wire_body(request)).batches]
    payloads = [cbor2.loads(batch.transactions[0].payload) for batch in batches]
    assert [one["Name"] for one in payloads] == [f"run-{number}" for number in (0, 1, 4, 5, 2, 3, 6, 7)]
    assert {one["Verb"] for one in payloads} == {"set"}
    assert [bytes.fromhex(batch.header_signature) for batch in batches[:2]] == list(requests[0].keys)
    counting = IntkeyRecipe(ENDPOINT, "run-", b"\x01" * 32, Shape(1, 1, 2, 3)).requests(0, 0, 2)
    again = [
        cbor2.loads(batch.transactions[0].payload)
        for request in counting
        for batch in MESSAGES["BatchList"].FromString(wire_body(request)).batches
    ]
    assert [(one["Verb"], one["Name"]) for one in again] == [("inc", f"run-{number}") for number in (0, 1, 2, 0)]
    assert len({key for request in counting for key in request.keys}) == 4


def test_what_becomes_of_intkey() -> None:
    recipe = IntkeyRecipe(ENDPOINT, "run-", b"\x01" * 32, Shape(1, 1, 2, 0))
    (request,) = recipe.requests(0, 0, 1)
    assert recipe.judge(request, 202, b"{}").accepted == request.keys
    full = recipe.judge(request, 429, b'{"error":{"code":31,"title":"Unable to Accept Batches"}}')
    assert (full.accepted, full.errors) == ((), ("HTTP status N Unable to Accept Batches",) * 2)
    assert recipe.judge(request, 502, b"<html>").errors[0].startswith("HTTP status N <html>")
    client: Any = BatchStatuses(["COMMITTED", "INVALID"])
    confirmation = recipe.confirm(client, request.keys)
    assert (confirmation.confirmed, confirmation.errors) == (1, ("INVALID",))
    failing: Any = BatchStatuses([], status=503)
    assert recipe.confirm(failing, request.keys).confirmed == 0


class BatchStatuses:
    def __init__(self, statuses: Sequence[str], status: int = 200) -> None:
        self._answer = status, orjson.dumps({"data": [{"id": "", "status": one} for one in statuses]})

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        assert (method, path) == ("POST", "/sawtooth/batch_statuses")
        assert body is not None
        return self._answer


def wire_body(request: Request) -> bytes:
    return request.wire.partition(b"\r\n\r\n")[2]


class Statuses:
    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        found = {"/node/tx/2.7": "Committed", "/node/tx/2.8": "Pending"}.get(path)
        return (200, orjson.dumps({"status": found})) if found else (404, b"")


def test_a_put_is_confirmed_when_its_transaction_is_committed() -> None:
    client: Any = Statuses()
    confirmation = PutRecipe(ENDPOINT, "run", Shape(1, 1, 1, 0)).confirm(client, [b"2.7", b"2.7", b"2.8", b"2.9"])
    assert (confirmation.confirmed, confirmation.errors) == (2, ("Pending", "HTTP status 404"))


def test_errors_of_one_kind_have_one_name() -> None:
    first, second = "nonce too low: address 0xAb12, tx: 5 state: 17.", "nonce too low: address 0x99, tx: 1 state: 2."
    assert brief(first) == brief(second)
    assert len(brief("word " * 100)) <= 120
