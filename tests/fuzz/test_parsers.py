"""The harness around the ledger's parsers; atheris itself is run by `make fuzz-parsers`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from tests.fuzz import parsers
from tests.support import ledger_parsers


def test_every_parser_has_seeds_and_takes_them() -> None:
    assert {data[0] for data in parsers.seeds()} == set(range(len(ledger_parsers.PARSERS)))
    assert len(ledger_parsers.PARSERS) < 256
    for data in (b"", *parsers.seeds()):
        parsers.take(data)


def test_an_error_that_was_not_declared_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def faulty(data: bytes) -> None:
        if data == b"\x01\x02":
            raise KeyError("planted")

    monkeypatch.setitem(ledger_parsers.PARSERS, "entry", (faulty, (b"",)))
    found = tmp_path / "crash"
    found.write_bytes(bytes([list(ledger_parsers.PARSERS).index("entry")]) + b"\x01\x02")
    monkeypatch.setattr(sys, "argv", ["parsers", "--replay", str(found)])
    with pytest.raises(KeyError, match="planted"):
        parsers.main()
    found.write_bytes(found.read_bytes() + b"\x03")
    assert parsers.main() == 0


def test_without_atheris_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["parsers"])
    assert parsers.main() == 2
    assert "atheris is not installed here" in capsys.readouterr().err
