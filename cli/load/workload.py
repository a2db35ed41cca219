"""What a workload is, and which there are: the one place to add another adapter's.

A workload prepares the ledger once (deploys, funds, proves addresses) and returns a recipe. The recipe is sent to the
load's processes, where it makes their requests ahead of the clock, and afterwards confirms what was accepted.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from cli.errors import WrongUse
from cli.load.client import Client
from cli.load.requests import Confirmation, Endpoint, Request, Verdict


@dataclass(frozen=True, slots=True)
class Target:
    """What is loaded. answers_at_commit: an answer to a transaction says that it is committed, as Coco's do.

    name: for people. must_bind: senders are proved to the caller's identity first. secret: what the senders' keys are
    derived from. treasury_key: the account that pays for them; None: the first unlocked one of a development node.
    pids: the processes to watch, by role.
    """

    name: str
    url: str
    endpoint: Endpoint
    answers_at_commit: bool
    must_bind: bool
    secret: bytes
    treasury_key: bytes | None
    pids: dict[str, int]


@dataclass(frozen=True, slots=True)
class Shape:
    """How the load is cut. recipients: how many different receivers or keys; 0: a new one each time."""

    lanes: int
    accounts: int
    batch: int
    recipients: int


class Recipe(Protocol):
    """Makes and judges requests in the load's processes. Can be pickled."""

    def requests(self, lane: int, first: int, count: int) -> list[Request]:
        """Return a lane's requests from number `first` on; the same for the same arguments."""
        ...

    def judge(self, request: Request, status: int, body: bytes) -> Verdict:
        """Say which items of a request an answer accepts."""
        ...

    def confirm(self, client: Client, keys: Sequence[bytes]) -> Confirmation:
        """Look up at most CONFIRM_MAX accepted keys."""
        ...


CONFIRM_MAX = 100

Prepare = Callable[[Client, Target, Shape, Callable[[str], None]], Recipe]
"""Prepares the ledger. The last argument is told what is being done."""


@dataclass(frozen=True, slots=True)
class Workload:
    """counts: what one item is. makes_blocks: items stand in Ethereum's blocks. prepare_at: module:function."""

    name: str
    adapter: str
    counts: str
    makes_blocks: bool
    prepare_at: str

    def prepare(self, client: Client, target: Target, shape: Shape, tell: Callable[[str], None]) -> Recipe:
        module, _, function = self.prepare_at.partition(":")
        return cast(Prepare, getattr(importlib.import_module(module), function))(client, target, shape, tell)


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("erc20", "ethereum", "transactions", True, "cli.load.transfers:prepare_erc20"),
        Workload("plain", "ethereum", "transactions", True, "cli.load.transfers:prepare_plain"),
        Workload("balance", "ethereum", "reads", False, "cli.load.reads:prepare_balance"),
        Workload("kv-put", "kv", "puts", False, "cli.load.kv:prepare_put"),
        Workload("intkey", "sawtooth", "transactions", False, "cli.load.intkey:prepare_intkey"),
    )
}
"""By name. The first of an adapter is that adapter's default. Imported when used: each drags its protocol along."""


def choose_workload(name: str | None, adapter: str | None) -> Workload:
    """Return the named workload, else the adapter's default one; raises WrongUse."""
    if name is not None and name not in WORKLOADS:
        raise WrongUse(f"there is no workload {name}", hint=f"Known: {', '.join(WORKLOADS)}.")
    chosen = [one for one in WORKLOADS.values() if name in (None, one.name) and adapter in (None, one.adapter)]
    if not chosen:
        known = ", ".join(f"{one.name} ({one.adapter})" for one in WORKLOADS.values())
        raise WrongUse(f"there is no such workload of adapter {adapter}", hint=f"Known: {known}.")
    return chosen[0]
