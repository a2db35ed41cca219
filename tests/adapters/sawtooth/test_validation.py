"""Batches that are refused before anything runs, and signatures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sawtooth.requests import COMMANDS, SubmitBatch
from adapters.sawtooth.signatures import Signer, verify
from adapters.sawtooth.validation import TRANSACTIONS_MAX, InvalidBatch, parse_batch, verify_batch
from adapters.sawtooth.wire.messages import MESSAGES, SubmitStatus, parse
from core.errors import AuthenticationFailed
from tests.adapters.sawtooth.support import Bench, Client, Signed

CLIENT, OTHER = Client(1), Client(2)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def changed(batch: Signed, **fields: object) -> Signed:
    """Return a batch with fields of its message replaced."""
    message = parse("Batch", batch.data)
    for name, value in fields.items():
        setattr(message, name, value)
    return Signed(message.header_signature, message.SerializeToString())


def transaction() -> Signed:
    return CLIENT.intkey("set", "a", 1)


def test_a_good_batch_is_read() -> None:
    one, two = transaction(), transaction()
    batch = parse_batch(CLIENT.batch(one, two).data)
    verify_batch(batch)
    assert [found.id for found in batch.transactions] == [one.id, two.id]


def malformed() -> dict[str, Signed]:
    one, two = transaction(), transaction()
    payload = parse("Transaction", one.data)
    payload.payload += b"!"
    strange = Signed(one.id, payload.SerializeToString())
    return {
        "no protobuf": Signed("", b"\xff\xff"),
        "nothing": Signed("", b""),
        "no transactions": CLIENT.batch(),
        "twice the same": CLIENT.batch(one, one),
        "ids in another order": CLIENT.batch(one, two, transaction_ids=[two.id, one.id]),
        "an id too many": CLIENT.batch(one, transaction_ids=[one.id, two.id]),
        "an id too few": CLIENT.batch(one, two, transaction_ids=[one.id]),
        "another batcher": CLIENT.batch(OTHER.intkey("set", "a", 1)),
        "another payload": CLIENT.batch(strange),
        "a wrong hash": CLIENT.batch(CLIENT.intkey("set", "a", 1, payload_sha512="00")),
        "an empty dependency": CLIENT.batch(CLIENT.intkey("set", "a", 1, dependencies=[""])),
        "a dependency that is no id": CLIENT.batch(CLIENT.intkey("set", "a", 1, dependencies=["x" * 128])),
        "a header that is none": changed(CLIENT.batch(one), header=b"\xff"),
        "an id that is none": changed(CLIENT.batch(one), header_signature="ab" * 63),
        "an id in capitals": changed(CLIENT.batch(one), header_signature="AB" * 64),
    }


@pytest.mark.parametrize("name", malformed())
def test_batches_that_are_refused(name: str) -> None:
    batch = malformed()[name]
    with pytest.raises(InvalidBatch):
        parse_batch(batch.data)
    assert Bench().refused(batch) == SubmitStatus.INVALID_BATCH


def test_too_many_transactions() -> None:
    empty = MESSAGES["Batch"](header_signature="ab" * 64, transactions=[{}] * (TRANSACTIONS_MAX + 1))
    with pytest.raises(InvalidBatch, match="10001 transactions"):
        parse_batch(empty.SerializeToString())


def test_signatures_that_are_not_valid() -> None:
    one = transaction()
    good = CLIENT.batch(one)
    forged = changed(good, header_signature=OTHER.signer.sign(parse("Batch", good.data).header))
    with pytest.raises(InvalidBatch, match="signature"):
        verify_batch(parse_batch(forged.data))
    stolen = CLIENT.batch(Signed("ab" * 64, one.data))
    message = parse("Batch", stolen.data)
    message.transactions[0].header_signature = "ab" * 64
    with pytest.raises(InvalidBatch, match="signature"):
        verify_batch(parse_batch(message.SerializeToString()))


def test_a_signature_verifies_and_its_twins_do_not() -> None:
    signer, text = Signer(b"\x01" * 32), b"text"
    signature = signer.sign(text)
    verify(signer.public_key, signature, text)
    high = signature[:64] + f"{ORDER - int(signature[64:], 16):064x}"
    for key, value, signed in (
        (signer.public_key, signature, b"texts"),
        (signer.public_key, high, text),
        (signer.public_key, signature.upper(), text),
        (signer.public_key, "f" * 128, text),
        (signer.public_key, "0" * 128, text),
        (signer.public_key, signature[:-2], text),
        (Signer(b"\x02" * 32).public_key, signature, text),
        ("02" + "f" * 64, signature, text),
        ("04" + "f" * 128, signature, text),
        ("", signature, text),
    ):
        with pytest.raises(AuthenticationFailed):
            verify(key, value, signed)
    assert "01" * 8 not in repr(signer)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidBatch):
        parse_batch(data)


_BENCH = Bench()


@given(st.binary(max_size=300))
def test_arbitrary_commands_and_questions_leave_nothing(data: bytes) -> None:
    entries = len(_BENCH.harness.entries)
    for payload in (data, COMMANDS.encode(SubmitBatch(data))):
        reply = _BENCH.harness.submit(payload)
        assert parse("ClientBatchSubmitResponse", reply).status == SubmitStatus.INVALID_BATCH
    _BENCH.harness.query(data)
    assert len(_BENCH.harness.entries) == entries
