"""What a client reads when the executor cannot answer: never a code that libraries retry, always status 200."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from adapters.ethereum.method_table import make_methods
from adapters.ethereum.rpc import FAILED, RpcFrontEnd
from adapters.ethereum.settings import parse_settings
from core.adapter.interface import (
    Caller,
    CommandFailed,
    Outcome,
    OutcomeUnknown,
    Overloaded,
    Request,
    TransactionStatus,
)
from core.errors import ChannelClosed, CocoError, LimitExceeded
from core.types import Seqno, TransactionId, View
from tests.adapters.ethereum.rpc_support import CHAIN_ID, SENDER, account


class Backend:
    """Fails every call with `error`, or notes the order of calls and answers."""

    def __init__(self, error: CocoError | None = None) -> None:
        self.error = error
        self.order: list[str] = []

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        del payload, caller
        self.order.append("submit")
        await asyncio.sleep(0)
        self.order.append("committed")
        if self.error:
            raise self.error
        return Outcome(b'"result":"0x1"', None)

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        del payload, caller
        self.order.append("query")
        if self.error:
            raise self.error
        return b'"result":"0x2"'

    async def receipt(self, seqno: Seqno, caller: Caller) -> bytes | None:
        raise AssertionError(f"nobody asked for the receipt of {seqno}")

    async def status(self, identifier: TransactionId, caller: Caller) -> TransactionStatus:
        del caller
        if self.error:
            raise self.error
        return "Invalid" if identifier.view < 2 else "Pending"

    async def committed_after(self, seqno: int) -> int:
        raise AssertionError(f"nobody asked what comes after {seqno}")


def raw_transaction(nonce: int) -> str:
    signed = account(1).sign_transaction(
        {"chainId": CHAIN_ID, "gas": 21_000, "gasPrice": 0, "nonce": nonce, "to": bytes(20), "value": 0}
    )
    return "0x" + bytes(signed.raw_transaction).hex()


async def ask(backend: Backend, *calls: tuple[str, list[object]]) -> list[dict[str, object]]:
    front = RpcFrontEnd(make_methods(parse_settings({"chain_id": CHAIN_ID}), "x"))
    body = orjson.dumps([{"jsonrpc": "2.0", "id": 1, "method": method, "params": params} for method, params in calls])
    response = await front.handle(Request("POST", "/", {}, {}, {}, body, SENDER), backend)
    assert response.status == 200
    answers: list[dict[str, object]] = orjson.loads(response.body)
    return answers


@pytest.mark.parametrize(
    ("error", "sent", "asked"),
    [
        (Overloaded("the queue is full"), (-32000, "the queue is full"), (-32000, "the queue is full")),
        (CommandFailed("the adapter failed; nothing was written"), *(2 * [(-32000, FAILED)])),
        (ChannelClosed("the executor is gone"), *(2 * [(-32000, "the executor is gone")])),
        (LimitExceeded("too big"), (-32000, "oversized data: too big"), (-32003, "response too large")),
    ],
)
async def test_failures(error: CocoError, sent: tuple[int, str], asked: tuple[int, str]) -> None:
    calls = (("eth_sendRawTransaction", [raw_transaction(0)]), ("eth_blockNumber", []))
    answers = await ask(Backend(error), *calls)  # type: ignore[arg-type]
    assert [answer["error"] for answer in answers] == [
        {"code": code, "message": message} for code, message in (sent, asked)
    ]


async def test_unknown_outcome_says_what_to_do() -> None:
    (answer,) = await ask(Backend(OutcomeUnknown("stopped")), ("eth_sendRawTransaction", [raw_transaction(0)]))
    error = answer["error"]
    assert isinstance(error, dict)
    assert error["code"] == -32000
    assert "ask for the receipt" in error["message"]


async def test_commands_go_in_order_and_at_once_and_queries_wait_for_those_before_them() -> None:
    backend = Backend()
    send = [("eth_sendRawTransaction", [raw_transaction(nonce)]) for nonce in range(3)]
    await ask(backend, ("eth_blockNumber", []), *send[:2], ("eth_blockNumber", []), send[2])  # type: ignore[arg-type]
    assert backend.order[:4] == ["query", "submit", "submit", "submit"]
    assert backend.order.count("query") == 2
    assert backend.order.index("query", 1) > backend.order.index("committed") + 1


async def test_the_status_of_a_ledger_transaction() -> None:
    answers = await ask(Backend(), ("coco_status", ["2.17"]), ("coco_status", ["1.17"]), ("coco_status", ["0x17"]))
    assert [answer.get("result") for answer in answers] == ["Pending", "Invalid", None]
    assert answers[2]["error"] == {"code": -32602, "message": "invalid argument 0: not a transaction id: '0x17'"}


async def test_an_unknown_outcome_names_the_transaction_to_ask_about() -> None:
    unknown = OutcomeUnknown("x", transaction_id=TransactionId(View(2), Seqno(17)))
    [answer] = await ask(Backend(unknown), ("eth_sendRawTransaction", [raw_transaction(0)]))
    error = answer["error"]
    assert isinstance(error, dict)
    assert error["data"] == {"transactionId": "2.17"}
