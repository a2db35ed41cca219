"""What connects the nodes: proxies on the loopback device, or network namespaces where the system gives them.

On the loopback device all nodes have one address, so a fault is of everybody's connections to one node. In namespaces
each node has an address of its own on a bridge: links can be pulled, and pairs of nodes parted. Proxies stand in front
of the nodes in both, since few kernels come with a line that loses packets (netem).
"""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from cli.files import write_private
from cli.local_nodes import LocalNode
from cli.network_start import read_node_config
from core.errors import CocoError
from tests.torture.proxy import FaultProxy, Line

ResultT = TypeVar("ResultT")
NETWORK_NAMESPACE = 0x4000_0000
"""CLONE_NEWNET."""

COMMAND_SECONDS_MAX = 20


class Wires:
    """Proxies on the loopback device. Made for the nodes of a network that was not started yet."""

    name = "proxies on the loopback device"

    def __init__(self, nodes: Sequence[LocalNode], seed: int) -> None:
        self.proxies: dict[str, FaultProxy] = {}
        for number, node in enumerate(nodes):
            config = read_node_config(node)
            if config.peer_port is None:
                continue  # The only node.
            address = self.node_address(number)
            proxy = FaultProxy(self.hub_address, 0, (address, config.peer_port), seed + number)
            proxy.start()
            self.proxies[node.slot] = proxy
            changed = msgspec.structs.replace(
                config,
                address=address,
                names=tuple(dict.fromkeys((address, *config.names))),
                peer_address=f"{self.hub_address}:{proxy.port}",
            )
            write_private(node.directory / "network.json", changed.encode())

    @property
    def hub_address(self) -> str:
        return "127.0.0.1"

    def node_address(self, number: int) -> str:
        return "127.0.0.1"

    def run(self, slot: str, start: Callable[[], ResultT]) -> ResultT:
        """Run what starts a node's processes where they shall live."""
        return start()

    def set_line(self, slot: str, line: Line) -> None:
        """Change how others reach a node."""
        self.proxies[slot].set_line(line)

    def cut(self, slot: str) -> None:
        """Cut a node's link."""
        self.set_line(slot, Line(is_down=True))

    def part(self, one: str, other: str) -> None:
        """Part two nodes, both ways."""
        raise CocoError(f"pairs of nodes cannot be parted by {self.name}")

    def heal(self) -> None:
        """Make everything good again."""
        for proxy in self.proxies.values():
            proxy.heal()

    def can_part(self) -> bool:
        return False

    def close(self) -> None:
        for proxy in self.proxies.values():
            proxy.stop()


class NamespaceWires(Wires):
    """Nodes in network namespaces of their own, on a bridge. Needs root."""

    name = "network namespaces on a bridge, with proxies"

    def __init__(self, nodes: Sequence[LocalNode], seed: int) -> None:
        self._tag = f"ct{os.getpid() % 100_000}"
        self._subnet = f"10.{random.Random(os.getpid()).randrange(64, 250)}.77"
        self._slots = [node.slot for node in nodes]
        self._cut: set[str] = set()
        try:
            self._make()
            super().__init__(nodes, seed)
        except BaseException:
            self._remove()
            raise

    @property
    def hub_address(self) -> str:
        return f"{self._subnet}.254"

    def node_address(self, number: int) -> str:
        return f"{self._subnet}.{number + 1}"

    def run(self, slot: str, start: Callable[[], ResultT]) -> ResultT:
        """Run in a thread that is in the node's namespace: what it starts is there, too."""

        def work() -> ResultT:
            _enter(Path("/run/netns") / self._space(slot))
            return start()

        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(work).result()

    def cut(self, slot: str) -> None:
        _command("ip", "link", "set", self._port(slot), "down")
        self._cut.add(slot)

    def part(self, one: str, other: str) -> None:
        for target, source in ((one, other), (other, one)):
            self.proxies[target].set_line(Line(is_down=True), self.node_address(self._slots.index(source)))

    def heal(self) -> None:
        super().heal()
        for slot in list(self._cut):
            _command("ip", "link", "set", self._port(slot), "up")
            self._cut.discard(slot)

    def can_part(self) -> bool:
        return True

    def close(self) -> None:
        super().close()
        self._remove()

    def _space(self, slot: str) -> str:
        return f"{self._tag}-{slot}"

    def _port(self, slot: str) -> str:
        return f"{self._tag}p{self._slots.index(slot)}"

    def _make(self) -> None:
        _command("ip", "link", "add", self._tag, "type", "bridge")
        _command("ip", "address", "add", f"{self.hub_address}/24", "dev", self._tag)
        _command("ip", "link", "set", self._tag, "up")
        for number, slot in enumerate(self._slots):
            space, port = self._space(slot), self._port(slot)
            _command("ip", "netns", "add", space)
            _command("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space)
            _command("ip", "link", "set", port, "master", self._tag, "up")
            inside = ("ip", "-n", space)
            _command(*inside, "address", "add", f"{self.node_address(number)}/24", "dev", "eth0")
            _command(*inside, "link", "set", "eth0", "up")
            _command(*inside, "link", "set", "lo", "up")

    def _remove(self) -> None:
        for slot in self._slots:
            for words in (("link", "delete", self._port(slot)), ("netns", "delete", self._space(slot))):
                with suppress(CocoError):
                    _command("ip", *words)
        with suppress(CocoError):
            _command("ip", "link", "delete", self._tag)


def namespaces_available() -> bool:
    """Say whether this process may make namespaces and bridges."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"ct{os.getpid()}t"
    try:
        _command("ip", "netns", "add", name)
        _command("ip", "link", "add", f"{name[:12]}b", "type", "bridge")
    except CocoError:
        return False
    finally:
        for words in (("link", "delete", f"{name[:12]}b"), ("netns", "delete", name)):
            with suppress(CocoError):
                _command("ip", *words)
    return True


def _enter(namespace: Path) -> None:
    """Move this thread into a network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with namespace.open("rb") as file:
        if libc.setns(file.fileno(), NETWORK_NAMESPACE) != 0:
            raise CocoError(f"{namespace} cannot be entered: {os.strerror(ctypes.get_errno())}")


def _command(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS_MAX, check=False)
    if done.returncode != 0:
        raise CocoError(f"{' '.join(words)}: {done.stderr.strip()}")
