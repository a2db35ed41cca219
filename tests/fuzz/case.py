"""A case: a small world, a block's environment and a few transactions. Plain data, kept as JSON, replayed exactly.

A transaction names its sender by the number of a well-known key and its nonce as an offset from the sender's next one,
so that a shrinker can drop transactions without making the ones after them invalid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CASE_VERSION = 1
CHAIN_ID = 1337


@dataclass(frozen=True, slots=True)
class Account:
    nonce: int = 0
    balance: int = 0
    code: bytes = b""
    storage: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Authorization:
    """key: of the authority. nonce: offset from the authority's nonce. tamper: what is wrong with the signature."""

    key: int
    address: bytes
    chain_id: int = CHAIN_ID
    nonce: int = 0
    tamper: str = ""


@dataclass(frozen=True, slots=True)
class Tx:
    """fee: the gas price of types 0 and 1, the max fee of types 2 and 4. nonce: offset from the sender's next one."""

    type: int
    key: int
    gas: int
    to: bytes | None
    value: int = 0
    data: bytes = b""
    fee: int = 0
    tip: int = 0
    nonce: int = 0
    chain_id: int = CHAIN_ID
    access_list: tuple[tuple[bytes, tuple[int, ...]], ...] = ()
    authorizations: tuple[Authorization, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """free: nothing is charged for gas (all fees are 0). number: of the block. note: what the case is about.

    allowed: difference (oracle:what) -> whose fault it is, for a case that records a fault of an oracle.
    """

    fork: str
    accounts: Mapping[bytes, Account]
    transactions: tuple[Tx, ...]
    base_fee: int = 7
    free: bool = False
    number: int = 1
    timestamp: int = 1_700_000_000
    coinbase: bytes = b"\xc0" * 20
    prevrandao: bytes = b"\x07" * 32
    note: str = ""
    allowed: Mapping[str, str] = field(default_factory=dict)


def ancestor_hash(number: int) -> bytes:
    """Return the hash that every implementation is told for a block before the case's."""
    return b"\xaa" * 24 + number.to_bytes(8, "big")


def dump(case: Case) -> str:
    """Return the case as JSON text."""
    return json.dumps({"version": CASE_VERSION, **_plain(case)}, indent=1) + "\n"


def load(path: Path) -> Case:
    """Read a case file; raises ValueError on another version."""
    data = json.loads(path.read_text())
    if data.pop("version") != CASE_VERSION:
        raise ValueError(f"{path} is of another version than {CASE_VERSION}")
    accounts = {
        _bytes(address): Account(
            account["nonce"],
            account["balance"],
            _bytes(account["code"]),
            {int(slot): value for slot, value in account["storage"].items()},
        )
        for address, account in data.pop("accounts").items()
    }
    transactions = tuple(_transaction(item) for item in data.pop("transactions"))
    hexed = {name: _bytes(data.pop(name)) for name in ("coinbase", "prevrandao")}
    return Case(accounts=accounts, transactions=transactions, **hexed, **data)


def _transaction(item: dict[str, Any]) -> Tx:
    item["to"] = None if item["to"] is None else _bytes(item["to"])
    item["data"] = _bytes(item["data"])
    item["access_list"] = tuple((_bytes(address), tuple(slots)) for address, slots in item["access_list"])
    item["authorizations"] = tuple(
        Authorization(**{**entry, "address": _bytes(entry["address"])}) for entry in item["authorizations"]
    )
    return Tx(**item)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return value
