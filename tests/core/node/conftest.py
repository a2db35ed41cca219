"""Fixtures of the node's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway_bench import Bench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A gateway that serves the probe adapters."""
    found = Bench(tmp_path)
    await found.serve()
    yield found
    await found.close()
