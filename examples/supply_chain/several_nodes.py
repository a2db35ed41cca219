"""The story on three nodes of three organisations, while the node that leads is killed in the middle of it.

    python -m examples.supply_chain.several_nodes [--home DIR] [--port PORT]

The network is made afresh in DIR (.coco-three by default), and stopped at the end. Each organisation asks its own node,
and another one when that does not answer. The killed node comes back by what its organisation signed for it; then every
node is asked for every transaction that was answered.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import Timeout
from web3 import HTTPProvider, Web3
from web3.types import RPCEndpoint, RPCResponse

from cli.connection import Connection, connect
from cli.errors import Refused, Unreachable
from cli.local_nodes import LocalNode, local_nodes
from cli.store import Store
from enclave_sim.status import read_status
from examples.supply_chain.__main__ import coco, join, make_afresh
from examples.supply_chain.story import Party, play

NETWORK = "supply-chain"
MEMBERS = ("manufacturer", "carrier", "retailer")
PARTICIPANT = "competitor"
KILL_AFTER = "accept"
"""The step after which the leader is killed: while the next one is on its way."""

KILL_AFTER_SECONDS = 0.03
ATTEMPTS_MAX = 60
PAUSE_SECONDS = 0.5


class AnyNode(HTTPProvider):
    """web3.py's provider, turning to the next node when one does not answer, or no node leads just now.

    Every request may be sent again: a transaction counts once, by its nonce.
    """

    def __init__(self, urls: Sequence[str], options: dict[str, Any]) -> None:
        super().__init__(urls[0], request_kwargs=options, exception_retry_configuration=None)
        self._nodes = [HTTPProvider(url, request_kwargs=options, exception_retry_configuration=None) for url in urls]

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        for _ in range(ATTEMPTS_MAX):
            try:
                answer = self._nodes[0].make_request(method, params)
                if not _is_without_leader(answer):
                    return answer
            except (NoConnection, Timeout):
                pass
            self._nodes.append(self._nodes.pop(0))
            threading.Event().wait(PAUSE_SECONDS)
        raise TimeoutError("no node of the network answers")


def _is_without_leader(answer: RPCResponse) -> bool:
    error = answer.get("error")
    said = str(error.get("message", "")) if isinstance(error, dict) else str(error or "")
    return "nothing was written" in said or said.startswith("the outcome is not known")


def start_network(home: Path, port: int) -> list[LocalNode]:
    """Make and start three nodes, one of each member."""
    make_afresh(home, NETWORK)
    names = [word for name in MEMBERS for word in ("--organisation", name, "--fund", f"{name}=100")]
    others = ["--participant", PARTICIPANT, "--fund", f"{PARTICIPANT}=100"]
    coco(home, "network", "create", NETWORK, "--nodes", str(len(MEMBERS)), *names, *others, "--port", str(port))
    coco(home, "network", "start", NETWORK)
    return local_nodes(home / "networks" / NETWORK)


def url_of(node: LocalNode) -> str:
    status = read_status(node.directory)
    if status is None:
        raise SystemExit(f"{node.slot} does not run")
    return status.url


def party(home: Path, name: str, nodes: Sequence[LocalNode]) -> Party:
    """Connect as one organisation, to its own node first."""
    found = join(home, NETWORK, name)
    at = MEMBERS.index(name) if name in MEMBERS else 0
    client = Store(home).client(NETWORK)
    token = client.identity(name).token()
    options = {"headers": {"Authorization": f"Bearer {token}"}, "verify": str(client.ca_file), "timeout": 10}
    found.web3 = Web3(AnyNode([url_of(node) for node in (*nodes[at:], *nodes[:at])], options))
    return found


def leader(home: Path, nodes: Sequence[LocalNode]) -> LocalNode:
    """Return the node that leads."""
    for node in nodes:
        with to_node(home, node, MEMBERS[0]) as connection:
            if connection.get("/node/status").get("role") == "leader":
                return node
    raise SystemExit("no node leads")


def to_node(home: Path, node: LocalNode, identity: str) -> Connection:
    """Connect to this node and to no other."""
    connection = connect(NETWORK, identity, home=home)
    connection.url, connection.others, connection.rpc_path = url_of(node), (), "/ethereum/"
    return connection


def kill(node: LocalNode) -> None:
    """kill -9 of the host and of every enclave of a node."""
    status = read_status(node.directory)
    for pid in status.pids.values() if status is not None else ():
        os.kill(pid, signal.SIGKILL)


def missing(home: Path, node: LocalNode, hashes: Sequence[bytes]) -> int:
    """Return how many of the transactions a node does not have, asked as the parties to them."""
    known = set()
    for name in MEMBERS:
        with to_node(home, node, name) as connection:
            for each in hashes:
                try:
                    if connection.rpc("eth_getTransactionReceipt", "0x" + bytes(each).hex()) is not None:
                        known.add(each)
                except (Refused, Unreachable) as error:
                    raise SystemExit(f"{node.slot}: {error}") from None
    return len(set(hashes) - known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".coco-three"))
    parser.add_argument("--port", type=int, default=8443, help="of the first node; the next ones follow; 0: free ones")
    arguments = parser.parse_args()
    home: Path = arguments.home
    print("1. A network of three nodes, one of each organisation")
    nodes = start_network(home, arguments.port)
    try:
        print("2. Each organisation proves its Ethereum address to its identity")
        parties = [party(home, name, nodes) for name in (*MEMBERS, PARTICIPANT)]
        first = leader(home, nodes)
        print(f"3. A shipment; {first.slot} leads, and is killed in the middle")
        killing = threading.Timer(KILL_AFTER_SECONDS, kill, (first,))

        def say(line: str) -> None:
            print("  " + line, flush=True)
            if KILL_AFTER in line.split():
                killing.start()

        manufacturer, carrier, retailer, competitor = parties
        hashes = play(manufacturer, carrier, retailer, [competitor], say)
        killing.join()
        second = leader(home, [node for node in nodes if node != first])
        print(f"  {second.slot} leads now")
        coco(home, "node", "start", first.slot, "--network", NETWORK)
        print("4. What each node has")
        lost = {node.slot: missing(home, node, hashes) for node in nodes}
        for slot, count in lost.items():
            print(f"  {slot}: {len(hashes) - count} of {len(hashes)} answered transactions")
        if any(lost.values()):
            sys.exit("transactions are lost")
    finally:
        print("Stopping the network")
        coco(home, "network", "stop", NETWORK, show=False)


if __name__ == "__main__":
    main()
