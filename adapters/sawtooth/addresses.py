"""Addresses of the state: 70 hexadecimal digits, lower case. A prefix of whole bytes names all that begin with it.

Source: the validator's context manager.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

ADDRESS_BYTES = 35
NAMESPACE_BYTES = 3
ANY_NAMESPACE = b""
"""Stands for what no single namespace covers; nobody may be given it."""

_ADDRESS = re.compile(r"[0-9a-f]{70}")
_PREFIX = re.compile(r"(?:[0-9a-f]{2}){0,35}")

is_address = _ADDRESS.fullmatch
is_prefix = _PREFIX.fullmatch


def namespaces_of(prefixes: Iterable[str]) -> frozenset[bytes]:
    """Return the namespaces of prefixes; ANY_NAMESPACE for what is shorter or no prefix, and where there is none."""
    found = {
        bytes.fromhex(prefix[: 2 * NAMESPACE_BYTES])
        if len(prefix) >= 2 * NAMESPACE_BYTES and is_prefix(prefix) is not None
        else ANY_NAMESPACE
        for prefix in prefixes
    }
    return frozenset(found or {ANY_NAMESPACE})


def short_hash(text: str, digits: int = 16) -> str:
    """Return the first hexadecimal digits of a text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def family_namespace(family: str) -> str:
    """Return the namespace that most families use: the first six digits of the name's SHA-512."""
    return hashlib.sha512(family.encode()).hexdigest()[: 2 * NAMESPACE_BYTES]


def dotted_address(start: str, name: str, first_digits: int = 16) -> str:
    """Return the address of a dotted name: four parts, a hash of each; what is over four stays in the last."""
    parts = name.split(".", maxsplit=3)
    parts += [""] * (4 - len(parts))
    return start + short_hash(parts[0], first_digits) + "".join(map(short_hash, parts[1:]))


def setting_address(key: str) -> str:
    """Return where the settings family keeps a setting."""
    return dotted_address("000000", key)


def role_address(name: str) -> str:
    """Return where the identity family keeps a role."""
    return dotted_address("00001d01", name, 14)


def policy_address(name: str) -> str:
    """Return where the identity family keeps a policy."""
    return "00001d00" + short_hash(name, 62)


SETTINGS_NAMESPACE = "000000"
IDENTITY_NAMESPACE = "00001d"
BLOCK_INFO_NAMESPACE = "00b10c"
BLOCK_INFO_CONFIG = BLOCK_INFO_NAMESPACE + "01" + "0" * 62


def block_info_address(number: int) -> str:
    """Return where the block_info family keeps a block's record."""
    return f"{BLOCK_INFO_NAMESPACE}00{number:062x}"
