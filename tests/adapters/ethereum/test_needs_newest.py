"""Which Ethereum queries must see what anybody was told before, and which need not."""

from __future__ import annotations

import pytest

from adapters.ethereum.adapter import EthereumAdapter
from adapters.ethereum.call_wire import WireCall
from adapters.ethereum.requests import (
    QUERIES,
    AdvanceFilter,
    BlockAt,
    BlockNumber,
    BoundAddresses,
    Call,
    Criteria,
    EstimateGas,
    FilterState,
    FindEntry,
    Follow,
    GetBalance,
    GetBlock,
    GetCode,
    GetNonce,
    GetPool,
    GetReceipt,
    GetStorage,
    GetTransaction,
    InstallFilter,
    Query,
    UninstallFilter,
)

ADDRESS, HASH = b"\1" * 20, b"\2" * 32
LATEST, PAST = BlockAt(), BlockAt(7)
CALL = WireCall(ADDRESS, ADDRESS, b"", b"", None, None, None, None, (), ())


@pytest.mark.parametrize(
    "query",
    [
        GetReceipt(HASH), GetTransaction(HASH), FindEntry(HASH), BlockNumber(), BoundAddresses(),
        GetBalance(ADDRESS, LATEST), GetCode(ADDRESS, LATEST), GetStorage(ADDRESS, bytes(32), LATEST),
        GetNonce(ADDRESS, LATEST), GetNonce(ADDRESS, BlockAt(pending=True)),
        Call(CALL, LATEST), EstimateGas(CALL, LATEST),
        GetBlock(LATEST, False), GetBlock(PAST, False), GetBalance(ADDRESS, PAST),
    ],
)  # fmt: skip
def test_look_ups_and_calls_do(query: Query) -> None:
    assert EthereumAdapter.needs_newest(None, QUERIES.encode(query))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "query",
    [
        Follow(((Criteria("heads"), 3),)), FilterState("1"), AdvanceFilter("1", 2, 3), InstallFilter(Criteria("heads")),
        UninstallFilter("1"), GetPool("status"),
    ],
)  # fmt: skip
def test_polls_and_the_nodes_own_queue_do_not(query: Query) -> None:
    assert not EthereumAdapter.needs_newest(None, QUERIES.encode(query))  # type: ignore[arg-type]
