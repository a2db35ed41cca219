"""Signed transactions against eth_account and against our own gateway's decoder."""

from __future__ import annotations

import pytest
from eth_account import Account

from adapters.ethereum.settings import parse_settings
from adapters.ethereum.transactions import decode_transaction
from adapters.jsonrpc import RpcError
from cli.load.signing import Fees, Signer, balance_data, derive_keys, transfer_data

KEY = bytes(31) + b"\x05"
TO = b"\x44" * 20


def test_a_transaction_is_what_eth_account_signs() -> None:
    raw, digest = Signer(KEY, 1337).sign(3, TO, value=7, data=b"\x01\x02", gas=90_000, fees=Fees(10, 2))
    fields = {
        "type": 2, "chainId": 1337, "nonce": 3, "to": "0x" + TO.hex(), "value": 7, "data": b"\x01\x02", "gas": 90_000,
        "maxFeePerGas": 10, "maxPriorityFeePerGas": 2,
    }  # fmt: skip
    signed = Account.from_key(KEY).sign_transaction(fields)
    assert (raw, digest) == (bytes(signed.raw_transaction), bytes(signed.hash))


def test_our_gateway_takes_it() -> None:
    signer = Signer(KEY, 1337)
    settings = parse_settings({"chain_id": 1337})
    for to in (TO, None):
        raw, digest = signer.sign(0, to, data=b"\x60\x01", gas=90_000, fees=Fees())
        decoded = decode_transaction(raw, settings)
        assert (decoded.sender, decoded.hash, decoded.to) == (signer.address, digest, to)
    with pytest.raises(RpcError, match="invalid chain id"):
        decode_transaction(Signer(KEY, 7).sign(0, TO, gas=21_000, fees=Fees())[0], settings)


def test_addresses_and_keys() -> None:
    assert "0x" + Signer(KEY, 1).address.hex() == Account.from_key(KEY).address.lower()
    keys = derive_keys(b"secret", 3)
    assert keys == derive_keys(b"secret", 3)
    assert len(set(keys)) == 3
    assert set(keys).isdisjoint(derive_keys(b"other", 3))


def test_call_data() -> None:
    assert transfer_data(TO, 1).hex() == "a9059cbb" + "00" * 12 + "44" * 20 + "00" * 31 + "01"
    assert balance_data(TO).hex() == "70a08231" + "00" * 12 + "44" * 20
