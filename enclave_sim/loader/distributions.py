"""What is installed, as importlib.metadata asks for it: measured names, versions and entry points, and nothing else.

Installers' own records are not measured: they differ from machine to machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, DistributionFinder
from pathlib import Path
from typing import Any


class MeasuredDistribution(Distribution):
    """One distribution. entry_points: as an entry_points.txt has them."""

    def __init__(self, name: str, version: str, entry_points: str) -> None:
        self._texts = {
            "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            "entry_points.txt": entry_points,
        }

    def read_text(self, filename: Any) -> str | None:
        return self._texts.get(str(filename))

    def locate_file(self, path: Any) -> Path:
        return Path("/enclave", path)


def find_distributions(
    installed: Iterable[tuple[str, str, str]], context: DistributionFinder.Context | None
) -> Iterator[Distribution]:
    """Yield those of the name that is asked for, or all."""
    wanted = None if context is None or context.name is None else _normal(context.name)
    for name, version, entry_points in installed:
        if wanted is None or _normal(name) == wanted:
            yield MeasuredDistribution(name, version, entry_points)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
