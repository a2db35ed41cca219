"""Several nodes on one machine: what is made where, what is started in which order, and every refusal."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import cli.network_run
import cli.network_start
import cli.node_run
from cli.local_nodes import LocalNode, local_nodes
from cli.membership import AUTHORIZATION_FILE, Place, ensure_delegation, read_authorization
from cli.network_start import Started, WaitsToBeLetIn, launch_detached, prepare_joining, start_nodes
from cli.node_run import NothingToJoin, prepare
from cli.store import Store
from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.errors import CocoError
from core.governance.authorizations import verify_authorization
from core.governance.constitution import Constitution
from enclave_sim import host
from enclave_sim.host_config import HostConfig, NodePaths, read_config
from enclave_sim.platform.fuses import AUTHORITY_FILE
from enclave_sim.status import Status
from tests.cli.runner import Coco

pytestmark = pytest.mark.usefixtures("stand_in_adapters")
YEAR_SECONDS = 365 * 86_400
_NOW = datetime.now(UTC)


def config_of(node: LocalNode) -> HostConfig:
    return read_config(node.directory)[0]


def constitution_of(node: LocalNode) -> Constitution:
    return Constitution.decode(read_config(node.directory)[1])


# Starting them.


class Network:
    """Stands in for a network that runs: launches nodes, and answers as its first node would."""

    def __init__(self, trio: list[LocalNode], monkeypatch: pytest.MonkeyPatch) -> None:
        self.launched: list[tuple[str, str, tuple[str, ...]]] = []
        self.slots: dict[str, dict[str, Any]] = {
            "node1": {"slot": "node1", "member": "a", "address": config_of(trio[0]).peer_address, "state": "active"}
        }
        self.voted: list[tuple[str, str]] = []
        self.running: set[str] = set()
        service = self_signed("service", PrivateKey.generate(), not_before=_NOW, days=10)
        self.service = service
        outer = self

        class Answers:
            def __enter__(self) -> Answers:
                return self

            def __exit__(self, *_: object) -> None:
                return

            def get(self, path: str) -> dict[str, Any]:
                if path == "/node/network":
                    return {"service_certificate": service}
                return {"members": ["a", "b", "c"], "slots": list(outer.slots.values()), "proposals": []}

            url = "https://localhost:1"

        def vote_in(_: object, client: object, places: list[Place], voters: list[str]) -> None:
            self.voted += [(place.slot, place.member) for place in places]
            for place in places:
                self.slots[place.slot] = {
                    "slot": place.slot, "member": place.member, "address": place.address, "state": "admitted",
                }  # fmt: skip
            self.voters = voters

        monkeypatch.setattr(cli.network_start, "connect_to", lambda client, started: Answers())
        monkeypatch.setattr("cli.membership._vote_in", vote_in)
        monkeypatch.setattr(cli.network_start, "remember", lambda client, started: None)
        monkeypatch.setattr(cli.network_start, "running_status", self.status)
        monkeypatch.setattr(cli.node_run, "status_of", self.status)

    def status(self, node: LocalNode) -> Status | None:
        return _status() if node.slot in self.running else None

    def launch(self, node: LocalNode, tell: Callable[[str], None]) -> Status:
        config = config_of(node)
        self.launched.append((node.slot, config.authorization, config.contacts))
        self.running.add(node.slot)
        if node.slot in self.slots:
            self.slots[node.slot]["state"] = "active"
        return _status()


def _status() -> Status:
    return Status(1, "127.0.0.1", 1, "https://localhost:1", {}, "now", {})


@pytest.fixture
def network(trio: list[LocalNode], monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(trio, monkeypatch)


def quiet(_: str) -> None:
    return


def test_the_first_start(network: Network, trio: list[LocalNode], home: Path) -> None:
    client = Store(home).client("trio")
    started = start_nodes(trio, client, quiet, network.launch)
    addresses = [config_of(node).peer_address for node in trio]
    assert network.voted == [("node2", "b"), ("node3", "c")]
    assert network.voters == ["a", "b"]  # No more than it takes.
    assert network.launched == [
        ("node1", "", ()),
        ("node2", AUTHORIZATION_FILE, (addresses[0], addresses[2])),
        ("node3", AUTHORIZATION_FILE, (addresses[0], addresses[1])),
    ]
    assert [one.node.slot for one in started] == ["node1", "node2", "node3"]
    for node, member in zip(trio, "abc", strict=True):
        signed = (node.directory / AUTHORIZATION_FILE).read_bytes()
        authorization, actor = verify_authorization(signed, constitution_of(node))
        assert (actor.name, authorization.ticket.slot) == (member, node.slot)
        assert authorization.ticket.is_delegation


def test_nodes_that_are_down_join_those_that_run(network: Network, trio: list[LocalNode], home: Path) -> None:
    client = Store(home).client("trio")
    start_nodes(trio, client, quiet, network.launch)
    network.launched.clear()
    network.running.discard("node1")
    started = start_nodes(trio, client, quiet, network.launch)
    assert [(slot, authorization) for slot, authorization, _ in network.launched] == [("node1", AUTHORIZATION_FILE)]
    assert [one.was_running for one in started] == [False, True, True]


def test_votes_that_are_not_here_are_asked_for(network: Network, trio: list[LocalNode], home: Path) -> None:
    client = Store(home).client("trio")
    for name in ("b", "c"):
        shutil.rmtree(home / "clients" / "trio" / "identities" / name)
    with pytest.raises(CocoError, match="the keys of 1 of 3 members are here; 2 must agree") as caught:
        start_nodes(trio, client, quiet, network.launch)
    assert "coco node approve" in caught.value.hint
    assert network.voted == []


def test_a_delegation_that_cannot_be_signed_here_is_asked_for(
    network: Network, trio: list[LocalNode], home: Path
) -> None:
    shutil.rmtree(home / "clients" / "trio" / "identities" / "c")
    with pytest.raises(CocoError, match="node3 cannot join: it has no delegation") as caught:
        start_nodes(trio, Store(home).client("trio"), quiet, network.launch)
    assert "coco node delegate node3" in caught.value.hint


def test_a_host_without_clients_prepares_nothing(network: Network, trio: list[LocalNode]) -> None:
    prepare_joining(trio, Started(trio[0], _status()), None, quiet)
    assert not (trio[1].directory / AUTHORIZATION_FILE).exists()


def test_a_delegation_is_renewed_when_it_does_not_do(network: Network, trio: list[LocalNode], home: Path) -> None:
    client, node = Store(home).client("trio"), trio[1]
    place = Place("node2", "b", config_of(node).peer_address)
    file = node.directory / AUTHORIZATION_FILE

    def ensure(place: Place = place, service: str = network.service) -> bytes:
        ensure_delegation(node.directory, client, constitution_of(node), place, service)
        return file.read_bytes()

    first = ensure()
    assert ensure() == first
    moved = ensure(Place("node2", "b", "127.0.0.1:9"))
    assert read_authorization(moved).ticket.address == "127.0.0.1:9"
    other = self_signed("other", PrivateKey.generate(), not_before=_NOW, days=10)
    assert ensure(service=other) != moved
    file.write_bytes(b"damaged")
    assert read_authorization(ensure()).ticket.slot == "node2"
    assert read_authorization(ensure()).ticket.not_after > _NOW.timestamp() + YEAR_SECONDS - 1000


def test_all_that_took_part_before_start_at_once(network: Network, trio: list[LocalNode], home: Path) -> None:
    client = Store(home).client("trio")
    start_nodes(trio, client, quiet, network.launch)
    for node in trio:
        ledger = NodePaths(node.directory).disk / "ledger"
        ledger.mkdir(parents=True)
        (ledger / "ledger_1").write_bytes(b"")
    network.launched.clear()
    network.running.clear()
    start_nodes(trio, client, quiet, network.launch)
    assert sorted((slot, authorization) for slot, authorization, _ in network.launched) == [
        (node.slot, AUTHORIZATION_FILE) for node in trio
    ]
    assert all(contacts for _, _, contacts in network.launched)


def test_what_keeps_one_of_them_from_starting_is_told(network: Network, trio: list[LocalNode], home: Path) -> None:
    client = Store(home).client("trio")
    start_nodes(trio, client, quiet, network.launch)
    for node in trio:
        ledger = NodePaths(node.directory).disk / "ledger"
        ledger.mkdir(parents=True)
        (ledger / "ledger_1").write_bytes(b"")
    network.running.clear()

    def launch(node: LocalNode, tell: Callable[[str], None]) -> Status:
        if node.slot == "node2":
            raise CocoError("node2 is broken")
        return network.launch(node, tell)

    with pytest.raises(CocoError, match="node2 is broken"):
        start_nodes(trio, client, quiet, launch)


# One of them.


def test_a_node_with_nothing_to_join_with(network: Network, trio: list[LocalNode]) -> None:
    with pytest.raises(NothingToJoin, match="node2 has nothing to join its network with") as caught:
        prepare(trio, trio[1], None)
    assert "coco network start" in caught.value.hint
    assert "coco node delegate node2" in caught.value.hint


def test_a_node_that_knows_nobody(network: Network, trio: list[LocalNode]) -> None:
    (trio[1].directory / AUTHORIZATION_FILE).write_bytes(b"signed")
    with pytest.raises(NothingToJoin, match="knows no other node"):
        prepare(trio, trio[1], None)
    prepare(trio, trio[1], None, contacts=["h:1"])
    assert config_of(trio[1]).contacts == ("h:1",)
    assert config_of(trio[1]).authorization == AUTHORIZATION_FILE


def test_a_node_begins_only_without_a_ledger(network: Network, trio: list[LocalNode]) -> None:
    prepare(trio, trio[0], None, begin=True)
    assert config_of(trio[0]).authorization == ""
    (NodePaths(trio[0].directory).disk / "ledger").mkdir(parents=True)
    with pytest.raises(NothingToJoin):
        prepare(trio, trio[0], None, begin=True)


def test_starting_a_node_that_is_not_here(coco: Coco, trio: list[LocalNode]) -> None:
    assert "this machine has no node node7" in coco("node", "start", "node7", code=2).err
    assert "this machine has no node node7" in coco("node", "stop", "node7", code=2).err
    assert "is not running" in coco("node", "stop", "node2").err


def test_the_state_of_all(coco: Coco, trio: list[LocalNode]) -> None:
    shown = coco("network", "status", "trio", "--json", code=3).json
    assert shown["state"] == "stopped"
    assert [(one["slot"], one["state"]) for one in shown["nodes"]] == [(node.slot, "stopped") for node in trio]
    assert "node3" in coco("network", "status", "trio", code=3).out
    assert "is not running" in coco("network", "stop", "trio").err


def test_several_nodes_do_not_stay_in_the_foreground(coco: Coco, trio: list[LocalNode]) -> None:
    ran = coco("network", "start", "trio", "--foreground", code=2)
    assert "coco node start node1 --foreground" in ran.err


# Joining from elsewhere.


@pytest.fixture
def signed(network: Network, trio: list[LocalNode], home: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Node 3's delegation and the constitution, as they are brought to another machine."""
    start_nodes(trio, Store(home).client("trio"), quiet, network.launch)
    authorization, genesis = tmp_path / "node3.cose", tmp_path / "genesis.json"
    shutil.copy(trio[2].directory / AUTHORIZATION_FILE, authorization)
    shutil.copy(trio[2].directory / "genesis.json", genesis)
    return authorization, genesis


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another machine's home, where every node starts at once."""
    monkeypatch.setattr(cli.node_run, "launch_detached", lambda node, tell: _status())
    return tmp_path / "elsewhere"


def test_a_node_joins_from_another_machine(coco: Coco, elsewhere: Path, signed: tuple[Path, Path]) -> None:
    join = ("--home", str(elsewhere), "node", "join", str(signed[0]), "--genesis", str(signed[1]))
    vendor = elsewhere.parent / "authority"
    vendor.write_bytes(bytes(32))
    coco(*join, "--contact", "h:1", "--peer-port", "7", "--host-name", "n.example", "--vendor", str(vendor))
    [node] = local_nodes(elsewhere / "networks" / "trio")
    config = config_of(node)
    assert (node.slot, config.slot, config.contacts, config.peer_port) == ("node3", "node3", ("h:1",), 7)
    assert config.peer_address == read_authorization(signed[0].read_bytes()).ticket.address
    assert config.names[0] == "n.example"
    assert (node.directory / AUTHORIZATION_FILE).read_bytes() == signed[0].read_bytes()
    assert NodePaths(node.directory).fuses.with_name(AUTHORITY_FILE).read_bytes() == bytes(32)
    assert "has the node node3 already" in coco(*join, "--contact", "h:1", code=2).err
    coco(*join, "--contact", "h:2", "--or-start")
    assert config_of(node).contacts == ("h:2",)


def test_joining_needs_the_right_constitution(
    coco: Coco, elsewhere: Path, signed: tuple[Path, Path], home: Path
) -> None:
    join = ("--home", str(elsewhere), "node", "join", str(signed[0]), "--contact", "h:1")
    assert "the network's constitution is not on this machine" in coco(*join, code=2).err
    coco("network", "create", "other")
    other = home / "networks" / "other" / "genesis.json"
    assert "is not the constitution" in coco(*join, "--genesis", str(other), code=2).err
    assert not (elsewhere / "networks").exists()


def test_joining_needs_somebody_to_ask(coco: Coco, elsewhere: Path, signed: tuple[Path, Path]) -> None:
    join = ("--home", str(elsewhere), "node", "join", str(signed[0]), "--genesis", str(signed[1]))
    assert "no node of the network is known here" in coco(*join, code=1).err
    assert not (elsewhere / "networks" / "trio").exists()


def test_joining_with_what_is_no_authorization(coco: Coco, elsewhere: Path, signed: tuple[Path, Path]) -> None:
    signed[0].write_bytes(json.dumps({"slot": "node3"}).encode())
    coco("--home", str(elsewhere), "node", "join", str(signed[0]), "--genesis", str(signed[1]), code=1)
    assert not (elsewhere / "networks").exists()


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        (
            "(unknown-slot): the network has no slot node2",
            "coco node approve node2 --member MEMBER --address",
        ),
        ("(not-approved-yet): the slot node2 is proposed", "More than half of the members must agree"),
    ],
)
def test_a_node_that_waits_for_members_says_what_they_do(
    trio: list[LocalNode], monkeypatch: pytest.MonkeyPatch, said: str, hint: str
) -> None:
    def start(directory: Path, on_progress: Callable[[str], None]) -> Status:
        on_progress(f"manager: waits to join: h:1 does not let this node in yet {said}")
        return _status()

    monkeypatch.setattr(host, "start_detached", start)
    with pytest.raises(WaitsToBeLetIn, match="node2 runs, and waits to be let in: the") as caught:
        launch_detached(trio[1], quiet)
    assert hint in caught.value.hint


def test_a_node_that_waits_for_another_reason_waits_on(trio: list[LocalNode], monkeypatch: pytest.MonkeyPatch) -> None:
    def start(directory: Path, on_progress: Callable[[str], None]) -> Status:
        on_progress("manager: waits to join: h:1 does not let this node in yet (too-busy): ask again")
        on_progress("manager: something else")
        return _status()

    monkeypatch.setattr(host, "start_detached", start)
    assert launch_detached(trio[1], quiet) == _status()
