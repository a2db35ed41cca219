"""CCF's published tools as judges of what we write."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.ccf_tools import PYTHON, CcfTools


@pytest.fixture(scope="session")
def ccf_python() -> Path:
    """The interpreter of the environment that holds the package `ccf`."""
    if not PYTHON.is_file():
        pytest.skip("CCF's tools are not there: run `make ccf` (`make test` does)")
    return PYTHON


@pytest.fixture(scope="session")
def ccf_tools(ccf_python: Path) -> CcfTools:
    return CcfTools(ccf_python)
