"""`coco network create --nodes`: what is made of each node and where, and how nodes of this machine are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.errors import NotFound
from cli.local_nodes import LocalNode, find_node, local_nodes
from cli.plan_nodes import free_port
from core.errors import CocoError
from enclave_sim.host_config import HostConfig, NodePaths, read_config
from enclave_sim.platform.fuses import AUTHORITY_FILE
from tests.cli.runner import Coco

pytestmark = pytest.mark.usefixtures("stand_in_adapters")


def config_of(node: LocalNode) -> HostConfig:
    return read_config(node.directory)[0]


# Making them.


def test_each_node_has_a_directory_and_a_machine_of_its_own(trio: list[LocalNode], home: Path) -> None:
    network = home / "networks" / "trio"
    assert [node.slot for node in trio] == ["node1", "node2", "node3"]
    assert [node.directory for node in trio] == [network, network / "nodes" / "node2", network / "nodes" / "node3"]
    configs = [config_of(node) for node in trio]
    assert [one.slot for one in configs] == ["node1", "node2", "node3"]
    assert len({one.peer_port for one in configs}) == 3
    assert [one.peer_address for one in configs] == [f"127.0.0.1:{one.peer_port}" for one in configs]
    assert len({read_config(node.directory)[1] for node in trio}) == 1
    authorities = {NodePaths(node.directory).fuses.with_name(AUTHORITY_FILE).read_bytes() for node in trio}
    assert len(authorities) == 1
    assert not any(NodePaths(node.directory).fuses.exists() for node in trio[1:])


def test_everything_of_them_is_private(trio: list[LocalNode], home: Path) -> None:
    for path in home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_nodes_without_organisations_get_one_each(coco: Coco, home: Path) -> None:
    ran = coco("network", "create", "duo", "--nodes", "2", "--port", "9000", "--json")
    assert ran.json["members"] == ["org1", "org2"]
    assert ran.json["nodes"] == ["node1", "node2"]
    nodes = [config_of(node) for node in local_nodes(home / "networks" / "duo")]
    assert [(one.port, one.peer_port) for one in nodes] == [(9000, 9100), (9001, 9101)]


def test_one_node_is_as_it_was(coco: Coco, home: Path) -> None:
    coco("network", "create", "one")
    [node] = local_nodes(home / "networks" / "one")
    assert config_of(node).peer_port is None
    assert not config_of(node).has_peers
    assert not (node.directory / "nodes").exists()


def test_one_node_that_others_may_join(coco: Coco, home: Path) -> None:
    coco("network", "create", "one", "--peer-address", "node1.example.org:8543")
    [node] = local_nodes(home / "networks" / "one")
    assert (config_of(node).peer_address, config_of(node).peer_port) == ("node1.example.org:8543", 8543)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--nodes", "0"), "is not in the range"),
        (("--nodes", "10"), "is not in the range"),
        (("--nodes", "3", "--port", "65500"), "leaves no room for 3 nodes"),
        (("--nodes", "2", "--peer-address", "h:1"), "--peer-address is one node's"),
        (("--peer-address", "nowhere"), "--peer-address"),
    ],
)
def test_nodes_that_cannot_be(coco: Coco, home: Path, options: tuple[str, ...], said: str) -> None:
    assert said in coco("network", "create", "x", *options, code=2).err
    assert not (home / "networks" / "x").exists()


def test_a_port_that_is_taken_is_not_chosen() -> None:
    first = free_port("127.0.0.1", set())
    assert free_port("127.0.0.1", {first}) != first
    with pytest.raises(CocoError, match="no free port"):
        free_port("192.0.2.1", set())


# Finding them.


def test_nodes_are_in_the_order_of_their_numbers(home: Path) -> None:
    for name in ("", "nodes/node10", "nodes/node9", "nodes/nobody"):
        (home / name).mkdir(parents=True, exist_ok=True)
    for name in ("", "nodes/node10", "nodes/node9"):
        (home / name / "network.json").write_text('{"slot": "first"}')
    assert [node.slot for node in local_nodes(home)] == ["first", "node9", "node10"]
    (home / "network.json").write_text("damaged")
    assert local_nodes(home)[0].slot == "node1"
    assert local_nodes(home / "nodes") == []


def test_a_node_is_found_by_its_slot(trio: list[LocalNode]) -> None:
    assert find_node("trio", trio, None) == trio[0]
    assert find_node("trio", trio, "node3") == trio[2]
    with pytest.raises(NotFound, match="no node node4 of network trio") as caught:
        find_node("trio", trio, "node4")
    assert "node1, node2, node3" in caught.value.hint
