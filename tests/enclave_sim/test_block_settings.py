"""The settings of blocks in network.json, up to the executor."""

from __future__ import annotations

import pytest

from core.errors import CocoError
from enclave_sim.host_config import HostConfig
from enclave_sim.platform.messages import Measured
from enclave_sim.start_messages import ALONE, start_messages


@pytest.mark.parametrize(
    ("name", "value"),
    [("block_commands_enough", 0), ("block_commands_enough", 1_001), ("block_wait_ms", -1), ("block_wait_ms", 1_001)],
)
def test_settings_out_of_bounds_are_refused(name: str, value: int) -> None:
    with pytest.raises(CocoError, match=f"{name} is {value}"):
        HostConfig(**{name: value}).check()  # type: ignore[arg-type]


def test_the_executor_is_given_what_is_set() -> None:
    config = HostConfig(block_commands_enough=7, block_wait_ms=0)
    config.check()
    _, executor, *_ = start_messages(config, b"", Measured(bytes(32), bytes(32), "sgx", "sgx", ""), ALONE)
    assert (executor.config.block_commands_enough, executor.config.block_wait_ms) == (7, 0)  # type: ignore[union-attr]
