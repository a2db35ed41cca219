"""Arguments from text by ABI types, results and reverts to text."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import decode, encode
from eth_utils.crypto import keccak

from cli import abi
from cli.errors import NotFound, WrongUse
from core.errors import CocoError

ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
LEG = [{"name": "from", "type": "string"}, {"name": "stops", "type": "uint8[2]"}]
CONTRACT: list[dict[str, Any]] = [
    {"type": "function", "name": "transfer", "inputs": [
        {"name": "to", "type": "address"}, {"name": "amount", "type": "uint256"}], "outputs": [{"type": "bool"}]},
    {"type": "function", "name": "get", "inputs": [{"name": "key", "type": "uint256"}], "outputs": []},
    {"type": "function", "name": "get", "inputs": [{"name": "key", "type": "string"}], "outputs": []},
    {"type": "function", "name": "set", "inputs": [{"name": "", "type": "bytes4"}], "outputs": []},
    {"type": "function", "name": "ship", "inputs": [
        {"name": "legs", "type": "tuple[]", "components": LEG}], "outputs": [
        {"name": "leg", "type": "tuple", "components": LEG}, {"name": "count", "type": "uint256"}]},
    {"type": "error", "name": "TooHeavy", "inputs": [{"name": "kilograms", "type": "uint256"}]},
    {"type": "event", "name": "Shipped", "inputs": []},
]  # fmt: skip


def encoded(kind: str, text: str) -> object:
    data = abi.encode_arguments({"name": "f", "inputs": [{"name": "x", "type": kind}]}, [text])
    return decode([kind], data)[0]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("uint256", "1_000", 1000),
        ("uint256", "1ether", 10**18),
        ("uint8", "255", 255),
        ("int8", "-128", -128),
        ("uint", "7", 7),
        ("bool", "true", True),
        ("bool", "False", False),
        ("address", ADDRESS, ADDRESS.lower()),
        ("address", ADDRESS.lower(), ADDRESS.lower()),
        ("string", "", ""),
        ("string", "Zürich, [1]", "Zürich, [1]"),
        ("bytes", "0x", b""),
        ("bytes", "0x00ff", b"\x00\xff"),
        ("bytes2", "0x00ff", b"\x00\xff"),
        ("uint256[]", '[1, "2ether", 3]', (1, 2 * 10**18, 3)),
        ("bool[2]", "[true, false]", (True, False)),
        ("string[][]", '[["a"], []]', (("a",), ())),
        ("(uint256,bool)[]", "[]", ()),
    ],
)
def test_arguments(kind: str, text: str, value: object) -> None:
    if kind == "(uint256,bool)[]":
        part = {"name": "x", "type": "tuple[]", "components": [{"type": "uint256"}, {"type": "bool"}]}
        assert decode([kind], abi.encode_arguments({"inputs": [part]}, [text]))[0] == value
    elif kind == "uint":
        assert abi.input_types({"inputs": [{"type": kind}]}) == ["uint256"]
        assert decode(["uint256"], abi.encode_arguments({"inputs": [{"type": kind}]}, [text]))[0] == value
    else:
        assert encoded(kind, text) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("uint8", "256", "256 does not fit into uint8"),
        ("uint256", "-1", "does not fit"),
        ("int8", "-129", "does not fit"),
        ("uint256", "many", "not a number: 'many'"),
        ("uint256", "1.5", "not a whole number"),
        ("bool", "yes", "neither true nor false"),
        ("bool", "1", "neither true nor false"),
        ("address", "0x12", "is not an address"),
        ("address", ADDRESS.replace("C", "c"), "the checksum of"),
        ("bytes", "00ff", "is not hexadecimal"),
        ("bytes", "0x0", "is not hexadecimal"),
        ("bytes4", "0x00ff", "bytes4 is 4 bytes long, not 2"),
        ("uint256[]", "1,2", "not JSON"),
        ("uint256[]", "{}", "a JSON array is needed"),
        ("uint256[2]", "[1]", "has 2 items, not 1"),
        ("uint256[]", "[true]", "is not of type uint256"),
        ("uint256[]", "[1.5]", "is not of type uint256"),
        ("string[]", "[1]", "is not of type string"),
        ("fixed128x18", "1", "are not supported"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(kind: str, text: str, message: str) -> None:
    with pytest.raises(WrongUse, match="argument x") as caught:
        encoded(kind, text)
    assert message in caught.value.message


def test_tuples_by_position_and_by_name() -> None:
    ship = abi.find_function(CONTRACT, "ship", 1)
    by_position = abi.encode_call(ship, ['[["Basel", [1, 2]]]'])
    by_name = abi.encode_call(ship, ['[{"from": "Basel", "stops": [1, 2]}]'])
    assert by_position == by_name
    assert by_position == keccak(text="ship((string,uint8[2])[])")[:4] + encode(
        ["(string,uint8[2])[]"], [[("Basel", (1, 2))]]
    )
    for wrong in ('[{"from": "Basel"}]', '[["Basel"]]', '["Basel"]'):
        with pytest.raises(WrongUse, match="the tuple has"):
            abi.encode_call(ship, [wrong])


def test_functions_are_found() -> None:
    transfer = abi.find_function(CONTRACT, "transfer", 2)
    assert abi.encode_call(transfer, [ADDRESS, "1"])[:4].hex() == "a9059cbb"
    assert abi.find_function(CONTRACT, "get(string)", 1)["inputs"][0]["type"] == "string"


@pytest.mark.parametrize(
    ("name", "count", "kind", "hint"),
    [
        ("mint", 1, NotFound, "It has get(string)"),
        ("get(bool)", 1, NotFound, "It has get(string)"),
        ("get", 1, WrongUse, "'get(uint256)', 'get(string)'"),
        ("transfer", 1, WrongUse, "It is transfer(address to, uint256 amount)."),
    ],
)
def test_functions_that_are_not_there(name: str, count: int, kind: type[CocoError], hint: str) -> None:
    with pytest.raises(kind) as caught:
        abi.find_function(CONTRACT, name, count)
    assert hint in caught.value.hint


def test_a_contract_without_constructor_takes_no_arguments() -> None:
    assert abi.encode_arguments(abi.constructor(CONTRACT), []) == b""
    with pytest.raises(WrongUse, match="the constructor was given 1 arguments"):
        abi.encode_arguments(abi.constructor(CONTRACT), ["1"])


def test_outputs() -> None:
    ship = abi.find_function(CONTRACT, "ship", 1)
    data = encode(["(string,uint8[2])", "uint256"], [("Basel", (1, 2)), 2**200])
    assert abi.decode_outputs(ship, data) == [{"from": "Basel", "stops": ["1", "2"]}, str(2**200)]
    transfer = abi.find_function(CONTRACT, "transfer", 2)
    assert abi.decode_outputs(transfer, encode(["bool"], [True])) == [True]
    with pytest.raises(WrongUse, match="the answer is not what transfer"):
        abi.decode_outputs(transfer, b"")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "reverted without a reason"),
        (bytes.fromhex("08c379a0") + encode(["string"], ["too late"]), "reverted: too late"),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x11]), "panicked: arithmetic overflow or underflow (0x11)"),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x99]), "panicked: unknown reason (0x99)"),
        (keccak(text="TooHeavy(uint256)")[:4] + encode(["uint256"], [7]), "reverted: TooHeavy(kilograms=7)"),
        (keccak(text="TooHeavy(uint256)")[:4], "reverted with 0x" + keccak(text="TooHeavy(uint256)")[:4].hex()),
        (bytes.fromhex("08c379a0ff"), "reverted with 0x08c379a0ff"),
        (b"\x01", "reverted with 0x01"),
    ],
)
def test_reverts_in_words(data: bytes, words: str) -> None:
    assert abi.explain_revert(data, CONTRACT) == words
