"""The code in docs/tools/, so that tests run what readers copy.

A fenced block that a test runs stands under a comment, `<!-- file: NAME -->`, which gives the file its name.
"""

from __future__ import annotations

import re
from pathlib import Path

PAGES = Path(__file__).resolve().parents[2] / "docs/tools"
_BLOCK = re.compile(r"<!-- file: (?P<name>[^ ]+) -->\n+```[^\n]*\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


def page_files(page: str) -> dict[str, str]:
    """Return the named blocks of docs/tools/PAGE.md."""
    files = {found["name"]: found["text"] for found in _BLOCK.finditer((PAGES / f"{page}.md").read_text())}
    assert files, f"docs/tools/{page}.md has no named block"
    return files


def write_files(page: str, directory: Path, **renamed: str) -> None:
    """Write a page's blocks to a directory. `renamed` maps the name without its dots and dashes to another."""
    for name, text in page_files(page).items():
        target = directory / renamed.get(re.sub(r"[.-]", "_", name), name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
