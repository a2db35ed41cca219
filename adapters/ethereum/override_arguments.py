"""Reads the state overrides of a call. Source: go-ethereum's internal/ethapi/override; the bounds are ours."""

from __future__ import annotations

from adapters.ethereum.arguments import (
    ArgumentError,
    cannot_unmarshal,
    json_kind,
    read_address,
    read_bytes,
    read_hash,
    read_uint64,
    read_uint256,
)
from adapters.ethereum.model import AccountOverride, Slots
from adapters.ethereum.settings import CODE_BYTES_MAX

OVERRIDES_MAX = 16
SLOTS_MAX = 1_024
"""In all accounts of one request."""

_MEMBERS = frozenset(("nonce", "balance", "code", "state", "stateDiff"))


def read_overrides(value: object) -> tuple[AccountOverride, ...]:
    """Read an object of accounts by address."""
    if not isinstance(value, dict):
        raise cannot_unmarshal(json_kind(value), "override.StateOverride", "")
    if len(value) > OVERRIDES_MAX:
        raise ArgumentError(f"more than {OVERRIDES_MAX} state overrides")
    overrides = tuple(_read_account(read_address(key), account) for key, account in value.items())
    if len({one.address for one in overrides}) != len(overrides):
        raise ArgumentError("an account is overridden twice")
    if sum(len(one.state or ()) + len(one.state_diff) for one in overrides) > SLOTS_MAX:
        raise ArgumentError(f"more than {SLOTS_MAX} overridden storage slots")
    return overrides


def read_no_override(value: object) -> None:
    """Read the block overrides, of which there are none."""
    if value != {}:
        raise ArgumentError("block overrides are not supported by this network")


def _read_account(address: bytes, value: object) -> AccountOverride:
    if not isinstance(value, dict):
        raise cannot_unmarshal(json_kind(value), "override.OverrideAccount", "")
    if unknown := sorted(str(name) for name, one in value.items() if name not in _MEMBERS and one is not None):
        raise ArgumentError(f"state override {unknown[0][:40]!r} is not supported by this network")
    nonce, balance, code = value.get("nonce"), value.get("balance"), value.get("code")
    state, difference = value.get("state"), value.get("stateDiff")
    if state is not None and difference is not None:
        raise ArgumentError(f"account 0x{address.hex()} has both 'state' and 'stateDiff'")
    read_code = None if code is None else read_bytes(code, "OverrideAccount.code")
    if read_code is not None and len(read_code) > CODE_BYTES_MAX:
        raise ArgumentError(f"code of {len(read_code)} bytes; the bound is {CODE_BYTES_MAX}")
    return AccountOverride(
        address,
        None if nonce is None else read_uint64(nonce, "OverrideAccount.nonce"),
        None if balance is None else read_uint256(balance, "OverrideAccount.balance"),
        read_code,
        None if state is None else _read_slots(state, "OverrideAccount.state"),
        () if difference is None else _read_slots(difference, "OverrideAccount.stateDiff"),
    )


def _read_slots(value: object, field: str) -> Slots:
    if not isinstance(value, dict):
        raise cannot_unmarshal(json_kind(value), "map[common.Hash]common.Hash", field)
    return tuple(
        (int.from_bytes(read_hash(slot, field), "big"), int.from_bytes(read_hash(content, field), "big"))
        for slot, content in value.items()
    )
