"""What several nodes cost and give: latency, throughput against one node, fail-over, joining, the price of a follower.

    python benchmarks/network.py [--nodes 3] [--transactions N] [--kills K] [--entries N ...] [--json]

Starts networks of its own (real processes, all on this machine, no readers) with one node and with several. Loads are
those of benchmarks/rpc.py: value transfers, one request in flight on each connection; an answer means that a majority
has it on disk. All nodes share this machine's processors, so throughput here says what replication costs in work, and
nothing about several machines. --entries: how long the ledger is when a node joins with an empty disk; a million
entries take about half an hour to write.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address as checksum

from benchmarks.load_client import Connection, Result, send_all
from benchmarks.rpc import CHAIN_ID, recipient, sign
from benchmarks.temporary_network import FUNDED, NETWORK, TemporaryNetwork, accounts, coco
from cli.connection import Connection as Client
from cli.connection import connect
from cli.errors import Refused, Unreachable
from cli.local_nodes import LocalNode, local_nodes
from cli.membership import slots_of
from cli.node_run import prepare
from cli.store import Store
from cli.wallet import Wallet
from enclave_sim.host import start_detached, stop
from enclave_sim.host_config import NodePaths
from enclave_sim.status import Status, read_status

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
WAIT_SECONDS_MAX = 3_600.0
FAST_RETRY_SECONDS = 0.01


@dataclass(slots=True)
class Nodes:
    """The nodes of a network that runs, with its treasury, and how many transactions that has sent."""

    home: Path
    nodes: list[LocalNode]
    treasury: LocalAccount
    nonce: int = 0

    def status(self, node: LocalNode) -> Status:
        found = read_status(node.directory)
        if found is None:
            raise RuntimeError(f"{node.slot} does not run")
        return found

    def client(self, node: LocalNode) -> Client:
        """Connect to this node and to no other."""
        connection = connect(NETWORK, home=self.home)
        connection.url, connection.others = self.status(node).url, ()
        return connection

    def leader(self) -> LocalNode:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for node in self.nodes:
                if read_status(node.directory) is None:
                    continue
                with self.client(node) as connection:
                    try:
                        if connection.get("/node/status").get("role") == "leader":
                            return node
                    except (Refused, Unreachable):
                        continue
        raise RuntimeError("no node leads")

    def cpu_seconds(self, node: LocalNode) -> float:
        """Return the processor time that a node's processes have taken."""
        total = 0
        for pid in self.status(node).pids.values():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / CLOCK_TICKS

    def temporary(self, node: LocalNode) -> TemporaryNetwork:
        return TemporaryNetwork(self.home, self.client(node), self.treasury)


@contextmanager
def running(count: int) -> Iterator[Nodes]:
    """Make a network of so many nodes, and stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="coco-bench-") as directory:
        home = Path(directory)
        coco(home, "network", "create", NETWORK, "--nodes", str(count), "--port", "0", "--chain-id", str(CHAIN_ID),
             "--fund", f"{FUNDED}=1000000", "--code", "measured")  # fmt: skip
        nodes = local_nodes(home / "networks" / NETWORK)
        for node in nodes:
            file = node.directory / "network.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "readers": 0}))
        try:
            coco(home, "network", "start", NETWORK)
            treasury = Wallet(Store(home).client(NETWORK).accounts_directory).unlock(FUNDED, "")
            made = Nodes(home, nodes, treasury)
            made.temporary(nodes[0]).bind(treasury)
            yield made
        finally:
            coco(home, "network", "stop", NETWORK)


async def send(nodes: Nodes, through: LocalNode, count: int, senders: Sequence[LocalAccount]) -> Result:
    """Send transfers through one node, each sender on a connection of its own."""
    network = nodes.temporary(through)
    for account in senders:
        network.bind(account)
    connections = [
        await Connection(network.connection.url, str(network.connection.ca_file), network.headers).open()
        for _ in senders
    ]
    each = max(1, count // len(senders))
    lanes = [
        [sign(account, nonce, checksum(recipient(nonce)), gas=21_000) for nonce in range(each)] for account in senders
    ]
    try:
        result = await send_all(connections, lanes)
    finally:
        for connection in connections:
            connection.close()
    if result.confirmed != result.sent:
        raise RuntimeError(f"{result.confirmed} of {result.sent} confirmed: {result.errors}")
    return result


def measure_latency(nodes: Nodes, count: int) -> dict[str, Any]:
    """One request at a time, asked of the leader and of a follower."""
    leader = nodes.leader()
    follower = next((node for node in nodes.nodes if node != leader), None)
    asked = {"leader": leader} | ({"follower": follower} if follower else {})
    found = {}
    for name, node in asked.items():
        result = asyncio.run(send(nodes, node, count, accounts(1)))
        found[name] = {"p50_ms": round(result.percentile_ms(0.5), 1), "p99_ms": round(result.percentile_ms(0.99), 1)}
    return found


def measure_throughput(nodes: Nodes, count: int, connections: int) -> dict[str, Any]:
    """As many as go through the leader, and the processor time that each node takes for a thousand of them."""
    leader = nodes.leader()
    before = {node.slot: nodes.cpu_seconds(node) for node in nodes.nodes}
    result = asyncio.run(send(nodes, leader, count, accounts(connections)))
    spent = {node.slot: (nodes.cpu_seconds(node) - before[node.slot]) * 1000 / result.sent for node in nodes.nodes}
    followers = [seconds for slot, seconds in spent.items() if slot != leader.slot]
    return {
        "confirmed_per_second": round(result.confirmed_per_second, 1),
        "p50_ms": round(result.percentile_ms(0.5), 1),
        "leader_cpu_seconds_per_1000": round(spent[leader.slot], 3),
        "follower_cpu_seconds_per_1000": round(sum(followers) / len(followers), 3) if followers else None,
    }


def measure_fail_over(nodes: Nodes, kills: int) -> list[float]:
    """Kill the leader while a client of another node sends; return the seconds to its next answer, of each kill."""
    found = []
    for _ in range(kills):
        leader = nodes.leader()
        other = next(node for node in nodes.nodes if node != leader)
        account = accounts(1)[0]
        nodes.temporary(other).bind(account)
        with nodes.client(other) as connection:
            transfer(connection, account, 0)
            for pid in nodes.status(leader).pids.values():
                os.kill(pid, signal.SIGKILL)
            killed = time.perf_counter()
            transfer(connection, account, 1)
            found.append(round(time.perf_counter() - killed, 2))
        prepare(nodes.nodes, leader, Store(nodes.home).client(NETWORK))
        start_detached(leader.directory, WAIT_SECONDS_MAX)
        wait_until_active(nodes, leader, other)
    return found


def transfer(connection: Client, account: LocalAccount, nonce: int) -> None:
    """Send one transfer again and again until it is answered as committed."""
    raw, _ = sign(account, nonce, checksum(recipient(nonce)), gas=21_000)
    deadline = time.monotonic() + 120
    while True:
        try:
            connection.rpc("eth_sendRawTransaction", raw)
            return
        except (Refused, Unreachable):
            if time.monotonic() > deadline:
                raise
            time.sleep(FAST_RETRY_SECONDS)


def measure_joining(nodes: Nodes, entries: int, connections: int) -> dict[str, Any]:
    """Let a follower join with an empty disk, once the ledger has so many entries."""
    leader = nodes.leader()
    with nodes.client(leader) as connection:
        while (head := int(connection.get("/node/status")["committed"])) < entries:
            asyncio.run(send(nodes, leader, min(entries - head, 50_000), accounts(connections)))
    joiner = next(node for node in nodes.nodes if node != leader)
    stop(joiner.directory)
    shutil.rmtree(NodePaths(joiner.directory).disk)
    prepare(nodes.nodes, joiner, Store(nodes.home).client(NETWORK))
    began = time.perf_counter()
    start_detached(joiner.directory, WAIT_SECONDS_MAX)
    serves = time.perf_counter() - began
    wait_until_active(nodes, joiner, leader)
    return {
        "entries": head,
        "seconds_to_serve": round(serves, 1),
        "seconds_to_vote": round(time.perf_counter() - began, 1),
    }


def wait_until_active(nodes: Nodes, node: LocalNode, ask: LocalNode) -> None:
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    with nodes.client(ask) as connection:
        while slots_of(connection)[node.slot]["state"] != "active":
            if time.monotonic() > deadline:
                raise RuntimeError(f"{node.slot} was not taken in")
            time.sleep(0.05)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for count in (1, arguments.nodes):
        with running(count) as nodes:
            row = found[f"{count} nodes"] = {
                "latency": measure_latency(nodes, arguments.requests),
                "throughput": measure_throughput(nodes, arguments.transactions, arguments.connections),
            }
            if count > 1:
                row["fail_over_seconds"] = measure_fail_over(nodes, arguments.kills)
                row["joining"] = [measure_joining(nodes, one, arguments.connections) for one in arguments.entries]
    one, several = (found[f"{count} nodes"]["throughput"]["confirmed_per_second"] for count in (1, arguments.nodes))
    found["throughput_ratio"] = round(several / one, 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--requests", type=int, default=300, help="of the latency, one after the other")
    parser.add_argument("--transactions", type=int, default=8_000, help="of the throughput")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--entries", type=int, nargs="*", default=[100_000])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = measure(arguments)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for name, row in found.items():
        if not isinstance(row, dict):
            print(f"{name}: {row}")
            continue
        print(name)
        for what, value in row.items():
            print(f"  {what}: {value}")


if __name__ == "__main__":
    main()
