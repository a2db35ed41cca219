"""What is on the ledger, or may be, is never lost to a failure here: its hash and the command to ask are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import cli.connection
import cli.transact
from cli.store import ClientStore
from core.errors import StorageFailed
from tests.cli.fake_chain import CONTRACT_ADDRESS, HASH, Chain, hash_of
from tests.cli.fake_node import FakeNode
from tests.cli.runner import Coco

AfterSending = Callable[[Callable[[], tuple[int, bytes]]], None]


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.transact, "RECEIPT_SECONDS_MAX", 0.01)
    monkeypatch.setattr(cli.transact, "RECEIPT_POLL_SECONDS", 0.01)


@pytest.fixture
def full_disk(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise StorageFailed("contracts/Register.json cannot be written: No space left on device")

    for name in ("add_contract", "set_defaults"):
        monkeypatch.setattr(ClientStore, name, fail)
    monkeypatch.setattr("cli.account.write_record", fail)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("as_json", [True, False])
def test_an_address_that_cannot_be_remembered_is_told(coco: Coco, chain: Chain, artifact: Path, as_json: bool) -> None:
    ran = coco("deploy", str(artifact), "x", "1", *(["--json"] if as_json else []), code=5)
    assert CONTRACT_ADDRESS in ran.out
    assert HASH in ran.out
    assert "cannot be written" in ran.err
    if as_json:
        assert ran.json["address"] == CONTRACT_ADDRESS


@pytest.mark.usefixtures("full_disk")
def test_a_binding_that_cannot_be_remembered_is_told(coco: Coco, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.account.bind_account", lambda connection, account: None)
    ran = coco("account", "bind", "alice", code=5)
    assert "is bound to carrier on demo" in ran.out


def refusal(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message}


UNKNOWN = refusal(-32000, "the outcome is not known: the node stopped or changed its role; ask for the receipt")


def test_the_node_does_not_know(coco: Coco, chain: Chain, artifact: Path) -> None:
    chain.errors["eth_sendRawTransaction"] = UNKNOWN
    ran = coco("deploy", str(artifact), "x", "1", code=10)
    [asked] = [line.split() for line in ran.err.splitlines() if "coco transaction show" in line]
    named = asked[asked.index("show") + 1]
    assert f"whether transaction {named} was committed is not known" in ran.err
    assert asked[-2:] == ["--network", "demo"]
    del chain.errors["eth_sendRawTransaction"]
    assert coco("transaction", "show", named, "--json").json["state"] == "committed"


def test_the_hash_told_is_the_transactions(coco: Coco, chain: Chain) -> None:
    chain.errors["eth_getTransactionReceipt"] = refusal(-32000, "gone")
    ran = coco("send", CONTRACT_ADDRESS, "--value", "1", code=10)
    assert hash_of(chain.raw[0]) in ran.err


@pytest.fixture
def after_sending(monkeypatch: pytest.MonkeyPatch) -> AfterSending:
    """Let the node take a transaction, and the client hear something else than its answer."""
    exchange = cli.connection.Connection._exchange

    def patch(hear: Callable[[], tuple[int, bytes]]) -> None:
        def cut(self: Any, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
            answer = exchange(self, method, path, body, headers)
            return hear() if body is not None and b"eth_sendRawTransaction" in body else answer

        monkeypatch.setattr("cli.connection.Connection._exchange", cut)

    return patch


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_gateway_that_lost_its_executor(coco: Coco, chain: Chain, after_sending: AfterSending, status: int) -> None:
    after_sending(lambda: (status, b'{"error":"the executor is gone"}'))
    ran = coco("send", CONTRACT_ADDRESS, "--value", "1", code=10)
    assert f"coco transaction show {hash_of(chain.raw[0])} --network demo" in ran.err
    assert "the executor is gone" in ran.err


@pytest.mark.parametrize("error", [ConnectionResetError("cut"), TimeoutError("timed out"), BrokenPipeError()])
def test_the_node_goes_away_before_it_answers(
    coco: Coco, chain: Chain, after_sending: AfterSending, error: OSError
) -> None:
    def fail() -> tuple[int, bytes]:
        raise error

    after_sending(fail)
    ran = coco("send", CONTRACT_ADDRESS, "--value", "1", code=10)
    assert hash_of(chain.raw[0]) in ran.err
    assert len(chain.raw) == 1


@pytest.mark.parametrize("status", [401, 404, 413])
def test_a_request_that_was_turned_away(coco: Coco, chain: Chain, after_sending: AfterSending, status: int) -> None:
    after_sending(lambda: (status, b'{"error":"no"}'))
    assert "coco transaction show" not in coco("send", CONTRACT_ADDRESS, "--value", "1", code=8).err


@pytest.mark.usefixtures("no_patience")
def test_no_receipt_comes(coco: Coco, chain: Chain) -> None:
    chain.knows_receipt = False
    ran = coco("send", CONTRACT_ADDRESS, "--value", "1", code=10)
    assert f"whether transaction {hash_of(chain.raw[0])} was committed is not known" in ran.err


def test_an_interruption_names_the_hash(coco: Coco, chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.transact, "_receipt", interrupt)
    ran = coco("send", CONTRACT_ADDRESS, "--value", "1", code=1)
    assert f"coco transaction show {hash_of(chain.raw[0])}" in ran.err


@pytest.mark.parametrize("code", [-32000, -32001, -32602])
def test_a_plain_refusal_leaves_nothing_open(coco: Coco, chain: Chain, code: int) -> None:
    chain.errors["eth_sendRawTransaction"] = refusal(code, "nonce too low")
    ran = coco("send", CONTRACT_ADDRESS, "--value", "1", code=8)
    assert "coco transaction show" not in ran.err


def test_what_became_of_a_transaction(coco: Coco, chain: Chain) -> None:
    shown = coco("transaction", "show", HASH.upper().replace("0X", "0x"), "--json").json
    assert shown["transaction"] == HASH
    assert (shown["state"], shown["outcome"], shown["block"]) == ("committed", "succeeded", 5)
    chain.receipt["status"] = "0x0"
    assert "outcome           reverted" in coco("transaction", "show", HASH).out


def test_a_transaction_nobody_knows(coco: Coco, chain: Chain) -> None:
    chain.knows_receipt = False
    ran = coco("transaction", "show", HASH, code=10)
    assert f"network demo knows no transaction {HASH} that this identity may see" in ran.err
    assert "--identity" in ran.err


@pytest.mark.parametrize(("status", "code"), [("Committed", 0), ("Pending", 0), ("Invalid", 0), ("Unknown", 10)])
def test_the_ledgers_own_id(coco: Coco, chain: Chain, threaded_node: FakeNode, status: str, code: int) -> None:
    threaded_node.pages["/node/tx/2.17"] = {"id": "2.17", "status": status}
    ran = coco("transaction", "show", "2.17", "--json", code=code)
    if code == 0:
        assert ran.json == {"transaction": "2.17", "state": status.lower()}


@pytest.mark.parametrize("name", ["", "0x12", "0x" + "g" * 64, "17", "../node/status", "2.17.1", HASH + "00"])
def test_what_is_no_transaction(coco: Coco, chain: Chain, threaded_node: FakeNode, name: str) -> None:
    seen = len(threaded_node.seen)
    assert "is no transaction" in coco("transaction", "show", name, code=2).err
    assert len(threaded_node.seen) == seen


def test_a_node_that_answers_with_an_error_page(coco: Coco, chain: Chain, threaded_node: FakeNode) -> None:
    threaded_node.pages["/node/tx/2.17"] = web.json_response({"error": "gone"}, status=503)
    assert "gone" in coco("transaction", "show", "2.17", code=8).err
