"""`coco evm compile`: from text, a file, an artifact and standard input; what is no code is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.runner import Coco

ROOT = Path(__file__).resolve().parents[2]
TOKEN = ROOT / "examples" / "contracts" / "artifacts" / "Token.json"


def test_readable_source_is_printed(coco: Coco, tmp_path: Path) -> None:
    shown = coco("evm", "compile", "0x60015f5500")
    assert "def t_0(c, q, s, m):" in shown.out
    assert "g = store(c, g, 0, 1)" in shown.out
    assert "5 bytes of code, 1 traces" in shown.err
    file = tmp_path / "code.hex"
    file.write_text("6001\n5f5500\n")
    assert coco("evm", "compile", str(file)).out == shown.out
    assert coco("evm", "compile", "-", "--fork", "cancun", input="60015f5500\n").out == shown.out


def test_the_example_of_the_documentation(coco: Coco) -> None:
    """A loop: once its JUMPDEST is known, it stays in a function of its own."""
    code = re.search(r"coco evm compile (0x[0-9a-f]+)", (ROOT / "docs" / "cli.md").read_text())
    assert code is not None
    shown = coco("evm", "compile", code[1]).out
    exec(compile(shown, "shown", "exec"), {})
    assert "while True:" in shown


def test_an_artifacts_deployed_code_is_compiled(coco: Coco) -> None:
    document = coco("evm", "compile", str(TOKEN), "--json").json
    code = json.loads(TOKEN.read_text())["deployedBytecode"]
    assert document["codeBytes"] == len(code) // 2 - 1
    assert document["leftOut"] == []
    assert document["fork"] == "prague"
    assert all(source.startswith(f"def {name}(") for name, source in document["traces"].items())
    assert document["words"]["w_80"] == "0x" + "80".rjust(64, "0")


@pytest.mark.parametrize("code", ["0x6", "nothing", "0xzz", "0x", "-"])
def test_what_is_no_code_is_told(coco: Coco, code: str) -> None:
    assert "not bytecode" in coco("evm", "compile", code, code=2, input="").err


def test_code_that_no_contract_can_have_is_refused(coco: Coco) -> None:
    assert "No code is longer" in coco("evm", "compile", "00" * 49_153, code=2).err
    coco("evm", "compile", "00", "--fork", "london", code=2)
