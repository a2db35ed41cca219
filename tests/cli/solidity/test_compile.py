"""Sources compile for real where mini-racer and soljson.js are present; finding a compiler is tested everywhere."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from cli.solidity import compile as compile_module
from cli.solidity import soljson as soljson_module
from cli.solidity.artifact import ArtifactRefused, ContractNotChosen
from cli.solidity.compile import CompilationFailed, CompilerMissing, compile_solidity
from cli.solidity.soljson import (
    SOLC_VERSION,
    SoljsonRefused,
    SoljsonUnavailable,
    cache_directory,
    pinned_soljson,
    read_soljson,
    run_soljson,
    verify_soljson,
)
from cli.solidity.sources import SourceRefused
from core.errors import LimitExceeded

REPOSITORY = Path(__file__).resolve().parents[3]
EXAMPLES = REPOSITORY / "examples"
NPM_SOLJSON = EXAMPLES / "node_modules" / "solc" / "soljson.js"

COUNTER = """// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;
interface ICounter { function count() external view returns (uint256); }
contract Counter is ICounter { uint256 public count; function increment() external { count += 1; } }
"""


@pytest.fixture
def no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without solc, npm or a cached soljson.js; returns the empty directory that is its PATH."""
    empty = tmp_path / "bin"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setenv("COCO_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SOLC", raising=False)
    return empty


@pytest.fixture
def soljson() -> Path:
    """The pinned soljson.js, from npm or the cache; nothing is fetched in a test."""
    if importlib.util.find_spec("py_mini_racer") is None:
        pytest.skip("mini-racer is not installed: pip install 'coco-ledger[solc]'")
    for path in (NPM_SOLJSON, cache_directory() / f"soljson-{SOLC_VERSION}.js"):
        if path.is_file():
            return path
    pytest.skip("no soljson.js: run `npm ci` in examples/")


def source(directory: Path, text: str, name: str = "Counter.sol") -> Path:
    path = directory / "project" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!{sys.executable}\n{script}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# Compiling.


@pytest.mark.parametrize("evm_version", ["cancun", "prague"])
def test_source_is_compiled_for_the_fork(tmp_path: Path, soljson: Path, evm_version: str) -> None:
    found = compile_solidity(source(tmp_path, COUNTER), evm_version=evm_version, soljson=soljson)
    assert found.contract_name == "Counter"
    assert found.source_name == "Counter.sol"
    assert found.evm_version == evm_version
    assert (found.compiler or "").startswith(SOLC_VERSION)
    assert found.deployed_bytecode in found.bytecode
    assert {item["name"] for item in found.abi} == {"count", "increment"}


def test_bytecode_does_not_depend_on_where_the_source_lies(tmp_path: Path, soljson: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    one = compile_solidity(source(tmp_path, COUNTER), evm_version="cancun", soljson=soljson)
    two = compile_solidity(source(other, COUNTER), evm_version="cancun", soljson=soljson)
    assert one == two


def test_unknown_fork_is_refused(tmp_path: Path, soljson: Path) -> None:
    with pytest.raises(CompilationFailed, match=r"(?i)invalid evm version"):
        compile_solidity(source(tmp_path, COUNTER), evm_version="nonesuch", soljson=soljson)


def test_syntax_error_shows_what_solc_says(tmp_path: Path, soljson: Path) -> None:
    broken = COUNTER.replace("count += 1;", "count += ;")
    with pytest.raises(CompilationFailed, match=r"ParserError: Expected primary expression") as refused:
        compile_solidity(source(tmp_path, broken), evm_version="cancun", soljson=soljson)
    assert "--> Counter.sol:4:" in refused.value.messages[0]


def test_warnings_are_reported_and_do_not_fail(tmp_path: Path, soljson: Path) -> None:
    lines: list[str] = []
    text = COUNTER.replace("// SPDX-License-Identifier: Apache-2.0\n", "")
    compile_solidity(source(tmp_path, text), evm_version="cancun", soljson=soljson, report=lines.append)
    assert len(lines) == 1
    assert "SPDX" in lines[0]


def test_imported_contracts_are_not_candidates(tmp_path: Path, soljson: Path) -> None:
    source(tmp_path, COUNTER)
    text = 'pragma solidity ^0.8.24; import {Counter} from "./Counter.sol"; contract Mine is Counter {}'
    path = source(tmp_path, text, name="Other.sol")
    assert compile_solidity(path, evm_version="cancun", soljson=soljson).contract_name == "Mine"


def test_several_contracts_ask_for_a_choice(tmp_path: Path, soljson: Path) -> None:
    path = source(tmp_path, "pragma solidity ^0.8.24; contract A {} contract B {}", name="Two.sol")
    with pytest.raises(ContractNotChosen) as refused:
        compile_solidity(path, evm_version="cancun", soljson=soljson)
    assert refused.value.choices == ("A", "B")
    assert compile_solidity(path, evm_version="cancun", contract="B", soljson=soljson).contract_name == "B"


def test_interface_is_refused(tmp_path: Path, soljson: Path) -> None:
    path = source(tmp_path, COUNTER)
    with pytest.raises(ArtifactRefused, match="interface or an abstract contract"):
        compile_solidity(path, evm_version="cancun", contract="ICounter", soljson=soljson)


def test_unlinked_library_is_named(tmp_path: Path, soljson: Path) -> None:
    library = "pragma solidity ^0.8.24; library Maths { function f() public {} }"
    text = library + " contract User { function g() external { Maths.f(); } }"
    with pytest.raises(ArtifactRefused, match=r"must be linked with User\.sol:Maths"):
        compile_solidity(source(tmp_path, text, name="User.sol"), evm_version="cancun", soljson=soljson)


@pytest.mark.parametrize("path", ["contracts/Token.sol", "supply_chain/SupplyChain.sol"])
def test_committed_artifact_matches_a_fresh_compile(soljson: Path, path: str) -> None:
    if not (EXAMPLES / "node_modules" / "@openzeppelin").is_dir():
        pytest.skip("no OpenZeppelin sources: run `npm ci` in examples/")
    content = read_soljson(soljson)
    verify_soljson(content, soljson)
    fresh = compile_solidity(EXAMPLES / path, evm_version="cancun", soljson=soljson, root=EXAMPLES)
    committed = (EXAMPLES / path).parent / "artifacts" / f"{Path(path).stem}.json"
    assert compile_solidity(committed, evm_version="cancun") == fresh


# What is refused before any compiler runs.


def test_import_that_escapes_is_refused(tmp_path: Path, no_compiler: Path) -> None:
    path = source(tmp_path, 'import "../../../../etc/passwd"; contract A {}')
    with pytest.raises(SourceRefused, match="leaves the project"):
        compile_solidity(path, evm_version="cancun")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match=r"neither a \.sol source nor an artifact"):
        compile_solidity(tmp_path / "contract.vy", evm_version="cancun")


# Finding a compiler.


def test_artifact_needs_no_compiler(no_compiler: Path) -> None:
    committed = EXAMPLES / "supply_chain" / "artifacts" / "SupplyChain.json"
    found = compile_solidity(committed, evm_version="cancun")
    assert (found.contract_name, found.evm_version) == ("SupplyChain", "cancun")


@pytest.mark.parametrize("extra", [True, False])
def test_missing_compiler_names_the_three_ways(
    tmp_path: Path, no_compiler: Path, monkeypatch: pytest.MonkeyPatch, extra: bool
) -> None:
    monkeypatch.setattr(compile_module, "mini_racer_installed", lambda: extra)
    with pytest.raises(CompilerMissing) as refused:
        compile_solidity(source(tmp_path, COUNTER), evm_version="cancun")
    for way in ("give the artifact", "$SOLC", "coco-ledger[solc]", "--soljson PATH"):
        assert way in refused.value.hint


@pytest.mark.parametrize("by_variable", [True, False])
def test_native_solc_is_used_from_path_and_variable(
    tmp_path: Path, no_compiler: Path, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    answer = {"contracts": {"Counter.sol": {"Counter": {"abi": [], "evm": {"bytecode": {"object": "6001"}}}}}}
    script = f"""import json, os, sys
assert sys.argv[1:] == ["--standard-json"] and os.listdir() == []
assert json.load(sys.stdin)["settings"]["evmVersion"] == "prague"
print({json.dumps(answer)!r})"""
    if by_variable:
        monkeypatch.setenv("SOLC", str(executable(tmp_path / "my-solc", script)))
    else:
        executable(no_compiler / "solc", script)
    assert compile_solidity(source(tmp_path, COUNTER), evm_version="prague").bytecode == b"\x60\x01"


def test_wrong_solc_variable_is_refused(tmp_path: Path, no_compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOLC", str(tmp_path / "nothing"))
    with pytest.raises(CompilerMissing, match=r"\$SOLC names"):
        compile_solidity(source(tmp_path, COUNTER), evm_version="cancun")


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        ("import sys; sys.exit('no such option')", "ended with 1: no such option"),
        ("print('{')", "not JSON"),
        ("print('[]')", "not a JSON object"),
    ],
)
def test_failing_native_solc_is_refused(tmp_path: Path, no_compiler: Path, script: str, complaint: str) -> None:
    executable(no_compiler / "solc", script)
    with pytest.raises(CompilationFailed, match=complaint):
        compile_solidity(source(tmp_path, COUNTER), evm_version="cancun")


# soljson.js: fetched once, verified always.


def fake_npm(directory: Path, content: bytes, member: str = "package/soljson.js") -> None:
    archive = directory / "archive"
    with tarfile.open(archive, "w:gz") as tar:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    script = f"""import shutil, sys
assert sys.argv[1:3] == ["pack", "solc@{SOLC_VERSION}"], sys.argv
shutil.copy({str(archive)!r}, "solc.tgz")"""
    executable(directory / "npm", script)


def pin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(soljson_module, "SOLJSON_SHA256", digest)


def test_pinned_soljson_is_fetched_once_and_kept(no_compiler: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_npm(no_compiler, b"the compiler")
    pin(monkeypatch, b"the compiler")
    lines: list[str] = []
    assert pinned_soljson(lines.append) == b"the compiler"
    (no_compiler / "npm").unlink()
    assert pinned_soljson(lines.append) == b"the compiler"
    assert len(lines) == 1
    assert len(list(cache_directory().iterdir())) == 1


def test_fetched_soljson_with_a_wrong_checksum_is_refused_and_not_kept(no_compiler: Path) -> None:
    fake_npm(no_compiler, b"something else")
    with pytest.raises(SoljsonRefused, match="SHA-256"):
        pinned_soljson(print)
    assert not cache_directory().exists()


def test_cached_soljson_with_a_wrong_checksum_is_refused(no_compiler: Path) -> None:
    cache_directory().mkdir()
    (cache_directory() / f"soljson-{SOLC_VERSION}.js").write_bytes(b"changed")
    with pytest.raises(SoljsonRefused, match="Remove the file"):
        pinned_soljson(print)


def test_archive_without_soljson_is_refused(no_compiler: Path) -> None:
    fake_npm(no_compiler, b"x", member="package/other.js")
    with pytest.raises(SoljsonRefused, match=r"no package/soljson\.js"):
        pinned_soljson(print)


def test_failing_npm_is_told(no_compiler: Path) -> None:
    executable(no_compiler / "npm", "import sys; sys.exit('E404')")
    with pytest.raises(SoljsonUnavailable, match="failed: E404"):
        pinned_soljson(print)


def test_oversized_soljson_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "soljson.js"
    path.write_bytes(b"1234")
    monkeypatch.setattr(soljson_module, "SOLJSON_BYTES_MAX", 4)
    assert read_soljson(path) == b"1234"
    monkeypatch.setattr(soljson_module, "SOLJSON_BYTES_MAX", 3)
    with pytest.raises(LimitExceeded, match="larger than the 3 bytes"):
        read_soljson(path)


@pytest.mark.parametrize("script", [b"(", b"var Module = {};", b"throw 'no'", b"\xff"])
def test_script_that_is_no_compiler_is_refused(tmp_path: Path, script: bytes) -> None:
    pytest.importorskip("py_mini_racer", reason="pip install 'coco-ledger[solc]'")
    with pytest.raises(SoljsonRefused, match="does not run as solc"):
        run_soljson(script, tmp_path / "soljson.js", "{}")


def test_versions_are_pinned_once() -> None:
    package = json.loads((EXAMPLES / "package.json").read_text())
    lock_text = (EXAMPLES / "package-lock.json").read_text()
    lock = json.loads(lock_text)["packages"]
    assert package["devDependencies"]["solc"] == SOLC_VERSION
    for name, version in package["devDependencies"].items():
        assert lock[f"node_modules/{name}"]["version"] == version
    assert '"resolved"' not in lock_text


def test_compile_script_agrees_with_what_is_committed(soljson: Path) -> None:
    if soljson != NPM_SOLJSON:
        pytest.skip("examples/compile.py needs `npm ci` in examples/")
    command = [sys.executable, "examples/compile.py", "--check"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
