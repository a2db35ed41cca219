"""`python -m tests.consensus`: rewrite the scenarios named, or all, with what their commands print now. For authors."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.consensus.transcript import rewrite

FOLDER = Path(__file__).parent / "scenarios"

if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.txt")):
        print(f"{path.name}: {'rewritten' if rewrite(path) else 'as it was'}")
