"""`coco receipt`: what it gets from a network, what it refuses to believe, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from core import limits
from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.node.messages import ReceiptMade
from tests.cli.fake_node import FakeNode
from tests.cli.runner import Coco
from tests.support.receipt_bench import START, changed, claim_of, made_receipts

MADE = made_receipts()
RECEIPT: dict[str, Any] = json.loads(MADE.ordinary.receipt)
IDENTIFIER = RECEIPT["leaf_components"]["commit_evidence"].split(":")[1]
HASH = "0x" + "ab" * 32


def claimed() -> bytes:
    """What the ordinary receipt's entry claims."""
    from core.crypto.hashing import sha256

    return next(claim_of(number) for number in range(99) if sha256(claim_of(number)) == MADE.ordinary.claims)


CLAIMS = "0x" + claimed().hex()


@pytest.fixture
def service(tmp_path: Path) -> str:
    (tmp_path / "service.pem").write_text(MADE.service)
    return str(tmp_path / "service.pem")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], str]:
    def write(content: object) -> str:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        (tmp_path / "proof").write_bytes(data)
        return str(tmp_path / "proof")

    return write


def proof_of(made: ReceiptMade, **changes: Any) -> dict[str, Any]:
    proof = {"transactionId": IDENTIFIER, "receipt": json.loads(made.receipt), "claims": None}
    return {**proof, "serviceCertificate": "not to be trusted", **changes}


# Verifying.

REFUSED: dict[str, tuple[object, str]] = {
    "no JSON": (b"hello", "not a receipt: not JSON"),
    "another document": ({"a": 1}, "not a receipt"),
    "a signature": (changed(RECEIPT, MADE.service)["signature"], "the node did not sign the root"),
    "a step": (changed(RECEIPT, MADE.service)["step 0"], "the node did not sign the root"),
    "a digest": (changed(RECEIPT, MADE.service)["write_set_digest"], "the node did not sign the root"),
    "another id": (proof_of(MADE.ordinary, transactionId="1.5"), f"is of transaction {IDENTIFIER}, not of 1.5"),
    "claims of nothing known": (proof_of(MADE.ordinary, claims={"kv": "1"}), "transactionHash and a receipt"),
    "claims that are not hex": (
        proof_of(MADE.ordinary, claims={"transactionHash": HASH, "receipt": "0x1"}),
        "bytes in hexadecimal",
    ),
    "other claims": (
        proof_of(MADE.ordinary, claims={"transactionHash": HASH, "receipt": "0x12"}),
        "the entry does not claim this",
    ),
    "a receipt that is none": (proof_of(MADE.ordinary, receipt=None), "not a receipt"),
    "a cut COSE receipt": (MADE.ordinary.cose[:-1], "not CBOR"),
}


@pytest.mark.parametrize(("content", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_proves_nothing_exits_1_with_the_reason(
    coco: Coco, service: str, write: Callable[[object], str], content: object, reason: str
) -> None:
    for as_json in ((), ("--json",)):
        ran = coco("receipt", "verify", write(content), "--service-cert", service, *as_json, code=1)
        assert reason in ran.err
        assert ran.out == ""


def test_another_service_and_other_claims_are_refused(
    coco: Coco, service: str, write: Callable[[object], str], tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(self_signed("bench service", PrivateKey.generate(), not_before=START, days=9))
    for content, reason in (
        (RECEIPT, "was not issued by the service"),
        (MADE.ordinary.cose, "under this service's key"),
    ):
        file = write(content)
        assert reason in coco("receipt", "verify", file, "--service-cert", str(other), code=1).err
        ran = coco("receipt", "verify", file, "--service-cert", service, "--claims", "0x1234", code=1)
        assert "the entry does not claim this" in ran.err
        coco("receipt", "verify", file, "--service-cert", service, "--claims", CLAIMS)
    other.write_text("no certificate")
    assert "not a certificate" in coco("receipt", "verify", write(RECEIPT), "--service-cert", str(other), code=1).err


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (("verify", "missing", "--service-cert", "missing"), 2, "cannot be read"),
        (("verify", "missing"), 2, "--service-cert"),
        (("get", "12"), 2, "is no transaction"),
        (("get", "2.17", "--cose"), 2, "--output"),
    ],
)
def test_wrong_use(coco: Coco, arguments: tuple[str, ...], code: int, reason: str) -> None:
    assert reason in coco("receipt", *arguments, code=code).err


@pytest.mark.parametrize("claims", ["0x1", "0xzz", "missing"])
def test_claims_that_cannot_be_read(coco: Coco, service: str, write: Callable[[object], str], claims: str) -> None:
    coco("receipt", "verify", write(RECEIPT), "--service-cert", service, "--claims", claims, code=2)


def test_a_file_too_large_is_not_read(coco: Coco, service: str, write: Callable[[object], str]) -> None:
    ran = coco("receipt", "verify", write(b" " * (limits.RECEIPT_BYTES_MAX + 1)), "--service-cert", service, code=1)
    assert "is larger than" in ran.err


def test_what_is_proven_is_shown(coco: Coco, service: str, write: Callable[[object], str]) -> None:
    ran = coco("receipt", "verify", write(RECEIPT), "--service-cert", service, "--json")
    assert ran.json == {
        "verified": True,
        "form": "json",
        "transaction": IDENTIFIER,
        "claims_digest": MADE.ordinary.claims.hex(),
        "claims_verified": False,
    }
    assert "only proven to be committed" in ran.err
    for content, form in ((proof_of(MADE.ordinary), "json"), (MADE.ordinary.cose, "cose")):
        ran = coco("receipt", "verify", write(content), "--service-cert", service, "--claims", CLAIMS, "--json")
        assert (ran.json["form"], ran.json["transaction"], ran.json["claims_verified"]) == (form, IDENTIFIER, True)
        assert ran.err == ""
    signature = coco(
        "receipt", "verify", write(json.loads(MADE.signature.receipt)), "--service-cert", service, "--json"
    )
    assert (signature.json["transaction"], signature.json["claims_digest"]) == (None, None)
    assert "verified" in coco("receipt", "verify", write(RECEIPT), "--service-cert", service).out


# Getting.


@pytest.mark.usefixtures("started")
def test_a_hash_is_asked_for_by_rpc(coco: Coco, threaded_node: FakeNode, tmp_path: Path) -> None:
    proof = proof_of(MADE.ordinary)
    asked = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        asked.append((request["method"], request["params"]))
        return {"result": proof}

    threaded_node.answer = answer
    assert coco("receipt", "get", HASH).json == proof
    assert asked == [("coco_getTransactionReceiptProof", [HASH])]
    output = tmp_path / "out.json"
    ran = coco("receipt", "get", HASH, "--output", str(output), "--json")
    assert ran.json["transaction"] == IDENTIFIER
    assert json.loads(output.read_text()) == proof


@pytest.mark.usefixtures("started")
def test_an_id_is_asked_for_at_the_node(coco: Coco, threaded_node: FakeNode, tmp_path: Path) -> None:
    proof = proof_of(MADE.ordinary)
    threaded_node.pages["/node/receipt"] = proof
    assert coco("receipt", "get", "2.17").json == proof
    assert threaded_node.seen[-1][1] == "/node/receipt?transaction_id=2.17&format=proof"
    output = tmp_path / "out"
    coco("receipt", "get", "2.17", "--cose", "--output", str(output))
    assert threaded_node.seen[-1][1] == f"/node/receipt?transaction_id={IDENTIFIER}&format=cose"
    coco("receipt", "get", "2.17", "--output", str(tmp_path), code=2)
    assert "cannot be written" in coco("receipt", "get", "2.17", "--output", str(tmp_path / "no" / "file"), code=5).err


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize("status", [202, 404])
def test_none_exits_10(coco: Coco, threaded_node: FakeNode, status: int) -> None:
    threaded_node.pages["/node/receipt"] = web.Response(status=status, body=b"{}")
    assert "has no proof" in coco("receipt", "get", "2.17", code=10).err
    threaded_node.answer = lambda request: {"result": None}
    assert "has no proof" in coco("receipt", "get", HASH, code=10).err


@pytest.mark.usefixtures("started")
def test_a_failure_of_the_node_is_told(coco: Coco, threaded_node: FakeNode) -> None:
    page = web.Response(status=500, body=b'{"error":"the disk does not return this entry","hint":""}')
    threaded_node.pages["/node/receipt"] = page
    assert "the disk does not return this entry" in coco("receipt", "get", "2.17", code=8).err


@pytest.mark.usefixtures("started")
def test_the_services_certificate(coco: Coco, threaded_node: FakeNode, tmp_path: Path) -> None:
    threaded_node.pages["/node/network"] = {"service_certificate": MADE.service}
    assert coco("receipt", "certificate").out == MADE.service
    coco("receipt", "certificate", "--output", str(tmp_path / "service.pem"))
    assert (tmp_path / "service.pem").read_text() == MADE.service
