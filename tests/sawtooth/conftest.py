"""A network that speaks Sawtooth, `coco proxy` in front of it, and the unmodified SDK in an environment of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.network import Proxy, ToolNetwork, start_network

ROOT = Path(__file__).resolve().parents[2]
NOTES_NAMESPACE = hashlib.sha512(b"notes").hexdigest()[:6]
"""Of the family that runs outside the enclave (clients/notes_processor.py)."""
PYTHON = ROOT / ".venv-sawtooth" / "bin" / "python"


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The interpreter of the environment that holds `sawtooth-sdk`."""
    if not PYTHON.is_file():
        pytest.skip("Sawtooth's SDK is not there: run `make sawtooth` (`make test` does)")
    return PYTHON


@pytest.fixture(scope="session")
def network(sdk_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolNetwork]:
    """Three nodes of three organisations."""
    made = start_network(
        tmp_path_factory.mktemp("sawtooth"),
        *("saw", "--nodes", "3", "--adapter", "sawtooth"),
        *("-o", "north", "-o", "south", "-o", "east"),
        *("--setting", f'sawtooth.namespaces={{"{NOTES_NAMESPACE}": {{"read": ["north", "south"]}}}}'),
        *("--setting", 'sawtooth.external_processors={"notes": {"identities": ["north"]}}'),
    )
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def proxy(network: ToolNetwork) -> Proxy:
    """`coco proxy` as north, with ZeroMQ."""
    return network.proxy("north", "--zmq-port", "0")
