"""Receipts from a real network: over the wire, by the command line, after a restart, and from a host that tampers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from cli.connection import Connection
from core.ledger.cose_receipt import CoseReceipt, verify_cose_receipt
from core.ledger.receipt import Receipt, verify_receipt
from tests.scenarios.conftest import Network, send_value

METHOD = "coco_getTransactionReceiptProof"
UNKNOWN = "0x" + "11" * 32


def rpc_bytes(connection: Connection, transaction: str) -> bytes:
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": [transaction]})
    status, answer = connection.request("POST", "/", body)
    assert status == 200
    return answer


def receipt_bytes(connection: Connection, identifier: str, form: str = "ccf") -> tuple[int, bytes]:
    return connection.request("GET", f"/node/receipt?transaction_id={identifier}&format={form}")


@pytest.fixture
def network(make_network: Callable[..., Network]) -> Network:
    return make_network("receipts", "-o", "payer", "-o", "payee", "-p", "auditor", "--policy", "private")


def test_receipts_over_the_wire(network: Network, tmp_path: Path) -> None:
    payer, payee, auditor = (network.connect(name) for name in ("payer", "payee", "auditor"))
    account, to = network.new_account(payer), network.new_account(payee)
    chain_id = int(payer.rpc("eth_chainId"), 16)
    paid = send_value(payer, account, chain_id, 0, to.address)
    # Strangers are told the same as of what does not exist, byte for byte; so is whoever asks by the ledger's id.
    assert rpc_bytes(auditor, paid) == rpc_bytes(auditor, UNKNOWN) == rpc_bytes(payer, UNKNOWN)
    proof: dict[str, Any] = payer.rpc(METHOD, paid)
    assert payee.rpc(METHOD, paid) == proof
    identifier = proof["transactionId"]
    unknown = receipt_bytes(auditor, "9.999999")
    for form in ("ccf", "proof", "cose"):
        assert receipt_bytes(auditor, identifier, form) == unknown == receipt_bytes(payer, "7.1", form)
    assert unknown[0] == 404
    with Connection(payer.url, payer.ca_file, None) as anonymous:
        assert receipt_bytes(anonymous, "1.1")[0] == receipt_bytes(anonymous, identifier)[0] == 401
    # The parties get what verifies.
    service = payer.get("/node/network")["service_certificate"]
    assert proof["serviceCertificate"] == service
    status, body = receipt_bytes(payee, identifier)
    assert status == 200
    assert json.loads(body) == proof["receipt"]
    verify_receipt(Receipt.decode(body), service)
    status, body = receipt_bytes(payer, identifier, "cose")
    assert status == 200
    verify_cose_receipt(CoseReceipt.decode(body), service)
    # The system's own entries are for everybody here, the genesis of the adapter and blocks for nobody.
    view, _, seqno = identifier.partition(".")
    shown = {n: receipt_bytes(auditor, f"{view}.{n}")[0] for n in range(1, int(seqno) + 3)}
    assert [shown[1], shown[2], shown[3]] == [200, 200, 200], "constitution, start, signature"
    assert shown[int(seqno)] == shown[int(seqno) + 1] == 404, "the payment, its block"
    assert shown[int(seqno) + 2] == 200, "the signature"
    assert receipt_bytes(auditor, f"{view}.3", "cose")[0] == 406
    assert receipt_bytes(auditor, "x")[0] == 400
    by_command_line(network, paid, identifier, tmp_path)
    after_a_restart(network, payer, paid, proof)
    from_a_host_that_tampers(network, payer, paid, account, chain_id)


def by_command_line(network: Network, paid: str, identifier: str, folder: Path) -> None:
    service = folder / "service.pem"
    network.coco("receipt", "certificate", "--output", str(service))
    for asked in (paid, identifier):
        for cose in ((), ("--cose",)):
            file = str(folder / "proof")
            network.coco("receipt", "get", asked, *cose, "--output", file, "--identity", "payee")
            done = network.coco("receipt", "verify", file, "--service-cert", str(service), "--json")
            assert json.loads(done.stdout)["transaction"] == identifier
            if not cose:
                assert json.loads(done.stdout)["outcome"] == "succeeded"
    assert network.coco("receipt", "get", paid, "--identity", "auditor", check=False).returncode == 10


def after_a_restart(network: Network, payer: Connection, paid: str, proof: dict[str, Any]) -> None:
    network.coco("network", "stop", network.name)
    network.coco("network", "start", network.name)
    payer.close()
    payer.url = network.connect("payer").url
    again = payer.rpc(METHOD, paid)
    assert again["receipt"]["leaf_components"] == proof["receipt"]["leaf_components"]
    assert again["serviceCertificate"] == proof["serviceCertificate"]
    verify_receipt(Receipt.from_json(again["receipt"]), proof["serviceCertificate"])


def from_a_host_that_tampers(network: Network, payer: Connection, paid: str, account: Any, chain_id: int) -> None:
    """An altered byte on disk: no receipt, an error that says so, and a node that goes on."""
    identifier = payer.rpc(METHOD, paid)["transactionId"]
    (chunk,) = network.host_directory.rglob("ledger_1*")
    whole = chunk.read_bytes()
    nonce = int(identifier.partition(".")[2]).to_bytes(8, "little") + (1).to_bytes(4, "little")
    at = whole.index(nonce) + 150
    with chunk.open("r+b") as file:
        file.seek(at)
        file.write(bytes([whole[at] ^ 1]))
    status, body = receipt_bytes(payer, identifier)
    assert status == 500
    assert b"the disk does not return this entry as it was committed" in body
    sent = send_value(payer, account, chain_id, 1, account.address)
    assert payer.rpc(METHOD, sent) is not None
    with chunk.open("r+b") as file:
        file.seek(at)
        file.write(whole[at : at + 1])
    assert receipt_bytes(payer, identifier)[0] == 200
