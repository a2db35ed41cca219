"""The scenario files: each prints what it says. `python -m tests.consensus` rewrites them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.consensus.transcript import parse, run_file

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_scenario(path: Path) -> None:
    for block, printed in run_file(path):
        assert printed == block.expected, f"{path.name}, line {block.line}: {block.command}"


def test_there_are_scenarios_and_each_says_what_it_shows_and_whence() -> None:
    assert len(FILES) >= 40
    for path in FILES:
        head = path.read_text().split("\n\n", 1)[0]
        assert all(line.startswith("# ") for line in head.splitlines()), path.name
        assert "Source: " in head, path.name


def test_a_wrong_line_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "wrong.txt"
    path.write_text("nodes 1\n----\nok\n\nstatus\n----\n1 leader term 9\n")
    [_, (block, printed)] = run_file(path)
    assert printed != block.expected
    with pytest.raises(ValueError, match="line 1"):
        parse("nodes 1\nok\n")
