"""Probes for the tests of the loader."""

from __future__ import annotations

from pathlib import Path

import pytest

from enclave_sim.platform.code_list import CodeList
from enclave_sim.platform.measurement import measure_node
from tests.support.enclave_probe import Probes


@pytest.fixture(scope="session")
def worker_code() -> CodeList:
    """The measured code of this installation's worker."""
    return measure_node()[1].code


@pytest.fixture
def probes(worker_code: CodeList, tmp_path: Path) -> Probes:
    return Probes(worker_code, tmp_path / "measured")
