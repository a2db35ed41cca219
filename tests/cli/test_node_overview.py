"""All nodes of a network side by side, as far as they answer and are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cli.node_overview
from cli.connection import Connection
from cli.errors import NotFound, Unreachable
from cli.node_overview import NodeView, overview, table_row, url_of
from cli.store import ClientStore, Store

SLOTS = [
    {"slot": "node1", "member": "a", "state": "active", "address": "h:1", "node": "n1", "replaces": ""},
    {"slot": "node2", "member": "b", "state": "joining", "address": "h:2", "node": "n4", "replaces": "n2"},
    {"slot": "node3", "member": "c", "state": "active", "address": "h:3", "node": "n3", "replaces": ""},
    {"slot": "node9", "member": "c", "state": "removed", "address": "h:9", "node": "", "replaces": ""},
]


class Answers:
    """A connection to one node, or to one that is down."""

    def __init__(self, pages: dict[str, Any] | None, url: str) -> None:
        self._pages = pages
        self.url = url

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def get(self, path: str) -> Any:
        if self._pages is None:
            raise Unreachable(f"{self.url} does not answer")
        return self._pages[path]


def pages(node: str, role: str, committed: int) -> dict[str, Any]:
    return {
        "/node/network": {"node_id": node},
        "/node/status": {"role": role, "leader": "n1", "view": 4, "committed": committed},
        "/node/governance": {"members": ["a", "b", "c"], "slots": SLOTS, "proposals": []},
    }


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any] | None]:
    """What is at each address."""
    found: dict[str, dict[str, Any] | None] = {
        "https://1": pages("n1", "leader", 20),
        "https://2": pages("n2", "follower", 19),
        "https://3": None,
    }
    monkeypatch.setattr(cli.node_overview, "_to", lambda connection, url: Answers(found[url], url))
    monkeypatch.setattr(cli.node_overview, "_local_slots", lambda store, network: {"node3": "https://3"})
    return found


@pytest.fixture
def client(home: Path) -> ClientStore:
    made = ClientStore(home / "clients" / "demo", "demo")
    made.set_url("https://1", "https://2")
    return made


@pytest.fixture
def connection() -> Connection:
    return Connection("https://1", Path("none"), None, "demo")


def test_all_are_listed(nodes: object, home: Path, client: ClientStore, connection: Connection) -> None:
    views = overview(Store(home), client, connection)
    assert views == [
        NodeView("node1", "a", "active", "leader", "n1", 4, 20, 20, "n1", "h:1", "https://1"),
        NodeView("node2", "b", "joining", "follower", "n1", 4, 19, 19, "n2", "h:2", "https://2"),
        NodeView("node3", "c", "active", "down", node="n3", address="h:3", url="https://3",
                 error="https://3 does not answer"),
        NodeView("node9", "c", "removed", address="h:9"),
    ]  # fmt: skip
    assert table_row(views[2]) == ("node3", "c", "active", "down", "-", "-", "-", "https://3")


def test_one_whose_address_is_not_known_is_not_called_down(
    nodes: object, home: Path, client: ClientStore, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.node_overview, "_local_slots", lambda store, network: {})
    [view] = [one for one in overview(Store(home), client, connection) if one.slot == "node3"]
    assert (view.role, view.url) == ("-", "-")


def test_one_that_does_not_run_here_is_down(
    nodes: object, home: Path, client: ClientStore, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli.node_overview, "_local_slots", lambda store, network: {"node3": None})
    [view] = [one for one in overview(Store(home), client, connection) if one.slot == "node3"]
    assert (view.role, view.url) == ("down", "-")


def test_nobody_answers(nodes: dict[str, Any], home: Path, client: ClientStore, connection: Connection) -> None:
    nodes.update(dict.fromkeys(nodes))
    with pytest.raises(Unreachable, match="no node of network demo answers"):
        overview(Store(home), client, connection)


def test_a_node_is_found_by_its_slot(nodes: object, home: Path, client: ClientStore, connection: Connection) -> None:
    assert url_of(Store(home), client, connection, "node3") == "https://3"
    assert url_of(Store(home), client, connection, "node2") == "https://2"
    with pytest.raises(NotFound, match="the address of node node9") as caught:
        url_of(Store(home), client, connection, "node9")
    assert "node1, node2, node3" in caught.value.hint
