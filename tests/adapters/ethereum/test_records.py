"""Records come back as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ethereum import records
from adapters.ethereum.bloom import logs_bloom
from adapters.ethereum.keccak import EMPTY_CODE_HASH
from adapters.ethereum.model import Block, Header, Log, Receipt
from adapters.ethereum.records import AccountRecord
from core.errors import InvariantBroken

HASHES = st.one_of(st.just(EMPTY_CODE_HASH), st.binary(min_size=32, max_size=32))


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1), HASHES)
@settings(max_examples=200, deadline=None)
def test_accounts(nonce: int, balance: int, code_hash: bytes) -> None:
    account = AccountRecord(nonce, balance, code_hash)
    assert records.decode_account(records.encode_account(account)) == account


def test_blocks() -> None:
    roots = (b"s" * 32, b"t" * 32, b"r" * 32)
    header = Header(b"p" * 32, b"c" * 20, *roots, bytes(256), 9, 60, 21, 17, b"", b"m" * 32, 0, bytes(32), None)
    block = Block(header, b"h" * 32, (b"1" * 32, b"2" * 32), 40)
    assert records.decode_block(records.encode_block(block)) == block


def test_receipts() -> None:
    logs = (Log(b"a" * 20, (b"t" * 32,), b"x"),)
    receipts = (
        Receipt(2, 1, 21_000, 21_000, 2**200, logs, logs_bloom(logs), None),
        Receipt(0, 0, 42_000, 21_000, 0, (), bytes(256), b"c" * 20),
    )
    assert records.decode_receipts(records.encode_receipts(receipts)) == receipts


def test_another_version_is_refused() -> None:
    with pytest.raises(InvariantBroken):
        records.decode_head(b"\x02\x94")
