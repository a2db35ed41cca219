"""The setting `isolation` of network.json; other mistakes of the file are in test_host.py."""

from __future__ import annotations

import json

import pytest

from core.errors import CocoError
from enclave_sim.host_config import HostConfig


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
