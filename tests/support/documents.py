"""The pages of the documentation, and what tests read in them: prose, code, shell blocks, headings."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def prose_of(text: str) -> str:
    return FENCE.sub("", text)


def fences(text: str, language: str) -> list[str]:
    return [body for found, body in FENCE.findall(text) if found == language]


def blocks(text: str) -> list[list[str]]:
    """Return the lines of each shell block in order: indented by four, or fenced as sh or without a language."""
    found: list[list[str]] = []
    fenced: str | None = None
    previous = ""
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = None if fenced is not None else line[3:]
            if fenced is not None:
                found.append([])
        elif fenced in ("", "sh"):
            found[-1].append(line)
        elif fenced is None and line.startswith("    ") and line.strip():
            if not previous.startswith("    "):
                found.append([])
            found[-1].append(line[4:])
        previous = line
    return found


def section(text: str, heading: str) -> str:
    return re.split(r"^## ", text.split(f"## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def anchors(text: str) -> set[str]:
    """Return GitHub's anchors of the headings."""
    headings = re.findall(r"^#+ +(.*)$", prose_of(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
