"""Asking contracts: the calls that are made, what counts as yes, and what may be spent."""

from __future__ import annotations

import pytest
from eth_abi import encode
from hypothesis import given
from hypothesis import strategies as st

from adapters.ethereum.access import (
    CONTRACT_GAS_MAX,
    MAY_READ_LOG,
    QUERY_GAS_MAX,
    READERS_MAX,
    AccessChecks,
    AccessMemo,
    ChecksExhausted,
    encode_check,
)
from adapters.ethereum.model import CallRequest, CallResult, Log
from adapters.jsonrpc import RpcError

CONTRACT, READER = b"\xcc" * 20, b"\x0a" * 20
TRUE = (1).to_bytes(32, "big")
LOG = Log(CONTRACT, (b"\x01" * 32,), b"data")


class Contract:
    """Answers calls; remembers them. gas: what each uses beside a transaction's 21,000."""

    def __init__(self, answer: bytes = TRUE, *, error: str | None = None, gas: int = 5_000) -> None:
        self.calls: list[CallRequest] = []
        self.answer, self.error, self.gas = answer, error, gas

    def __call__(self, call: CallRequest) -> CallResult:
        self.calls.append(call)
        return CallResult(self.answer, 21_000 + self.gas, self.error)


def checks(contract: Contract, *readers: bytes, memo: AccessMemo | None = None, head: bytes = b"head") -> AccessChecks:
    return AccessChecks(contract, memo or AccessMemo(), head, readers)


@given(
    reader=st.binary(min_size=20, max_size=20),
    topics=st.lists(st.binary(min_size=32, max_size=32), max_size=4),
    data=st.binary(max_size=100),
)
def test_encoding_is_the_abi(reader: bytes, topics: list[bytes], data: bytes) -> None:
    expected = encode(["address", "bytes32[]", "bytes"], ["0x" + reader.hex(), topics, data])
    assert encode_check(reader, Log(CONTRACT, tuple(topics), data)) == MAY_READ_LOG + expected


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (bytes(32), None),
        (b"", None),
        (TRUE + b"\x00", None),
        (TRUE[1:], None),
        (b"\x02".rjust(32, b"\x00"), None),
        (TRUE, "revert"),
        (TRUE, "out of gas"),
    ],
)
def test_anything_but_true_denies(answer: bytes, error: str | None) -> None:
    assert not checks(Contract(answer, error=error), READER).admits(LOG)


def test_true_admits_and_is_asked_as_the_reader() -> None:
    contract = Contract()
    assert checks(contract, READER).admits(LOG)
    (call,) = contract.calls
    assert (call.sender, call.to) == (READER, CONTRACT)


def test_a_call_that_cannot_begin_denies() -> None:
    def refuse(call: CallRequest) -> CallResult:
        raise RpcError(-32000, "intrinsic gas too low")

    assert not AccessChecks(refuse, AccessMemo(), b"head", (READER,)).admits(LOG)


def test_nobody_is_the_zero_address() -> None:
    contract = Contract(b"")
    assert not checks(contract).admits(LOG)
    assert contract.calls[0].sender == bytes(20)


def test_every_address_is_tried_up_to_a_bound() -> None:
    contract = Contract(b"")
    readers = [index.to_bytes(20, "big") for index in range(1, READERS_MAX + 10)]
    assert not checks(contract, *readers).admits(LOG)
    assert [call.sender for call in contract.calls] == readers[:READERS_MAX]


def test_answers_are_remembered_on_one_head() -> None:
    contract, memo = Contract(), AccessMemo()
    for _ in range(3):
        assert checks(contract, READER, memo=memo).admits(LOG)
    assert len(contract.calls) == 1
    contract.answer = b""
    assert not checks(contract, READER, memo=memo, head=b"next").admits(LOG)


def test_what_one_contract_may_spend_on_a_block() -> None:
    contract = Contract(gas=CONTRACT_GAS_MAX)
    asked = checks(contract, READER)
    other = Log(CONTRACT, LOG.topics, b"other")
    assert asked.admits(LOG)
    assert not asked.admits(other)
    assert asked.admits(Log(b"\xdd" * 20, LOG.topics, b""))
    asked.open_block()
    assert asked.admits(other)


def test_the_share_of_a_block_is_the_same_from_memory() -> None:
    contract, memo = Contract(gas=CONTRACT_GAS_MAX), AccessMemo()
    for _ in range(2):
        asked = checks(contract, READER, memo=memo)
        other = Log(CONTRACT, LOG.topics, b"other")
        assert [asked.admits(LOG), asked.admits(other)] == [True, False]


def test_what_a_query_may_spend() -> None:
    contract, memo = Contract(gas=QUERY_GAS_MAX), AccessMemo()
    asked = checks(contract, READER, memo=memo)
    assert asked.admits(LOG)
    asked.open_block()
    with pytest.raises(ChecksExhausted):
        asked.admits(Log(CONTRACT, LOG.topics, b"other"))
    assert checks(contract, READER, memo=memo).admits(LOG)  # from memory, for nothing


def test_interface_is_asked_with_all_three_questions() -> None:
    contract = Contract()
    assert not checks(contract, READER).implements(CONTRACT)  # says true to 0xffffffff, too
    assert [call.data[4:8].hex() for call in contract.calls] == ["01ffc9a7", "ffffffff"]
