"""The entry point `coco`: the command groups, and the one place where failures become messages and exit codes."""

from __future__ import annotations

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from cli.account import account
from cli.adapter import adapter
from cli.attest import attest
from cli.bench import bench
from cli.connection import default_home
from cli.contract import call, deploy, send
from cli.enclave import enclave
from cli.evm import evm
from cli.files import write_private
from cli.governance import governance
from cli.ledger import ledger
from cli.network import network
from cli.node import node
from cli.proxy import proxy
from cli.receipt import receipt
from cli.sawtooth import sawtooth
from cli.store import Store
from cli.transaction import transaction
from core.errors import CocoError

INTERRUPTED = 130
UNEXPECTED = 70
"""Exit code of a defect of ours (EX_SOFTWARE of sysexits.h)."""


class Failure(click.ClickException):
    """A CocoError as click shows it: `error: ...`, the hint below, and the error's exit code."""

    def __init__(self, error: CocoError) -> None:
        super().__init__(error.message)
        self.exit_code = error.exit_code  # type: ignore[misc]  # click reads it from the instance.
        self.hint = error.hint

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {self.message}", file=file or sys.stderr)
        if self.hint:
            click.echo(f"  {self.hint}", file=file or sys.stderr)


class Root(click.Group):
    """The group `coco`: turns expected failures of any command into `Failure`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CocoError as error:
            if os.environ.get("COCO_DEBUG") == "1":
                traceback.print_exc()
            raise Failure(error) from error


def coco_version() -> str:
    """Return the version of the installed package."""
    try:
        return version("coco-ledger")
    except PackageNotFoundError:
        return "0 (not installed)"


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="COCO_HOME",
    help="Where coco keeps its state. Default: COCO_HOME, else ~/.coco.",
)
@click.version_option(coco_version(), "--version", prog_name="coco")
@click.pass_context
def root(context: click.Context, home: Path | None) -> None:
    """Coco: a confidential consortium ledger that speaks Ethereum and other protocols.

    \b
    A first network:
      coco network create demo
      coco network start demo
      coco account new alice && coco account bind alice
      coco deploy Token.sol --account alice
    """
    context.obj = Store((home or default_home()).expanduser().absolute())


GROUPS = (
    *(network, node, governance, account, deploy, call, send, transaction, receipt, adapter, ledger, proxy, attest),
    *(enclave, evm, bench, sawtooth),
)
for command in GROUPS:
    root.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code. A user's mistake never shows a stack trace."""
    try:
        outcome = root.main(args=list(arguments), prog_name="coco", standalone_mode=False)
        return outcome if isinstance(outcome, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone (`coco ... | head`): nothing more can be said there.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at exit.
        return 1
    except Exception:  # noqa: BLE001 - the one place of the command line, STYLE rule 9.
        return _unexpected()


def _unexpected() -> int:
    details = traceback.format_exc()
    if os.environ.get("COCO_DEBUG") == "1":
        click.echo(details, err=True)
        return UNEXPECTED
    name = f"coco-error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        path = Path(tempfile.gettempdir()) / name
        write_private(path, details.encode())
        where = f"The details are in {path}."
    except CocoError:
        where = "Run it again with COCO_DEBUG=1 to see the details."
    click.echo(f"error: coco failed unexpectedly; this is a defect of coco, not of yours\n  {where}", err=True)
    return UNEXPECTED


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
