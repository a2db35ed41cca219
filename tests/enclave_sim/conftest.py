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
from enclave_sim import local_node
from enclave_sim.host_config import HostConfig, NodePaths
from enclave_sim.platform.cpu import NO_SIGNER
from enclave_sim.platform.fuses import AUTHORITY_FILE
from enclave_sim.platform.launching import DEVELOPMENT_KEY_FILE
from enclave_sim.process import command, environment
from enclave_sim.status import Status, read_status
from tests.support.manifests import AUTHORITY, SigningKey, admitting, root_of_tests

TOKEN = "token of org1"


@pytest.fixture(scope="session")
def signing_key() -> SigningKey:
    """A development signing key, made once: it takes a while."""
    return SigningKey.make()


@pytest.fixture(scope="session")
def constitution(signing_key: SigningKey) -> Constitution:
    """One member and the Ethereum adapter, which is always installed."""
    start = datetime.now(UTC) - timedelta(hours=1)
    certificate = self_signed("org1", PrivateKey.generate(), not_before=start, days=10)
    identity = Identity("org1", "member", certificate, (hashlib.sha256(TOKEN.encode()).hexdigest(),))
    manifests = admitting("ethereum", roots=(root_of_tests(),), signers=(NO_SIGNER, signing_key.mrsigner))
    return Constitution(2, "demo", (identity,), {"ethereum": {"chain_id": 1337}}, "ethereum", **manifests)


@pytest.fixture(autouse=True)
def one_authority(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes in one process run on machines of the tests' authority, whose root their constitutions name."""
    monkeypatch.setattr(local_node, "load_or_create_authority", lambda fuses: AUTHORITY)


MakeNetwork = Callable[..., Path]


@pytest.fixture
def make_network(tmp_path: Path, constitution: Constitution, signing_key: SigningKey) -> MakeNetwork:
    """Return a maker of network directories, each with a machine that the constitution admits."""

    def make(
        config: HostConfig | None = None, name: str = "network", constitution: Constitution = constitution
    ) -> Path:
        directory = tmp_path / name
        machine = NodePaths(directory).fuses.parent
        machine.mkdir(parents=True)
        for file, data in ((AUTHORITY_FILE, AUTHORITY), (DEVELOPMENT_KEY_FILE, signing_key.pem)):
            (machine / file).write_bytes(data)
            (machine / file).chmod(0o600)
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
