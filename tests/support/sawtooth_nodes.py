"""Clients of a Sawtooth network of several nodes, of which one may be killed while they send."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from typing import Any, TypeVar

import cbor2
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.signatures import Signer
from adapters.sawtooth.wire.messages import MESSAGES, MessageType, parse
from cli.connection import Connection, connect, tls_context
from cli.errors import OutcomeUnknown, Refused, Unreachable
from cli.local_nodes import LocalNode, local_nodes
from cli.sawtooth_client import PATH, SawtoothClient, make_batch, make_transaction
from enclave_sim.status import read_status
from tests.scenarios.conftest import Network

FAMILY = ("intkey", "1.0")
SHARED = "shared"
"""The counter that every sender adds to."""
REQUEST_SECONDS_MAX = 30
ATTEMPTS_MAX = 240
PAUSE_SECONDS = 0.25
BUSY = (429, 503)
"""What a node says while none leads, or when it cannot know what became of a request."""

T = TypeVar("T")


def patiently(ask: Callable[[], T]) -> T:
    """Ask again while no node leads: on a machine that has much to do, a leader may be overtaken at any time."""
    for _ in range(ATTEMPTS_MAX):
        try:
            return ask()
        except OutcomeUnknown:
            pass
        except Refused as refused:
            if refused.code not in BUSY:
                raise
        time.sleep(PAUSE_SECONDS)
    raise AssertionError("no node leads")


class Nodes:
    """The nodes of a network, each asked by its own address and no other."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._nodes = {node.slot: node for node in local_nodes(network.host_directory)}
        self.slots = list(self._nodes)

    def connect(self, slot: str, identity: str) -> Connection:
        """Connect to this node and to no other. Belongs to the caller's thread."""
        connection = connect(self._network.name, identity, home=self._network.home)
        self._network.connections.append(connection)
        connection.url, connection.others = self.url(slot), ()
        connection.timeout_seconds = REQUEST_SECONDS_MAX
        return connection

    def url(self, slot: str) -> str:
        status = read_status(self._node(slot).directory)
        assert status is not None, f"{slot} does not run"
        return status.url

    def leader(self, slots: Sequence[str], identity: str) -> str:
        """Return the node that leads, waiting until one does."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for slot in slots:
                if self.connect(slot, identity).get("/node/status").get("role") == "leader":
                    return slot
            time.sleep(PAUSE_SECONDS)
        raise AssertionError("no node leads")

    def kill(self, slot: str) -> None:
        """kill -9 of the host and of every enclave of a node."""
        status = read_status(self._node(slot).directory)
        assert status is not None, f"{slot} does not run"
        for pid in {status.pid, *status.pids.values()}:
            os.kill(pid, signal.SIGKILL)

    def socket(self, slot: str, identity: str, path: str) -> AbstractContextManager[ClientConnection]:
        """Return a WebSocket at a node, open inside a `with`."""
        connection = self.connect(slot, identity)
        return open_socket(
            f"{connection.url.replace('https:', 'wss:')}{PATH}{path}",
            ssl=tls_context(connection.ca_file),
            additional_headers={"Authorization": f"Bearer {connection.token}"},
            proxy=None,
            max_size=None,
        )

    def _node(self, slot: str) -> LocalNode:
        return self._nodes[slot]


def intkey(signer: Signer, verb: str, name: str, value: int, needs: Sequence[str] = ()) -> Any:
    """Return a signed transaction. needs: transactions that it depends on."""
    payload = cbor2.dumps({"Verb": verb, "Name": name, "Value": value})
    return make_transaction(signer, FAMILY, payload, [intkey_address(name)], dependencies=needs)


@dataclass(slots=True)
class Sent:
    """A batch. adds: to each counter, when it is committed; may_wait: it depends on another batch.

    acknowledged: what its status said after it was answered with 202. posted: how often it was sent.
    """

    batch: Any
    adds: dict[str, int]
    wanted: str = "COMMITTED"
    may_wait: bool = False
    posted: int = 0
    acknowledged: dict[str, Any] | None = None

    @property
    def id(self) -> str:
        return str(self.batch.header_signature)

    @property
    def transaction_ids(self) -> list[str]:
        return [one.header_signature for one in self.batch.transactions]


@dataclass(slots=True)
class Sender:
    """One client: sends request after request, each until it is answered, to one node after the other.

    broken: promises of the network that it found broken.
    """

    nodes: Nodes
    identity: str
    slots: list[str]
    signer: Signer = field(default_factory=lambda: Signer(secrets.token_bytes(32)))
    name: str = field(default_factory=lambda: "own" + secrets.token_hex(4))
    sent: list[Sent] = field(default_factory=list)
    unanswered: int = 0
    requests: int = 0
    broken: list[str] = field(default_factory=list)
    _clients: dict[str, Connection] = field(default_factory=dict)

    def open(self) -> None:
        """Connect to every node while all of them run, and begin the counter."""
        self._clients = {slot: self.nodes.connect(slot, self.identity) for slot in self.slots}
        self.deliver([self.make([intkey(self.signer, "set", self.name, 0)], {})])

    def send_until(self, stop: threading.Event) -> None:
        """Send requests of every kind until told to stop."""
        try:
            while not stop.is_set():
                self.deliver(self.next_request())
        except (AssertionError, Refused) as error:
            self.broken.append(str(error))

    def next_request(self) -> list[Sent]:
        """Return the batches of the next request, of each kind in turn."""
        number, add = self.requests, self._add
        match number % 5:
            case 0:
                return [self.make([add(self.name, number)], {self.name: number})]
            case 1:
                return [self.make([add(self.name, 2), add(SHARED, 3)], {self.name: 2, SHARED: 3})]
            case 2:
                return self.out_of_order()
            case 3:
                before = self.sent[-1].transaction_ids
                batch = [add(self.name, 7, before), add(SHARED, 1), add(self.name, 4)]
                return [self.make(batch, {self.name: 11, SHARED: 1}, may_wait=True)]
            case _:
                batch = [add(self.name, 1_000), add(SHARED, 1_000), intkey(self.signer, "dec", self.name, 2**32 - 1)]
                return [self.make(batch, {}, wanted="INVALID")]

    def out_of_order(self) -> list[Sent]:
        """Return a batch, and behind it the one that it depends on."""
        needed = self.make([self._add(SHARED, 5)], {SHARED: 5})
        return [self.make([self._add(self.name, 1, needed.transaction_ids)], {self.name: 1}, may_wait=True), needed]

    def make(self, transactions: Sequence[Any], adds: dict[str, int], **options: Any) -> Sent:
        return Sent(make_batch(self.signer, transactions), adds, **options)

    def deliver(self, batches: list[Sent]) -> None:
        """Send batches until the network has said what became of each."""
        self.sent += batches
        self.requests += 1
        left = batches
        for _ in range(ATTEMPTS_MAX):
            if self.post(left):
                self._settle(left)
            left = [one for one in left if one.acknowledged is None]
            if not left:
                return
            self._turn()
        raise AssertionError(f"{self.identity} gets no answer from {self.slots}")

    def post(self, batches: list[Sent]) -> bool:
        """Send once; returns whether it was answered with 202."""
        for one in batches:
            one.posted += 1
        body = MESSAGES["BatchList"](batches=[one.batch for one in batches]).SerializeToString()
        try:
            status, answer = self._clients[self.slots[0]].request(
                "POST", f"{PATH}/batches", body, "application/octet-stream"
            )
        except Unreachable:
            status, answer = 503, b""
        assert status == 202 or status in BUSY, (status, answer)
        self.unanswered += status != 202
        return status == 202

    def _settle(self, batches: list[Sent]) -> None:
        """Learn what 202 was said of, without sending anything again: what did not wait must be known everywhere."""
        found = self.statuses([one.id for one in batches])
        for one in batches:
            status = found[one.id]
            if status["status"] in ("COMMITTED", "INVALID"):
                one.acknowledged = status
                if status["status"] != one.wanted:
                    self.broken.append(f"{one.wanted} is what {status} should be")
            elif not one.may_wait:
                self.broken.append(f"answered with 202, and then {status}")

    def hold(self, sent: Sent) -> None:
        """Send a batch that has to wait, until it does."""
        for _ in range(ATTEMPTS_MAX):
            if self.post([sent]) and self.statuses([sent.id], wait=0)[sent.id]["status"] == "PENDING":
                return
            time.sleep(PAUSE_SECONDS)
        raise AssertionError("a batch that has to wait is not held")

    def statuses(self, ids: Sequence[str], wait: int = 10) -> dict[str, dict[str, Any]]:
        """Ask where batches stand, of whichever node answers."""
        for _ in range(ATTEMPTS_MAX):
            try:
                return {one["id"]: one for one in SawtoothClient(self._clients[self.slots[0]]).statuses(ids, wait)}
            except Unreachable:
                pass
            except Refused as refused:
                if refused.code not in BUSY:
                    raise
            self._turn()
        raise AssertionError(f"{self.identity} hears no status from {self.slots}")

    def _turn(self) -> None:
        self.slots.append(self.slots.pop(0))
        time.sleep(PAUSE_SECONDS)

    def _add(self, name: str, value: int, needs: Sequence[str] = ()) -> Any:
        return intkey(self.signer, "inc", name, value, needs)


class Watcher:
    """A WebSocket that only listens from the first message on, in a thread of its own."""

    def __init__(self, nodes: Nodes, slot: str, identity: str, path: str, first: str | bytes) -> None:
        self.frames: list[str | bytes] = []
        self._stack = ExitStack()
        self._socket = self._stack.enter_context(nodes.socket(slot, identity, path))
        self._socket.send(first)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        try:
            for frame in self._socket:
                self.frames.append(frame)
        except ConnectionClosed:
            pass

    def wait_for(self, text: str) -> None:
        """Wait until a frame holds this text."""
        deadline = time.monotonic() + 120
        while not any(text.encode() in raw(one) for one in list(self.frames)):
            assert time.monotonic() < deadline, "what was awaited is not told"
            assert self._thread.is_alive(), "the connection has ended"
            time.sleep(0.05)

    def close(self) -> None:
        self._stack.close()
        self._thread.join(10)


def envelope(kind: MessageType, content: Any) -> bytes:
    """Return a request to a validator."""
    message = MESSAGES["Message"](message_type=kind, correlation_id="1", content=content.SerializeToString())
    return bytes(message.SerializeToString())


def subscribe_events(*types: str) -> bytes:
    """Return a subscription from the very first block on."""
    asked = MESSAGES["ClientEventsSubscribeRequest"](
        subscriptions=[MESSAGES["EventSubscription"](event_type=one) for one in types],
        last_known_block_ids=["0" * 16],
    )
    return envelope(MessageType.CLIENT_EVENTS_SUBSCRIBE_REQUEST, asked)


def told_events(frames: Sequence[str | bytes]) -> list[Any]:
    """Return the events that a validator pushed."""
    messages = [parse("Message", raw(frame)) for frame in frames]
    lists = [one for one in messages if one.message_type == MessageType.CLIENT_EVENTS]
    return [event for one in lists for event in parse("EventList", one.content).events]


def raw(frame: str | bytes) -> bytes:
    return frame.encode() if isinstance(frame, str) else frame


def unknown_id(like: str) -> str:
    """Return an id that nobody has, which begins as another one does."""
    return like[:64] + hashlib.sha256(like.encode()).hexdigest()
