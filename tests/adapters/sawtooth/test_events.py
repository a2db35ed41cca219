"""Events of blocks, and which of them a subscription takes."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.wire.messages import MESSAGES, MessageType, parse
from tests.adapters.sawtooth.support import Bench, Client
from tests.adapters.sawtooth.test_families import propose, with_keys

COMMIT, DELTA, UPDATE = "sawtooth/block-commit", "sawtooth/state-delta", "settings/update"


def events(bench: Bench, *subscriptions: Any, blocks: list[str] | None = None) -> Any:
    wanted = [{"event_type": one} if isinstance(one, str) else one for one in subscriptions]
    ids = [bench.blocks()[0].header_signature] if blocks is None else blocks
    return bench.ask(MessageType.CLIENT_EVENTS_GET_REQUEST, subscriptions=wanted, block_ids=ids)


def filtered(event_type: str, key: str, text: str, kind: int) -> dict[str, Any]:
    return {"event_type": event_type, "filters": [{"key": key, "match_string": text, "filter_type": kind}]}


def attributes(event: Any) -> list[tuple[str, str]]:
    return [(one.key, one.value) for one in event.attributes]


def test_block_commit() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.set("a", 1))
    newest, genesis = bench.blocks()
    found = events(bench, COMMIT)
    (event,) = found.events
    assert (found.status, event.event_type) == (1, COMMIT)
    assert attributes(event) == [
        ("block_id", newest.header_signature),
        ("block_num", "1"),
        ("state_root_hash", bench.root()),
        ("previous_block_id", genesis.header_signature),
    ]
    both = events(bench, COMMIT, blocks=[newest.header_signature, genesis.header_signature]).events
    assert [dict(attributes(one))["block_num"] for one in both] == ["1", "0"]


def test_state_delta_has_the_last_change_of_each_address() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.batch(client.intkey("set", "a", 1), client.intkey("set", "b", 1), client.intkey("inc", "a", 1)))
    (event,) = events(bench, DELTA).events
    assert attributes(event) == [("address", intkey_address("a")), ("address", intkey_address("b"))]
    changes = parse("StateChangeList", event.data).state_changes
    assert [(one.address, one.type) for one in changes] == [(value, 1) for _, value in attributes(event)]
    state = bench.state()
    assert all(state[one.address] == one.value for one in changes)


def test_what_a_family_adds() -> None:
    client = Client()
    bench = with_keys(client)
    bench.commit(propose(client, "my.setting", "1")[0])
    (event,) = events(bench, UPDATE).events
    assert attributes(event) == [("updated", "my.setting")]
    assert [one.event_type for one in events(bench, UPDATE, COMMIT, DELTA, UPDATE).events] == [COMMIT, UPDATE, DELTA]
    assert not events(bench, "other/event").events
    receipt = bench.ask(
        MessageType.CLIENT_RECEIPT_GET_REQUEST,
        transaction_ids=[bench.blocks()[0].batches[0].transactions[0].header_signature],
    ).receipts[0]
    assert [one.event_type for one in receipt.events] == [UPDATE]


A, B = intkey_address("a"), intkey_address("b")


@pytest.mark.parametrize(
    ("key", "text", "kind", "taken"),
    [
        ("address", A, 1, True),
        ("address", "1cf126" + "0" * 64, 1, False),
        ("address", A, 2, False),
        ("absent", A, 1, False),
        ("absent", A, 2, True),
        ("address", A[6:20], 3, True),
        ("address", "^1cf126[0-9a-f]{64}$", 4, True),
        ("address", f"^({A}|{B})$", 4, True),
        ("address", f"^{A}$", 4, False),
        ("address", f"^{A}$", 3, True),
    ],
)
def test_filters(key: str, text: str, kind: int, taken: bool) -> None:
    bench, client = Bench(), Client()
    bench.commit(client.set("a", 1), client.set("b", 1))
    assert bool(events(bench, filtered(DELTA, key, text, kind)).events) is taken


def test_all_filters_must_admit() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.set("a", 1), client.set("b", 1))
    both = filtered(DELTA, "address", A, 1)
    both["filters"].append({"key": "address", "match_string": B, "filter_type": 1})
    assert len(events(bench, both).events) == 1
    both["filters"].append({"key": "address", "match_string": "x", "filter_type": 1})
    assert not events(bench, both).events


@pytest.mark.parametrize(("text", "kind"), [("x", 0), ("x", 5), ("(", 3), (r"(a)\1", 4), ("a" * 2_000, 3)])
def test_filters_that_are_refused(text: str, kind: int) -> None:
    assert events(Bench(), filtered(DELTA, "address", text, kind)).status == 3


def test_too_much_is_refused() -> None:
    bench = Bench()
    assert events(bench, *([DELTA] * 101)).status == 3
    assert events(bench, COMMIT, blocks=["ab" * 64]).status == 4
    assert events(bench, COMMIT, blocks=["x"]).status == 4
    assert events(bench, COMMIT, blocks=[bench.blocks()[0].header_signature] * 1_001).status == 4
    malformed = MESSAGES["Message"](message_type=505, content=b"\xff").SerializeToString()
    answer = parse("Message", bench.harness.query(malformed))
    assert parse("ClientEventsGetResponse", answer.content).status == 2


def test_a_pattern_that_costs_too_much_ends() -> None:
    bench, client = Bench(), Client()
    bench.commit(client.batch(*(client.intkey("set", str(number), 1) for number in range(300))))
    costly = filtered(DELTA, "address", "(" + "|".join(["([0-9a-f]?){60}"] * 8) + ")x", 3)
    assert events(bench, costly).status == 2
    assert events(bench, filtered(DELTA, "address", "^1cf126", 4)).status == 1
