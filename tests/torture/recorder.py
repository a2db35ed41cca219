"""Clients that write and read at the same time, each in a thread of its own, and record what they were told.

A write goes to one node after another until its outcome is known or its time is up. The signed transaction stays the
same, so it takes effect once at the most, however often it is sent.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from eth_account.signers.local import LocalAccount

from cli.connection import Connection
from cli.errors import Refused, Unreachable
from cli.transact import leaves_open
from core.errors import CocoError
from tests.torture.history import Operation, Read, Write
from tests.torture.register import before_of, claims_of, read_data, sign_swap

REQUEST_SECONDS_MAX = 6.0
WRITE_SECONDS_MAX = 30.0
PAUSE_SECONDS = 0.1
"""After a node that did not answer, before the next is asked."""

READS_PER_WRITE = 0.5
VALUES_PER_CLIENT = 1 << 32
USED = "nonce"
"""In the refusal of a transaction whose nonce is used: it was committed before, or another one was."""

Outcome = Literal["acknowledged", "refused", "unknown"]


@dataclass(slots=True)
class Load:
    """What every client needs. connect: to a node by name, as a client's identity. nodes: all names.

    idle_seconds: at the most, between two operations of a client.
    """

    connect: Callable[[int, str], Connection]
    nodes: tuple[str, ...]
    chain_id: int
    contract: str
    registers: int = 4
    idle_seconds: float = 0.05
    stop: threading.Event = field(default_factory=threading.Event)


class Client(threading.Thread):
    """One client. `operations` are its history; `surprises`, refusals that no promise allows."""

    def __init__(self, number: int, load: Load, account: LocalAccount, seed: int) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.operations: list[Operation] = []
        self.surprises: list[str] = []
        self.has_finished = False
        self._number = number
        self._load = load
        self._account = account
        self._random = random.Random(seed)
        self._at = number % len(load.nodes)
        self._session = 0
        self._connection: Connection | None = None
        self._written = 0
        self._nonce: int | None = None

    def run(self) -> None:
        while not self._load.stop.is_set():
            if self._random.random() < READS_PER_WRITE:
                self._read()
            self._write()
            self._load.stop.wait(self._random.uniform(0, self._load.idle_seconds))
        self._leave()
        self.has_finished = True

    @property
    def _node(self) -> str:
        return self._load.nodes[self._at]

    def _leave(self) -> None:
        """End the session: the next request goes to the next node."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._session += 1
        self._at = (self._at + 1) % len(self._load.nodes)

    def _ask(self, method: str, *parameters: object) -> Any:
        """Ask the node of this session; raises Refused, Unreachable."""
        if self._connection is None:
            self._connection = self._load.connect(self._number, self._node)
            self._connection.timeout_seconds = REQUEST_SECONDS_MAX
        return self._connection.rpc(method, *parameters)

    def _read(self) -> None:
        register = self._random.randrange(self._load.registers)
        node, session, started = self._node, self._session, time.monotonic()
        try:
            answer = self._ask("eth_call", {"to": self._load.contract, "data": read_data(register)}, "latest")
        except (Refused, Unreachable):
            self._leave()  # A read that fails promises nothing.
            return
        value = int(str(answer), 16)
        self.operations.append(Read(self._number, node, session, register, value, started, time.monotonic()))

    def _write(self) -> None:
        """Write once, and record how that ended."""
        if self._nonce is None and not self._learn_nonce():
            return
        assert self._nonce is not None
        self._written += 1
        register = self._random.randrange(self._load.registers)
        value = self._number * VALUES_PER_CLIENT + self._written
        raw, name = sign_swap(self._account, self._load.chain_id, self._nonce, self._load.contract, register, value)
        started = time.monotonic()
        outcome, node, session = self._send(raw, name, started + WRITE_SECONDS_MAX)
        record = Write(self._number, node, session, register, value, name, started, time.monotonic(), outcome)
        if outcome == "acknowledged" and (receipt := self._find(name)) is not None:
            record = with_receipt(record, receipt)
        self.operations.append(record)
        self._nonce = self._nonce + 1 if outcome == "acknowledged" else None

    def _send(self, raw: str, name: str, deadline: float) -> tuple[Outcome, str, int]:
        """Return how it ended, and the node and session that said so."""
        may_be_committed = False
        while True:
            node, session = self._node, self._session
            try:
                self._ask("eth_sendRawTransaction", raw)
                return "acknowledged", node, session
            except Unreachable as error:
                may_be_committed |= not error.never_sent
            except Refused as error:
                if USED in error.message:
                    if may_be_committed:
                        return "unknown", node, session  # It was committed, or one before it was: `resolve` tells.
                    return "refused", node, session
                if leaves_open(error) or is_left_open(error):
                    may_be_committed = True
                elif not is_retryable(error):
                    self.surprises.append(f"{node}: {error.message}")
                    return ("unknown" if may_be_committed else "refused"), node, session
            if time.monotonic() > deadline or self._load.stop.is_set():
                return ("unknown" if may_be_committed else "refused"), node, session
            self._leave()
            self._load.stop.wait(PAUSE_SECONDS)

    def _find(self, name: str) -> dict[str, Any] | None:
        """Return the receipt of a write that this session acknowledged; a session that has none is broken."""
        try:
            receipt = self._ask("eth_getTransactionReceipt", name)
        except (Refused, Unreachable):
            self._leave()
            return None
        if receipt is None:
            self.surprises.append(f"{self._node}: a client does not see its own write {name}")
            return None
        found: dict[str, Any] = receipt
        return found

    def _learn_nonce(self) -> bool:
        try:
            self._nonce = int(self._ask("eth_getTransactionCount", self._account.address, "latest"), 16)
        except (Refused, Unreachable):
            self._leave()
            self._load.stop.wait(PAUSE_SECONDS)
            return False
        return True


def is_retryable(error: Refused) -> bool:
    """Whether the network said that nothing was written, and to ask again."""
    return any(said in error.message for said in ("nothing was written", "busy", "try again", "interrupted"))


def is_left_open(error: Refused) -> bool:
    """Whether the transaction may be on its way: it waits in a queue already, or its node was just ending."""
    return any(said in error.message for said in ("already known", "the executor is gone"))


def with_receipt(write: Write, receipt: dict[str, Any]) -> Write:
    """Return the record with what the receipt tells."""
    return msgspec.structs.replace(write, before=before_of(receipt), claims=claims_of(receipt))


def resolve(operations: list[Operation], receipts: Callable[[str], Mapping[str, Any] | None]) -> list[Operation]:
    """Find out what became of the writes whose outcome, or receipt, nobody told. receipts: by transaction hash."""
    found: list[Operation] = []
    for one in operations:
        if isinstance(one, Write) and not one.claims:
            receipt = receipts(one.transaction)
            if receipt is not None:
                one = with_receipt(msgspec.structs.replace(one, found=True), dict(receipt))
        found.append(one)
    return found


def run_clients(clients: list[Client], load: Load, until: Callable[[], bool]) -> None:
    """Let the clients work while `until` says False. Raises CocoError when one hangs."""
    for client in clients:
        client.start()
    try:
        while not until():
            time.sleep(0.05)
    finally:
        load.stop.set()
    for client in clients:
        client.join(WRITE_SECONDS_MAX + 4 * REQUEST_SECONDS_MAX)
        if client.is_alive():
            raise CocoError(f"{client.name} waits for an answer that never comes")
        if not client.has_finished:
            raise CocoError(f"{client.name} died: it has a defect of its own")
