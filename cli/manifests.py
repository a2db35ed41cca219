"""The manifests of a network that is created: by default they admit the machine and the code that are here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from cli.errors import NotFound, WrongUse
from cli.files import ensure_directory

if TYPE_CHECKING:
    from core.governance.manifests import CodeEntry, EntryT, TeeEntry
    from enclave_sim.platform.machine import PlatformKind

CodeRule = Literal["signed", "measured"]
SIMULATED_NOTE = (
    "WARNING: this network admits SIMULATED platforms: whoever runs their machines can read everything on them, and "
    "forge their evidence."
)
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)


def manifest_options(function: FunctionT) -> FunctionT:
    """The options of `coco network create` that say on which platforms and with which code a node may run."""
    for option in (
        click.option(
            "--code",
            type=click.Choice(["signed", "measured"]),
            help="Approve what this machine's key signs, or exactly what is installed. Default: signed for one member.",
        ),
        click.option("--code-manifest", type=_FILE, help="Code to approve (JSON), instead of --code."),
        click.option("--tee-manifest", type=_FILE, help="Platforms to admit (JSON). Default: this simulated machine."),
        click.option("--platform", type=click.Choice(["sgx", "vsm"]), default="sgx", show_default=True, help="TEE."),
    ):
        function = option(function)
    return function


@dataclass(frozen=True, slots=True)
class Manifests:
    """Both manifests, and what a user is told of each."""

    tee: tuple[TeeEntry, ...]
    code: tuple[CodeEntry, ...]
    tee_text: str
    code_text: str

    def describe(self) -> dict[str, str]:
        """Return what is admitted, in words."""
        return {"admits_platforms": self.tee_text, "admits_code": self.code_text}

    def warning(self) -> str:
        """Return what a user must be told, "" for nothing."""
        return SIMULATED_NOTE if any(entry.simulated for entry in self.tee) else ""


def chosen_manifests(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return make_manifests' arguments by the options of `coco network create`.

    With several members, no one of them is to change the code alone.
    """
    return {
        "platform": options["platform"],
        "code_rule": options["code"] or ("measured" if len(options["organisation"]) > 1 else "signed"),
        "tee_file": options["tee_manifest"],
        "code_file": options["code_manifest"],
    }


def make_manifests(
    directory: Path,
    adapters: Iterable[str],
    *,
    platform: PlatformKind,
    code_rule: CodeRule,
    tee_file: Path | None,
    code_file: Path | None,
) -> Manifests:
    """Return the manifests of a network that is created in this directory. Files come first.

    Without a file, the TEE manifest names the root of this simulated machine, which is made; the code manifest approves
    what the machine's development key signs, or exactly the code that is installed here.
    """
    from core.governance.manifests import CodeEntry, TeeEntry
    from enclave_sim.host_config import NodePaths

    fuses = NodePaths(directory).fuses
    for folder in (directory, fuses.parent.parent, fuses.parent):
        ensure_directory(folder)
    tee, tee_text = _from_file(tee_file, TeeEntry) if tee_file else _this_machine(fuses, platform)
    if code_file:
        code, code_text = _from_file(code_file, CodeEntry)
    elif code_rule == "measured":
        code, code_text = _measured_here(adapters)
    else:
        code, code_text = _signed_here(fuses, adapters)
    return Manifests(tee, code, tee_text, code_text)


def _this_machine(fuses: Path, platform: PlatformKind) -> tuple[tuple[TeeEntry, ...], str]:
    from core.governance.manifests import TeeEntry
    from enclave_sim.platform.machines import root_digest

    root = root_digest(platform, fuses).hex()
    return (TeeEntry(platform, (root,), simulated=True),), f"{platform} (SIMULATED), under this machine's root only"


def _signed_here(fuses: Path, adapters: Iterable[str]) -> tuple[tuple[CodeEntry, ...], str]:
    from core.governance.manifests import CodeEntry
    from enclave_sim.platform.cpu import PRODUCT, SECURITY_VERSION
    from enclave_sim.platform.launching import DEVELOPMENT, development_signer

    signer = development_signer(fuses).hex()
    products: dict[str, int | None] = dict.fromkeys(adapters)
    products |= {"manager": PRODUCT["manager"], "worker": PRODUCT["worker"]}
    entries = tuple(
        CodeEntry(name, (), signer, product, SECURITY_VERSION, _version_text()) for name, product in products.items()
    )
    return entries, f"any code signed by {signer} {DEVELOPMENT}"


def _measured_here(adapters: Iterable[str]) -> tuple[tuple[CodeEntry, ...], str]:
    from core.governance.manifests import CodeEntry
    from enclave_sim.platform.measurement import code_manifest, measure_node

    manager, worker = measure_node()
    shown: dict[str, Any] = json.loads(code_manifest(manager, worker))
    digests = {str(one["name"]): str(one["sha256"]) for one in shown["worker"]["adapters"]}
    measured = {"manager": manager.mrenclave.hex(), "worker": worker.mrenclave.hex()}
    for name in adapters:
        if name not in digests:
            raise WrongUse(
                f"the adapter {name} is not measured here", hint="Install its package, or give --code signed."
            )
        measured[name] = digests[name]
    entries = tuple(CodeEntry(name, (value,), version=_version_text()) for name, value in measured.items())
    return entries, f"exactly the code installed here (manager {measured['manager']})"


def _from_file(file: Path, kind: type[EntryT]) -> tuple[tuple[EntryT, ...], str]:
    from core import limits
    from core.governance.manifests import parse_manifest

    try:
        with file.open("rb") as opened:
            data = opened.read(limits.GOVERNANCE_MESSAGE_BYTES_MAX + 1)
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}") from None
    return parse_manifest(data, kind), f"as {file} says"


def _version_text() -> str:
    try:
        return f"coco {version('coco-ledger')}"
    except PackageNotFoundError:
        return "coco, not installed"
