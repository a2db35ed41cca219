"""Intkey batches through the executor: what is committed, what is invalid, and that blocks chain up."""

from __future__ import annotations

import random
import subprocess
import sys

import cbor2
import pytest

from adapters.sawtooth.records import GENESIS_ID
from adapters.sawtooth.signatures import verify
from adapters.sawtooth.wire.messages import MessageType, parse
from tests.adapters.sawtooth.naive_merkle import naive_root
from tests.adapters.sawtooth.support import BOB, Bench, Client


def test_set_inc_dec() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.batch(client.intkey("set", "a", 5), client.intkey("inc", "a", 3)), client.set("b", 1))
    bench.commit(client.batch(client.intkey("dec", "b", 1)))
    assert (bench.value("a"), bench.value("b"), bench.value("c")) == (8, 0, None)


@pytest.mark.parametrize(
    ("verb", "name", "value", "message"),
    [
        ("set", "there", 1, 'Verb is "set", but already exists: Name: there, Value 4294967290'),
        ("inc", "absent", 1, 'Verb is "inc" but name "absent" not in state'),
        ("dec", "absent", 1, 'Verb is "dec" but name "absent" not in state'),
        ("inc", "there", 6, 'Verb is "inc", but result would be greater than 4294967295'),
        ("dec", "there", 4294967291, 'Verb is "dec", but result would be less than 0'),
        ("mul", "there", 1, 'Verb must be "set", "inc", or "dec"'),
        ("set", "n" * 21, 1, "Name must be a string of no more than 20 characters"),
        ("set", "new", -1, "Value must be an integer no less than 0 and no greater than 4294967295"),
        ("set", "new", 2**32, "Value must be an integer no less than 0 and no greater than 4294967295"),
    ],
)
def test_what_intkey_refuses(verb: str, name: str, value: int, message: str) -> None:
    bench, client = Bench(), Client()
    bench.commit(client.set("there", 4294967290))
    before = bench.root()
    assert bench.invalid(client.batch(client.intkey(verb, name, value))) == message
    assert bench.root() == before
    assert len(bench.blocks()) == 2


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"\x80",
        b"\x9b" + b"\xff" * 8,
        b"\xa1" * 500,
        cbor2.dumps({"Verb": "set", "Name": "a"}),
        cbor2.dumps({"Verb": "set", "Name": 1, "Value": 1}),
        cbor2.dumps({"Verb": "set", "Name": "a", "Value": True}),
        cbor2.dumps({"Verb": ["set"], "Name": "a", "Value": 1}),
        cbor2.dumps({"Verb": "set", "Name": "a", "Value": 2**70}),
    ],
)
def test_payloads_that_are_none(payload: bytes) -> None:
    bench, client = Bench(), Client()
    assert bench.invalid(client.batch(client.transaction("intkey", payload, ["1cf126"])))


def test_no_payload_has_modules_imported() -> None:
    """An enclave can open no file by then. In a process of its own, since others import what this one would."""
    script = """
import sys, cbor2
from adapters.sawtooth.late_imports import load_late_imports
load_late_imports()
before = set(sys.modules)
for tag in (*range(0, 300), 1004, 55799):
    for value in ("2013-03-21T20:04:00Z", "abc", 1, [1, 2], bytes(4), bytes(16), {"a": 1}, {bytes(4): 24}):
        try:
            cbor2.loads(cbor2.dumps(cbor2.CBORTag(tag, value)))
        except Exception:
            pass
print(sorted(set(sys.modules) - before))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"


def test_a_batch_is_all_or_nothing() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.set("a", 1))
    wrong = client.batch(client.intkey("inc", "a", 5), client.intkey("set", "b", 1), client.intkey("dec", "b", 2))
    before, wrong_id = bench.root(), parse("Batch", wrong.data).transactions[2].header_signature
    (status,) = bench.submit(wrong)
    assert status.invalid_transactions[0].transaction_id == wrong_id
    assert (bench.value("a"), bench.value("b"), bench.root()) == (1, None, before)


def test_blocks_chain_and_are_signed() -> None:
    bench, client = Bench(), Client()
    first, second, third = (client.set(name, 1) for name in "abc")
    bench.commit(first, second)
    bench.commit(third, caller=BOB)
    previous = GENESIS_ID
    for number, (block, batches) in enumerate(
        zip(reversed(bench.blocks()), [[], [first.id, second.id], [third.id]], strict=True)
    ):
        header = parse("BlockHeader", block.header)
        verify(header.signer_public_key, block.header_signature, block.header)
        assert (header.block_num, header.previous_block_id, header.consensus) == (number, previous, b"Coco")
        assert list(header.batch_ids) == batches == [batch.header_signature for batch in block.batches]
        previous = block.header_signature


def test_roots_over_random_batches_through_the_adapter() -> None:
    bench, client, chance = Bench(block_commands_max=40), Client(), random.Random(5)
    names = [f"n{number}" for number in range(300)]
    for _ in range(8):
        batches = []
        for _ in range(60):
            verbs = [(chance.choice(["set", "inc", "dec"]), chance.choice(names), chance.randrange(9)) for _ in "ab"]
            batches.append(client.batch(*(client.intkey(*verb) for verb in verbs)))
        bench.submit(*batches)
        assert bench.root() == naive_root(bench.state())
        if chance.random() < 0.4:
            bench.harness.restart()


def test_old_roots_are_still_there() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.set("a", 1))
    old = bench.root()
    bench.commit(client.batch(client.intkey("inc", "a", 1)))
    assert (bench.value("a"), bench.value("a", root=old)) == (2, 1)
    for number in range(200):
        bench.commit(client.set(f"n{number}", 1))
    found = bench.ask(MessageType.CLIENT_STATE_GET_REQUEST, address="1cf126" + "0" * 64, state_root=old)
    assert found.status == 4
