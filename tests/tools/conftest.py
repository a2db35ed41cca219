"""The wider test target: tools that nobody changed, against networks of real processes.

`make test` leaves this folder out, since it needs Node and npm packages; `make test-tools` (or naming the folder)
runs it. Nothing is skipped here: a missing program is a failure that says what to install.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.network import Proxy, ToolNetwork, start_network
from tests.tools.node import run, workshop

HERE = Path(__file__).resolve().parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this folder out, unless an argument of the command line names it or something in it."""
    if collection_path != HERE and HERE not in collection_path.parents:
        return None
    start = config.invocation_params.dir
    named = [(start / argument.split("::")[0]).resolve() for argument in config.invocation_params.args if argument]
    return None if any(path == HERE or HERE in path.parents for path in named) else True


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolNetwork]:
    """The network of docs/tools/README.md: free gas, two organisations, an account of each."""
    made = start_network(
        tmp_path_factory.mktemp("tools"), "demo", "-o", "alice", "-o", "bob", "--fund", "alice-key=100"
    )
    try:
        made.unlock("alice-key")
        made.coco("account", "bind", "alice-key", "--identity", "alice")
        made.new_account("bob-key", "bob")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def proxy(network: ToolNetwork) -> Proxy:
    """`coco proxy` as alice."""
    return network.proxy("alice")


@pytest.fixture(scope="session")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of contracts/Parcels.sol."""
    directory = workshop(tmp_path_factory.mktemp("compiler"), "js")
    shutil.copy(HERE / "js/compile.mjs", directory)
    done = run(["node", "compile.mjs", str(HERE / "contracts/Parcels.sol"), "Parcels"], directory)
    assert done.returncode == 0, done.stderr
    (directory / "Parcels.json").write_text(done.stdout)
    return directory / "Parcels.json"


@pytest.fixture
def variables(network: ToolNetwork, proxy: Proxy) -> dict[str, str]:
    """What docs/tools/README.md exports, for alice."""
    return {
        "COCO_URL": network.url,
        "COCO_CA": str(network.ca_file),
        "COCO_TOKEN": network.token("alice"),
        "COCO_KEYSTORE": str(network.client / "accounts/alice-key.json"),
        "COCO_PROXY": proxy.http,
        "COCO_WEBSOCKET": proxy.websocket,
        "PRIVATE_KEY": "0x" + bytes(network.accounts["alice-key"].key).hex(),
    }
