"""`coco evm`: what the Ethereum adapter makes of bytecode."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from cli.errors import WrongUse
from cli.options import json_option
from cli.output import note, print_json

CODE_TEXT_BYTES_MAX = 1024 * 1024
"""Of a file: an artifact holds an interface beside the code."""


@click.group()
def evm() -> None:
    """Look at how EVM bytecode runs."""


@evm.command("compile")
@click.argument("code")
@click.option("--fork", type=click.Choice(["prague", "cancun"]), default="prague", show_default=True)
@json_option
def compile_(code: str, fork: str, as_json: bool) -> None:
    """Print the Python functions that CODE is compiled to.

    CODE is hexadecimal text, a file of it, an artifact of a compiler (its deployed code is taken), or - for standard
    input. A node compiles the same functions, each when execution has come to it a few times.
    """
    from adapters.ethereum.compiler.listing import LISTED_BYTES_MAX, list_traces

    bytecode = _bytecode(code)
    if len(bytecode) > LISTED_BYTES_MAX:
        raise WrongUse(f"code of {len(bytecode)} bytes", hint=f"No code is longer than {LISTED_BYTES_MAX} bytes.")
    listing = list_traces(bytecode)
    if as_json:
        print_json(
            {
                "fork": fork,
                "codeBytes": len(bytecode),
                "instructions": listing.steps,
                "traces": listing.traces,
                "words": {name: "0x" + word.hex() for name, word in listing.words.items()},
                "leftOut": listing.left_out,
            }
        )
        return
    note(f"{len(bytecode)} bytes of code, {len(listing.traces)} traces of {listing.steps} instructions, {fork}")
    click.echo(listing.text())


def _bytecode(text: str) -> bytes:
    """Return the bytes that an argument names; raises WrongUse."""
    if text == "-":
        return _from_hex(sys.stdin.read(CODE_TEXT_BYTES_MAX + 1))
    path = Path(text)
    if _looks_like_hex(text) or not os.path.isfile(text):  # False also for text too long for a path.
        return _from_hex(text)
    if path.suffix == ".json":
        from cli.solidity.artifact import load_artifact

        return load_artifact(path, None).deployed_bytecode
    if path.stat().st_size > CODE_TEXT_BYTES_MAX:
        raise WrongUse(f"{path} is larger than {CODE_TEXT_BYTES_MAX} bytes")
    return _from_hex(path.read_text("utf-8", errors="replace"))


def _looks_like_hex(text: str) -> bool:
    return text.startswith(("0x", "0X"))


def _from_hex(text: str) -> bytes:
    digits = "".join(text.split()).removeprefix("0x").removeprefix("0X")
    if len(digits) > CODE_TEXT_BYTES_MAX:
        raise WrongUse(f"more than {CODE_TEXT_BYTES_MAX} characters of code")
    try:
        bytecode = bytes.fromhex(digits)
    except ValueError:
        bytecode = b""
    if not bytecode:
        raise WrongUse(
            f"not bytecode: {digits[:40]!r}", hint="Give hexadecimal text, a file of it, an artifact, or - ."
        )
    return bytecode
