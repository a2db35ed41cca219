"""A short run of what `make torture` does for half an hour: two minutes, without what only root may do.

TORTURE_MINUTES=30 makes it longer; SEED=n repeats a run's choices.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from tests.torture.report import table
from tests.torture.run import Settings, torture

MINUTES = float(os.environ.get("TORTURE_MINUTES", "2"))
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 2**31)


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """How soon service comes back is in the report, and not judged here: that is the machine's, too."""
    settings = Settings(home=tmp_path / "home", seconds=60 * MINUTES, seed=SEED, clients=3, privileged=False)
    report = torture(settings, lambda text: print(text))
    sys.stdout.write(table(report))
    assert report.is_sound, (report.violations, report.surprises)
    assert report.acknowledged > 0
    assert report.faults
