"""The documentation: what it links to and names exists, the commands it shows parse, and its main examples run."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from cli.main import root as coco
from cli.solidity.compile import compile_solidity

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SOLJSON = ROOT / "examples" / "node_modules" / "solc" / "soljson.js"

LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FOLDERS = "core|adapters|enclave_sim|cli|tests|examples|benchmarks|docs"
REPOSITORY_PATH = re.compile(rf"(?:{FOLDERS})/[\w./*-]*")
TEST_NAME = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
STATUS = re.compile(r"(done|partly|open)\b")


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


# Commands.


def parse_command(line: str) -> click.Command:
    """Parse a command line against the real commands, up to calling them; raises click.UsageError."""
    command: click.Command = coco
    context = click.Context(coco, info_name="coco")
    arguments = shlex.split(line, comments=True)[1:]
    while True:
        values, rest, _ = command.make_parser(context).parse_args(args=list(arguments))
        if not isinstance(command, click.Group):
            break
        name, found, arguments = command.resolve_command(context, rest)
        if found is None:
            raise click.UsageError(f"no command {name}")
        context = click.Context(found, parent=context, info_name=name)
        command = found
    if rest and not context.ignore_unknown_options:
        raise click.UsageError(f"unexpected {rest}")
    for parameter in command.params:
        value = values.get(parameter.name or "", None)
        if parameter.required and parameter.value_is_missing(value):
            raise click.UsageError(f"missing {parameter.name}")
        if isinstance(value, str) and isinstance(parameter.type, click.Choice | click.IntRange):
            parameter.type.convert(value, parameter, context)
    return command


def command_lines(name: str) -> Iterator[str]:
    for block in blocks(text_of(name)):
        yield from (line for line in block if line.startswith("coco "))


SHOWN = [(name, line) for name in NAMES for line in command_lines(name)]


@pytest.mark.parametrize(("name", "line"), SHOWN, ids=[f"{name}: {line}" for name, line in SHOWN])
def test_commands_shown_parse(name: str, line: str) -> None:
    parse_command(line)


def test_there_are_commands_to_check() -> None:
    assert {"README.md", "docs/operating.md", "docs/writing-an-adapter.md"} <= {name for name, _ in SHOWN}
    assert len(SHOWN) > 40


@pytest.mark.parametrize(
    "line",
    [
        "coco network make demo",
        "coco network create",
        "coco network create demo --organization alice",
        "coco network create demo --policy secret",
        "coco network stop one two",
        "coco frobnicate",
    ],
)
def test_commands_that_are_wrong_are_noticed(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse_command(line)


@pytest.mark.parametrize("name", NAMES)
def test_commands_mentioned_exist(name: str) -> None:
    """`coco noun verb ... --option` in running text: the command and the options exist."""
    for code in CODE.findall(prose_of(text_of(name))):
        if not code.startswith("coco "):
            continue
        command: click.Command = coco
        for word in code.split()[1:]:
            if isinstance(command, click.Group) and not word.startswith("-"):
                if word.isupper():  # `coco NOUN VERB`
                    break
                assert word.rstrip(",") in command.commands, f"{name}: {code}"
                command = command.commands[word.rstrip(",")]
            elif word.startswith("--"):
                options = {option for parameter in command.params for option in parameter.opts}
                assert word.partition("=")[0] in options, f"{name}: {code}"


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
    from adapters.ethereum import access, binding, rpc_blocks, scope, settings, simulate
    from core import limits
    from enclave_sim.host import START_SECONDS_MAX
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
        f"| {rpc_blocks.LOG_RANGE_BLOCKS_MAX:,} blocks, {rpc_blocks.LOG_RESULTS_MAX:,} logs |",
        f"the log, {LOG_BYTES_MAX // mebibyte} MiB each",
        f"({START_SECONDS_MAX:.0f} s at most",
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


# What is run.

COCO_SCRIPT = """#!/bin/sh
if [ "$1 $2" = "network create" ]; then set -- "$@" --port 0; fi
cd {root} 2>/dev/null
exec {python} -m cli.main "$@"
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """A page's blocks that are run: of one section, or all. expected: in what they print. left_out: how lines begin."""

    expected: str
    heading: str = ""
    programs: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ("pip ",)


RUN = {
    "README.md": Shown("1000000\nNetwork demo is stopped.", "A network of your own"),
    "docs/operating.md": Shown("Network trade is stopped.", "Create, start, look, stop"),
    "docs/writing-an-adapter.md": Shown(
        '{"value":"paid"}', "Shipping it, and putting it on a network", programs=("curl",)
    ),
    "docs/governing.md": Shown(
        '"default_adapter":"ethereum"',
        programs=("curl", "openssl"),
        left_out=("coco adapter use kv",),  # on a network of another page
    ),
}


@pytest.fixture
def user(tmp_path: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A user's home and environment, in which `coco` is on the path and takes a free port for what it creates."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    script = programs / "coco"
    script.write_text(COCO_SCRIPT.format(root=shlex.quote(str(ROOT)), python=shlex.quote(sys.executable)))
    script.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COCO_")}
    environment = {**kept, "HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"}
    yield home, environment
    for directory in sorted((home / ".coco" / "networks").glob("*")):
        subprocess.run([script, "network", "stop", directory.name], env=environment, check=False, capture_output=True)


def lines_to_run(name: str) -> list[str]:
    text, shown = text_of(name), RUN[name]
    chosen = blocks(section(text, shown.heading) if shown.heading else text)
    return [line for block in chosen for line in block if not line.startswith(shown.left_out)]


@pytest.mark.parametrize("name", RUN)
def test_what_is_shown_runs(name: str, user: tuple[Path, dict[str, str]]) -> None:
    """The shell blocks, pasted into one shell from the repository's root, as the reader would."""
    home, environment = user
    if missing := [program for program in RUN[name].programs if shutil.which(program) is None]:
        pytest.skip(f"{', '.join(missing)} is not installed")
    lines = lines_to_run(name)
    assert sum("coco network start" in line for line in lines) == 1
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail"],
        input="\n".join(lines), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert RUN[name].expected in done.stdout, done.stdout
    assert (home / ".coco" / "networks").is_dir()
