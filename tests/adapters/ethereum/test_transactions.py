"""Decoding of raw transactions: what passes, and geth's text for what does not."""

from __future__ import annotations

from typing import Any

import pytest
from eth_account import Account

from adapters.ethereum.keccak import keccak
from adapters.ethereum.rlp_codec import decode, encode
from adapters.ethereum.signatures import SECP256K1_N
from adapters.ethereum.transactions import decode_stored, decode_transaction, encode_stored
from adapters.jsonrpc import RpcError
from core.errors import InvariantBroken
from tests.adapters.ethereum.evm_support import ADDRESSES, ALICE, BOB, CHAIN_ID, KEYS, settings_with, sign

SETTINGS = settings_with()
PRAGUE = settings_with(fork="prague")
ACCESS_LIST = [{"address": "0x" + "aa" * 20, "storageKeys": ["0x" + "00" * 31 + "05"]}]


def refused(raw: bytes, settings: Any = SETTINGS) -> RpcError:
    with pytest.raises(RpcError) as caught:
        decode_transaction(raw, settings)
    return caught.value


def authorization(nonce: int = 0) -> Any:
    return KEYS[1].sign_authorization({"chainId": CHAIN_ID, "address": "0x" + "bb" * 20, "nonce": nonce})


def set_code(**fields: Any) -> bytes:
    return sign(0, to=BOB, authorizationList=[authorization()], **fields)


def resigned(raw: bytes, position: int, change: Any) -> bytes:
    """Change one item of an encoded type 2 transaction, signature left as it was."""
    items = decode(raw[1:])
    assert isinstance(items, list)
    items[position] = change
    return raw[:1] + encode(items)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (0, {"gasPrice": 5}),
        (1, {"gasPrice": 5, "accessList": ACCESS_LIST}),
        (2, {"maxFeePerGas": 9, "maxPriorityFeePerGas": 2, "accessList": ACCESS_LIST}),
    ],
)
def test_each_type_decodes(kind: int, fields: dict[str, Any]) -> None:
    raw = sign(0, to=BOB, value=3, data=b"\x00\x01", nonce=4, **fields)
    signed = decode_transaction(raw, SETTINGS)
    assert signed.type == kind
    assert signed.sender == ALICE
    assert signed.hash == keccak(raw)
    assert signed.raw == raw
    assert (signed.to, signed.value, signed.data, signed.nonce) == (BOB, 3, b"\x00\x01", 4)
    assert (signed.chain_id, signed.gas_limit) == (CHAIN_ID, 100_000)
    if kind:
        assert signed.access_list == ((b"\xaa" * 20, (5,)),)
    if kind == 2:
        assert (signed.gas_price, signed.max_fee, signed.max_priority_fee) == (9, 9, 2)
    else:
        assert (signed.gas_price, signed.max_fee, signed.max_priority_fee) == (5, 5, 5)
    assert decode_stored(encode_stored(signed)) == signed


def test_a_creation_has_no_recipient() -> None:
    assert decode_transaction(sign(0, data=b"\x00"), SETTINGS).to is None


def test_senders_are_recovered() -> None:
    for number, address in enumerate(ADDRESSES):
        assert decode_transaction(sign(number, to=BOB), SETTINGS).sender == address


@pytest.mark.parametrize("size_bytes", [0, 1, 40, 56, 60, 200, 260, 65_600])
@pytest.mark.parametrize("fields", [{"gasPrice": 5}, {"gasPrice": 5, "accessList": ACCESS_LIST}, {"maxFeePerGas": 9}])
def test_senders_are_recovered_whatever_the_length(fields: dict[str, Any], size_bytes: int) -> None:
    """What was signed is cut out of the encoding: headers of every length, and signatures with leading zeros."""
    for nonce in range(3 if size_bytes > 1_000 else 40):
        raw = sign(0, to=BOB, data=bytes(size_bytes), gas=10_000_000, nonce=nonce, **fields)
        assert decode_transaction(raw, SETTINGS).sender == ALICE


def test_set_code_only_under_prague() -> None:
    raw = set_code()
    signed = decode_transaction(raw, PRAGUE)
    assert signed.type == 4
    assert signed.authorizations[0].address == b"\xbb" * 20
    assert decode_stored(encode_stored(signed)) == signed
    assert refused(raw).message == "transaction type not supported"


def test_set_code_needs_an_authorization_and_a_recipient() -> None:
    raw = set_code()
    error = refused(resigned(raw, 9, []), PRAGUE)
    assert error.message == "set code tx must have at least one authorization tuple"
    assert refused(resigned(raw, 5, b""), PRAGUE).code == -32602


def test_blobs_are_refused_before_decoding() -> None:
    error = refused(b"\x03 anything at all")
    assert error.code == -32000
    assert "blobs" in error.message


@pytest.mark.parametrize("raw", [b"\x00", b"\x05\xc0", b"\x7f\xc0", b"\x80", b"\xb8"])
def test_other_types(raw: bytes) -> None:
    assert refused(raw).message == "transaction type not supported"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x02",
        b"\x02\xc0",
        b"\xc0",
        b"\xf8",
        sign(0, to=BOB) + b"\x00",
        sign(0, to=BOB)[:-1],
        sign(0, to=BOB, gasPrice=1) + b"\x00",
        resigned(sign(0, to=BOB), 1, b"\x00"),  # an integer with a leading zero
        resigned(sign(0, to=BOB), 1, b"\x01" * 9),  # a nonce over 64 bits
        resigned(sign(0, to=BOB), 3, b"\x01" * 33),
        resigned(sign(0, to=BOB), 5, b"\x01" * 19),
        resigned(sign(0, to=BOB), 5, [b"\x01"]),
        resigned(sign(0, to=BOB), 8, b""),
        resigned(sign(0, to=BOB), 8, [[b"\x01" * 20]]),
        resigned(sign(0, to=BOB), 8, [[b"\x01" * 20, [b"\x01" * 31]]]),
        resigned(sign(0, to=BOB), 8, [[b"\x01" * 20, b"\x01"]]),
    ],
)
def test_what_does_not_decode_is_an_invalid_parameter(raw: bytes) -> None:
    assert refused(raw).code == -32602


def test_oversized() -> None:
    raw = b"\x02" + bytes(131_072)
    error = refused(raw)
    assert error.message == "oversized data: transaction size 131073, limit 131072"


def test_another_chain() -> None:
    assert refused(sign(0, to=BOB, chainId=1)).message == "invalid chain id for signer: have 1 want 1337"
    assert refused(sign(0, to=BOB, chainId=1, gasPrice=1)).message == "invalid chain id for signer: have 1 want 1337"


def test_without_replay_protection() -> None:
    body = {"nonce": 0, "gas": 21_000, "value": 0, "to": BOB, "gasPrice": 1, "data": b""}
    raw = bytes(Account.from_key(b"\x01" * 32).sign_transaction(body).raw_transaction)
    error = refused(raw)
    assert (error.code, error.message) == (
        -32000,
        "only replay-protected (EIP-155) transactions allowed over RPC",
    )


def test_gas_limits() -> None:
    over = refused(sign(0, to=BOB, gas=16_777_217))
    assert over.message == "transaction gas limit too high (cap: 16777216, tx: 16777217)"
    low = refused(sign(0, to=BOB, gas=20_999))
    assert low.message == "intrinsic gas too low: gas 20999, minimum needed 21000"
    assert decode_transaction(sign(0, to=BOB, gas=21_000), SETTINGS).gas_limit == 21_000
    creation = refused(sign(0, data=b"\x01" * 33, gas=53_000))
    assert creation.message == f"intrinsic gas too low: gas 53000, minimum needed {53_000 + 33 * 16 + 4}"
    listed = refused(sign(0, to=BOB, accessList=ACCESS_LIST, gas=25_299))
    assert listed.message == "intrinsic gas too low: gas 25299, minimum needed 25300"
    authorized = refused(set_code(gas=45_999), PRAGUE)
    assert authorized.message == "intrinsic gas too low: gas 45999, minimum needed 46000"


def test_the_floor_price_of_data_under_prague() -> None:
    raw = sign(0, to=BOB, data=b"\x01" * 100, gas=24_999)
    assert decode_transaction(raw, SETTINGS).gas_limit == 24_999
    error = refused(raw, PRAGUE)
    assert error.message == "insufficient gas for floor data gas cost: gas 24999, minimum needed 25000"


def test_initcode_limit() -> None:
    error = refused(sign(0, data=bytes(49_153), gas=10_000_000))
    assert error.message == "max initcode size exceeded: code size 49153, limit 49152"
    assert decode_transaction(sign(0, data=bytes(49_152), gas=10_000_000), SETTINGS).to is None


def test_the_tip_is_at_most_the_max_fee() -> None:
    error = refused(sign(0, to=BOB, maxFeePerGas=1, maxPriorityFeePerGas=2))
    assert error.message == "max priority fee per gas higher than max fee per gas"


@pytest.mark.parametrize(
    ("position", "change"),
    [
        (9, b"\x02"),  # y parity
        (10, b""),  # r = 0
        (11, b""),
        (10, SECP256K1_N.to_bytes(32, "big")),
        (11, (SECP256K1_N // 2 + 1).to_bytes(32, "big")),  # high s
        (10, b"\x05"),  # no point has this x
    ],
)
def test_bad_signatures(position: int, change: bytes) -> None:
    error = refused(resigned(sign(0, to=BOB), position, change))
    assert (error.code, error.message) == (-32000, "invalid transaction v, r, s values")


def test_a_changed_field_changes_the_sender() -> None:
    changed = decode_transaction(resigned(sign(0, to=BOB), 6, b"\x01"), SETTINGS)
    assert changed.sender != ALICE


def test_stored_form_of_another_version() -> None:
    with pytest.raises(InvariantBroken):
        decode_stored(b"\x02" + encode_stored(decode_transaction(sign(0, to=BOB), SETTINGS))[1:])
    with pytest.raises(InvariantBroken):
        decode_stored(b"\x01")
