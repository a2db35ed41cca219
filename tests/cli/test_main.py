"""The entry point: exit codes, no stack traces, help for every command, and docs/cli.md that names them all."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import root, run
from cli.store import Store
from tests.cli.runner import Coco

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(root))


def test_the_command_line_is_as_planned() -> None:
    assert {" ".join(path) for path in COMMANDS} == {
        *(f"network {verb}" for verb in ("create", "start", "stop", "status", "destroy", "list", "use")),
        *(f"account {verb}" for verb in ("new", "list", "bind", "import", "show")),
        *(f"adapter {verb}" for verb in ("list", "use", "info")),
        *("transaction show", "evm compile"),
        *(f"governance {verb}" for verb in ("proposals", "show", "vote", "withdraw", "slots")),
        *(f"node {verb}" for verb in ("approve", "remove", "ticket", "delegate", "start", "stop", "join")),
        *(f"node restart {verb}" for verb in ("show", "approve", "submit", "accept-loss")),
        *("node status", "node snapshot", "deploy", "call", "send", "bench", "proxy", "attest show", "attest verify"),
        *(f"ledger {verb}" for verb in ("show", "verify", "state", "rebuild")),
        *(f"receipt {verb}" for verb in ("get", "verify", "certificate")),
        *(f"enclave {verb}" for verb in ("measure", "sign", "inspect")),
        *(f"sawtooth {verb}" for verb in ("keygen", "submit", "state", "block", "settings")),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help(path: tuple[str, ...], coco: Coco) -> None:
    ran = coco(*path, "--help")
    assert ran.out.startswith(f"Usage: coco {' '.join(path)}") or f"{' '.join(path)} [OPTIONS]" in ran.out
    command = COMMANDS[path]
    assert command.help
    assert len(command.help.split("\n")[0]) > 20
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            assert parameter.help or parameter.show_default, (path, parameter.name)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_is_documented_with_its_options(path: tuple[str, ...]) -> None:
    sections = re.split(r"^### ", DOCUMENT.read_text(), flags=re.MULTILINE)
    [section] = [part for part in sections if part.startswith(f"`coco {' '.join(path)}`")]
    common = sections[0]
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert any(f"`{name}" in section + common for name in parameter.opts), (path, parameter.opts)


def test_nothing_is_documented_that_is_not_there() -> None:
    text = DOCUMENT.read_text()
    known = {" ".join(path) for path in COMMANDS}
    documented = set(re.findall(r"^### `coco ([a-z -]+)`", text, flags=re.MULTILINE))
    assert documented == known
    for line in re.findall(r"^\s*(?:\$ )?coco ([^\n]*)$", text, flags=re.MULTILINE):
        words = line.split()
        assert any(" ".join(words[:count]) in known for count in (1, 2, 3)) or words[0].startswith("--"), line


def test_every_exit_code_is_documented() -> None:
    text = DOCUMENT.read_text()
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 70, 130):
        assert re.search(rf"^\| {code} \|", text, flags=re.MULTILINE), code


def test_a_users_mistake_has_a_message_and_a_code(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["network", "start", "demo"]) == 2
    error = capsys.readouterr().err
    assert error == f"error: there is no network demo under {home}\n  Make it: coco network create demo\n"
    assert run(["network", "start", "--nonsense"]) == 2
    assert "--nonsense" in capsys.readouterr().err
    assert run(["nonsense"]) == 2
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("coco")


def test_debugging_shows_the_trace_of_a_mistake(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COCO_DEBUG", "1")
    assert run(["network", "start", "demo"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Store, "networks", fail)


@pytest.mark.usefixtures("broken", "home")
def test_a_defect_of_ours_is_short_and_leaves_its_details(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert run(["network", "list"]) == 70
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "secret detail" not in error
    [details] = tmp_path.glob("coco-error-*.txt")
    assert str(details) in error
    assert "secret detail" in details.read_text()
    assert details.stat().st_mode & 0o077 == 0
    monkeypatch.setenv("COCO_DEBUG", "1")
    assert run(["network", "list"]) == 70
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.usefixtures("home")
def test_an_interruption(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "networks", interrupt)
    assert run(["network", "list"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_it_starts_quickly_by_importing_little() -> None:
    """web3, eth_account and aiohttp take a second to import, and most commands need none of them."""
    script = "import cli.main, sys; print(*{'web3', 'eth_account', 'aiohttp', 'eth'}.intersection(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
