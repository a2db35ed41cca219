"""Compiled contracts, read from the files that Solidity tools write.

Read: Hardhat and Truffle artifacts, Foundry artifacts, Hardhat build-info, solc's standard JSON output,
`solc --combined-json`, and `X.abi` beside `X.bin`. The invariant: an `Artifact` can be deployed as it stands, so
interfaces, abstract contracts and bytecode with unlinked libraries are refused here, where the file is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from core.errors import CocoError, LimitExceeded
from core.limits import MEBIBYTE

ARTIFACT_BYTES_MAX = 16 * MEBIBYTE
"""Largest artifact file read. A Hardhat build-info of a large project stays below it."""

ARTIFACT_SUFFIXES = frozenset({".json", ".abi", ".bin"})

_PLACEHOLDER = re.compile(r"__[^\s\"]{38}")
_PLACEHOLDER_NAME = re.compile(r"^//\s*(?:\$[0-9a-fA-F]{34}\$|\S+)\s*->\s*(\S+)\s*$", re.MULTILINE)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")

Abi = list[dict[str, Any]]


class ArtifactRefused(CocoError):
    """A file that holds no contract that can be deployed. Carries its path."""

    def __init__(self, message: str, *, path: Path, hint: str = "") -> None:
        super().__init__(f"{path}: {message}", hint=hint)
        self.path = path


class ContractNotChosen(CocoError):
    """A file holds several contracts, or not the named one. Carries the names to choose from."""

    def __init__(self, message: str, *, choices: tuple[str, ...]) -> None:
        names = ", ".join(choices) or "none"
        super().__init__(message, hint=f"Choose one with --contract NAME. The file holds: {names}.")
        self.choices = choices


@dataclass(frozen=True, slots=True)
class Artifact:
    """A contract ready to be deployed: linked creation bytecode and the ABI that speaks to it.

    `deployed_bytecode` is empty when the file does not carry it; `source_name`, `evm_version` and `compiler`
    (such as "0.8.37+commit.f401782d") are None then.
    """

    contract_name: str
    abi: Abi
    bytecode: bytes
    deployed_bytecode: bytes
    source_name: str | None = None
    evm_version: str | None = None
    compiler: str | None = None


class _Code(NamedTuple):
    """Bytecode as a file writes it: hex text, and the libraries it still wants by name."""

    text: str
    libraries: tuple[str, ...] = ()


class _Entry(NamedTuple):
    """One contract of a file before it is judged: any part may be missing or wrong."""

    name: str
    source_name: str | None
    abi: object
    code: _Code
    deployed: _Code
    evm_version: str | None = None
    compiler: str | None = None


def load_artifact(path: Path, contract: str | None = None) -> Artifact:
    """Read a compiled contract from a file of Hardhat, Foundry, Truffle or solc.

    `contract` is a name, or `source:name`, and is needed when the file holds several that can be deployed. Of a
    pair `X.abi` and `X.bin` either may be given.

    Raises: ArtifactRefused, ContractNotChosen, LimitExceeded.
    """
    if path.suffix in (".abi", ".bin"):
        entries = [_entry_from_pair(path)]
    else:
        document = _parse_json(_read(path), path)
        if not isinstance(document, dict):
            raise ArtifactRefused("not an artifact: a JSON object was expected", path=path)
        entries = _entries_from_document(document, path)
    return _artifact(_choose(entries, contract, path), path)


def artifact_of_output(
    output: Mapping[str, Any], source_name: str, path: Path, contract: str | None = None
) -> Artifact:
    """Return the contract of one source in solc's standard JSON output; imported sources are not considered.

    Raises: ArtifactRefused, ContractNotChosen.
    """
    entries = [entry for entry in _entries_from_standard(output) if entry.source_name == source_name]
    return _artifact(_choose(entries, contract, path), path)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(ARTIFACT_BYTES_MAX + 1)
    except OSError as error:
        raise ArtifactRefused(f"cannot be read: {error.strerror}", path=path) from error
    if len(content) > ARTIFACT_BYTES_MAX:
        raise LimitExceeded(
            f"{path}: larger than the {ARTIFACT_BYTES_MAX} bytes an artifact may have",
            hint="Give the artifact of the one contract, not the output of the whole project.",
        )
    return content


def _parse_json(content: bytes, path: Path) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ArtifactRefused(
            f"not JSON: {error}",
            path=path,
            hint="Give a Hardhat or Foundry artifact, solc's JSON output, an .abi/.bin pair, or a .sol source.",
        ) from error


def _entry_from_pair(path: Path) -> _Entry:
    abi_path, bin_path = path.with_suffix(".abi"), path.with_suffix(".bin")
    for part in (abi_path, bin_path):
        if not part.is_file():
            raise ArtifactRefused(
                f"its other half {part.name} is not beside it",
                path=path,
                hint="solc --abi --bin -o DIRECTORY X.sol writes both.",
            )
    abi = _parse_json(_read(abi_path), abi_path)
    runtime_path = path.with_suffix(".bin-runtime")
    runtime = _code(_text(_read(runtime_path), runtime_path)) if runtime_path.is_file() else _Code("")
    return _Entry(path.stem, None, abi, _code(_text(_read(bin_path), bin_path)), runtime)


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("ascii").strip()
    except UnicodeDecodeError as error:
        raise ArtifactRefused("not hexadecimal text", path=path) from error


def _entries_from_document(document: Mapping[str, Any], path: Path) -> list[_Entry]:
    build_info = document.get("output")
    if isinstance(build_info, dict) and "contracts" in build_info:
        return _entries_from_standard(build_info)
    contracts = document.get("contracts")
    if isinstance(contracts, dict):
        combined = any(isinstance(body, dict) and ("bin" in body or "abi" in body) for body in contracts.values())
        return _entries_from_combined(document) if combined else _entries_from_standard(document)
    if "abi" in document and "bytecode" in document:
        return [_entry_from_single(document, path)]
    raise ArtifactRefused(
        "not an artifact: it has neither `abi` and `bytecode` nor `contracts`",
        path=path,
        hint="Of `solc --combined-json`, ask for abi,bin; of standard JSON, for abi and evm.bytecode.",
    )


def _entry_from_single(document: Mapping[str, Any], path: Path) -> _Entry:
    """Hardhat and Truffle write the bytecode as a string, Foundry as an object like solc's."""
    entry = _with_metadata(
        _Entry(
            name=path.stem,
            source_name=_string(document.get("sourceName")),
            abi=document["abi"],
            code=_code(document["bytecode"], document.get("linkReferences")),
            deployed=_code(document.get("deployedBytecode"), document.get("deployedLinkReferences")),
        ),
        document.get("metadata"),
    )
    compiler = document.get("compiler")
    if isinstance(compiler, dict):
        entry = entry._replace(
            evm_version=_string(compiler.get("evmVersion")) or entry.evm_version,
            compiler=_string(compiler.get("version")) or entry.compiler,
        )
    return entry._replace(name=_string(document.get("contractName")) or entry.name)


def _entries_from_combined(document: Mapping[str, Any]) -> list[_Entry]:
    entries = []
    for full_name, body in document["contracts"].items():
        if not isinstance(body, dict):
            continue
        source_name, _, name = full_name.rpartition(":")
        abi = body.get("abi")
        if isinstance(abi, str):  # solc before 0.8 wrote the ABI as a string of JSON.
            abi = _loads_or_none(abi)
        entry = _Entry(name, source_name or None, abi, _code(body.get("bin")), _code(body.get("bin-runtime")))
        version = _string(document.get("version"))
        entries.append(_with_metadata(entry._replace(compiler=version), body.get("metadata")))
    return entries


def _entries_from_standard(document: Mapping[str, Any]) -> list[_Entry]:
    entries = []
    contracts = document.get("contracts")
    for source_name, source in contracts.items() if isinstance(contracts, dict) else ():
        for name, body in source.items() if isinstance(source, dict) else ():
            if not isinstance(body, dict):
                continue
            evm = body.get("evm")
            evm = evm if isinstance(evm, dict) else {}
            code, deployed = _code(evm.get("bytecode")), _code(evm.get("deployedBytecode"))
            entry = _Entry(name, source_name, body.get("abi"), code, deployed)
            entries.append(_with_metadata(entry, body.get("metadata")))
    return entries


def _with_metadata(entry: _Entry, metadata: object) -> _Entry:
    """Add what solc's metadata knows (Solidity documentation, "Contract Metadata"): object or string of JSON."""
    if isinstance(metadata, str):
        metadata = _loads_or_none(metadata)
    if not isinstance(metadata, dict):
        return entry
    settings, compiler = metadata.get("settings"), metadata.get("compiler")
    if isinstance(settings, dict):
        entry = entry._replace(evm_version=_string(settings.get("evmVersion")) or entry.evm_version)
        target = settings.get("compilationTarget")
        if isinstance(target, dict) and len(target) == 1:
            source_name, name = next(iter(target.items()))
            entry = entry._replace(source_name=source_name, name=_string(name) or entry.name)
    if isinstance(compiler, dict):
        entry = entry._replace(compiler=_string(compiler.get("version")) or entry.compiler)
    return entry


def _code(value: object, link_references: object = None) -> _Code:
    """Read bytecode in any of its spellings; what is not bytecode at all becomes empty and is refused later."""
    if isinstance(value, dict):
        return _code(value.get("object"), value.get("linkReferences"))
    if not isinstance(value, str):
        return _Code("")
    libraries: list[str] = []
    if isinstance(link_references, dict):
        for source_name, names in link_references.items():
            libraries += [f"{source_name}:{name}" for name in names] if isinstance(names, dict) else []
    libraries += _PLACEHOLDER_NAME.findall(value)  # `solc --bin` names placeholders in comments below the code.
    text = value.split("//", 1)[0].strip()
    return _Code(text.removeprefix("0x"), tuple(dict.fromkeys(libraries)))


def _libraries(code: _Code) -> tuple[str, ...]:
    """Return the libraries the code still wants: by name where the file tells, else the placeholders."""
    placeholders = tuple(dict.fromkeys(_PLACEHOLDER.findall(code.text)))
    if not placeholders:
        return ()
    return code.libraries or tuple(found.strip("_") for found in placeholders)


def _choose(entries: list[_Entry], contract: str | None, path: Path) -> _Entry:
    """Pick the named contract, else the only one with bytecode, else the one that the file is named after."""
    if contract is not None:
        found = [entry for entry in entries if contract in (entry.name, f"{entry.source_name}:{entry.name}")]
    else:
        found = [entry for entry in entries if entry.code.text] if len(entries) > 1 else entries
        found = [entry for entry in found if entry.name == path.stem] or found
    if len(found) == 1:
        return found[0]
    full_names = len(found) > 1 and len({entry.name for entry in found}) < len(found)
    choices = tuple(
        f"{entry.source_name}:{entry.name}" if full_names else entry.name
        for entry in found or entries
        if entry.code.text
    )
    if contract is not None and not found:
        raise ContractNotChosen(f"{path}: there is no contract {contract}", choices=choices)
    if not found:
        raise ArtifactRefused("it holds no contract that can be deployed", path=path)
    raise ContractNotChosen(f"{path}: several contracts can be deployed", choices=choices)


def _artifact(entry: _Entry, path: Path) -> Artifact:
    abi = entry.abi
    if not isinstance(abi, list) or not all(isinstance(item, dict) for item in abi):
        raise ArtifactRefused(f"the ABI of {entry.name} is missing or not a list of objects", path=path)
    return Artifact(
        contract_name=entry.name,
        abi=abi,
        bytecode=_bytecode(entry, path),
        deployed_bytecode=_deployed(entry.deployed),
        source_name=entry.source_name,
        evm_version=entry.evm_version,
        compiler=entry.compiler,
    )


def _bytecode(entry: _Entry, path: Path) -> bytes:
    if not entry.code.text:
        raise ArtifactRefused(
            f"{entry.name} has no bytecode: it is an interface or an abstract contract",
            path=path,
            hint="Deploy a contract that implements it.",
        )
    libraries = _libraries(entry.code)
    if libraries:
        raise ArtifactRefused(
            f"{entry.name} must be linked with {', '.join(libraries)} first",
            path=path,
            hint="Deploy the library, link its address (solc --link, Hardhat or Foundry), give the linked file.",
        )
    if not _HEX.fullmatch(entry.code.text):
        raise ArtifactRefused(f"the bytecode of {entry.name} is not hexadecimal", path=path)
    return bytes.fromhex(entry.code.text)


def _deployed(code: _Code) -> bytes:
    """Runtime code is for information only, so a file that carries it in no readable form is not refused."""
    return bytes.fromhex(code.text) if _HEX.fullmatch(code.text) else b""


def _string(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _loads_or_none(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
