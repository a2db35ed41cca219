"""Receipts, judged by CCF's own package; and the example of a payment, proven to somebody who has only that."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from core.crypto.certificates import issue, self_signed
from core.crypto.hashing import sha256
from core.crypto.keys import PrivateKey
from core.ledger.receipt import Receipt, verify_receipt
from core.node.manager_keys import make_secrets
from core.types import NO_CLAIMS
from tests.scenarios.conftest import Network, make_network  # noqa: F401 - a fixture
from tests.support.receipt_bench import START, changed, made_receipts, recovered

ROOT = Path(__file__).resolve().parents[2]
CHECKER = ROOT / "tests" / "ccf" / "checkers" / "verify_receipts.py"
MADE = made_receipts()
RECEIPT: dict[str, Any] = json.loads(MADE.ordinary.receipt)
CLAIMS = MADE.ordinary.claims.hex()


def judge(python: Path, cases: Sequence[dict[str, Any]]) -> list[str]:
    done = subprocess.run(
        [str(python), "-I", str(CHECKER)], input=json.dumps(list(cases)), capture_output=True, text=True, timeout=120,
        check=True,
    )  # fmt: skip
    verdicts: list[str] = json.loads(done.stdout)
    assert len(verdicts) == len(cases)
    return verdicts


def test_receipts_of_every_entry_verify(ccf_python: Path) -> None:
    cases: list[dict[str, Any]] = []
    for made in MADE.receipts:
        cases.append({"receipt": json.loads(made.receipt), "service": MADE.service})
        if made.cose:
            cases.append({"cose": made.cose.hex(), "claims": made.claims.hex(), "service": MADE.service})
    assert set(judge(ccf_python, cases)) == {"verified"}
    assert len(cases) > 100


def test_a_changed_claim_leaf_proof_certificate_or_signature_is_rejected_by_both(ccf_python: Path) -> None:
    wrong = changed(RECEIPT, MADE.service)
    verdicts = judge(ccf_python, [{"receipt": one, "service": MADE.service} for one in wrong.values()])
    assert "verified" not in verdicts, dict(zip(wrong, verdicts, strict=True))
    assert judge(ccf_python, [{"receipt": RECEIPT, "service": MADE.service, "claims": "00" * 32}]) == ["ValueError"]


def test_endorsements_of_earlier_services(ccf_python: Path) -> None:
    receipt, new = recovered(RECEIPT, MADE.service)
    _, stranger = recovered(RECEIPT, MADE.service)
    verify_receipt(Receipt.from_json(receipt), new)
    cases = [
        {"receipt": receipt, "service": new},
        {"receipt": RECEIPT, "service": new},
        {"receipt": receipt, "service": MADE.service},
        {"receipt": receipt, "service": stranger},
        {"receipt": {**receipt, "service_endorsements": receipt["service_endorsements"] * 2}, "service": new},
    ]
    assert judge(ccf_python, cases) == ["verified", *["InvalidSignature"] * 4]


def test_changed_cose_receipts_are_rejected(ccf_python: Path) -> None:
    cose = MADE.ordinary.cose
    cases: list[dict[str, Any]] = [{"cose": cose.hex(), "claims": "00" * 32, "service": MADE.service}]
    other = self_signed("bench service", PrivateKey.generate(), not_before=START, days=9)
    cases.append({"cose": cose.hex(), "claims": CLAIMS, "service": other})
    for at in range(0, len(cose), 3):
        flipped = bytearray(cose)
        flipped[at] ^= 1
        cases.append({"cose": flipped.hex(), "claims": CLAIMS, "service": MADE.service})
    assert "verified" not in judge(ccf_python, cases)


def test_node_certificates_pass_the_policy_of_x509(ccf_python: Path) -> None:
    """CCF's check_cert_chain, which has cryptography verify the chain, at today's time."""
    now = time.time()
    secrets, key = make_secrets(NO_CLAIMS, "bench", now), PrivateKey.generate()
    certificate = secrets.endorse_node(key.public_key(), now)
    case = {"receipt": signed_by(key, certificate), "service": secrets.service_certificate, "chain": True}
    stranger = self_signed("bench service", PrivateKey.generate(), not_before=datetime.now(UTC), days=9)
    nameless = issue(
        "node", key.public_key(), issuer=secrets.service_certificate, issuer_key=secrets.service_key,
        not_before=datetime.now(UTC) - timedelta(days=1), days=9, usage="signing",
    )  # fmt: skip
    cases = [case, {**case, "service": stranger}, {**case, "receipt": signed_by(key, nameless)}]
    assert judge(ccf_python, cases) == ["verified", "InvalidSignature", "VerificationError"]


def signed_by(key: PrivateKey, certificate: str) -> dict[str, Any]:
    """Return the receipt of a signature entry."""
    root = sha256(b"root")
    return Receipt(certificate, key.public_key().node_id(), root, (), key.sign_digest(root)).to_json()


# The example, as its two readers run it.


def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(command), cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_payment_is_proven_to_an_outsider(
    ccf_python: Path,
    make_network: Callable[..., Network],  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    network = make_network("payments", "-o", "buyer", "-o", "seller")
    buyer, seller = network.connect("buyer"), network.connect("seller")
    account, payee = network.new_account(buyer), network.new_account(seller)
    paid = pay(network, buyer, account, payee.address)
    proof, service = tmp_path / "proof.json", tmp_path / "service.pem"

    def prove(identity: str) -> subprocess.CompletedProcess[str]:
        token = network.home / "clients" / "payments" / "identities" / identity / "token"
        arguments = ["prove", buyer.url, str(token), str(buyer.ca_file), paid, str(proof)]
        return run([sys.executable, "examples/prove_a_payment.py", *arguments])

    assert "there is no proof of this transaction that you may have" in prove("seller").stderr
    assert not proof.exists()
    shown = prove("buyer")
    assert shown.returncode == 0, shown.stderr
    network.coco("receipt", "certificate", "--output", str(service))
    verified = network.coco("receipt", "verify", str(proof), "--service-cert", str(service))
    assert "succeeded" in verified.stdout

    def verify(document: Any) -> subprocess.CompletedProcess[str]:
        proof.write_text(json.dumps(document))
        example = str(ROOT / "examples" / "prove_a_payment.py")
        return run([str(ccf_python), "-I", example, "verify", str(proof), str(service)])

    document = json.loads(proof.read_text())
    accepted = verify(document)
    assert accepted.returncode == 0, accepted.stderr
    assert accepted.stdout.splitlines()[:3] == [
        f"transaction {paid}", f"committed as {document['transactionId']}", "outcome succeeded",
    ]  # fmt: skip
    assert "paid 250 of token 0x" in accepted.stdout
    assert accepted.stdout.rstrip().endswith(f"from {account.address.lower()} to {payee.address.lower()}")
    outcome = document["claims"]["receipt"]
    lie = outcome.replace(f"{250:064x}", f"{999:064x}")
    assert lie != outcome
    assert (
        "refused: the entry claims something else"
        in verify({**document, "claims": {**document["claims"], "receipt": lie}}).stderr
    )
    wrongs = changed(document["receipt"], service.read_text())
    for wrong in (wrongs["step 0"], wrongs["signature"], wrongs["certificate of another service's node"], None):
        refused = verify({**document, "receipt": wrong})
        assert refused.returncode == 1
        assert "refused: " in refused.stderr
        assert "Traceback" not in refused.stderr


def pay(network: Network, buyer: Any, account: Any, to: str) -> str:
    """Deploy a token and pay with it; returns the payment's hash."""
    w3 = buyer.web3()
    artifact = json.loads((ROOT / "examples/contracts/artifacts/Token.json").read_text())

    def send(function: Any) -> Any:
        nonce = w3.eth.get_transaction_count(account.address)
        fields = {"from": account.address, "nonce": nonce, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
        signed = account.sign_transaction(function.build_transaction(fields))
        return w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction))

    factory = w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    token = send(factory.constructor("Example", "EXM", 1_000_000))["contractAddress"]
    receipt = send(w3.eth.contract(address=token, abi=artifact["abi"]).functions.transfer(to, 250))
    return "0x" + bytes(receipt["transactionHash"]).hex()
