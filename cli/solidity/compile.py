"""From what the user names to an `Artifact`: an artifact is read, a source is compiled.

Whichever compiler runs, it gets one standard JSON input with every source inline ("Using the Compiler", Solidity
documentation), so the same source gives the same bytecode on every machine: unit names are relative to the project,
and the metadata hash, which would cover them, is left out.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from cli.solidity.artifact import ARTIFACT_SUFFIXES, Artifact, ArtifactRefused, artifact_of_output, load_artifact
from cli.solidity.soljson import (
    COMPILE_SECONDS_MAX,
    SOLC_VERSION,
    Report,
    SoljsonUnavailable,
    mini_racer_installed,
    pinned_soljson,
    read_soljson,
    run_soljson,
)
from cli.solidity.sources import SourceSet, collect_sources
from core.errors import CocoError

MESSAGES_SHOWN_MAX = 20

Compiler = Callable[[str], str]
"""Standard JSON in, standard JSON out."""


class CompilerMissing(CocoError):
    """No way to compile on this machine. The hint names the three ways."""


class CompilationFailed(CocoError):
    """solc refused the source. Carries its formatted messages."""

    def __init__(self, message: str, *, messages: tuple[str, ...] = (), hint: str = "") -> None:
        super().__init__("\n".join([message, *messages]), hint=hint)
        self.messages = messages


def compile_solidity(
    path: Path,
    *,
    evm_version: str,
    contract: str | None = None,
    soljson: Path | None = None,
    optimizer_runs: int = 200,
    remappings: Sequence[str] = (),
    root: Path | None = None,
    report: Report | None = None,
) -> Artifact:
    """Return the contract that `path` names, compiled for `evm_version` (such as "cancun") if it is a source.

    An artifact (.json, .abi, .bin) is read. A source is compiled by the `soljson` named, else $SOLC, else `solc` on
    PATH, else the pinned soljson.js. Of several contracts in the source, `contract` chooses; without it the
    one named like the file. `remappings` and `root` are as `collect_sources` has them; `report` is told of slow
    steps and warnings.

    Raises: CompilerMissing, CompilationFailed, SourceRefused, ArtifactRefused, ContractNotChosen, SoljsonRefused,
    LimitExceeded.
    """
    if path.suffix in ARTIFACT_SUFFIXES:
        return load_artifact(path, contract)
    if path.suffix != ".sol":
        raise ArtifactRefused("neither a .sol source nor an artifact (.json, .abi, .bin)", path=path)
    tell = report or (lambda _: None)
    sources = collect_sources(path, root=root, remappings=remappings)
    compiler = _choose_compiler(soljson, tell)
    output = _output(compiler(standard_input(sources, evm_version, optimizer_runs)))
    _judge(output, path, tell)
    return artifact_of_output(output, sources.main, path, contract)


def standard_input(sources: SourceSet, evm_version: str, optimizer_runs: int) -> str:
    """Return the standard JSON input that compiles the main source, with all imports inline."""
    return orjson.dumps(
        {
            "language": "Solidity",
            "sources": {name: {"content": content} for name, content in sources.contents.items()},
            "settings": {
                "evmVersion": evm_version,
                "optimizer": {"enabled": True, "runs": optimizer_runs},
                "metadata": {"bytecodeHash": "none"},
                "remappings": [str(rule) for rule in sources.remappings],
                "outputSelection": {
                    sources.main: {"*": ["abi", "metadata", "evm.bytecode", "evm.deployedBytecode.object"]}
                },
            },
        }
    ).decode()


def _choose_compiler(soljson: Path | None, report: Report) -> Compiler:
    """Find a compiler: what the user names goes before what is found."""
    if soljson is not None:
        named = soljson
        return lambda standard: run_soljson(read_soljson(named), named, standard)
    chosen = os.environ.get("SOLC")
    native = shutil.which(chosen or "solc")
    if native is not None:
        executable = str(Path(native).resolve())
        return lambda standard: _run_native(executable, standard)
    if chosen:
        raise CompilerMissing(
            f"$SOLC names {chosen}, which is not an executable file", hint="Correct it, or unset SOLC."
        )
    if not mini_racer_installed():
        raise _compiler_missing("no solc on PATH, no $SOLC, and the extra `solc` is not installed")
    try:
        pinned = pinned_soljson(report)
    except SoljsonUnavailable as error:
        raise _compiler_missing(error.message) from error
    label = Path(f"soljson-{SOLC_VERSION}.js")
    return lambda standard: run_soljson(pinned, label, standard)


def _compiler_missing(reason: str) -> CompilerMissing:
    return CompilerMissing(
        f"there is no Solidity compiler here: {reason}",
        hint="\n  ".join(
            (
                "Three ways on:",
                "1. compile elsewhere and give the artifact: a Hardhat or Foundry .json, or X.abi beside X.bin;",
                "2. install solc and put it on PATH, or name it in $SOLC;",
                f"3. pip install 'coco-ledger[solc]', and npm on PATH (`npm pack solc@{SOLC_VERSION}` is run once)"
                " or --soljson PATH.",
            )
        ),
    )


def _run_native(executable: str, standard: str) -> str:
    # An empty directory: all sources are inline, and solc must not find others by chance.
    with tempfile.TemporaryDirectory(prefix="coco-solc-") as directory:
        try:
            done = subprocess.run(
                [executable, "--standard-json"],
                input=standard.encode(),
                capture_output=True,
                cwd=directory,
                timeout=COMPILE_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CompilationFailed(f"{executable} took longer than {COMPILE_SECONDS_MAX} s") from error
        except OSError as error:
            raise CompilationFailed(f"{executable} does not start: {error.strerror}") from error
    if done.returncode != 0:
        complaint = done.stderr.decode("utf-8", "replace").strip()[-500:]
        raise CompilationFailed(f"{executable} ended with {done.returncode}: {complaint}")
    return done.stdout.decode("utf-8", "replace")


def _output(text: str) -> dict[str, Any]:
    try:
        output = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CompilationFailed(f"the compiler's answer is not JSON: {text[:200]!r}") from error
    if not isinstance(output, dict):
        raise CompilationFailed("the compiler's answer is not a JSON object")
    return output


def _judge(output: dict[str, Any], path: Path, report: Report) -> None:
    """Raise solc's errors as it words them; report its warnings."""
    found = [item for item in output.get("errors", []) if isinstance(item, dict)]
    errors = [item for item in found if item.get("severity") == "error"]
    for item in found:
        if item not in errors:
            report(_message(item))
    if not errors:
        return
    messages = tuple(_message(item) for item in errors[:MESSAGES_SHOWN_MAX])
    hint = ""
    if any(re.search(r"invalid evm version", message, re.IGNORECASE) for message in messages):
        hint = f"This compiler is older than the network's fork; solc {SOLC_VERSION} knows it."
    elif any('"bytecodeHash"' in message for message in messages):
        hint = "This compiler is older than 0.6.0; give the artifact it writes instead of the source."
    elif any("requires different compiler version" in message for message in messages):
        hint = "Name a matching compiler in $SOLC or with --soljson PATH, or give an artifact."
    raise CompilationFailed(f"{path} does not compile:", messages=messages, hint=hint)


def _message(item: dict[str, Any]) -> str:
    return str(item.get("formattedMessage") or item.get("message") or "").strip()
