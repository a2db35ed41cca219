"""A party outside a namespace sees nothing of it, by any question."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.sawtooth.access import Sight
from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.families.xo import xo_address
from adapters.sawtooth.settings import parse_settings
from adapters.sawtooth.wire.messages import MESSAGES, MessageType, parse
from core.adapter.interface import ANONYMOUS, Caller
from core.errors import CocoError
from tests.adapters.sawtooth.support import ALICE, BOB, CAROL, INTKEY, Bench, Client

XO = "5b7349"
SETTINGS: dict[str, Any] = {
    "namespaces": {INTKEY: {"read": ["alice", "bob"]}, XO: {"read": ["*"]}, "00001d": {"read": ["members"]}}
}


class Network:
    """Alice submits: intkey (Bob reads it), xo (all do), and a batch of both."""

    def __init__(self) -> None:
        self.bench, client = Bench(SETTINGS), Client()
        self.intkey = client.set("secret", 7)
        game = client.transaction("xo", b"game,create,", [xo_address("game")])
        self.xo = client.batch(game)
        other = client.transaction("xo", b"both,create,", [xo_address("both")])
        self.both = client.batch(client.intkey("set", "mixed", 1), other)
        self.bench.commit(self.intkey)
        self.bench.commit(self.xo)
        self.bench.commit(self.both)
        self.wrong = client.batch(client.intkey("inc", "absent", 1))
        self.bench.invalid(self.wrong)
        self.transactions = {
            name: [one.header_signature for one in parse("Batch", batch.data).transactions]
            for name, batch in (("intkey", self.intkey), ("xo", self.xo), ("both", self.both))
        }


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


def questions(network: Network) -> list[tuple[MessageType, dict[str, Any], str]]:
    """Every question about something hidden from Carol, beside its twin about what does not exist."""
    absent, hidden = "ab" * 64, network.transactions["intkey"][0]
    address, root = intkey_address("secret"), network.bench.root()
    numbers = MessageType
    asked = []
    for batch, one in ((network.intkey.id, hidden), (network.wrong.id, hidden)):
        asked += [
            (numbers.CLIENT_STATE_GET_REQUEST, {"address": address, "state_root": root}, intkey_address("never")),
            (numbers.CLIENT_STATE_LIST_REQUEST, {"address": address, "state_root": root}, intkey_address("never")),
            (numbers.CLIENT_STATE_LIST_REQUEST, {"address": INTKEY}, "aaaaaa"),
            (numbers.CLIENT_BATCH_GET_REQUEST, {"batch_id": batch}, absent),
            (numbers.CLIENT_BATCH_LIST_REQUEST, {"batch_ids": [batch]}, absent),
            (numbers.CLIENT_BATCH_STATUS_REQUEST, {"batch_ids": [batch]}, absent),
            (numbers.CLIENT_BATCH_LIST_REQUEST, {"paging": {"start": batch}}, absent),
            (numbers.CLIENT_BLOCK_GET_BY_BATCH_ID_REQUEST, {"batch_id": batch}, absent),
            (numbers.CLIENT_TRANSACTION_GET_REQUEST, {"transaction_id": one}, absent),
            (numbers.CLIENT_TRANSACTION_LIST_REQUEST, {"transaction_ids": [one]}, absent),
            (numbers.CLIENT_TRANSACTION_LIST_REQUEST, {"paging": {"start": one}}, absent),
            (numbers.CLIENT_BLOCK_GET_BY_TRANSACTION_ID_REQUEST, {"transaction_id": one}, absent),
            (numbers.CLIENT_RECEIPT_GET_REQUEST, {"transaction_ids": [one]}, absent),
        ]
    return asked


def replaced(fields: dict[str, Any], absent: str) -> dict[str, Any]:
    name, value = next(iter(fields.items()))
    if isinstance(value, dict):
        return {name: {"start": absent}}
    return fields | {name: [absent] if isinstance(value, list) else absent}


def test_what_is_hidden_is_answered_as_what_is_not_there(network: Network) -> None:
    for caller in (CAROL, ANONYMOUS):
        for number, fields, absent in questions(network):
            hidden = network.bench.ask(number, caller, **fields).SerializeToString()
            twin = replaced(fields, absent)
            missing = network.bench.ask(number, caller, **twin).SerializeToString()
            shown = next(iter(fields.values()))
            text = shown[0] if isinstance(shown, list) else shown if isinstance(shown, str) else "none"
            assert hidden == missing.replace(absent.encode(), text.encode()), (number, fields)


def test_who_may_read_sees_it(network: Network) -> None:
    for number, fields, absent in questions(network)[:13]:
        found = network.bench.ask(number, ALICE, **fields).SerializeToString()
        assert found != network.bench.ask(number, ALICE, **replaced(fields, absent)).SerializeToString()
    assert network.bench.value("secret", BOB) == 7
    assert network.bench.value("secret", CAROL) is None


def test_lists_leave_out(network: Network) -> None:
    batches = MessageType.CLIENT_BATCH_LIST_REQUEST
    for caller, wanted in (
        (ALICE, [network.both.id, network.xo.id, network.intkey.id]),
        (BOB, [network.both.id, network.xo.id, network.intkey.id]),
        (CAROL, [network.xo.id]),
        (ANONYMOUS, []),
    ):
        found = network.bench.ask(batches, caller)
        assert [one.header_signature for one in found.batches] == wanted
        page = network.bench.ask(batches, caller, paging={"limit": 1})
        assert page.paging.next == (wanted[1] if len(wanted) > 1 else "")
    found = network.bench.ask(MessageType.CLIENT_TRANSACTION_LIST_REQUEST, CAROL)
    assert [one.header_signature for one in found.transactions] == [
        network.transactions["both"][1],
        network.transactions["xo"][0],
    ]
    assert sorted(network.bench.state(CAROL)) == sorted([xo_address("game"), xo_address("both")])
    assert network.bench.state(ANONYMOUS) == {}


def test_blocks_hold_what_is_seen_and_their_headers_verify(network: Network) -> None:
    ours, theirs = network.bench.blocks(ALICE), network.bench.blocks(CAROL)
    assert [one.header for one in ours] == [one.header for one in theirs]
    assert [len(one.batches) for one in ours] == [1, 1, 1, 0]
    assert [len(one.batches) for one in theirs] == [0, 1, 0, 0]


def test_events_are_filtered(network: Network) -> None:
    def deltas(caller: Caller) -> list[list[str]]:
        found = network.bench.ask(
            MessageType.CLIENT_EVENTS_GET_REQUEST,
            caller,
            subscriptions=[{"event_type": "sawtooth/state-delta"}],
            block_ids=[one.header_signature for one in network.bench.blocks()],
        )
        for event in found.events:
            changes = parse("StateChangeList", event.data).state_changes
            assert [one.address for one in changes] == [one.value for one in event.attributes]
        return [sorted(one.value for one in event.attributes) for event in found.events]

    both = sorted([intkey_address("mixed"), xo_address("both")])
    assert deltas(ALICE) == [both, [xo_address("game")], [intkey_address("secret")], []]
    assert deltas(BOB) == deltas(ALICE)
    assert deltas(CAROL) == [[xo_address("both")], [xo_address("game")], [], []]
    assert deltas(ANONYMOUS) == [[], [], [], []]


def test_nothing_of_a_hidden_namespace_is_in_any_answer(network: Network) -> None:
    """Carol asks everything there is to ask without naming anything."""
    hidden = [b"secret", b"mixed", intkey_address("secret").encode(), intkey_address("mixed").encode()]
    blocks = [one.header_signature for one in network.bench.blocks()]
    answers = [
        network.bench.ask(number, CAROL).SerializeToString() for number in MessageType if "LIST_REQ" in number.name
    ]
    answers.append(
        network.bench.ask(
            MessageType.CLIENT_EVENTS_GET_REQUEST,
            CAROL,
            block_ids=blocks,
            subscriptions=[{"event_type": "sawtooth/state-delta"}, {"event_type": "sawtooth/block-commit"}],
        ).SerializeToString()
    )
    assert len(answers) == 5
    assert not any(one in answer for one in hidden for answer in answers)


def test_a_submitter_sees_its_own_where_it_may_not_read() -> None:
    bench, client = Bench({"namespaces": {INTKEY: {"read": [], "submit": ["carol"]}}}), Client()
    batch = client.set("own", 1)
    bench.commit(batch, caller=CAROL)
    get = MessageType.CLIENT_BATCH_GET_REQUEST
    assert bench.ask(get, CAROL, batch_id=batch.id).status == 1
    assert bench.ask(get, ALICE, batch_id=batch.id).status == 5
    assert bench.value("own", CAROL) is None


@pytest.mark.parametrize("prefixes", [[], [""], ["1c"], [XO, "1cf1"]])
def test_what_names_no_namespace_is_its_submitters_alone(prefixes: list[str]) -> None:
    bench, client = Bench({"namespaces": {XO: {"read": ["*"]}, INTKEY: {"read": ["*"]}}}), Client()
    payload = b"wide,create,"
    batch = client.batch(client.transaction("xo", payload, [*prefixes, xo_address("wide")], outputs=[XO, *prefixes]))
    if prefixes:
        bench.commit(batch)
    else:
        batch = client.batch(client.transaction("xo", payload, []))
        bench.invalid(batch)
    found = bench.ask(MessageType.CLIENT_BATCH_STATUS_REQUEST, BOB, batch_ids=[batch.id])
    assert found.batch_statuses[0].status == 4
    found = bench.ask(MessageType.CLIENT_BATCH_STATUS_REQUEST, ALICE, batch_ids=[batch.id])
    assert found.batch_statuses[0].status in (1, 2)


def test_no_transaction_tells_of_a_namespace_to_who_may_not_read_it() -> None:
    """What an inc of nothing becomes would tell Carol the value, in its receipt or in its error."""
    bench, client = Bench(SETTINGS), Client()
    bench.commit(client.set("secret", 7))
    before = bench.root()
    for verb, name in (("inc", "secret"), ("set", "secret"), ("inc", "absent"), ("set", "absent")):
        for prefix in (intkey_address(name), INTKEY, ""):
            batch = client.batch(client.intkey(verb, name, 0, inputs=[prefix], outputs=[prefix]))
            message = bench.invalid(batch, caller=CAROL)
            assert message == "The constitution does not let the submitter use the namespace 1cf126"
    assert bench.root() == before
    bench.commit(client.batch(client.intkey("inc", "secret", 0)), caller=BOB)


def test_a_namespace_that_is_not_named_is_nobodys() -> None:
    bench, client = Bench({}), Client()
    assert "does not let the submitter use" in bench.invalid(client.set("a", 1))


def test_groups() -> None:
    settings = parse_settings(SETTINGS)

    def readable(caller: Caller) -> list[str]:
        return sorted(one.hex() for one in Sight(settings, caller).readable)

    assert readable(Caller("dora", is_member=True)) == ["00001d", XO]
    assert readable(Caller("bob")) == [INTKEY, XO]
    assert readable(Caller("members")) == [XO]
    assert readable(Caller("*")) == [XO]
    assert readable(ANONYMOUS) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unknown": 1}, "unknown is not a setting"),
        ({"namespaces": []}, "is not an object"),
        ({"namespaces": {"1cf12": {"read": ["*"]}}}, "is no namespace"),
        ({"namespaces": {"1CF126": {"read": ["*"]}}}, "is no namespace"),
        ({"namespaces": {"1cf126": ["*"]}}, "is no rule"),
        ({"namespaces": {"1cf126": {"write": ["*"]}}}, "is no rule"),
        ({"namespaces": {"1cf126": {"read": "*"}}}, "is not a list of names"),
        ({"namespaces": {"1cf126": {"read": [1]}}}, "is not a list of names"),
        ({"namespaces": {"1cf126": {"submit": ["*"]}}}, "is no rule"),
        ({"namespaces": {"1cf126": {"read": [], "submit": "*"}}}, "submit is not a list of names"),
        ({"namespaces": {"1cf126": {"read": [""]}}}, "is not a list of names"),
        ({"settings": []}, "is not an object"),
        ({"settings": {"a": 1}}, "is not text"),
        ({"external_processors": True}, "is not an object"),
        ({"external_processors": {"a": ["*"]}}, "is no rule"),
        ({"external_processors": {"": {"identities": ["*"]}}}, "is no rule"),
        ({"external_processors": {"a": {"identities": ["*"], "read": ["*"]}}}, "is no rule"),
        ({"external_processors": {"a": {"identities": "*"}}}, "is not a list of names"),
        ({"external_processors": {"a": {"identities": [""]}}}, "is not a list of names"),
        ({"transaction_seconds_max": 0}, "must be from"),
        ({"transaction_seconds_max": True}, "must be from"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(CocoError, match=message):
        parse_settings(settings)


def test_a_batch_message_is_not_confused_with_ids() -> None:
    """Ids are hexadecimal digits of 64 bytes; anything else is refused before the tables are asked."""
    bench = Bench()
    for text in ("é" * 64, "ab" * 63, " " * 128, "AB" * 64):
        request = MESSAGES["ClientBatchGetRequest"](batch_id=text)
        assert bench.ask(MessageType.CLIENT_BATCH_GET_REQUEST, batch_id=request.batch_id).status == 8
