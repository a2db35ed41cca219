"""`coco network create --reads`: the constitution says so, and nothing where it is the default."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.cli.runner import run
