"""What a batch's Coco receipt proves, and to whom it is given."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from adapters.sawtooth.claims import BatchClaims
from adapters.sawtooth.wire.messages import MessageType
from core.errors import MalformedMessage
from core.types import NO_CLAIMS
from tests.adapters.sawtooth.support import ALICE, BOB, CAROL, INTKEY, Bench, Client

SETTINGS: dict[str, Any] = {"namespaces": {INTKEY: {"read": ["alice", "bob"]}}}


def test_a_committed_batch() -> None:
    bench, client = Bench(SETTINGS), Client()
    batch = client.batch(client.intkey("set", "a", 1), client.intkey("set", "b", 1))
    bench.commit(batch)
    entry = next(one for one in bench.harness.entries if one.claims != NO_CLAIMS)
    for caller in (ALICE, BOB):
        disclosure = bench.harness.disclose(entry.seqno, caller)
        assert disclosure is not None
        claims = BatchClaims.from_json(disclosure.claims)
        assert claims.digest == entry.claims
        assert (claims.batch_id, claims.committed, claims.block) == (batch.id, True, 1)
        ids = [one.header_signature for one in bench.blocks()[0].batches[0].transactions]
        receipts = bench.ask(MessageType.CLIENT_RECEIPT_GET_REQUEST, caller, transaction_ids=ids).receipts
        assert claims.receipts == b"".join(hashlib.sha256(one.SerializeToString()).digest() for one in receipts)
    assert bench.harness.disclose(entry.seqno, CAROL) is None


def test_an_invalid_batch() -> None:
    bench, client = Bench(SETTINGS), Client()
    batch = client.batch(client.intkey("inc", "a", 1))
    bench.invalid(batch)
    entry = bench.harness.entries[-1]
    disclosure = bench.harness.disclose(entry.seqno, ALICE)
    assert disclosure is not None
    claims = BatchClaims.from_json(disclosure.claims)
    assert (claims.digest, claims.committed, claims.block, claims.receipts) == (entry.claims, False, None, b"")
    assert bench.harness.disclose(entry.seqno, CAROL) is None


def test_a_blocks_own_entry_is_nobodys() -> None:
    bench, client = Bench(SETTINGS), Client()
    bench.commit(client.set("a", 1))
    for entry in bench.harness.entries:
        if entry.claims == NO_CLAIMS:
            assert bench.harness.disclose(entry.seqno, ALICE) is None


def test_a_batch_beside_the_injected_one() -> None:
    injected = {"sawtooth.validator.batch_injectors": "block_info"}
    bench, client = Bench(SETTINGS | {"settings": injected}), Client()
    batch = client.set("a", 1)
    bench.commit(batch)
    entry = next(one for one in bench.harness.entries if one.claims != NO_CLAIMS)
    disclosure = bench.harness.disclose(entry.seqno, ALICE)
    assert disclosure is not None
    assert BatchClaims.from_json(disclosure.claims).batch_id == batch.id


def test_claims_tell_outcomes_apart() -> None:
    status, digests = b"status", bytes(32)
    made = [
        BatchClaims(status, 1, digests),
        BatchClaims(status, 2, digests),
        BatchClaims(status, None, digests),
        BatchClaims(status, 0, digests),
        BatchClaims(b"status2", 1, digests),
        BatchClaims(status + digests, 1, b""),
        BatchClaims(status, 1, digests * 2),
        BatchClaims(status, 1, digests, external=True),
    ]
    assert len({one.digest for one in made}) == len(made)
    assert [BatchClaims.from_json(one.to_json()) for one in made] == made


@pytest.mark.parametrize(
    "changed",
    [
        {"batchStatus": "zz"},
        {"batchStatus": "AB"},
        {"batchStatus": 1},
        {"blockNumber": "-1"},
        {"blockNumber": 1},
        {"blockNumber": "٣"},
        {"blockNumber": "9" * 19},
        {"receiptDigests": "ab"},
        {"executedBy": "somebody"},
        {"more": ""},
    ],
)
def test_claims_that_are_none(changed: dict[str, Any]) -> None:
    good = BatchClaims(b"\x01", 1, bytes(32)).to_json()
    with pytest.raises(MalformedMessage):
        BatchClaims.from_json(good | changed)
    with pytest.raises(MalformedMessage):
        BatchClaims.from_json([])
