"""Artifacts of each tool are read alike, and what cannot be deployed is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.solidity import artifact as artifact_module
from cli.solidity.artifact import Artifact, ArtifactRefused, ContractNotChosen, load_artifact
from core.errors import LimitExceeded

ABI: list[dict[str, Any]] = [{"type": "function", "name": "ping", "inputs": [], "outputs": []}]
CODE, RUNTIME = "6001600255", "6002"
PLACEHOLDER = "__$" + "ab" * 17 + "$__"
METADATA = {
    "compiler": {"version": "0.8.30+commit.73712a01"},
    "settings": {"evmVersion": "prague", "compilationTarget": {"src/Ping.sol": "Ping"}},
}

Write = Callable[[str, object], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_document(name: str, document: object) -> Path:
        path = tmp_path / name
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write_document


def hardhat(**changes: object) -> dict[str, object]:
    document: dict[str, object] = {
        "_format": "hh-sol-artifact-1",
        "contractName": "Ping",
        "sourceName": "contracts/Ping.sol",
        "abi": ABI,
        "bytecode": "0x" + CODE,
        "deployedBytecode": "0x" + RUNTIME,
        "linkReferences": {},
        "deployedLinkReferences": {},
    }
    return document | changes


def standard_contract(code: str = CODE, links: object = None) -> dict[str, object]:
    bytecode = {"object": code, "linkReferences": links or {}}
    return {"abi": ABI, "evm": {"bytecode": bytecode, "deployedBytecode": {"object": RUNTIME if code else ""}}}


def assert_ping(found: Artifact) -> None:
    assert found.contract_name == "Ping"
    assert found.abi == ABI
    assert found.bytecode == bytes.fromhex(CODE)
    assert found.deployed_bytecode == bytes.fromhex(RUNTIME)


def test_hardhat_artifact(write: Write) -> None:
    found = load_artifact(write("anything.json", hardhat()))
    assert_ping(found)
    assert (found.source_name, found.evm_version, found.compiler) == ("contracts/Ping.sol", None, None)


def test_artifact_with_compiler_settings(write: Write) -> None:
    compiler = {"version": "0.8.37+commit.f401782d", "evmVersion": "cancun"}
    found = load_artifact(write("Ping.json", hardhat(compiler=compiler)))
    assert (found.evm_version, found.compiler) == ("cancun", "0.8.37+commit.f401782d")


def test_foundry_artifact(write: Write) -> None:
    foundry = {
        "abi": ABI,
        "bytecode": {"object": "0x" + CODE, "sourceMap": "", "linkReferences": {}},
        "deployedBytecode": {"object": "0x" + RUNTIME, "linkReferences": {}},
        "metadata": METADATA,
    }
    found = load_artifact(write("Other.json", foundry))
    assert_ping(found)
    assert (found.evm_version, found.compiler) == ("prague", "0.8.30+commit.73712a01")


@pytest.mark.parametrize("given", ["Ping.abi", "Ping.bin"])
def test_abi_and_bin_pair(write: Write, given: str) -> None:
    paths = {name: write(name, text) for name, text in (("Ping.abi", json.dumps(ABI)), ("Ping.bin", CODE + "\n"))}
    write("Ping.bin-runtime", RUNTIME)
    assert_ping(load_artifact(paths[given]))


def test_half_a_pair_is_refused(write: Write) -> None:
    with pytest.raises(ArtifactRefused, match=r"Ping\.bin is not beside it"):
        load_artifact(write("Ping.abi", ABI))


@pytest.mark.parametrize("abi", [ABI, json.dumps(ABI)], ids=["list", "string of solc before 0.8"])
def test_combined_json(write: Write, abi: object) -> None:
    contracts = {
        "Ping.sol:IPing": {"abi": abi, "bin": ""},
        "Ping.sol:Ping": {"abi": abi, "bin": CODE, "bin-runtime": RUNTIME},
    }
    document = {"contracts": contracts, "version": "0.8.30+commit.73712a01.Linux.g++"}
    found = load_artifact(write("combined.json", document))
    assert_ping(found)
    assert found.compiler == "0.8.30+commit.73712a01.Linux.g++"


@pytest.mark.parametrize("wrap", [lambda output: output, lambda output: {"input": {}, "output": output}])
def test_standard_json_output_and_build_info(write: Write, wrap: Callable[[object], object]) -> None:
    contract = standard_contract() | {"metadata": json.dumps(METADATA)}
    output = {"contracts": {"src/Ping.sol": {"IPing": standard_contract(code=""), "Ping": contract}}}
    found = load_artifact(write("output.json", wrap(output)))
    assert_ping(found)
    assert (found.source_name, found.evm_version) == ("src/Ping.sol", "prague")


def test_contract_is_chosen_by_name(write: Write) -> None:
    output = {"contracts": {"a.sol": {"Ping": standard_contract(), "Pong": standard_contract("00")}}}
    path = write("output.json", output)
    assert_ping(load_artifact(path, "Ping"))
    assert load_artifact(path, "a.sol:Pong").bytecode == b"\0"


def test_contract_named_like_the_file_is_chosen(write: Write) -> None:
    output = {"contracts": {"a.sol": {"Ping": standard_contract(), "Pong": standard_contract("00")}}}
    assert load_artifact(write("Pong.json", output)).contract_name == "Pong"


def test_several_contracts_without_a_choice_are_refused(write: Write) -> None:
    output = {"contracts": {"a.sol": {"Ping": standard_contract(), "Pong": standard_contract("00")}}}
    with pytest.raises(ContractNotChosen, match="--contract NAME") as refused:
        load_artifact(write("output.json", output))
    assert refused.value.choices == ("Ping", "Pong")


def test_one_name_in_two_sources_is_refused_with_full_names(write: Write) -> None:
    sources = {name: {"Ping": standard_contract()} for name in ("a.sol", "b.sol")}
    path = write("output.json", {"contracts": sources})
    with pytest.raises(ContractNotChosen) as refused:
        load_artifact(path, "Ping")
    assert refused.value.choices == ("a.sol:Ping", "b.sol:Ping")
    assert_ping(load_artifact(path, "b.sol:Ping"))


def test_unknown_contract_is_refused(write: Write) -> None:
    with pytest.raises(ContractNotChosen, match="no contract Pong") as refused:
        load_artifact(write("Ping.json", hardhat()), "Pong")
    assert refused.value.choices == ("Ping",)


@pytest.mark.parametrize("empty", ["0x", "", {"object": "0x"}])
def test_interface_is_refused(write: Write, empty: object) -> None:
    with pytest.raises(ArtifactRefused, match="Ping has no bytecode: it is an interface or an abstract contract"):
        load_artifact(write("Ping.json", hardhat(bytecode=empty)))


def test_output_of_interfaces_only_is_refused(write: Write) -> None:
    output = {"contracts": {"a.sol": {"IPing": standard_contract(""), "IPong": standard_contract("")}}}
    with pytest.raises(ArtifactRefused, match="no contract that can be deployed"):
        load_artifact(write("output.json", output))


def test_unlinked_bytecode_is_refused_with_the_library_named(write: Write) -> None:
    links = {"src/Maths.sol": {"Maths": [{"start": 2, "length": 20}]}}
    unlinked = "60" + PLACEHOLDER + "55"
    cases = {
        "hardhat.json": hardhat(bytecode="0x" + unlinked, linkReferences=links),
        "foundry.json": hardhat(bytecode={"object": "0x" + unlinked, "linkReferences": links}),
        "standard.json": {"contracts": {"a.sol": {"Ping": standard_contract(unlinked, links)}}},
    }
    for name, document in cases.items():
        with pytest.raises(ArtifactRefused, match=r"must be linked with src/Maths\.sol:Maths first"):
            load_artifact(write(name, document))


def test_unlinked_bin_file_is_refused_with_the_library_named(write: Write) -> None:
    write("Ping.abi", ABI)
    text = f"60{PLACEHOLDER}55\n\n// ${'ab' * 17}$ -> src/Maths.sol:Maths\n"
    with pytest.raises(ArtifactRefused, match=r"linked with src/Maths\.sol:Maths"):
        load_artifact(write("Ping.bin", text))


def test_unlinked_bytecode_without_names_shows_the_placeholder(write: Write) -> None:
    contracts = {"a.sol:Ping": {"abi": ABI, "bin": "60" + PLACEHOLDER}}
    with pytest.raises(ArtifactRefused, match=r"linked with \$abab"):
        load_artifact(write("combined.json", {"contracts": contracts}))


def test_linked_bytecode_with_references_is_accepted(write: Write) -> None:
    links = {"src/Maths.sol": {"Maths": [{"start": 2, "length": 20}]}}
    assert_ping(load_artifact(write("Ping.json", hardhat(linkReferences=links))))


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ([1], "a JSON object was expected"),
        ({}, "not an artifact"),
        ({"abi": ABI}, "not an artifact"),
        ({"contracts": {}}, "no contract that can be deployed"),
        ({"contracts": {"a.sol": {"Ping": 7}}}, "no contract that can be deployed"),
        (hardhat(abi="none"), "ABI of Ping is missing"),
        (hardhat(abi=[1]), "ABI of Ping is missing"),
        (hardhat(bytecode="0x60zz"), "not hexadecimal"),
        (hardhat(bytecode="0x600"), "not hexadecimal"),
        (hardhat(bytecode=7), "no bytecode"),
    ],
)
def test_malformed_artifact_is_refused(write: Write, document: object, complaint: str) -> None:
    with pytest.raises(ArtifactRefused, match=complaint):
        load_artifact(write("Ping.json", document))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactRefused, match="No such file"):
        load_artifact(tmp_path / "Ping.json")


def test_oversized_file_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("Ping.json", hardhat())
    monkeypatch.setattr(artifact_module, "ARTIFACT_BYTES_MAX", path.stat().st_size)
    assert_ping(load_artifact(path))
    monkeypatch.setattr(artifact_module, "ARTIFACT_BYTES_MAX", path.stat().st_size - 1)
    with pytest.raises(LimitExceeded, match="larger than"):
        load_artifact(path)
