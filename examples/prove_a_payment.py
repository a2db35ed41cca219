"""Prove a token payment to an outsider, who checks it with CCF's public Python package and nothing of Coco.

    python examples/prove_a_payment.py prove URL TOKEN_FILE CA_FILE TRANSACTION_HASH PROOF_FILE
    python examples/prove_a_payment.py verify PROOF_FILE SERVICE_CERTIFICATE_FILE

`prove` is for a party of the payment: it asks the network for the ledger's proof and writes it to a file (web3.py).
`verify` is for whoever is shown that file: an auditor, a bank, a court. It needs the packages `ccf` and `cryptography`,
no network, and the certificate of the network's service, which the outsider has from somebody it trusts.

What is proven: the network has committed, for good, a transaction with this hash, and these are its outcome and the
payments it made, as the token contract logged them (ERC-20, Transfer).
"""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

TRANSFER = bytes.fromhex("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef")
"""Keccak-256 of "Transfer(address,address,uint256)"."""


def prove(url: str, token_file: str, ca_file: str, transaction_hash: str, proof_file: str) -> None:
    from web3 import HTTPProvider
    from web3.types import RPCEndpoint

    headers = {"Authorization": f"Bearer {Path(token_file).read_text().strip()}"}
    provider = HTTPProvider(url, request_kwargs={"headers": headers, "verify": ca_file})
    answer = provider.make_request(RPCEndpoint("coco_getTransactionReceiptProof"), [transaction_hash])
    if answer.get("result") is None:
        sys.exit("there is no proof of this transaction that you may have")
    Path(proof_file).write_text(json.dumps(answer["result"], indent=2))
    print("proof of transaction", answer["result"]["transactionId"], "written to", proof_file)


def verify(proof_file: str, service_certificate_file: str) -> None:
    from cryptography.exceptions import InvalidSignature

    proof = json.loads(Path(proof_file).read_text())
    try:
        check(proof["receipt"], proof["claims"], Path(service_certificate_file).read_bytes())
    except InvalidSignature:
        sys.exit("refused: a signature does not verify")
    except (KeyError, TypeError, ValueError) as error:
        sys.exit(f"refused: {error}")
    outcome = bytes.fromhex(proof["claims"]["receipt"][2:])
    print("transaction", proof["claims"]["transactionHash"])
    print("committed as", proof["receipt"]["leaf_components"]["commit_evidence"].split(":")[1])
    show(outcome)


def check(receipt: dict[str, Any], claims: dict[str, str], service_certificate: bytes) -> None:
    """Raise ValueError, or cryptography's InvalidSignature, unless the receipt proves the claims."""
    from ccf import receipt as ccf_receipt
    from cryptography.x509 import load_pem_x509_certificate

    # 1. The claims: transaction hash and outcome hash to what the ledger's entry commits to.
    transaction_hash, outcome = (bytes.fromhex(claims[name][2:]) for name in ("transactionHash", "receipt"))
    parts = receipt["leaf_components"]
    if sha256(transaction_hash + outcome).hexdigest() != parts["claims_digest"]:
        raise ValueError("the entry claims something else")

    # 2. The entry: its leaf leads to a root of the ledger's Merkle tree, which a node has signed.
    evidence = sha256(parts["commit_evidence"].encode()).digest()
    leaf = sha256(bytes.fromhex(parts["write_set_digest"]) + evidence + bytes.fromhex(parts["claims_digest"]))
    node = load_pem_x509_certificate(receipt["cert"].encode())
    ccf_receipt.verify(ccf_receipt.root(leaf.hexdigest(), receipt["proof"]), receipt["signature"], node)

    # 3. The node: its certificate is the service's, or an earlier service's that the service vouches for.
    earlier = [load_pem_x509_certificate(one.encode()) for one in receipt["service_endorsements"]]
    ccf_receipt.check_endorsements(node, load_pem_x509_certificate(service_certificate), earlier)


def show(outcome: bytes) -> None:
    """Print what an Ethereum receipt says. outcome: status, gas, bloom and logs (RLP), a type byte before them."""
    status, _, _, logs = decode(outcome[1:] if outcome[0] < 0xC0 else outcome)[0]
    print("outcome", "succeeded" if status == b"\x01" else "reverted")
    for token, topics, data in logs:
        if len(topics) == 3 and topics[0] == TRANSFER and len(data) == 32:
            sender, recipient = ("0x" + topic[12:].hex() for topic in topics[1:])
            print("paid", int.from_bytes(data, "big"), "of token", "0x" + token.hex(), "from", sender, "to", recipient)


def decode(data: bytes) -> tuple[Any, bytes]:
    """Return the first item of RLP (bytes or a list), and what follows it."""
    kind = data[0]
    if kind < 0x80:
        return data[:1], data[1:]
    base = 0x80 if kind < 0xC0 else 0xC0
    size, start = kind - base, 1
    if size > 55:
        start += size - 55
        size = int.from_bytes(data[1:start], "big")
    content, rest = data[start : start + size], data[start + size :]
    if base == 0x80:
        return content, rest
    items = []
    while content:
        item, content = decode(content)
        items.append(item)
    return items, rest


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["prove", url, token_file, ca_file, transaction_hash, proof_file]:
            prove(url, token_file, ca_file, transaction_hash, proof_file)
        case ["verify", proof_file, service_certificate_file]:
            verify(proof_file, service_certificate_file)
        case _:
            sys.exit(__doc__)
