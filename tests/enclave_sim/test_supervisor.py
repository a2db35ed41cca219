"""How the supervisor tells the cause of a node's end from what it entailed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from enclave_sim.boundary.messages import Failed, ReportedFailure, Role
from enclave_sim.enclaves import Enclave, rank
from enclave_sim.host_config import HostConfig
from enclave_sim.platform.messages import CodeRefused, Exited
from enclave_sim.process import BROKEN_EXIT_CODE, HOST_GONE_EXIT_CODE
from enclave_sim.supervisor import Supervisor


class FakeServer:
    def __init__(self, failed: Failed | None) -> None:
        self.failed = failed


def ended(status: int | None, failed: Failed | None = None, *, killed: bool = False) -> Enclave:
    server, serving = cast(Any, FakeServer(failed)), cast(Any, None)
    return Enclave(0, "x", "executor", server, serving, cast(Any, None), 1, status, killed)


SIGNAL = ended(-9)
OWN_ERROR = ended(5, Failed("StorageFailed", "full", "", 5))
BROKEN = ended(BROKEN_EXIT_CODE, Failed("InvariantBroken", "defect", "", BROKEN_EXIT_CODE))
SILENT = ended(1)
LOST_PEER = ended(3, Failed("NodeStopped", "gone", "", 3))
LOST_CHANNEL = ended(1, Failed("ChannelClosed", "gone", "", 1))
IN_ORDER = ended(0)
BY_HOST = ended(HOST_GONE_EXIT_CODE)
KILLED_BY_US = ended(-9, killed=True)
ALIVE = ended(None)


@pytest.mark.parametrize(
    ("cause", "entailed"),
    [
        (SIGNAL, [LOST_PEER, LOST_CHANNEL, IN_ORDER, BY_HOST, ALIVE]),
        (OWN_ERROR, [LOST_PEER, LOST_CHANNEL, IN_ORDER, BY_HOST, KILLED_BY_US, ALIVE]),
        (BROKEN, [LOST_PEER, IN_ORDER, KILLED_BY_US]),
        (SILENT, [LOST_PEER, LOST_CHANNEL, BY_HOST]),
        (LOST_PEER, [IN_ORDER, BY_HOST, ALIVE]),
    ],
)
def test_the_cause_comes_first(cause: Enclave, entailed: list[Enclave]) -> None:
    assert min([*entailed, cause], key=rank) is cause
    assert min([cause, *entailed], key=rank) is cause


class FakeLog:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, source: str, text: str) -> None:
        self.lines.append(f"{source}: {text}")


@pytest.mark.parametrize(
    ("role", "serves", "told"), [("executor", True, True), ("reader", False, True), ("reader", True, False)]
)
async def test_refused_code_is_the_cause(role: Role, serves: bool, told: bool) -> None:
    """Save where a reader is started again while the node runs: that is in the log, and not what ends the node."""
    log = FakeLog()
    supervisor = Supervisor(HostConfig(), b"", Path("fuses"), cast(Any, None), cast(Any, log))
    enclave = ended(None)
    enclave.role, enclave.name, enclave.ended = role, "x", asyncio.Event()
    enclave.serving = asyncio.create_task(asyncio.sleep(0))
    supervisor._enclaves, supervisor._serves = [enclave], serves
    supervisor._take(CodeRefused(0, "one.py was changed after it was measured"))
    supervisor._take(Exited(0, 72))
    assert log.lines == ["platform: refused the x code: one.py was changed after it was measured"]
    if told:
        failure = await supervisor._failure()
        assert isinstance(failure, ReportedFailure)
        assert "one.py was changed" in failure.message
    else:
        assert supervisor._platform_failed is None
