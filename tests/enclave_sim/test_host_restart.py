"""A host starts its node again when that has lost its majority, and for no other reason. Without processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.errors import CocoError, NodeStopped
from core.node.replication.unled import MajorityLost
from enclave_sim import host
from enclave_sim.boundary.messages import ReportedFailure
from enclave_sim.host_config import HostConfig, NodePaths

MakeNetwork = Callable[..., Path]
JOINS = HostConfig(authorization="authorization.cose", contacts=("127.0.0.1:1",))


class Lives:
    """Stands in for what a node does from start to end; each of `ends` is how one life ends, None: when stopped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *ends: CocoError | None) -> None:
        self.ends = list(ends)
        self.ports: list[int] = []
        self.reported: list[bool] = []
        self.pauses: list[float] = []
        monkeypatch.setattr(host, "_run", self.run)
        monkeypatch.setattr(host, "_stopped_within", self.pause)

    async def run(
        self, supervisor: Any, directory: Path, config: HostConfig, listener: Any, stop: asyncio.Event,
        on_running: object, log: Any,
    ) -> None:  # fmt: skip
        self.ports.append(listener.getsockname()[1])
        self.reported.append(on_running is not None)
        end = self.ends.pop(0)
        if end is not None:
            raise end

    async def pause(self, stop: asyncio.Event, seconds: float) -> bool:
        self.pauses.append(seconds)
        return stop.is_set()


def lost() -> ReportedFailure:
    return ReportedFailure("no majority", kind=MajorityLost.__name__, exit_code=3)


def joining(make_network: MakeNetwork) -> Path:
    directory = make_network(JOINS)
    (directory / "authorization.cose").write_bytes(b"signed")
    return directory


async def run(directory: Path, stop: asyncio.Event | None = None) -> None:
    await host.run_host(directory, on_running=lambda _: None, stop_requested=stop or asyncio.Event())


async def test_a_node_that_lost_its_majority_is_started_again(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = joining(make_network)
    lives = Lives(monkeypatch, *[lost() for _ in range(8)], None)
    await run(directory)
    assert lives.ends == []
    assert len(set(lives.ports)) == 1  # Clients find it where it was.
    assert lives.reported == [True] + [False] * 8
    assert lives.pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    log = NodePaths(directory).log.read_text()
    assert log.count("starts the node again: no majority") == 8
    assert log.rstrip().endswith("stopped in order")


async def test_a_node_that_is_stopped_meanwhile_stays_so(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = asyncio.Event()
    stop.set()
    lives = Lives(monkeypatch, lost(), None)
    await run(joining(make_network), stop)
    assert len(lives.ends) == 1


@pytest.mark.parametrize(
    "end",
    [
        NodeStopped("the manager died"),
        ReportedFailure("the ledger is damaged", kind="LedgerDamaged", exit_code=4),
        ReportedFailure("this node may not join", kind="JoinEnded", exit_code=6),
    ],
)
async def test_a_node_that_ends_otherwise_is_not_started_again(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch, end: CocoError
) -> None:
    lives = Lives(monkeypatch, end, None)
    with pytest.raises(type(end), match=end.message):
        await run(joining(make_network))
    assert len(lives.ends) == 1


async def test_a_node_without_its_members_word_is_not_started_again(
    make_network: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives(monkeypatch, lost(), None)
    with pytest.raises(ReportedFailure, match="no majority"):
        await run(make_network(HostConfig()))
    assert len(lives.ends) == 1


def test_the_reason_is_the_enclaves_own() -> None:
    assert MajorityLost.__name__ == host.MAJORITY_LOST
