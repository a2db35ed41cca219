"""What `coco network start` makes of a node that has to wait: it says for what, and leaves it running."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.local_nodes import LocalNode, local_nodes
from cli.network_start import WaitsForPeople, WaitsToBeLetIn, launch_detached
from core.errors import CocoError
from tests.cli.runner import Coco

SAYS: list[tuple[str, type[CocoError], str]] = [
    (
        "manager: waits for the members: request ab to start the network after 2.9; 0 of 2 have approved",
        WaitsForPeople,
        "coco node restart show --node node1",
    ),
    (
        "manager: still waits: no network runs; of the disks known, node ab's reaches furthest: 2.9; not heard of: cd",
        WaitsForPeople,
        "coco node restart accept-loss node1",
    ),
    (
        "manager: waits to join: h:1 does not let this node in yet (restart-approval): no network runs yet; this node "
        "waits for members to approve of its start",
        WaitsToBeLetIn,
        "coco node restart show",
    ),
]


@pytest.fixture
def node(coco: Coco, network: str, home: Path) -> LocalNode:
    return local_nodes(home / "networks" / network)[0]


def saying(*lines: str) -> Callable[..., Any]:
    def start(directory: Path, on_progress: Callable[[str], None]) -> str:
        for line in lines:
            on_progress(line)
        return "serves"

    return start


@pytest.mark.parametrize(("line", "kind", "hint"), SAYS)
def test_who_waits_says_for_what(
    node: LocalNode, monkeypatch: pytest.MonkeyPatch, line: str, kind: type[CocoError], hint: str
) -> None:
    monkeypatch.setattr("enclave_sim.host.start_detached", saying(line))
    with pytest.raises(kind) as caught:
        launch_detached(node, lambda text: None)
    assert hint in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_node_that_waits_a_moment_is_waited_for(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        "manager: no network runs; of the disks known, node ab's reaches furthest: 2.9; not heard of: cd",
        "manager: waits to join: h:1 does not let this node in yet (restarting): no network runs yet",
    )
    monkeypatch.setattr("enclave_sim.host.start_detached", saying(*lines))
    assert launch_detached(node, lambda text: None) == "serves"  # type: ignore[comparison-overlap]
