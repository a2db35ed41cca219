"""Settings: what they accept, and that each wrong field is named."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.ethereum.settings import AllocatedAccount, parse_settings
from core.errors import CocoError

ADDRESS = "0x" + "ab" * 20


def test_defaults() -> None:
    parsed = parse_settings({"chain_id": 1337})
    assert (parsed.fork, parsed.policy, parsed.predeploy, parsed.evm) == ("cancun", "members", True, "compiled")
    assert (parsed.block_gas_limit, parsed.transaction_gas_limit) == (60_000_000, 16_777_216)
    assert parsed.is_free
    assert not parsed.fees.charged


def test_everything_given() -> None:
    account = {"balance": "0x10", "nonce": 1, "code": "0x00", "storage": {"0x1": "0x2", "2": 0}}
    parsed = parse_settings(
        {
            "chain_id": "0x539",
            "fork": "prague",
            "alloc": {ADDRESS: account, "0x" + "01" * 20: {"balance": "12"}},
            "policy": "private",
            "block_gas_limit": 30_000_000,
            "transaction_gas_limit": 1_000_000,
            "base_fee_wei": 7,
            "coinbase": ADDRESS,
            "predeploy": False,
            "evm": "interpreted",
        }
    )
    assert parsed.alloc[b"\xab" * 20] == AllocatedAccount(16, 1, b"\x00", {1: 2})
    assert parsed.alloc[b"\x01" * 20].balance == 12
    assert parsed.is_prague
    assert (parsed.fees.base_fee, parsed.fees.charged) == (7, True)


def test_null_means_the_default() -> None:
    assert parse_settings({"chain_id": 1, "base_fee_wei": None, "coinbase": None}).is_free


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"chain_id": 0}, "chain_id"),
        ({"chain_id": 2**63}, "chain_id"),
        ({"chain_id": True}, "chain_id"),
        ({"chain_id": "many"}, "chain_id"),
        ({"fork": "london"}, "fork"),
        ({"policy": []}, "policy"),
        ({"block_gas_limit": 20_999}, "block_gas_limit"),
        ({"block_gas_limit": 10**12}, "block_gas_limit"),
        ({"block_gas_limit": 1_000_000, "transaction_gas_limit": 2_000_000}, "transaction_gas_limit"),
        ({"base_fee_wei": -1}, "base_fee_wei"),
        ({"coinbase": "0x00"}, "coinbase"),
        ({"coinbase": 0}, "coinbase"),
        ({"predeploy": "yes"}, "predeploy"),
        ({"evm": "jit"}, "evm"),
        ({"gas": 1}, "gas"),
        ({"alloc": []}, "alloc"),
        ({"alloc": {"0x12": {}}}, "alloc"),
        ({"alloc": {ADDRESS: 1}}, "alloc"),
        ({"alloc": {ADDRESS: {"balance": 2**256}}}, "balance"),
        ({"alloc": {ADDRESS: {"balance": "1.5"}}}, "balance"),
        ({"alloc": {ADDRESS: {"nonce": 2**64 - 1}}}, "nonce"),
        ({"alloc": {ADDRESS: {"code": "00"}}}, "code"),
        ({"alloc": {ADDRESS: {"code": "0x0"}}}, "code"),
        ({"alloc": {ADDRESS: {"code": "0x00 00"}}}, "code"),
        ({"alloc": {ADDRESS: {"code": "0x" + "00" * 24_577}}}, "code"),
        ({"alloc": {ADDRESS: {"storage": {"1": 1}}}}, "storage"),
        ({"alloc": {ADDRESS: {"nonce": 1, "storage": {"1": 2**256}}}}, "storage"),
        ({"alloc": {ADDRESS: {"nonce": 1, "storage": {"1": 1, "0x1": 1}}}}, "storage"),
        ({"alloc": {ADDRESS: {"colour": 1}}}, "colour"),
        ({"alloc": {ADDRESS: {}, ADDRESS.upper().replace("X", "x"): {}}}, "twice"),
        ({"alloc": {ADDRESS: {"balance": 2**255}, "0x" + "01" * 20: {"balance": 2**255}}}, "alloc"),
    ],
)
def test_wrong_settings_name_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(CocoError, match=field):
        parse_settings({"chain_id": 1337, **change})


def test_a_missing_chain_id() -> None:
    with pytest.raises(CocoError, match="chain_id"):
        parse_settings({})
