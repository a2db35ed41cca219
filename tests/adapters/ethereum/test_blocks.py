"""Headers and receipts encode as py-evm's own classes do."""

from __future__ import annotations

import rlp
from eth.rlp.logs import Log as VmLog
from eth.rlp.receipts import Receipt as VmReceipt
from eth.vm.forks.cancun.blocks import CancunBlockHeader
from eth.vm.forks.prague.blocks import PragueBlockHeader

from adapters.ethereum.blocks import (
    EMPTY_REQUESTS_HASH,
    EMPTY_UNCLES_HASH,
    encode_header,
    encode_receipt,
    header_hash,
    next_state_root,
)
from adapters.ethereum.bloom import combine, logs_bloom
from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Header, Log, Receipt
from adapters.ethereum.tries import EMPTY_ROOT
from core.kv.write_set import encode_domain

LOGS = (Log(b"a" * 20, (b"t" * 32, b"u" * 32), b"payload"), Log(b"b" * 20, (), b""))


def header(requests_hash: bytes | None) -> Header:
    return Header(
        parent_hash=b"p" * 32,
        coinbase=b"c" * 20,
        state_root=b"s" * 32,
        transactions_root=b"t" * 32,
        receipts_root=b"r" * 32,
        bloom=logs_bloom(LOGS),
        number=70_000,
        gas_limit=60_000_000,
        gas_used=21_000,
        timestamp=1_700_000_000,
        extra_data=b"coco",
        mix_hash=b"m" * 32,
        base_fee=7,
        parent_beacon_block_root=b"b" * 32,
        requests_hash=requests_hash,
    )


def vm_fields(ours: Header) -> dict[str, object]:
    return {
        "parent_hash": ours.parent_hash,
        "uncles_hash": EMPTY_UNCLES_HASH,
        "coinbase": ours.coinbase,
        "state_root": ours.state_root,
        "transaction_root": ours.transactions_root,
        "receipt_root": ours.receipts_root,
        "bloom": int.from_bytes(ours.bloom, "big"),
        "difficulty": 0,
        "block_number": ours.number,
        "gas_limit": ours.gas_limit,
        "gas_used": ours.gas_used,
        "timestamp": ours.timestamp,
        "extra_data": ours.extra_data,
        "mix_hash": ours.mix_hash,
        "nonce": bytes(8),
        "base_fee_per_gas": ours.base_fee,
        "withdrawals_root": EMPTY_ROOT,
        "blob_gas_used": 0,
        "excess_blob_gas": 0,
        "parent_beacon_block_root": ours.parent_beacon_block_root,
    }


def test_cancun_header() -> None:
    ours = header(None)
    theirs = CancunBlockHeader(**vm_fields(ours))
    assert encode_header(ours) == rlp.encode(theirs)
    assert header_hash(ours) == theirs.hash


def test_prague_header() -> None:
    ours = header(EMPTY_REQUESTS_HASH)
    theirs = PragueBlockHeader(**vm_fields(ours), requests_hash=EMPTY_REQUESTS_HASH)
    assert header_hash(ours) == theirs.hash
    assert EMPTY_REQUESTS_HASH.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_receipt_and_bloom() -> None:
    ours = Receipt(0, 1, 21_000, 21_000, 0, LOGS, logs_bloom(LOGS), None)
    logs = [VmLog(log.address, [int.from_bytes(topic, "big") for topic in log.topics], log.data) for log in LOGS]
    theirs = VmReceipt(b"\x01", 21_000, logs)
    assert int.from_bytes(ours.bloom, "big") == theirs.bloom
    assert encode_receipt(ours) == rlp.encode(theirs)
    typed = Receipt(2, 0, 21_000, 21_000, 0, (), bytes(256), None)
    assert encode_receipt(typed) == b"\x02" + rlp.encode(VmReceipt(b"", 21_000, []))


def test_a_blocks_bloom_holds_those_of_its_receipts() -> None:
    first, second = logs_bloom(LOGS[:1]), logs_bloom(LOGS[1:])
    assert combine([first, second, bytes(256)]) == logs_bloom(LOGS)
    assert combine([]) == bytes(256)


def test_state_root_is_canonical() -> None:
    one = {"accounts": {b"a": b"1", b"b": None}, "code": {}, "storage": {b"s": b"2"}}
    other = {"storage": {b"s": b"2"}, "accounts": {b"b": None, b"a": b"1"}}
    root = next_state_root(bytes(32), one)
    assert root == next_state_root(bytes(32), other)
    expected = encode_domain({"accounts": {b"a": b"1", b"b": None}, "storage": {b"s": b"2"}})
    assert root == keccak(bytes(32) + keccak(expected))
    assert root != next_state_root(b"\x01" * 32, one)
    assert root != next_state_root(bytes(32), {**one, "accounts": {b"a": b"1"}})
