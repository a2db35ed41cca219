"""What becomes of batches: twice the same, dependencies, addresses, families that fail, bounds, restarts, rollbacks."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.sawtooth import execution
from adapters.sawtooth.addresses import is_address, is_prefix, namespaces_of
from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.queue import HELD_MILLISECONDS_MAX, HELD_PER_IDENTITY_MAX
from adapters.sawtooth.sdk.context import Context
from adapters.sawtooth.sdk.exceptions import AuthorizationException, InternalError, InvalidTransaction
from adapters.sawtooth.wire.messages import BatchStatus, MessageType, parse
from core.adapter.harness import CommandHeld
from core.kv.store import Store
from core.kv.write_set import WriteSet
from tests.adapters.sawtooth.naive_merkle import naive_root
from tests.adapters.sawtooth.support import ALICE, BOB, INTKEY, SETTINGS, Bench, Client, Signed, command


def status(bench: Bench, *ids: str, caller: Any = ALICE) -> list[int]:
    found = bench.ask(MessageType.CLIENT_BATCH_STATUS_REQUEST, caller, batch_ids=ids)
    return [one.status for one in found.batch_statuses]


# Once, and no more.


def test_a_batch_that_is_committed_is_not_run_again() -> None:
    bench, client = Bench(), Client()
    batch = client.set("a", 1)
    bench.commit(batch)
    entries, blocks = len(bench.harness.entries), len(bench.blocks())
    bench.commit(batch)
    bench.commit(batch, caller=BOB)
    assert (len(bench.harness.entries), len(bench.blocks())) == (entries, blocks)


def test_a_batch_twice_in_one_block() -> None:
    bench, client = Bench(), Client()
    batch = client.set("a", 1)
    bench.commit(batch, batch)
    assert [len(block.batches) for block in bench.blocks()] == [1, 0]


def test_a_transaction_in_two_batches() -> None:
    bench, client = Bench(), Client()
    one = client.intkey("set", "a", 1)
    bench.commit(client.batch(one))
    assert "committed already" in bench.invalid(client.batch(one, client.intkey("set", "b", 1)))
    assert bench.value("b") is None


def test_an_invalid_batch_may_come_again() -> None:
    bench, client = Bench(), Client()
    batch = client.batch(client.intkey("inc", "a", 1))
    bench.invalid(batch)
    assert status(bench, batch.id) == [BatchStatus.INVALID]
    bench.commit(client.set("a", 1), batch)
    assert (status(bench, batch.id), bench.value("a")) == ([BatchStatus.COMMITTED], 2)


# Dependencies.


def test_a_batch_waits_for_what_it_depends_on() -> None:
    bench, client = Bench(), Client()
    first = client.intkey("set", "a", 1)
    later = client.batch(client.intkey("inc", "a", 1, dependencies=[first.id]))
    with pytest.raises(CommandHeld) as held:
        bench.harness.submit(command(later), ALICE)
    assert status(bench, later.id) == [BatchStatus.PENDING]
    assert status(bench, later.id, caller=BOB) == [BatchStatus.UNKNOWN]
    bench.commit(client.batch(first))
    outcome = bench.harness.outcome(held.value.ticket)
    assert outcome is not None
    assert parse("ClientBatchStatus", outcome.reply).status == BatchStatus.COMMITTED
    assert bench.value("a") == 2


def test_a_chain_in_the_wrong_order_comes_right() -> None:
    bench, client = Bench(), Client()
    ids, batches = list[str](), []
    for number in range(20):
        one = client.intkey("inc" if number else "set", "a", 1, dependencies=ids[-1:])
        ids.append(one.id)
        batches.append(client.batch(one))
    random.Random(1).shuffle(batches)
    bench.submit(*batches)
    assert (bench.value("a"), len(bench.harness.adapter._executor._queue)) == (20, 0)  # type: ignore[attr-defined]


def test_dependencies_within_a_batch() -> None:
    bench, client = Bench(), Client()
    first = client.intkey("set", "a", 1)
    bench.commit(client.batch(first, client.intkey("inc", "a", 1, dependencies=[first.id])))
    second = client.intkey("inc", "a", 1)
    assert "which is not committed" in bench.invalid(
        client.batch(client.intkey("inc", "a", 1, dependencies=[second.id]), second)
    )


def test_who_waits_too_long_is_forgotten() -> None:
    bench, client = Bench(), Client()
    later = client.batch(client.intkey("set", "a", 1, dependencies=["ab" * 64]))
    ticket = bench.harness.enqueue(command(later), ALICE)
    bench.harness.run()
    bench.harness.advance_clock(HELD_MILLISECONDS_MAX)
    outcome = bench.harness.outcome(ticket)
    assert outcome is not None
    assert parse("ClientBatchStatus", outcome.reply).status == BatchStatus.UNKNOWN
    assert status(bench, later.id) == [BatchStatus.UNKNOWN]


def test_an_identity_holds_so_many_and_no_more() -> None:
    bench, client = Bench(), Client()
    for number in range(HELD_PER_IDENTITY_MAX + 1):
        batch = client.batch(client.intkey("set", str(number), 1, dependencies=["ab" * 64]))
        ticket = bench.harness.enqueue(command(batch), ALICE)
    outcome = bench.harness.outcome(ticket)
    assert outcome is not None
    assert parse("ClientBatchSubmitResponse", outcome.reply).status == 4


# Addresses.


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        ([intkey_address("a")], [], "Tried to set unauthorized address"),
        ([], [intkey_address("a")], "Tried to get unauthorized address"),
        ([intkey_address("b")], [intkey_address("b")], "Tried to get unauthorized address"),
        ([INTKEY], [INTKEY + "00"], "Tried to set unauthorized address"),
        (["1cf12"], [INTKEY], "listed in inputs is not valid"),
        ([INTKEY], ["1CF126"], "listed in outputs is not valid"),
        ([INTKEY], [INTKEY + "0" * 66], "listed in outputs is not valid"),
        ([INTKEY], ["zz"], "listed in outputs is not valid"),
        ([INTKEY], ["zzzzzz"], "listed in outputs is not valid"),
        (["1cf126é"], [INTKEY], "listed in inputs is not valid"),
    ],
)
def test_addresses_that_are_not_declared(inputs: list[str], outputs: list[str], message: str) -> None:
    bench, client = Bench(), Client()
    batch = client.batch(client.intkey("set", "a", 1, inputs=inputs, outputs=outputs))
    assert message in bench.invalid(batch)
    assert bench.value("a") is None


@pytest.mark.parametrize("prefix", ["", "1c", INTKEY, intkey_address("a")[:40], intkey_address("a")])
def test_prefixes_that_cover_an_address(prefix: str) -> None:
    bench, client = Bench(), Client()
    bench.commit(client.batch(client.intkey("set", "a", 1, inputs=[prefix], outputs=[prefix])))
    assert bench.value("a") == 1


_HEX = st.text("0123456789abcdef", max_size=74)


@given(_HEX | st.text(max_size=72))
def test_rules_of_addresses(text: str) -> None:
    good = len(text) == 70 and all(one in "0123456789abcdef" for one in text)
    assert (is_address(text) is not None) == good
    prefix = len(text) % 2 == 0 and len(text) <= 70 and all(one in "0123456789abcdef" for one in text)
    assert (is_prefix(text) is not None) == prefix
    if prefix:
        (namespace,) = namespaces_of([text])
        assert namespace.hex() == (text[:6] if len(text) >= 6 else "")


@given(st.lists(_HEX.filter(lambda text: len(text) % 2 == 0), max_size=3), st.binary(min_size=35, max_size=35))
def test_a_context_gives_what_is_declared_and_nothing_else(prefixes: list[str], address: bytes) -> None:
    allowed = any(address.hex().startswith(one) for one in prefixes)
    context = Context(Store().begin().table("state"), prefixes, prefixes)
    for use in (
        lambda: context.set_state({address.hex(): b"x"}),
        lambda: context.get_state([address.hex()]),
        lambda: context.delete_state([address.hex()]),
    ):
        if allowed:
            use()
        else:
            with pytest.raises(AuthorizationException):
                use()
    assert context.changes == ({address: None} if allowed else {})
    for wrong in (address.hex()[:-1], address.hex().upper() + "A", "", "zz" * 35):
        with pytest.raises(AuthorizationException):
            context.get_state([wrong])


# Families.


class Strange:
    """A family that does what its payload says."""

    family_name, family_versions, namespaces = "strange", ["1.0"], ["aaaaaa"]

    def apply(self, transaction: Any, context: Any) -> None:
        address = "aaaaaa" + "0" * 64
        context.set_state({address: b"written"})
        match transaction.payload:
            case b"invalid":
                raise InvalidTransaction("because", b"extended")
            case b"surrogate":
                raise InvalidTransaction("half \ud800")
            case b"internal":
                raise InternalError("inside")
            case b"key error":
                raise KeyError("secret")
            case b"recursion":
                self.apply(transaction, context)
            case b"endless":
                while True:
                    pass
            case b"text":
                context.set_state({address: "text"})
            case b"large":
                context.set_state({address: bytes(9_000_000)})
            case b"many":
                context.set_state({f"aaaaaa{number:064x}": b"1" for number in range(20_001)})
            case b"events":
                context.add_event("e", data=bytes(1_000_000))
                context.add_event("e", data=bytes(1_000_000))
            case b"delete":
                context.delete_state([address])
            case b"good":
                assert context.get_state([address])[0].data == b"written"


def strange_bench(seconds: float = 20.0) -> Bench:
    bench = Bench(
        {
            "namespaces": {"aaaaaa": {"read": ["*"]}, INTKEY: {"read": [], "submit": ["*"]}},
            "transaction_seconds_max": seconds,
        }
    )
    families = bench.harness.adapter._executor._runner._families  # type: ignore[attr-defined]
    families["strange", "1.0"] = Strange()
    return bench


def strange(client: Client, payload: bytes) -> Signed:
    return client.batch(client.transaction("strange", payload, ["aaaaaa"]))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"invalid", "because"),
        (b"internal", "inside"),
        (b"surrogate", "half ?"),
        (b"key error", "the family failed on this transaction (KeyError)"),
        (b"recursion", "the family failed on this transaction (RecursionError)"),
        (b"endless", "the transaction took more than 0.1 s of processor time"),
        (b"text", "the family failed on this transaction (TypeError)"),
        (b"large", "bytes is over the bound"),
        (b"many", "the batch changes more than fits into a block"),
        (b"events", "events and receipt data of more than"),
    ],
)
def test_families_that_fail(payload: bytes, message: str) -> None:
    bench, client = strange_bench(0.1 if payload == b"endless" else 20.0), Client()
    bench.commit(client.set("a", 1))
    assert message in bench.invalid(strange(client, payload))
    assert bench.state() == {}
    bench.commit(strange(client, b"good"))
    assert bench.state() == {"aaaaaa" + "0" * 64: b"written"}


def test_a_batch_has_its_share_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, client = Bench(), Client()
    monkeypatch.setattr(execution, "BATCH_TRANSACTIONS_TIME", 0)
    assert bench.invalid(client.set("a", 1)) == "the batch took too much processor time"


def test_what_was_written_and_deleted_leaves_nothing() -> None:
    bench, client = strange_bench(), Client()
    before = bench.root()
    bench.commit(strange(client, b"delete"))
    assert (bench.state(), bench.root()) == ({}, before)


def test_extended_data_comes_back() -> None:
    bench, client = strange_bench(), Client()
    (found,) = bench.submit(strange(client, b"invalid"))
    assert found.invalid_transactions[0].extended_data == b"extended"


@pytest.mark.parametrize(("family", "version"), [("unknown", "1.0"), ("intkey", "9.0")])
def test_families_that_are_not_there(family: str, version: str) -> None:
    bench, client = Bench(), Client()
    message = bench.invalid(client.batch(client.transaction(family, b"", [INTKEY], version=version)))
    assert message == f"no transaction processor for family {family} {version}"


# Blocks.


def test_a_setting_bounds_the_batches_of_a_block() -> None:
    bench, client = Bench(SETTINGS | {"settings": {"sawtooth.publisher.max_batches_per_block": "2"}}), Client()
    bench.commit(*(client.set(f"n{number}", 1) for number in range(5)))
    assert [len(block.batches) for block in bench.blocks()] == [1, 2, 2, 0]


def test_invalid_batches_make_no_block() -> None:
    bench, client = Bench(), Client()
    bench.invalid(client.batch(client.intkey("inc", "a", 1)))
    assert len(bench.blocks()) == 1


def test_a_restart_gives_the_same_answers() -> None:
    bench, client = Bench(), Client()
    for number in range(5):
        bench.commit(client.set(f"n{number}", number))
    before = bench.state(), bench.blocks()
    bench.harness.restart()
    assert (bench.state(), bench.blocks()) == before
    bench.commit(client.set("after", 1))
    assert bench.root() == naive_root(bench.state())
    assert parse("BlockHeader", bench.blocks()[0].header).previous_block_id == before[1][0].header_signature


def test_nothing_stands_in_the_clear() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.set("confidential", 7))
    assert all(b"confidential" not in entry.public and b"intkey" not in entry.public for entry in bench.harness.entries)


def test_a_block_that_is_taken_back_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter's own failure in a block: its other batches run again, on caches made anew."""
    bench, client = Bench(), Client()
    bench.commit(client.set("a", 1))
    executor = bench.harness.adapter._executor  # type: ignore[attr-defined]
    good, bad, runner = client.set("b", 2), client.set("c", 3), executor._runner.run

    def run(state: Any, batch: Any, *given: Any) -> Any:
        done = runner(state, batch, *given)
        if batch.id == bad.id:
            raise ZeroDivisionError
        return done

    monkeypatch.setattr(executor._runner, "run", run)
    ticket = bench.harness.enqueue(command(good), ALICE)
    bench.harness.enqueue(command(bad), ALICE)
    with pytest.raises(ZeroDivisionError):
        bench.harness.run()
    bench.harness.run()
    outcome = bench.harness.outcome(ticket)
    assert outcome is not None
    assert (bench.value("b"), bench.value("c")) == (2, None)
    assert bench.root() == naive_root(bench.state())


def test_a_change_of_leader_goes_on_from_what_is_committed() -> None:
    """An open block is lost; what others wrote meanwhile comes in by their write sets."""
    ours, client = Bench(), Client()
    ours.commit(client.set("a", 1))
    theirs = Bench()
    theirs.harness.entries[:] = ours.harness.entries
    theirs.harness._store.advance(ours.harness.committed)
    theirs.harness.restart()
    head = ours.harness.committed
    ours.harness.enqueue(command(client.set("lost", 1)), ALICE)
    pending = ours.harness._next()
    assert pending is not None
    ours.harness._builder.execute(*pending)
    theirs.commit(client.set("b", 2))
    ours.harness._builder.go_back(head, 0)
    ours.harness._builder.reset()
    for entry in theirs.harness.entries[len(ours.harness.entries) :]:
        ours.harness._store.apply(entry.seqno, WriteSet.decode(entry.public, entry.private))
        ours.harness.entries.append(entry)
    ours.harness._builder.open_after(theirs.harness.committed)
    ours.harness._builder.reset()
    ours.commit(client.set("c", 3))
    assert (ours.value("lost"), ours.value("b"), ours.value("c")) == (None, 2, 3)
    assert ours.root() == naive_root(ours.state())
    assert len(ours.blocks()) == 4
