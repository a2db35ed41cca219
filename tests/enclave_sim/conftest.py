"""Networks and nodes for the tests of the simulated TEE."""

from __future__ import annotations

import hashlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from core.crypto.certificates import self_signed
from core.crypto.keys import PrivateKey
from core.governance.constitution import Constitution, Identity
from enclave_sim.host_config import HostConfig
from enclave_sim.process import command, environment
from enclave_sim.status import Status, read_status

TOKEN = "token of org1"


@pytest.fixture(scope="session")
def constitution() -> Constitution:
    """One member and the Ethereum adapter, which is always installed."""
    start = datetime.now(UTC) - timedelta(hours=1)
    certificate = self_signed("org1", PrivateKey.generate(), not_before=start, days=10)
    identity = Identity("org1", "member", certificate, (hashlib.sha256(TOKEN.encode()).hexdigest(),))
    return Constitution(1, "demo", (identity,), {"ethereum": {"chain_id": 1337}}, "ethereum")


MakeNetwork = Callable[..., Path]


@pytest.fixture
def make_network(tmp_path: Path, constitution: Constitution) -> MakeNetwork:
    """Return a maker of network directories; arguments: HostConfig's."""

    def make(config: HostConfig | None = None, name: str = "network") -> Path:
        directory = tmp_path / name
        directory.mkdir()
        (directory / "network.json").write_bytes((config or HostConfig()).encode())
        (directory / "genesis.json").write_bytes(constitution.encode())
        return directory

    return make


class HostProcess:
    """A host in the foreground, as its own process."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            command("enclave_sim.host", [str(directory)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            text=True,
        )

    def wait_running(self) -> Status:
        """Return the status once the host says that it runs."""
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        status = read_status(self.directory)
        assert line.startswith("running: https://"), line + self.process.stderr.read()
        assert status is not None
        return status

    def wait_ended(self) -> tuple[int, str, str]:
        """Return exit code, standard output and standard error."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err

    def close(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.communicate()


@pytest.fixture
def run_process() -> Iterator[Callable[[Path], HostProcess]]:
    """Return a starter of hosts; none survives the test."""
    started: list[HostProcess] = []

    def run(directory: Path) -> HostProcess:
        started.append(HostProcess(directory))
        return started[-1]

    yield run
    for host in started:
        host.close()
