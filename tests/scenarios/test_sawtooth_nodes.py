"""Three nodes that speak Sawtooth, while the leader is killed in the middle of batches.

North and south may use and read intkey; east, whose own node serves and may lead, and visitor may not. One network is
made for all tests of this file: clients send through every node, the leader dies and comes back by its delegation.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cbor2
import pytest

from adapters.sawtooth.families.intkey import NAMESPACE, intkey_address
from cli.sawtooth_client import SawtoothClient
from tests.scenarios.conftest import Network
from tests.support.sawtooth_nodes import (
    SHARED,
    Nodes,
    Sender,
    Sent,
    Watcher,
    intkey,
    subscribe_events,
    told_events,
)

INSIDERS, OUTSIDERS = ("north", "south"), ("east", "visitor")
BEFORE_THE_KILL = 12
AFTER_THE_KILL = 6
"""Requests of each sender."""
EVENTS = ("sawtooth/block-commit", "sawtooth/state-delta")


@dataclass(slots=True)
class Story:
    """What happened. killed: the slot of the first leader; watchers: at a node that went on, since the beginning."""

    network: Network
    nodes: Nodes
    senders: list[Sender]
    killed: str
    leader: str
    watchers: dict[str, Watcher]

    @property
    def sent(self) -> list[Sent]:
        return [one for sender in self.senders for one in sender.sent]

    def client(self, slot: str, identity: str = "north") -> SawtoothClient:
        return SawtoothClient(self.nodes.connect(slot, identity))

    def others(self) -> list[str]:
        return [slot for slot in self.nodes.slots if slot != self.killed]


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
            thread.join(120)
    return Story(network, nodes, senders, first, nodes.leader(followers, "north"), watchers)


def wait_for_requests(senders: list[Sender], threads: list[threading.Thread], count: int) -> None:
    deadline = time.monotonic() + 120
    while min(one.requests for one in senders) < count:
        assert time.monotonic() < deadline, [one.requests for one in senders]
        assert all(thread.is_alive() for thread in threads), [one.broken for one in senders]
        time.sleep(0.02)


def test_it(story: Story) -> None:
    print(Counter(one.wanted for one in story.sent), [one.unanswered for one in story.senders])
    print([one.broken for one in story.senders], story.killed, story.leader)
    print({name: len(one.frames) for name, one in story.watchers.items()})
    total = sum(one.adds.get(SHARED, 0) for one in story.sent)
    for slot in story.others():
        stored = story.client(slot).state(intkey_address(SHARED))
        print(cbor2.loads(stored), total)
    print(len(told_events(story.watchers["north validator"].frames)))
    print(len(told_events(story.watchers["east validator"].frames)), story.watchers["east deltas"].frames[-1])
