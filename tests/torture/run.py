"""One run: make a network, load it, hurt it, heal it, and judge what it leaves behind."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from cli.connection import Connection
from cli.errors import Refused, Unreachable
from cli.local_nodes import local_nodes
from cli.membership import own_members
from cli.network_run import stop_nodes
from cli.network_start import read_genesis, start_nodes
from cli.store import Store
from core.consensus.raft.settings import RaftSettings
from core.errors import CocoError
from enclave_sim.host_config import HostConfig
from tests.torture.availability import availability_of
from tests.torture.checker import check_history
from tests.torture.cluster import Cluster
from tests.torture.disks import Disks, LimitedDisks, MountedDisks, mounts_available
from tests.torture.faults import Injector
from tests.torture.history import Operation, save_history
from tests.torture.ledgers import audit, read_ledger
from tests.torture.recorder import Client, Load, resolve, run_clients
from tests.torture.register import deploy
from tests.torture.report import Report, count_operations, faults_by_kind, lost_of, times_of
from tests.torture.wires import NamespaceWires, Wires, namespaces_available

NETWORK = "torture"
CHAIN_ID = 77_003
CALM_SECONDS = 5.0
"""At the end: everything is healed, and the load goes on."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """home: a directory that is made anew. privileged: use namespaces and mounts where the system gives them.

    only: kinds of faults; () all there are.
    """

    home: Path
    seconds: float
    seed: int
    nodes: int = 3
    clients: int = 4
    privileged: bool = True
    only: tuple[str, ...] = ()


def election_seconds() -> float:
    """Return the longest election time-out: an engine's, drawn by chance, is up to twice its least."""
    return 2 * RaftSettings().election_ticks * HostConfig().tick_ms / 1000


def torture(settings: Settings, say: Say) -> Report:
    """Run and judge; the report, the history and the nodes' directories stay in `home`."""
    shutil.rmtree(settings.home, ignore_errors=True)
    store = Store(settings.home)
    create(settings)
    nodes = local_nodes(store.network_directory(NETWORK))
    directories = {node.slot: node.directory for node in nodes}
    wires = _wires(settings)(nodes, settings.seed)
    disks = _disks(settings, directories)
    say(f"seed {settings.seed}; {wires.name}; full disks by {disks.name}")
    try:
        client = store.client(NETWORK)
        start_nodes(nodes, client, say, lambda node, tell: _launch(wires, node.slot, node.directory, tell))
        cluster = Cluster(store, NETWORK, wires.run)
        try:
            return _hurt(settings, cluster, wires, disks, say)
        finally:
            stop_nodes(nodes)
    finally:
        disks.close()
        wires.close()


def create(settings: Settings) -> None:
    """Make the network, as a user does, with one organisation for each node."""
    command = [
        sys.executable, "-m", "cli.main", "--home", str(settings.home), "network", "create", NETWORK,
        "--nodes", str(settings.nodes), "--port", "0", "--chain-id", str(CHAIN_ID),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CocoError(f"the network was not made: {done.stderr}")


def _launch(wires: Wires, slot: str, directory: Path, tell: Say) -> Any:
    from enclave_sim.host import start_detached

    return wires.run(slot, lambda: start_detached(directory, on_progress=tell))


def _wires(settings: Settings) -> type[Wires]:
    return NamespaceWires if settings.privileged and namespaces_available() else Wires


def _disks(settings: Settings, directories: Mapping[str, Path]) -> Disks:
    if settings.privileged and mounts_available(settings.home / "mount"):
        return MountedDisks(directories)
    return LimitedDisks(directories)


def _hurt(settings: Settings, cluster: Cluster, wires: Wires, disks: Disks, say: Say) -> Report:
    members = own_members(cluster.client, read_genesis(cluster.nodes[cluster.slots[0]]))
    accounts = [Account.create() for _ in range(settings.clients)]
    owners = [members[number % len(members)] for number in range(settings.clients)]
    contract = _prepare(cluster, accounts, owners)
    load = Load(lambda number, slot: cluster.connect(slot, owners[number]), cluster.slots, CHAIN_ID, contract)
    clients = [Client(number, load, account, settings.seed + number) for number, account in enumerate(accounts)]
    injector = Injector(cluster, wires, disks, random.Random(settings.seed), say, settings.only)
    began = time.monotonic()
    failed = _under_load(clients, load, injector, settings.seconds)
    ended = time.monotonic()
    operations = [one for client in clients for one in client.operations]
    operations = resolve(operations, lambda name: _receipt(cluster, owners, name))
    if failed is not None:
        save_history(settings.home / "history.jsonl", operations)
        raise failed
    cluster.wait_until_level()
    stop_nodes(list(cluster.nodes.values()))
    return _judge(settings, cluster, wires, disks, injector, clients, operations, (began, ended))


def _under_load(clients: list[Client], load: Load, injector: Injector, seconds: float) -> CocoError | None:
    """Let clients and injector work; returns what went wrong with the injector."""
    failures: list[CocoError] = []
    deadline = time.monotonic() + seconds
    done = threading.Event()

    def inject() -> None:
        try:
            injector.run(lambda: time.monotonic() >= deadline)
            time.sleep(CALM_SECONDS)
        except CocoError as error:
            failures.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=inject)
    thread.start()
    try:
        run_clients(clients, load, done.is_set)
    finally:
        thread.join()
    return failures[0] if failures else None


def _prepare(cluster: Cluster, accounts: list[LocalAccount], owners: list[str]) -> str:
    """Bind each account to its organisation, and deploy the registers; returns their address."""
    first = cluster.slots[0]
    for account, owner in zip(accounts, owners, strict=True):
        with cluster.connect(first, owner) as connection:
            _bind(connection, account)
    with cluster.connect(first, owners[0]) as connection:
        return deploy(connection, accounts[0], CHAIN_ID)


def _bind(connection: Connection, account: LocalAccount) -> None:
    message = connection.rpc("coco_bindMessage", account.address)
    signature = account.sign_message(encode_defunct(text=message)).signature
    connection.rpc("coco_bind", message, "0x" + bytes(signature).hex())


def _receipt(cluster: Cluster, owners: list[str], name: str) -> Mapping[str, Any] | None:
    """Ask for a transaction as everybody who may have sent it."""
    for owner in dict.fromkeys(owners):
        for slot in cluster.slots:
            with cluster.connect(slot, owner) as connection:
                try:
                    found: Mapping[str, Any] | None = connection.rpc("eth_getTransactionReceipt", name)
                except (Refused, Unreachable):
                    continue
            if found is not None:
                return found
            break  # This node answered: the others know the same by now.
    return None


def _judge(
    settings: Settings,
    cluster: Cluster,
    wires: Wires,
    disks: Disks,
    injector: Injector,
    clients: list[Client],
    operations: list[Operation],
    times: tuple[float, float],
) -> Report:
    save_history(settings.home / "history.jsonl", operations)
    ledgers = [read_ledger(slot, directory) for slot, directory in cluster.directories.items()]
    violations = audit(cluster.directories) + check_history(operations, ledgers)
    answers = [one.ended for one in operations if getattr(one, "outcome", "") == "acknowledged"]
    election = election_seconds()
    availability = availability_of(answers, injector.faults, began=times[0], ended=times[1], election_seconds=election)
    report = Report(
        seed=settings.seed,
        nodes=settings.nodes,
        seconds=round(times[1] - times[0], 1),
        wires=wires.name,
        disks=disks.name,
        faults=faults_by_kind(injector.faults),
        restarts=injector.restarts,
        **count_operations(operations),
        lost=lost_of(violations),
        entries=max(len(one.leaves) for one in ledgers),
        views=len({place.view for one in ledgers for _, place in one.claims}),
        violations=tuple(map(str, violations)),
        surprises=tuple(surprise for client in clients for surprise in client.surprises),
        **times_of(availability, election),  # type: ignore[arg-type]
    )
    (settings.home / "report.json").write_bytes(report.encode())
    return report
