"""eth_call and eth_estimateGas: results, geth's errors, and that nothing is left behind."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi.abi import encode

from adapters.ethereum import chain
from adapters.ethereum.call_errors import execution_error, revert_reason
from adapters.ethereum.model import Block, CallRequest, CallResult
from adapters.ethereum.settings import AllocatedAccount
from adapters.ethereum.simulate import estimate_gas, simulate
from adapters.jsonrpc import RpcError
from tests.adapters.ethereum.evm_support import ALICE, BOB, Chain, initcode, settings_with

CONTRACT = b"\xcc" * 20
INNER = b"\xdd" * 20
POOR = b"\x99" * 20
CAP = 500_000

STORE_AND_RETURN = bytes.fromhex("602a60005560005460005260206000f3")
RETURN_NUMBER = bytes.fromhex("4360005260206000f3")
RETURN_BASE_FEE = bytes.fromhex("4860005260206000f3")
REVERT_CALLDATA = bytes.fromhex("366000600037366000fd")
INVALID = b"\xfe"
LOOP = bytes.fromhex("5b600056")


def network(code: bytes, **changes: Any) -> tuple[Chain, Block]:
    made = Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=code)}, **changes))
    return made, made.genesis


def run(code: bytes, data: bytes = b"", sender: bytes = ALICE, **fields: Any) -> CallResult:
    made, block = network(code)
    return simulate(made.read(), CallRequest(sender, CONTRACT, data, **fields), block, made.settings, gas_cap=CAP)


def estimate(made: Chain, call: CallRequest, cap: int = CAP) -> int:
    return estimate_gas(made.read(), call, made.genesis, made.settings, gas_cap=cap)


def test_a_call_returns_and_leaves_nothing() -> None:
    made, block = network(STORE_AND_RETURN)
    transaction = made.read()
    result = simulate(transaction, CallRequest(ALICE, CONTRACT, b""), block, made.settings, gas_cap=CAP)
    assert result.error is None
    assert int.from_bytes(result.return_data, "big") == 42
    assert not transaction.inner.take_write_set()
    assert chain.storage_at(made.read(), CONTRACT, 0) == 0


def test_a_call_sees_the_block_it_runs_after() -> None:
    made, _ = network(RETURN_NUMBER)
    made.send(0, to=BOB)
    block = made.close()
    result = simulate(made.read(), CallRequest(ALICE, CONTRACT, b""), block, made.settings, gas_cap=CAP)
    assert int.from_bytes(result.return_data, "big") == 1


def test_anyone_may_call_without_a_balance_but_not_send_value() -> None:
    assert run(STORE_AND_RETURN, sender=POOR).error is None
    with pytest.raises(RpcError, match="insufficient funds for transfer"):
        run(STORE_AND_RETURN, sender=POOR, value=1)


def test_a_creation_can_be_called() -> None:
    made, block = network(b"\x00")
    request = CallRequest(ALICE, None, initcode(RETURN_NUMBER))
    assert simulate(made.read(), request, block, made.settings, gas_cap=CAP).return_data == RETURN_NUMBER
    with pytest.raises(RpcError, match="max initcode size exceeded"):
        simulate(made.read(), CallRequest(ALICE, None, bytes(49_153)), block, made.settings, gas_cap=CAP)


def test_the_gas_cap_holds() -> None:
    result = run(LOOP, gas=10**12)
    assert (result.error, result.gas_used) == ("out of gas", CAP)
    with pytest.raises(RpcError, match="intrinsic gas too low"):
        run(LOOP, gas=20_000)


def test_prices_on_a_priced_network() -> None:
    made, block = network(RETURN_BASE_FEE, base_fee_wei=7)

    def base_fee(**fields: Any) -> int:
        request = CallRequest(ALICE, CONTRACT, b"", gas=100_000, **fields)
        result = simulate(made.read(), request, block, made.settings, gas_cap=CAP)
        return int.from_bytes(result.return_data, "big")

    assert base_fee() == 0
    assert base_fee(gas_price=9) == 7
    assert base_fee(max_fee=9, max_priority_fee=1) == 7
    with pytest.raises(RpcError, match="max fee per gas less than block base fee"):
        base_fee(gas_price=6)
    with pytest.raises(RpcError, match="max priority fee per gas higher than max fee per gas"):
        base_fee(max_fee=7, max_priority_fee=8)
    poor = CallRequest(POOR, CONTRACT, b"", gas=100_000, gas_price=9)
    with pytest.raises(RpcError, match=r"insufficient funds for gas \* price \+ value"):
        simulate(made.read(), poor, block, made.settings, gas_cap=CAP)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes.fromhex("08c379a0") + encode(["string"], ["no tokens"]), "no tokens"),
        (bytes.fromhex("08c379a0") + encode(["string"], [""]), ""),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x11]), "arithmetic underflow or overflow"),
        (bytes.fromhex("4e487b71") + encode(["uint256"], [0x77]), "unknown panic code: 0x77"),
        (b"", None),
        (b"\x08\xc3\x79", None),
        (bytes.fromhex("08c379a0"), None),
        (bytes.fromhex("08c379a0") + b"\xff" * 64, None),
        (bytes.fromhex("08c379a0") + encode(["string"], ["no tokens"])[:70], None),
        (bytes.fromhex("4e487b71") + bytes(31), None),
        (bytes.fromhex("deadbeef") + encode(["string"], ["custom"]), None),
    ],
)
def test_revert_reasons(data: bytes, reason: str | None) -> None:
    assert revert_reason(data) == reason
    result = run(REVERT_CALLDATA, data)
    assert (result.error, result.return_data) == ("revert", data)
    error = execution_error(result)
    assert error.code == 3
    assert error.message == ("execution reverted" if reason is None else f"execution reverted: {reason}")
    assert error.data == "0x" + data.hex()


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (INVALID, "invalid opcode"),
        (bytes.fromhex("01"), "stack underflow"),
        (bytes.fromhex("600056"), "invalid jump destination"),
        (bytes.fromhex("5b6000600056"), "stack limit reached 1024 (1023)"),
        (bytes.fromhex("6001600060003e"), "return data out of bounds"),
    ],
)
def test_other_failures(code: bytes, text: str) -> None:
    result = run(code)
    assert result.error == text
    error = execution_error(result)
    assert (error.code, error.message, error.data) == (-32000, text, None)


def test_estimates_suffice_and_are_close() -> None:
    made, _ = network(STORE_AND_RETURN)
    request = CallRequest(ALICE, CONTRACT, b"")
    found = estimate(made, request)
    used = made.send(0, to=CONTRACT, gas=found).gas_used
    assert used <= found <= used * 1.016 + 1
    assert estimate(made, CallRequest(ALICE, BOB, b"", value=1)) == 21_000
    deployed = estimate(made, CallRequest(ALICE, None, initcode(RETURN_NUMBER)))
    assert made.send(0, data=initcode(RETURN_NUMBER), gas=deployed).status == 1


def test_an_estimate_counts_what_a_call_may_not_pass_on() -> None:
    # Forwards what it has to INNER, which burns about 30,000 gas by a storage write and some; reverts if that fails.
    call_inner = bytes.fromhex("6000600060006000600073") + INNER + bytes.fromhex("5af1")
    success = len(call_inner) + 8
    outer = call_inner + bytes((0x60, success, 0x57)) + bytes.fromhex("60006000fd5b00")
    made = Chain(
        settings_with(
            alloc={
                CONTRACT: AllocatedAccount(nonce=1, code=outer),
                INNER: AllocatedAccount(nonce=1, code=STORE_AND_RETURN),
            }
        )
    )
    found = estimate(made, CallRequest(ALICE, CONTRACT, b""))
    receipt = made.send(0, to=CONTRACT, gas=found)
    assert receipt.status == 1
    assert made.send(1, to=CONTRACT, gas=21_700).status == 0


def test_estimates_that_cannot_be() -> None:
    made, _ = network(REVERT_CALLDATA)
    with pytest.raises(RpcError) as caught:
        estimate(made, CallRequest(ALICE, CONTRACT, bytes.fromhex("08c379a0") + encode(["string"], ["no"])))
    assert (caught.value.code, caught.value.message) == (3, "execution reverted: no")
    looping, _ = network(LOOP)
    with pytest.raises(RpcError) as caught:
        estimate(looping, CallRequest(ALICE, CONTRACT, b""), cap=1_000_000)
    assert (caught.value.code, caught.value.message) == (-32000, "gas required exceeds allowance (1000000)")
    with pytest.raises(RpcError, match=r"gas required exceeds allowance \(30000\)"):
        estimate(looping, CallRequest(ALICE, CONTRACT, b"", gas=30_000))
    invalid, _ = network(INVALID)
    with pytest.raises(RpcError, match="invalid opcode"):
        estimate(invalid, CallRequest(ALICE, CONTRACT, b""))
    with pytest.raises(RpcError, match="insufficient funds for transfer"):
        estimate(made, CallRequest(POOR, BOB, b"", value=1))


def test_a_price_limits_the_allowance() -> None:
    made = Chain(settings_with(base_fee_wei=1, alloc={POOR: AllocatedAccount(balance=30_000)}))
    assert estimate(made, CallRequest(POOR, BOB, b"", gas_price=1)) == 21_000
    with pytest.raises(RpcError, match=r"gas required exceeds allowance \(15000\)"):
        estimate(made, CallRequest(POOR, BOB, b"", gas_price=2))


def test_the_floor_price_is_estimated() -> None:
    made = Chain(settings_with(fork="prague"))
    assert estimate(made, CallRequest(ALICE, BOB, b"\x01" * 1000)) >= 61_000
