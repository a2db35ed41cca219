"""The documentation: what it links to and names exists, what it says of the code is so, and its snippets are sound."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from cli.solidity.compile import compile_solidity
from tests.support.documents import CODE, LINK, NAMES, ROOT, anchors, blocks, fences, prose_of, text_of

SOLJSON = ROOT / "examples" / "node_modules" / "solc" / "soljson.js"
FOLDERS = "core|adapters|enclave_sim|cli|tests|examples|benchmarks|docs|deploy"
REPOSITORY_PATH = re.compile(rf"(?:{FOLDERS})/[\w./*-]*")
TEST_NAME = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
STATUS = re.compile(r"(done|partly|open)\b")


# Links and reach.


def broken_links(page: Path, text: str) -> list[str]:
    broken = []
    for target in LINK.findall(prose_of(text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = page if not path else (page.parent / path).resolve()
        exists = found == page or (found.is_relative_to(ROOT) and found.exists())
        if not exists or (anchor and anchor not in anchors(text if found == page else found.read_text())):
            broken.append(target)
    return broken


@pytest.mark.parametrize("name", NAMES)
def test_links_resolve(name: str) -> None:
    assert broken_links(ROOT / name, text_of(name)) == []


def test_broken_links_are_noticed() -> None:
    text = "# A heading\n[a](missing.md) [b](#a-heading) [c](#no-heading) [d](docs/keys.md) [e](../outside)"
    assert broken_links(ROOT / "README.md", text) == ["missing.md", "#no-heading", "../outside"]


def test_every_page_is_reachable_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.is_file():
            continue
        reached.add(page)
        links = LINK.findall(prose_of(page.read_text()))
        waiting += [
            (page.parent / link.partition("#")[0]).resolve() for link in links if link.partition("#")[0].endswith(".md")
        ]
    assert [name for name in NAMES if ROOT / name not in reached] == []


# Paths and tests that are named.


def missing_paths(text: str) -> list[str]:
    named = {one.rstrip("/.") for code in CODE.findall(text) for one in REPOSITORY_PATH.findall(code)}
    whole = {one for one in named if re.search(rf"`{re.escape(one)}[/`:]", text)}
    return sorted(one for one in whole if not list(ROOT.glob(one)))


@pytest.mark.parametrize("name", NAMES)
def test_paths_named_exist(name: str) -> None:
    assert missing_paths(text_of(name)) == []


def test_missing_paths_are_noticed() -> None:
    assert missing_paths("`core/limits.py` `core/node/manager*.py` `docs/` `core/no_such.py`") == ["core/no_such.py"]


def missing_tests(text: str) -> list[str]:
    missing = []
    for file, name in TEST_NAME.findall(text):
        path = ROOT / file
        if not path.is_file() or (name and not re.search(rf"^(async )?def {name}\(", path.read_text(), re.MULTILINE)):
            missing.append(f"{file}::{name}")
    return missing


@pytest.mark.parametrize("name", NAMES)
def test_tests_named_exist(name: str) -> None:
    assert missing_tests(text_of(name)) == []


def test_missing_tests_are_noticed() -> None:
    text = "tests/test_docs.py::test_missing_tests_are_noticed tests/test_docs.py::test_none tests/test_no.py"
    assert missing_tests(text) == ["tests/test_docs.py::test_none", "tests/test_no.py::"]


def test_coverage_is_honest() -> None:
    """Each row has a status; what is done or partly done names a test or a page, what is open names an issue."""
    rows = [line.split(" | ") for line in text_of("docs/coverage.md").splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0] not in ("| promise",)]
    assert len(rows) == 38
    for row in rows:
        assert len(row) == 3, row
        found = STATUS.match(row[1])
        assert found, row[0]
        if found[1] == "open":
            assert re.match(r"open: (later|[A-G]\b)", row[1]), row[0]
        else:
            assert TEST_NAME.search(row[2]), row[0]
        if found[1] == "partly":
            assert re.search(r"\b[B-G]\b|later|visibility\.md|/node/status", row[1]), f"{row[0]}: what brings the rest?"


def test_every_dependency_has_a_reason() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    rows = {line.split("|")[1].split()[0] for line in text_of("docs/dependencies.md").splitlines() if "|" in line}
    wanted = {re.match(r"[\w.-]+(\[\w+\])?", one)[0] for one in project["dependencies"]}  # type: ignore[index]
    assert wanted - rows == set()
    optional = [one for group in project["optional-dependencies"].values() for one in group]
    names = {re.match(r"[\w.-]+", one)[0] for one in optional} - {"coco-ledger"}  # type: ignore[index]
    assert [name for name in sorted(names) if name not in text_of("docs/dependencies.md")] == []


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", text_of("Makefile"), re.MULTILINE))
    for name in NAMES:
        text = text_of(name)
        lines = [code for code in CODE.findall(text) if code.startswith("make ")]
        lines += [line for block in blocks(text) for line in block if line.startswith("make ")]
        for line in lines:
            assert line.split()[1] in targets, f"{name}: {line}"


# Code.


@pytest.mark.parametrize("name", NAMES)
def test_python_is_python(name: str) -> None:
    """Snippets compile; those that name a file in their first line stand in it, as they are."""
    for snippet in fences(text_of(name), "python"):
        first, _, rest = snippet.partition("\n")
        source = ROOT / first.removeprefix("# ")
        if first.startswith("# ") and source.is_file():
            assert rest in source.read_text(), f"{name}: not as in {first}"
        else:
            ast.parse(snippet)


def test_the_adapters_test_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test that docs/writing-an-adapter.md shows."""
    source = ROOT / "examples" / "kv_logger" / "coco_kv_logger.py"
    spec = importlib.util.spec_from_file_location("coco_kv_logger", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "coco_kv_logger", module)
    [shown] = [one for one in fences(text_of("docs/writing-an-adapter.md"), "python") if "AdapterHarness" in one]
    names: dict[str, object] = {}
    exec(compile(shown, "docs/writing-an-adapter.md", "exec"), names)
    tests = [one for name, one in names.items() if name.startswith("test_") and inspect.iscoroutinefunction(one)]
    assert tests
    for test in tests:
        asyncio.run(test())


def test_the_check_access_example_compiles(tmp_path: Path) -> None:
    if not SOLJSON.is_file() or importlib.util.find_spec("py_mini_racer") is None:
        pytest.skip("no soljson.js: run `npm ci` in examples/")
    [shown] = fences(text_of("docs/visibility.md"), "solidity")
    shutil.copy(ROOT / "examples" / "contracts" / "CocoAccess.sol", tmp_path)
    (tmp_path / "Deal.sol").write_text(shown)
    artifact = compile_solidity(
        tmp_path / "Deal.sol", evm_version="prague", soljson=SOLJSON, optimizer_runs=200, report=lambda line: None
    )
    assert artifact.contract_name == "Deal"
    assert "cocoMayReadLog" in {entry.get("name") for entry in artifact.abi}


def test_the_limits_told_are_the_limits() -> None:
    """Figures of docs/operating.md and docs/visibility.md against the constants."""
    from adapters.ethereum import access, binding, log_filter, scope, settings, simulate
    from core import limits
    from enclave_sim.host import START_SILENCE_SECONDS_MAX
    from enclave_sim.host_log import LOG_BYTES_MAX

    operating, visibility = text_of("docs/operating.md"), text_of("docs/visibility.md")
    mebibyte, kibibyte = limits.MEBIBYTE, limits.KIBIBYTE
    for said in (
        f"| request body | {limits.REQUEST_BYTES_MAX // mebibyte} MiB |",
        f"| request line and headers | {limits.REQUEST_HEADER_BYTES_MAX // kibibyte} KiB |",
        f"| JSON-RPC batch | {limits.REQUEST_BATCH_MAX} items |",
        f"| connections | {limits.CONNECTIONS_MAX:,} |",
        f"| {limits.IDLE_CONNECTION_SECONDS_MAX} s, {limits.TLS_HANDSHAKE_SECONDS_MAX} s, "
        f"{limits.REQUEST_SECONDS_MAX} s |",
        f"| {limits.QUEUED_COMMANDS_MAX:,}, {limits.QUEUED_COMMANDS_PER_CALLER_MAX:,} |",
        f"| {limits.COMMAND_BYTES_MAX // mebibyte} MiB; {limits.QUERY_REPLY_BYTES_MAX // mebibyte} MiB; "
        f"{limits.RESPONSE_BYTES_MAX // mebibyte} MiB |",
        f"| {limits.BLOCK_COMMANDS_MAX:,} commands, {limits.BLOCK_BYTES_MAX // mebibyte} MiB; "
        f"Ethereum gas {settings.BLOCK_GAS_LIMIT_DEFAULT:,} |",
        f"| {settings.TRANSACTION_GAS_LIMIT_DEFAULT:,} gas |",
        f"| {settings.TRANSACTION_SECONDS_DEFAULT:g} s; {simulate.SIMULATION_SECONDS_MAX:g} s |",
        f"| entry of the ledger | {limits.ENTRY_BYTES_MAX // mebibyte} MiB |",
        f"| identities | {limits.IDENTITIES_MAX:,} |",
        f"| {scope.STATE_BLOCKS_MAX} blocks |",
        f"| {log_filter.LOG_RANGE_BLOCKS_MAX:,} blocks, {log_filter.LOG_RESULTS_MAX:,} logs |",
        f"the log, {LOG_BYTES_MAX // mebibyte} MiB each",
        f"up after {START_SILENCE_SECONDS_MAX:.0f} s of silence",
    ):
        assert said in operating, said
    for said in (
        f"and {access.CHECK_GAS_MAX:,} gas",
        f"may use {access.CONTRACT_GAS_MAX:,} gas",
        f"{access.QUERY_GAS_MAX:,}; past that",
        f"at most {binding.ADDRESSES_PER_IDENTITY_MAX:,} addresses",
        f"the first {access.READERS_MAX} count",
    ):
        assert said in " ".join(visibility.split()), said
