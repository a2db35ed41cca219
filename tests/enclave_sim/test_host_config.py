"""The settings of network.json on isolation and on other nodes; other mistakes of the file are in test_host.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core import limits
from core.errors import CocoError
from enclave_sim.host_config import HostConfig, read_authorization


def test_isolation_is_as_good_as_it_gets_unless_it_is_required() -> None:
    assert HostConfig.decode(HostConfig().encode()).isolation == "best"
    without = json.loads(HostConfig().encode())
    del without["isolation"]
    assert HostConfig.decode(json.dumps(without).encode()).isolation == "best"
    assert HostConfig.decode(HostConfig(isolation="required").encode()).isolation == "required"


@pytest.mark.parametrize("value", ["none", "", 1, None])
def test_isolation_of_another_kind_is_a_mistake(value: object) -> None:
    written = {**json.loads(HostConfig().encode()), "isolation": value}
    with pytest.raises(CocoError, match="isolation"):
        HostConfig.decode(json.dumps(written).encode())


def test_what_a_node_of_several_is_told(tmp_path: Path) -> None:
    alone = HostConfig.decode(HostConfig().encode())
    assert not alone.has_peers
    assert read_authorization(tmp_path, alone) == b""
    config = HostConfig(peer_port=0, slot="org2", contacts=("node1.example.com:7000", "[::1]:7000"), tick_ms=50)
    assert HostConfig.decode(config.encode()) == config
    assert config.has_peers
    (tmp_path / "ticket").write_bytes(b"signed")
    assert read_authorization(tmp_path, HostConfig(authorization="ticket")) == b"signed"


@pytest.mark.parametrize(
    ("settings", "reached"),
    [
        ({}, "127.0.0.1:7000"),
        ({"address": "::1"}, "[::1]:7000"),
        ({"address": "0.0.0.0", "names": ("node1",)}, "node1:7000"),
        ({"peer_address": "node1.example.com"}, "node1.example.com:7000"),
        ({"peer_address": "node1.example.com:9000"}, "node1.example.com:9000"),
    ],
)
def test_where_others_reach_a_node(settings: dict[str, Any], reached: str) -> None:
    assert HostConfig(**settings).reached_at(7000) == reached


@pytest.mark.parametrize(
    "settings",
    [
        {"peer_port": 65_536},
        {"peer_port": -1},
        {"tick_ms": 0},
        {"contacts": ("node1",)},
        {"contacts": ("node1:0",)},
        {"contacts": ("::1:7000",)},
        {"contacts": ("node1:7000",) * 129},
    ],
)
def test_settings_of_several_nodes_that_mean_nothing(settings: dict[str, Any]) -> None:
    with pytest.raises(CocoError):
        HostConfig.decode(HostConfig(**settings).encode())


def test_an_authorization_that_is_not_there(tmp_path: Path) -> None:
    config = HostConfig(authorization="ticket")
    with pytest.raises(CocoError, match="cannot be read"):
        read_authorization(tmp_path, config)
    (tmp_path / "ticket").write_bytes(bytes(limits.GOVERNANCE_MESSAGE_BYTES_MAX + 1))
    with pytest.raises(CocoError, match="too large"):
        read_authorization(tmp_path, config)
