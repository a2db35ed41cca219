"""docs/tools/README.md's own blocks, and that no block of a page is left unrun."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.tools.documents import PAGES, page_files
from tests.tools.network import ToolNetwork
from tests.tools.node import run

HERE = Path(__file__).resolve().parent


def test_variables(network: ToolNetwork, tmp_path: Path) -> None:
    """The README's variables are what the other tests use."""
    (tmp_path / "variables.sh").write_text(page_files("README")["variables.sh"])
    done = run(
        ["bash", "-ec", '. ./variables.sh; printf "%s\\n" "$COCO_URL" "$COCO_CA" "$COCO_TOKEN" "$COCO_KEYSTORE"'],
        tmp_path,
        COCO_HOME=str(network.home),
    )
    keystore = network.client / "accounts/alice-key.json"
    assert done.stdout.splitlines() == [network.url, str(network.ca_file), network.token("alice"), str(keystore)]


@pytest.mark.parametrize("page", sorted(path.stem for path in PAGES.glob("*.md")))
def test_every_fenced_block_is_run(page: str) -> None:
    """Fenced blocks have names, and a test knows each name. Indented lines are commands for a person."""
    text = (PAGES / f"{page}.md").read_text()
    fences = len(re.findall(r"^```", text, re.MULTILINE)) // 2
    if fences == 0:
        return
    files = page_files(page)
    assert len(files) == fences
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    for name in files:
        assert f'write_files("{page}"' in tests or name in tests


def test_the_pages_are_listed() -> None:
    listed = set(re.findall(r"\]\((\w+)\.md\)", (PAGES / "README.md").read_text()))
    assert listed == {path.stem for path in PAGES.glob("*.md")} - {"README"}


def test_locks_name_no_registry() -> None:
    for lock in HERE.glob("*/package-lock.json"):
        assert '"resolved"' not in lock.read_text(), lock
        assert "http" not in lock.read_text().replace('"url": "http', ""), lock
