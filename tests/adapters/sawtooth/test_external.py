"""What processors outside the enclave did: taken over only where that is allowed, and what they read still holds."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from adapters.sawtooth.claims import BatchClaims
from adapters.sawtooth.requests import (
    COMMANDS,
    ExternalResult,
    StateRead,
    StateWrite,
    SubmitBatch,
    TransactionResult,
)
from adapters.sawtooth.wire.messages import MESSAGES, BatchStatus, MessageType, SubmitStatus, parse
from core.types import NO_CLAIMS
from tests.adapters.sawtooth.support import ALICE, INTKEY, Bench, Client, Signed

SETTINGS: dict[str, Any] = {
    "namespaces": {"aaaaaa": {"read": ["*"]}, INTKEY: {"read": ["*"]}},
    "external_processors": {"outside": {"identities": ["alice"]}},
}
ADDRESS = bytes.fromhex("aaaaaa" + "00" * 32)
OTHER = bytes.fromhex("bbbbbb" + "00" * 32)


def outside(client: Client, *addresses: str) -> Signed:
    return client.transaction("outside", b"payload", addresses or ["aaaaaa"])


def submit(bench: Bench, batch: Signed, *results: TransactionResult | None) -> Any:
    payload = COMMANDS.encode(SubmitBatch(batch.data, ExternalResult(results)))
    return parse("ClientBatchStatus", bench.harness.submit(payload, ALICE))


def wrote(data: bytes | None, *, read: bytes = b"", **more: Any) -> TransactionResult:
    """Return a result that read and wrote the address. read: the digest that it was given."""
    return TransactionResult(reads=(StateRead(ADDRESS, read),), writes=(StateWrite(ADDRESS, data),), **more)


def test_what_was_done_outside_is_taken_over_and_labelled() -> None:
    bench, client = Bench(SETTINGS), Client()
    event = MESSAGES["Event"](event_type="outside/event").SerializeToString()
    batch = client.batch(outside(client))
    found = submit(bench, batch, wrote(b"1", events=(event,), receipt_data=(b"data",)))
    assert found.status == BatchStatus.COMMITTED
    assert bench.state() == {ADDRESS.hex(): b"1"}
    one = bench.blocks()[0].batches[0].transactions[0].header_signature
    (receipt,) = bench.ask(MessageType.CLIENT_RECEIPT_GET_REQUEST, transaction_ids=[one]).receipts
    assert ([receipt.events[0].event_type], list(receipt.data)) == (["outside/event"], [b"data"])
    entry = next(one for one in bench.harness.entries if one.claims != NO_CLAIMS)
    disclosure = bench.harness.disclose(entry.seqno, ALICE)
    assert disclosure is not None
    claims = BatchClaims.from_json(disclosure.claims)
    assert (claims.external, claims.digest) == (True, entry.claims)
    assert claims.to_json()["executedBy"] == "external processor"


def test_what_read_something_else_has_to_run_again() -> None:
    bench, client = Bench(SETTINGS), Client()
    submit(bench, client.batch(outside(client)), wrote(b"1"))
    entries, batch = len(bench.harness.entries), client.batch(outside(client))
    for stale in (wrote(b"2"), wrote(b"2", read=hashlib.sha256(b"0").digest()), wrote(None, error="no")):
        assert submit(bench, batch, stale).status == BatchStatus.PENDING
    assert (len(bench.harness.entries), bench.state()) == (entries, {ADDRESS.hex(): b"1"})
    assert submit(bench, batch, wrote(b"2", read=hashlib.sha256(b"1").digest())).status == BatchStatus.COMMITTED


def test_a_transaction_reads_what_the_one_before_it_wrote() -> None:
    bench, client = Bench(SETTINGS), Client()
    batch = client.batch(outside(client), client.intkey("set", "a", 1), outside(client))
    results = (wrote(b"1"), None, wrote(None, read=hashlib.sha256(b"1").digest()))
    assert submit(bench, batch, *results).status == BatchStatus.COMMITTED
    assert ADDRESS.hex() not in bench.state()
    assert bench.value("a") == 1


def test_a_family_of_the_enclave_is_not_run_outside() -> None:
    bench, client = Bench(SETTINGS), Client()
    lie = TransactionResult(writes=(StateWrite(bytes.fromhex(INTKEY + "00" * 32), b"lie"),))
    assert submit(bench, client.set("a", 1), lie).status == BatchStatus.COMMITTED
    assert bench.value("a") == 1
    assert INTKEY + "00" * 32 not in bench.state()
    entry = next(one for one in bench.harness.entries if one.claims != NO_CLAIMS)
    disclosure = bench.harness.disclose(entry.seqno, ALICE)
    assert disclosure is not None
    assert not BatchClaims.from_json(disclosure.claims).external


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (TransactionResult(error="because", extended_data=b"x"), "because"),
        (TransactionResult(writes=(StateWrite(OTHER, b"1"),)), "Tried to set unauthorized address"),
        (TransactionResult(writes=(StateWrite(ADDRESS[:-1], b"1"),)), "Tried to set unauthorized address"),
        (TransactionResult(reads=(StateRead(OTHER, b""),)), "Tried to get unauthorized address"),
        (TransactionResult(events=(b"\xff",)), "an event that is none"),
        (None, "no transaction processor for family outside 1.0"),
    ],
)
def test_a_processor_that_lies(result: TransactionResult | None, message: str) -> None:
    bench, client = Bench(SETTINGS), Client()
    (found,) = submit(bench, client.batch(outside(client)), result).invalid_transactions
    assert message in found.message
    assert bench.state() == {}


def test_a_namespace_that_the_submitter_may_not_use() -> None:
    bench, client = Bench(SETTINGS), Client()
    batch = client.batch(outside(client, "bbbbbb"))
    (found,) = submit(bench, batch, TransactionResult(writes=(StateWrite(OTHER, b"1"),))).invalid_transactions
    assert "does not let the submitter use" in found.message


def test_without_the_constitutions_word_nothing_runs_outside() -> None:
    for allowed in ({}, {"another": {"identities": ["alice"]}}):
        bench, client = Bench(SETTINGS | {"external_processors": allowed}), Client()
        (found,) = submit(bench, client.batch(outside(client)), wrote(b"1")).invalid_transactions
        assert "no transaction processor" in found.message
        assert bench.state() == {}


def test_results_of_another_number_are_refused() -> None:
    bench, client = Bench(SETTINGS), Client()
    payload = COMMANDS.encode(SubmitBatch(client.batch(outside(client)).data, ExternalResult(())))
    assert parse("ClientBatchSubmitResponse", bench.harness.submit(payload, ALICE)).status == SubmitStatus.INVALID_BATCH
