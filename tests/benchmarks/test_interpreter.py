"""The executor alone, as benchmarks/rpc.py runs it for its `share`."""

from __future__ import annotations

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount

from adapters.jsonrpc import RpcError
from benchmarks.interpreter import executor_per_second
from benchmarks.rpc import CHAIN_ID, sign

ALICE: LocalAccount = Account.from_key(b"\x01" * 32)


def transfer(account: LocalAccount, nonce: int) -> tuple[str, str]:
    return sign(account, nonce, "0x" + "11" * 20, value=1, gas=21_000)


def test_transactions_are_executed() -> None:
    assert executor_per_second(CHAIN_ID, ALICE, [], transfer, 3) > 0


def test_one_that_cannot_run_is_no_figure() -> None:
    with pytest.raises(RpcError, match="nonce"):
        executor_per_second(CHAIN_ID, ALICE, [], lambda account, nonce: transfer(account, 7), 1)
