"""The registers' contract, on a real EVM, and the claims that a client makes from an answer."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.ethereum import chain
from adapters.ethereum.bloom import logs_bloom
from adapters.ethereum.claims import TransactionClaims
from adapters.ethereum.model import Log, Receipt
from tests.torture.register import CREATION, RUNTIME, before_of, claims_of, read_data, swap_data

HASH = b"\x07" * 32
ADDRESS = b"\x0a" * 20


def receipt_json(receipt: Receipt) -> dict[str, Any]:
    return {
        "status": hex(receipt.status),
        "gasUsed": hex(receipt.gas_used),
        "logsBloom": "0x" + receipt.bloom.hex(),
        "type": hex(receipt.type),
        "transactionHash": "0x" + HASH.hex(),
        "logs": [
            {
                "address": "0x" + log.address.hex(),
                "topics": ["0x" + topic.hex() for topic in log.topics],
                "data": "0x" + log.data.hex(),
            }
            for log in receipt.logs
        ],
    }


@pytest.fixture
def receipt() -> Receipt:
    log = Log(ADDRESS, (bytes(32),), (5).to_bytes(32, "big") + (9).to_bytes(32, "big"))
    return Receipt(2, 1, 99_999, 43_210, 0, (log,), logs_bloom((log,)), None)


def test_claims_are_those_of_the_ledger(receipt: Receipt) -> None:
    ours = claims_of(receipt_json(receipt))
    assert ours == TransactionClaims(HASH, chain.claimed_receipt(receipt)).digest.hex()


def test_another_answer_claims_something_else(receipt: Receipt) -> None:
    shown = receipt_json(receipt)
    changes: list[dict[str, Any]] = [
        {"gasUsed": "0x1"}, {"status": "0x0"}, {"logs": []}, {"transactionHash": "0x" + "08" * 32},
    ]  # fmt: skip
    for changed in changes:
        assert claims_of(shown | changed) != claims_of(shown)


def test_the_answer_tells_what_was_there(receipt: Receipt) -> None:
    assert before_of(receipt_json(receipt)) == 5
    changes: list[dict[str, Any]] = [{"status": "0x0"}, {"logs": []}]
    for wrong in changes:
        with pytest.raises(ValueError, match="not the receipt of a swap"):
            before_of(receipt_json(receipt) | wrong)


def test_the_code_fits_what_creates_it() -> None:
    assert CREATION[1] == len(RUNTIME)
    assert CREATION[4] == len(CREATION) - len(RUNTIME)
    assert RUNTIME[RUNTIME[5]] == 0x5B  # Where it jumps to.
    assert len(bytes.fromhex(swap_data(1, 2)[2:])) == 64
    assert len(bytes.fromhex(read_data(1)[2:])) == 32
