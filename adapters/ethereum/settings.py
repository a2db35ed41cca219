"""The Ethereum adapter's part of the constitution: chain id, fork, first accounts, access policy, gas and price."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from adapters.ethereum.fees import FeeRules
from core.errors import CocoError

Fork = Literal["cancun", "prague"]
Policy = Literal["members", "public", "private"]
Evm = Literal["compiled", "interpreted"]

CHAIN_ID_MAX = 2**63 - 37
"""EIP-2294: larger ones do not fit in a legacy transaction's v."""
BLOCK_GAS_LIMIT_MAX = 120_000_000
"""Keeps a block's receipts (at most a byte of log data per 8 gas) within what one ledger entry holds."""
BLOCK_GAS_LIMIT_DEFAULT = 60_000_000
TRANSACTION_GAS_LIMIT_DEFAULT = 16_777_216
"""EIP-7825."""
TRANSACTION_SECONDS_DEFAULT = 1.5
"""Processor time. What cannot be interrupted (a precompile in C, the writes at the end) comes on top, below 0.5 s."""
TRANSACTION_SECONDS_LIMIT = 60.0
CODE_BYTES_MAX = 24_576
"""EIP-170."""
ZERO_ADDRESS = bytes(20)

_ValueT = TypeVar("_ValueT")


@dataclass(frozen=True, slots=True)
class AllocatedAccount:
    """An account of the genesis. storage: slot -> value, both as integers; zero values are left out."""

    balance: int = 0
    nonce: int = 0
    code: bytes = b""
    storage: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """base_fee_wei 0: a free network. transaction_seconds_max: processor time.

    predeploy: whether genesis holds the CREATE2 factory and Multicall3.
    evm: how bytecode runs; results are the same.
    """

    chain_id: int
    fork: Fork = "cancun"
    alloc: Mapping[bytes, AllocatedAccount] = field(default_factory=dict)
    policy: Policy = "members"
    block_gas_limit: int = BLOCK_GAS_LIMIT_DEFAULT
    transaction_gas_limit: int = TRANSACTION_GAS_LIMIT_DEFAULT
    transaction_seconds_max: float = TRANSACTION_SECONDS_DEFAULT
    base_fee_wei: int = 0
    coinbase: bytes = ZERO_ADDRESS
    predeploy: bool = True
    evm: Evm = "compiled"

    @property
    def is_free(self) -> bool:
        return self.base_fee_wei == 0

    @property
    def is_prague(self) -> bool:
        return self.fork == "prague"

    @property
    def fees(self) -> FeeRules:
        return FeeRules(self.base_fee_wei, charged=not self.is_free)


def parse_settings(settings: Mapping[str, Any]) -> Settings:
    """Parse the settings; raises CocoError naming the field that is wrong."""
    fields = dict(settings)
    if "chain_id" not in fields:
        raise _wrong("chain_id", "is missing", "Give the network's chain id, such as 1337.")
    parsed = Settings(
        chain_id=_take(fields, "chain_id", None, lambda name, value: parse_integer(name, value, 1, CHAIN_ID_MAX)),
        fork=_take(fields, "fork", "cancun", _one_of("cancun", "prague")),
        alloc=_take(fields, "alloc", {}, _parse_alloc),
        policy=_take(fields, "policy", "members", _one_of("members", "public", "private")),
        block_gas_limit=_take(
            fields,
            "block_gas_limit",
            BLOCK_GAS_LIMIT_DEFAULT,
            lambda name, value: parse_integer(name, value, 21_000, BLOCK_GAS_LIMIT_MAX),
        ),
        transaction_gas_limit=_take(
            fields,
            "transaction_gas_limit",
            TRANSACTION_GAS_LIMIT_DEFAULT,
            lambda name, value: parse_integer(name, value, 21_000, BLOCK_GAS_LIMIT_MAX),
        ),
        transaction_seconds_max=_take(fields, "transaction_seconds_max", TRANSACTION_SECONDS_DEFAULT, _seconds),
        base_fee_wei=_take(fields, "base_fee_wei", 0, lambda name, value: parse_integer(name, value, 0, 2**63 - 1)),
        coinbase=_take(fields, "coinbase", "0x" + ZERO_ADDRESS.hex(), parse_address),
        predeploy=_take(fields, "predeploy", True, _boolean),
        evm=_take(fields, "evm", "compiled", _one_of("compiled", "interpreted")),
    )
    if fields:
        raise _wrong(sorted(map(str, fields))[0], "is not a setting of the ethereum adapter", "Remove it.")
    if parsed.transaction_gas_limit > parsed.block_gas_limit:
        raise _wrong("transaction_gas_limit", "is more than block_gas_limit", "Lower it, or raise block_gas_limit.")
    if sum(account.balance for account in parsed.alloc.values()) >= 2**256:
        raise _wrong("alloc", "holds balances that sum to 2^256 or more", "Lower them.")
    return parsed


def parse_integer(name: str, value: Any, least: int, most: int) -> int:
    """Parse an integer, or its decimal or 0x text; raises CocoError naming the field."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _wrong(name, "is not an integer", "Give a number, decimal text or 0x text.")
    try:
        number = value if isinstance(value, int) else int(value, 16 if value[:2].lower() == "0x" else 10)
    except ValueError:
        raise _wrong(name, f"is not an integer: {str(value)[:80]!r}", "Give decimal or 0x text.") from None
    if not least <= number <= most:
        raise _wrong(name, f"is {str(number)[:90]}", f"It must be from {least} to {most}.")
    return number


def parse_address(name: str, value: Any) -> bytes:
    """Parse the 0x text of a 20-byte address; raises CocoError naming the field."""
    address = parse_bytes(name, value)
    if len(address) != 20:
        raise _wrong(name, f"has {len(address)} bytes", "An address has 20 bytes, 40 hexadecimal digits after 0x.")
    return address


def parse_bytes(name: str, value: Any) -> bytes:
    """Parse 0x text; raises CocoError naming the field."""
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise _wrong(name, "is not 0x text", "Give 0x and hexadecimal digits.")
    try:
        data = bytes.fromhex(value[2:])
    except ValueError:
        raise _wrong(name, "is not hexadecimal", "Give 0x and an even number of hexadecimal digits.") from None
    if len(data) * 2 != len(value) - 2:
        raise _wrong(name, "is not hexadecimal", "Give 0x and hexadecimal digits without spaces.")
    return data


def _parse_alloc(name: str, value: Any) -> dict[bytes, AllocatedAccount]:
    if not isinstance(value, Mapping):
        raise _wrong(name, "is not an object", "Give address -> {balance, nonce, code, storage}.")
    alloc: dict[bytes, AllocatedAccount] = {}
    for key, account in value.items():
        address = parse_address(f"{name} key {str(key)[:50]!r}", key)
        if address in alloc:
            raise _wrong(f"{name}.{key}", "stands twice", "Keep one of the two.")
        alloc[address] = _parse_account(f"{name}.{key}", account)
    return alloc


def _parse_account(name: str, value: Any) -> AllocatedAccount:
    if not isinstance(value, Mapping):
        raise _wrong(name, "is not an object", "Give {balance, nonce, code, storage}.")
    fields = dict(value)
    account = AllocatedAccount(
        balance=parse_integer(f"{name}.balance", fields.pop("balance", 0), 0, 2**256 - 1),
        nonce=parse_integer(f"{name}.nonce", fields.pop("nonce", 0), 0, 2**64 - 2),
        code=parse_bytes(f"{name}.code", fields.pop("code", "0x")),
        storage=_parse_storage(f"{name}.storage", fields.pop("storage", {})),
    )
    if fields:
        raise _wrong(f"{name}.{sorted(map(str, fields))[0]}", "is not a field of an account", "Remove it.")
    if len(account.code) > CODE_BYTES_MAX:
        raise _wrong(f"{name}.code", f"has {len(account.code)} bytes", f"The bound is {CODE_BYTES_MAX} (EIP-170).")
    if account.storage and not (account.nonce or account.code):
        raise _wrong(f"{name}.storage", "belongs to an account without code and nonce", "Give it code or a nonce.")
    return account


def _parse_storage(name: str, value: Any) -> dict[int, int]:
    if not isinstance(value, Mapping):
        raise _wrong(name, "is not an object", "Give slot -> value.")
    storage: dict[int, int] = {}
    for key, content in value.items():
        slot = parse_integer(f"{name} key {str(key)[:80]!r}", key, 0, 2**256 - 1)
        if slot in storage:
            raise _wrong(f"{name}.{key}", "stands twice", "Keep one of the two.")
        storage[slot] = parse_integer(f"{name}.{key}", content, 0, 2**256 - 1)
    return {slot: content for slot, content in storage.items() if content}


def _take(fields: dict[str, Any], name: str, default: Any, parse: Callable[[str, Any], _ValueT]) -> _ValueT:
    value = fields.pop(name, default)
    return parse(name, default if value is None else value)


def _one_of(*allowed: str) -> Callable[[str, Any], Any]:
    def parse(name: str, value: Any) -> str:
        if value not in allowed:
            raise _wrong(name, f"is {str(value)[:40]!r}", f"It is one of: {', '.join(allowed)}.")
        return str(value)

    return parse


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, "is not a number", "Give seconds, such as 1.5.")
    if not 0.01 <= value <= TRANSACTION_SECONDS_LIMIT:
        raise _wrong(name, f"is {str(value)[:40]}", f"It must be from 0.01 to {TRANSACTION_SECONDS_LIMIT:g}.")
    return float(value)


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(name, "is not true or false", "Give true or false.")
    return value


def _wrong(name: str, what: str, hint: str) -> CocoError:
    return CocoError(f"ethereum setting {name} {what}", hint=hint)
