"""`coco network create --reads`: the constitution says so, and nothing where it is the default."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.governance.constitution import Constitution
from enclave_sim.host_config import read_config
from tests.cli.runner import Coco

pytestmark = pytest.mark.usefixtures("stand_in_adapters")


@pytest.mark.parametrize(
    ("options", "linearizable"), [((), True), (("--reads", "linearizable"), True), (("--reads", "session"), False)]
)
def test_what_reads_promise(coco: Coco, home: Path, options: tuple[str, ...], linearizable: bool) -> None:
    coco("network", "create", "demo", *options)
    _, genesis = read_config(home / "networks" / "demo")
    assert Constitution.decode(genesis).reads_are_linearizable is linearizable
    assert (b'"reads"' in genesis) is not linearizable


def test_another_promise_is_refused(coco: Coco, home: Path) -> None:
    ran = coco("network", "create", "demo", "--reads", "stale", code=2)
    assert "stale" in ran.err
    assert not (home / "networks" / "demo").exists()
