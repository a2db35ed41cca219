"""Three nodes that speak Sawtooth, while the leader is killed in the middle of batches.

North and south may use and read intkey; east, whose own node serves and may lead, and visitor may not. One network is
made for all tests of this file: clients send through every node, the leader dies and comes back by its delegation.
"""

from __future__ import annotations

import json
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import cbor2
import pytest

from adapters.sawtooth.claims import BatchClaims
from adapters.sawtooth.families.intkey import NAMESPACE, intkey_address
from adapters.sawtooth.front import FrontEnd
from adapters.sawtooth.gateway import EXCHANGES
from adapters.sawtooth.settings import Settings
from adapters.sawtooth.wire.messages import MESSAGES, MessageType
from cli.connection import Connection
from cli.errors import Refused
from cli.sawtooth_client import PATH, SawtoothClient, make_batch
from tests.scenarios.conftest import Network
from tests.support.sawtooth_nodes import (
    BUSY,
    SHARED,
    Nodes,
    Sender,
    Sent,
    Watcher,
    envelope,
    intkey,
    patiently,
    raw,
    subscribe_events,
    told_events,
)
from tests.support.sawtooth_sight import REST, TELL_NOBODY, VALIDATOR, Secrets, Subject, rest_request

INSIDERS, OUTSIDERS = ("north", "south"), ("east", "visitor")
BEFORE_THE_KILL = 15
AFTER_THE_KILL = 6
"""Requests of each sender."""
EVENTS = ("sawtooth/block-commit", "sawtooth/state-delta")


@dataclass(frozen=True)
class View:
    """What one node has: what became of each batch, all blocks, and the state of intkey."""

    statuses: dict[str, Any]
    blocks: list[Any]
    state: dict[str, bytes]

    @property
    def head(self) -> str:
        return str(self.blocks[0]["header_signature"])

    @property
    def counters(self) -> dict[str, int]:
        return {name: value for data in self.state.values() for name, value in cbor2.loads(data).items()}


@dataclass(frozen=True)
class Story:
    """What happened. killed: the slot of the first leader; watchers: at a node that went on, since the beginning.

    without: what the other nodes had before it came back; whole: what all three had then.
    """

    network: Network
    nodes: Nodes
    senders: list[Sender]
    killed: str
    leader: str
    watchers: dict[str, Watcher]
    without: dict[str, View]
    whole: dict[str, View]

    @cached_property
    def view(self) -> View:
        return self.whole[self.leader]

    @cached_property
    def secrets(self) -> Secrets:
        return Secrets(self.sent, self.view.state.values())

    @cached_property
    def subject(self) -> Subject:
        """The batch of several transactions that was committed last."""
        sent = next(one for one in reversed(self.sent) if one.wanted == "COMMITTED" and len(one.transaction_ids) > 1)
        block = next(one for one in self.view.blocks if sent.id in one["header"]["batch_ids"])
        header = block["header"]
        address = intkey_address(SHARED)
        return Subject(
            sent.id, sent.transaction_ids[0], address, block["header_signature"],
            int(header["block_num"]), header["state_root_hash"],
        )  # fmt: skip

    @property
    def sent(self) -> list[Sent]:
        return [one for sender in self.senders for one in sender.sent]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    network = Network("saw", tmp_path_factory.mktemp("sawtooth") / "home")
    readers = json.dumps({NAMESPACE: {"read": INSIDERS}}, separators=(",", ":"))
    network.coco(
        *("network", "create", "saw", "--nodes", "3", "--port", "0", "--adapter", "sawtooth"),
        *("-o", "north", "-o", "south", "-o", "east", "--participant", "visitor"),
        *("--setting", f"sawtooth.namespaces={readers}"),
    )
    watchers: dict[str, Watcher] = {}
    try:
        network.coco("network", "start", "saw")
        yield tell(network, watchers)
    finally:
        for watcher in watchers.values():
            watcher.close()
        network.close()


def tell(network: Network, watchers: dict[str, Watcher]) -> Story:
    nodes = Nodes(network)
    first = nodes.leader(nodes.slots, "north")
    followers = [slot for slot in nodes.slots if slot != first]
    for who in ("north", *OUTSIDERS):
        deltas = json.dumps({"action": "subscribe", "address_prefixes": []})
        watchers[f"{who} validator"] = Watcher(nodes, followers[0], who, "/validator", subscribe_events(*EVENTS))
        watchers[f"{who} deltas"] = Watcher(nodes, followers[0], who, "/subscriptions", deltas)
    begin = [(who, [at, *(one for one in nodes.slots if one != at)]) for who in INSIDERS for at in nodes.slots]
    senders = [Sender(nodes, who, slots) for who, slots in begin]
    for sender in senders:
        sender.open()
    opener = senders[0]
    opener.deliver([opener.make([intkey(opener.signer, "set", SHARED, 0)], {})])
    holder = next(one for one in senders if one.slots[0] == followers[1])
    held, needed = holder.out_of_order()
    holder.hold(held)
    stop = threading.Event()
    threads = [threading.Thread(target=sender.send_until, args=(stop,)) for sender in senders]
    for thread in threads:
        thread.start()
    try:
        wait_for_requests(senders, threads, BEFORE_THE_KILL)
        nodes.kill(first)
        wait_for_requests(senders, threads, max(one.requests for one in senders) + AFTER_THE_KILL)
    finally:
        stop.set()
        for thread in threads:
            thread.join(300)
    # What was held died with the leader: nobody says otherwise, and it can be sent again.
    assert holder.statuses([held.id])[held.id]["status"] == "UNKNOWN"
    holder.deliver([held, needed])
    ids = [one.id for sender in senders for one in sender.sent]
    without = views(nodes, followers, ids)
    network.coco("node", "start", first, "--network", network.name)
    whole = views(nodes, nodes.slots, ids)
    return Story(network, nodes, senders, first, nodes.leader(nodes.slots, "north"), watchers, without, whole)


def views(nodes: Nodes, slots: list[str], ids: list[str]) -> dict[str, View]:
    """Look at nodes, once they have the same newest block. Nothing is sent meanwhile."""
    clients = {slot: SawtoothClient(nodes.connect(slot, "north")) for slot in slots}
    deadline = time.monotonic() + 120
    while len({patiently(partial(client.get, "/blocks?limit=1"))["head"] for client in clients.values()}) > 1:
        assert time.monotonic() < deadline, "the nodes do not come to the same block"
        time.sleep(0.1)
    return {slot: patiently(partial(look, client, ids)) for slot, client in clients.items()}


def look(client: SawtoothClient, ids: list[str]) -> View:
    return View(
        {one["id"]: one for one in client.statuses(ids)},
        list(client.entries("/blocks")),
        {one["address"]: b64decode(one["data"]) for one in client.entries("/state", address=NAMESPACE)},
    )


def wait_for_requests(senders: list[Sender], threads: list[threading.Thread], count: int) -> None:
    deadline = time.monotonic() + 300
    while min(one.requests for one in senders) < count:
        assert time.monotonic() < deadline, [one.requests for one in senders]
        assert all(thread.is_alive() for thread in threads), [one.broken for one in senders]
        time.sleep(0.02)


def test_nothing_that_was_acknowledged_is_lost(story: Story) -> None:
    assert [said for sender in story.senders for said in sender.broken] == []
    assert sum(sender.unanswered for sender in story.senders), "nothing was on its way when the leader was killed"
    acknowledged = {one.id: one.acknowledged for one in story.sent}
    assert {one.wanted for one in story.sent} == {"COMMITTED", "INVALID"}
    for view in (*story.without.values(), *story.whole.values()):
        assert view.statuses == acknowledged


def test_what_was_sent_again_counts_once(story: Story) -> None:
    assert any(one.posted > 1 for one in story.sent)
    for view in (*story.without.values(), *story.whole.values()):
        assert view.counters == counted(story)
        in_blocks = Counter(id_ for block in view.blocks for id_ in block["header"]["batch_ids"])
        assert in_blocks == Counter(one.id for one in story.sent if one.wanted == "COMMITTED")


def counted(story: Story) -> dict[str, int]:
    """Return what each counter comes to when every committed batch counts once."""
    found = Counter({SHARED: 0} | {sender.name: 0 for sender in story.senders})
    for one in story.sent:
        found.update(one.adds)
    return dict(found)


def test_all_nodes_have_the_same_blocks(story: Story) -> None:
    """Ids, state roots, batches and their order; also at the node that was killed."""
    assert set(story.without) == {slot for slot in story.nodes.slots if slot != story.killed}
    assert set(story.whole) == set(story.nodes.slots)
    for view in (*story.without.values(), *story.whole.values()):
        assert view == story.view
    headers = [block["header"] for block in story.view.blocks]
    assert [int(header["block_num"]) for header in headers] == list(range(len(headers) - 1, -1, -1))
    for header, previous in zip(headers, story.view.blocks[1:], strict=False):
        assert header["previous_block_id"] == previous["header_signature"]


def test_everything_sent_once_more_changes_nothing(story: Story) -> None:
    for slot in story.nodes.slots:
        connection = story.nodes.connect(slot, "north")
        for first in range(0, len(story.sent), 50):
            batches = [one.batch for one in story.sent[first : first + 50]]
            assert patiently(partial(post, connection, batches)) == 202
    # A transaction that is committed is not run in another batch either.
    sender = story.senders[0]
    (committed,) = sender.sent[0].batch.transactions
    again = make_batch(sender.signer, [intkey(sender.signer, "inc", SHARED, 1), committed])
    (status,) = patiently(partial(SawtoothClient(story.nodes.connect(story.leader, "north")).submit, [again]))
    assert status["status"] == "INVALID"
    for view in views(story.nodes, story.nodes.slots, [one.id for one in story.sent]).values():
        assert view == story.view


def post(connection: Connection, batches: list[Any]) -> int:
    body = MESSAGES["BatchList"](batches=batches).SerializeToString()
    status, answer = connection.request("POST", f"{PATH}/batches", body, "application/octet-stream")
    if status in BUSY:
        raise Refused(str(answer), code=status)
    return status


def test_subscriptions_bring_every_block_once_and_outsiders_no_content(story: Story) -> None:
    blocks = [block["header_signature"] for block in reversed(story.view.blocks)]
    for name, watcher in story.watchers.items():
        who, kind = name.split()
        watcher.wait_for(story.view.head)
        frames = list(watcher.frames)
        if kind == "deltas":
            told = [json.loads(frame) for frame in frames]
            ids, is_content = [one["block_id"] for one in told], any(one["state_changes"] for one in told)
        else:
            events = told_events(frames)
            commits = [one for one in events if one.event_type == EVENTS[0]]
            ids = [next(at.value for at in one.attributes if at.key == "block_id") for one in commits]
            is_content = any(one.attributes for one in events if one.event_type == EVENTS[1])
        assert ids == blocks[-len(ids) :], name
        assert len(ids) >= len(blocks) - 1, name
        assert is_content == (who in INSIDERS), name
        assert any(story.secrets.found_in(raw(frame)) for frame in frames) == (who in INSIDERS), name


def test_outsiders_are_told_nothing_by_rest(story: Story) -> None:
    """By every route that there is, through every node, they hear of a batch what they hear of one that is not."""
    asked = {(route.method, route.path) for route in FrontEnd(Settings(), ()).routes()}
    assert set(REST) == asked - {("POST", "/batches")}
    subject, templates = story.subject, [one for some in REST.values() for one in some]
    for who in (*INSIDERS, *OUTSIDERS):
        for slot in story.nodes.slots:
            connection = story.nodes.connect(slot, who)
            for template in templates:
                unknown = patiently(partial(ask, connection, template, subject.unknown()))
                status, known = patiently(partial(ask, connection, template, subject))
                known = subject.as_unknown(known, str(rest_request(template, subject)).encode())
                hears = (status, known) != unknown or story.secrets.found_in(known) is not None
                assert hears == (who in INSIDERS and template not in TELL_NOBODY), (who, slot, template, known)


def ask(connection: Connection, template: str, subject: Subject) -> tuple[int, bytes]:
    method, path, body = rest_request(template, subject)
    status, answer = connection.request(method, PATH + path, body)
    if status in BUSY:
        raise Refused(str(answer), code=status)
    return status, answer


def test_outsiders_are_told_nothing_of_any_batch(story: Story) -> None:
    ids = [one.id for one in story.sent]
    for who in OUTSIDERS:
        for slot in story.nodes.slots:
            client = SawtoothClient(story.nodes.connect(slot, who))
            assert {one["status"] for one in patiently(partial(client.statuses, ids))} == {"UNKNOWN"}
            assert not any(block["batches"] for block in client.entries("/blocks"))
            for path in ("status", "state", "commit", "governance", "network/nodes"):
                status, document = story.nodes.connect(slot, who).request("GET", f"/node/{path}")
                assert status == 200
                assert story.secrets.found_in(document) is None, path


def test_outsiders_change_nothing_and_learn_nothing_by_it(story: Story) -> None:
    sender = story.senders[0]
    for who in OUTSIDERS:
        for slot in story.nodes.slots:
            client, said = SawtoothClient(story.nodes.connect(slot, who)), []
            for name in (SHARED, "nobody" + slot):
                batch = make_batch(sender.signer, [intkey(sender.signer, "inc", name, 1)])
                (status,) = patiently(partial(client.submit, [batch]))
                assert status["status"] == "INVALID"
                said.append(status["invalid_transactions"][0]["message"].replace(intkey_address(name), "ADDRESS"))
            assert said[0] == said[1]
    assert story.view.state == views(story.nodes, story.nodes.slots, [])[story.leader].state


def test_outsiders_are_told_nothing_by_the_validators_protocol(story: Story) -> None:
    assert {route.path for route in FrontEnd(Settings(), ()).web_sockets()} == {"/subscriptions", "/validator"}
    assert set(VALIDATOR) == set(EXCHANGES) - {MessageType.CLIENT_BATCH_SUBMIT_REQUEST}
    nobody = {MessageType.CLIENT_PEERS_GET_REQUEST, MessageType.CLIENT_STATUS_GET_REQUEST}
    subject, unknown = story.subject, story.subject.unknown()
    for who in ("north", *OUTSIDERS):
        for slot in story.nodes.slots:
            with story.nodes.socket(slot, who, "/validator") as socket:
                for kind, build in VALIDATOR.items():
                    answers = []
                    for one in (subject, unknown):
                        socket.send(envelope(kind, build(one)))
                        answers.append(raw(socket.recv(30)))
                    known = subject.as_unknown(answers[0], envelope(kind, build(subject)))
                    hears = known != answers[1] or story.secrets.found_in(known) is not None
                    assert hears == (who in INSIDERS and kind not in nobody), (who, slot, kind)


def test_outsiders_are_told_nothing_by_get_block_deltas(story: Story) -> None:
    asked = json.dumps({"action": "get_block_deltas", "block_id": story.subject.block, "address_prefixes": []})
    for who in ("north", *OUTSIDERS):
        for slot in story.nodes.slots:
            with story.nodes.socket(slot, who, "/subscriptions") as socket:
                socket.send(asked)
                told = json.loads(socket.recv(30))
            assert told["block_id"] == story.subject.block
            assert bool(told["state_changes"]) == (who in INSIDERS)


def test_outsiders_are_given_no_receipt_of_a_batch(story: Story) -> None:
    """Every entry of the ledger is asked for: south is given each batch's proof, east and visitor none of them."""
    insider = story.nodes.connect(story.leader, "south")
    sent = {one.id for one in story.sent}
    proofs = {identifier: batch for identifier, batch in batch_proofs(insider) if batch in sent}
    assert set(proofs.values()) == sent
    chosen = list(proofs)[:: max(1, len(proofs) // 20)]
    for who in OUTSIDERS:
        for slot in story.nodes.slots:
            connection = story.nodes.connect(slot, who)
            asked = list(proofs) if (who, slot) == (OUTSIDERS[0], story.leader) else chosen
            none = connection.request("GET", "/node/receipt?transaction_id=2.999999999")
            assert none[0] == 404
            for identifier in asked:
                for form in ("proof", "ccf", "cose"):
                    path = f"/node/receipt?transaction_id={identifier}&format={form}"
                    assert connection.request("GET", path) == none, (who, slot, path)


def batch_proofs(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the transaction id of every entry of which this identity is given a batch's proof, and the batch's id."""
    view_max, seqno_max = map(int, connection.get("/node/commit")["transaction_id"].split("."))
    view = 1
    for seqno in range(1, seqno_max + 1):
        identifier = f"{view}.{seqno}"
        while view < view_max and connection.get(f"/node/tx/{identifier}")["status"] != "Committed":
            view += 1
            identifier = f"{view}.{seqno}"
        status, body = connection.request("GET", f"/node/receipt?transaction_id={identifier}&format=proof")
        claims = json.loads(body).get("claims") if status == 200 else None
        if isinstance(claims, dict) and "batchStatus" in claims:
            yield identifier, BatchClaims.from_json(claims).batch_id
