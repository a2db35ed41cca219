"""The commands that the documentation shows: they parse against the real command line, and the main examples run."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from cli.main import root as coco
from tests.support.documents import CODE, NAMES, ROOT, blocks, prose_of, section, text_of

# Commands.

SHELL_OPERATORS = ("|", "||", "&&", ">", "<")


def parse_command(line: str) -> click.Command:
    """Parse a command line against the real commands, up to calling them; raises click.UsageError."""
    command: click.Command = coco
    context = click.Context(coco, info_name="coco")
    words = shlex.split(line, comments=True)[1:]
    arguments = words[: next((at for at, word in enumerate(words) if word in SHELL_OPERATORS), len(words))]
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
    "docs/benchmarking.md": Shown("confirmed transactions/s", "A first run"),
    "docs/receipts.md": Shown("outcome           succeeded", "Prove and verify"),
    "docs/operating.md": Shown("Network trade is stopped.", "Create, start, look, stop"),
    "docs/writing-an-adapter.md": Shown(
        '{"value":"paid"}', "Shipping it, and putting it on a network", programs=("curl",)
    ),
    "docs/governing.md": Shown(
        '"default_adapter":"ethereum"',
        programs=("curl", "openssl"),
        left_out=("coco adapter use kv",),  # on a network of another page
    ),
    "docs/sawtooth.md": Shown("Network saw is stopped.", "A first network"),
    "docs/auditing.md": Shown("exit code 4", left_out=("{", "leaf ", "bucket ", "digest ")),
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
    if any(".venv-ccf" in line for line in lines) and not (ROOT / ".venv-ccf" / "bin" / "python").is_file():
        pytest.skip("CCF's tools are not there: run `make ccf` (`make test` does)")
    assert sum("coco network start" in line for line in lines) == 1
    done = subprocess.run(
        ["bash", "-eu", "-o", "pipefail"],
        input="\n".join(lines), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert RUN[name].expected in done.stdout, done.stdout
    assert (home / ".coco" / "networks").is_dir()
