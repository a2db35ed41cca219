"""Contract ABIs at the command line: which function is meant, arguments from text, results and reverts to text.

Source: Solidity documentation, "Contract ABI Specification"; the error and panic codes are Solidity's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_abi.grammar import normalize
from eth_utils.abi import collapse_if_tuple
from eth_utils.address import is_checksum_address, to_checksum_address
from eth_utils.crypto import keccak

from cli.errors import NotFound, WrongUse
from cli.values import parse_integer

Abi = Sequence[Mapping[str, Any]]
ParseAddress = Callable[[str], str]
"""Returns the checksummed address that a text means; raises WrongUse, NotFound."""

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_ARRAY = re.compile(r"(.+)\[([0-9]*)\]")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_ERROR = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")
_PANICS = {
    0x00: "generic panic",
    0x01: "assertion failed",
    0x11: "arithmetic overflow or underflow",
    0x12: "division or modulo by zero",
    0x21: "conversion to an enum out of range",
    0x22: "incorrectly encoded storage byte array",
    0x31: "pop on an empty array",
    0x32: "array index out of bounds",
    0x41: "too much memory allocated",
    0x51: "call of an uninitialized internal function",
}


def input_types(entry: Mapping[str, Any], key: str = "inputs") -> list[str]:
    """Return the canonical types of a function's inputs (or outputs)."""
    return [str(normalize(collapse_if_tuple(dict(part)))) for part in entry.get(key, [])]  # type: ignore[no-untyped-call]


def signature(entry: Mapping[str, Any]) -> str:
    """Return `name(type,...)`."""
    return f"{entry.get('name', 'constructor')}({','.join(input_types(entry))})"


def selector(entry: Mapping[str, Any]) -> bytes:
    return keccak(text=signature(entry))[:4]


def find_function(abi: Abi, name: str, argument_count: int) -> Mapping[str, Any]:
    """Find a function by its name, or `name(types)` when it is overloaded; raises NotFound, WrongUse."""
    functions = [entry for entry in abi if entry.get("type") == "function"]
    if "(" in name:
        wanted = name.replace(" ", "")
        for entry in functions:
            if signature(entry) == wanted:
                return entry
        raise NotFound(f"the contract has no function {wanted}", hint=_listing(functions))
    named = [entry for entry in functions if entry.get("name") == name]
    if not named:
        raise NotFound(f"the contract has no function {name}", hint=_listing(functions))
    fitting = [entry for entry in named if len(entry.get("inputs", [])) == argument_count]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise WrongUse(f"{name} is overloaded", hint="Write one of " + ", ".join(f"'{signature(e)}'" for e in fitting))
    wanted = " or ".join(_described(entry) for entry in named)
    raise WrongUse(f"{name} was given {argument_count} arguments", hint=f"It is {wanted}.")


def encode_call(entry: Mapping[str, Any], arguments: Sequence[str], address: ParseAddress | None = None) -> bytes:
    """Return the call data of a function for arguments written as text; raises as `encode_arguments`."""
    return selector(entry) + encode_arguments(entry, arguments, address)


def encode_arguments(entry: Mapping[str, Any], arguments: Sequence[str], address: ParseAddress | None = None) -> bytes:
    """Parse arguments by the types of a function or constructor, and encode them; raises WrongUse.

    address: reads what stands where an address is expected (default: parse_address, which knows no names).
    """
    inputs = entry.get("inputs", [])
    if len(inputs) != len(arguments):
        raise WrongUse(
            f"{entry.get('name') or 'the constructor'} was given {len(arguments)} arguments",
            hint=f"It is {_described(entry)}.",
        )
    values = [_argument(part, text, address or parse_address) for part, text in zip(inputs, arguments, strict=True)]
    try:
        return encode(input_types(entry), values)
    except (EncodingError, OverflowError) as error:
        raise WrongUse(f"an argument does not fit {_described(entry)}: {error}") from None


def constructor(abi: Abi) -> Mapping[str, Any]:
    """Return the constructor; a contract without one has an empty one."""
    return next((entry for entry in abi if entry.get("type") == "constructor"), {"type": "constructor", "inputs": []})


def decode_outputs(entry: Mapping[str, Any], data: bytes) -> list[Any]:
    """Decode what a function returned into JSON values: integers as decimal strings, bytes as hexadecimal.

    Raises WrongUse when the data is not what the ABI says.
    """
    outputs = entry.get("outputs", [])
    try:
        values = decode(input_types(entry, "outputs"), data)
    except (DecodingError, OverflowError) as error:
        raise WrongUse(
            f"the answer is not what {signature(entry)} returns: {error}",
            hint="Is there a contract of this kind at the address?",
        ) from None
    return [_plain(part, value) for part, value in zip(outputs, values, strict=True)]


def explain_revert(data: bytes, abi: Abi) -> str:
    """Say in words why a call reverted: the reason, the panic, the contract's own error, or the raw data."""
    if not data:
        return "reverted without a reason"
    try:
        if data[:4] == _ERROR:
            return f"reverted: {decode(['string'], data[4:])[0]}"
        if data[:4] == _PANIC:
            code = decode(["uint256"], data[4:])[0]
            return f"panicked: {_PANICS.get(code, 'unknown reason')} (0x{code:02x})"
        for entry in abi:
            if entry.get("type") == "error" and selector(entry) == data[:4]:
                values = decode(input_types(entry), data[4:])
                shown = ", ".join(
                    f"{part.get('name') or part['type']}={as_text(_plain(part, value))}"
                    for part, value in zip(entry["inputs"], values, strict=True)
                )
                return f"reverted: {entry['name']}({shown})"
    except (DecodingError, OverflowError, UnicodeDecodeError):
        pass
    return f"reverted with 0x{data[:256].hex()}"


def as_text(value: object) -> str:
    """Write a decoded value on one line: strings as they are, all else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def parse_address(text: str, what: str = "an address") -> str:
    """Return a checksummed address; raises WrongUse, also for a wrong checksum (EIP-55)."""
    if not _ADDRESS.fullmatch(text):
        raise WrongUse(f"{text[:64]!r} is not {what}", hint="An address is 0x and 40 hexadecimal digits.")
    mixed = text[2:] != text[2:].lower() and text[2:] != text[2:].upper()
    if mixed and not is_checksum_address(text):
        raise WrongUse(f"the checksum of {text} is wrong", hint="A digit is mistyped; or write it in lower case.")
    return str(to_checksum_address(text))


def _argument(part: Mapping[str, Any], text: str, address: ParseAddress) -> Any:
    kind = str(part["type"])
    try:
        if kind.endswith("]") or kind == "tuple":
            return _from_json(part, orjson.loads(text), address)
        return _scalar(kind, text, address)
    except orjson.JSONDecodeError:
        raise WrongUse(
            f"argument {part.get('name') or ''} ({kind}): not JSON: {text[:80]!r}",
            hint="Write arrays and tuples as JSON: '[\"0x...\", 1]'. Large integers go in quotes.",
        ) from None
    except (WrongUse, NotFound) as error:
        message = f"argument {part.get('name') or ''} ({kind}): {error.message}"
        raise type(error)(message, hint=error.hint) from None


def _from_json(part: Mapping[str, Any], value: Any, address: ParseAddress) -> Any:
    kind = str(part["type"])
    array = _ARRAY.fullmatch(kind)
    if array is not None:
        if not isinstance(value, list):
            raise WrongUse(f"a JSON array is needed for {kind}")
        if array[2] and len(value) != int(array[2]):
            raise WrongUse(f"{kind} has {array[2]} items, not {len(value)}")
        return [_from_json({**part, "type": array[1]}, item, address) for item in value]
    if kind == "tuple":
        components = part.get("components", [])
        names = [component.get("name") for component in components]
        if isinstance(value, dict):
            if set(value) != set(names):
                raise WrongUse(f"the tuple has the members {', '.join(map(str, names))}")
            value = [value[name] for name in names]
        if not isinstance(value, list) or len(value) != len(components):
            raise WrongUse(f"the tuple has {len(components)} members: a JSON array or object")
        return tuple(_from_json(component, item, address) for component, item in zip(components, value, strict=True))
    if isinstance(value, bool) and kind == "bool":
        return value
    if isinstance(value, int) and not isinstance(value, bool) and "int" in kind:
        return _scalar(kind, str(value), address)
    if not isinstance(value, str):
        raise WrongUse(f"{orjson.dumps(value)[:40].decode()} is not of type {kind}")
    return _scalar(kind, value, address)


def _scalar(kind: str, text: str, address: ParseAddress) -> Any:
    if kind.startswith(("uint", "int")):
        return _integer(kind, text)
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise WrongUse(f"{text[:40]!r} is neither true nor false")
        return text.lower() == "true"
    if kind == "address":
        return address(text)
    if kind == "string":
        return text
    if kind.startswith("bytes") or kind == "function":
        return _bytes(kind, text)
    raise WrongUse(f"arguments of type {kind} are not supported")


def _integer(kind: str, text: str) -> int:
    value = parse_integer(text)
    bits = int(kind.removeprefix("u").removeprefix("int") or "256")
    low, high = (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not low <= value <= high:
        raise WrongUse(f"{text} does not fit into {kind}")
    return value


def _bytes(kind: str, text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise WrongUse(f"{text[:40]!r} is not hexadecimal", hint="Write bytes as 0x and pairs of digits.")
    data = bytes.fromhex(text[2:])
    size = 24 if kind == "function" else int(kind.removeprefix("bytes") or "-1")
    if size >= 0 and len(data) != size:
        raise WrongUse(f"{kind} is {size} bytes long, not {len(data)}")
    return data


def _plain(part: Mapping[str, Any], value: Any) -> Any:
    kind = str(part["type"])
    array = _ARRAY.fullmatch(kind)
    if array is not None:
        return [_plain({**part, "type": array[1]}, item) for item in value]
    if kind == "tuple":
        components = part.get("components", [])
        plain = [_plain(component, item) for component, item in zip(components, value, strict=True)]
        names = [str(component.get("name") or "") for component in components]
        return dict(zip(names, plain, strict=True)) if all(names) and len(set(names)) == len(names) else plain
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return str(value)
    return to_checksum_address(value) if kind == "address" else value


def _described(entry: Mapping[str, Any]) -> str:
    parts = [f"{t} {p.get('name') or ''}".strip() for t, p in zip(input_types(entry), entry["inputs"], strict=True)]
    return f"{entry.get('name') or 'constructor'}({', '.join(parts)})"


def _listing(functions: Sequence[Mapping[str, Any]]) -> str:
    return "It has " + (", ".join(sorted(signature(entry) for entry in functions)) or "no functions") + "."
