"""What was changed in py-evm, each change with the case that needs it."""

from __future__ import annotations

import pytest

from adapters.ethereum import chain
from adapters.ethereum.machine import instruction_starts
from adapters.ethereum.settings import AllocatedAccount
from tests.adapters.ethereum.evm_support import BOB, KEYS, Chain, settings_with

CONTRACT = b"\xcc" * 20
INNER = b"\xdd" * 20


def network(code: bytes, inner: bytes = b"", fork: str = "cancun") -> Chain:
    alloc = {CONTRACT: AllocatedAccount(nonce=1, code=code)}
    if inner:
        alloc[INNER] = AllocatedAccount(nonce=1, code=inner)
    return Chain(settings_with(fork=fork, alloc=alloc))


def call(address: bytes) -> bytes:
    """Code that calls with all gas and without data, and drops the result."""
    return bytes.fromhex("6000600060006000600073") + address + bytes.fromhex("5af150")


def test_instruction_starts() -> None:
    code = bytes.fromhex("605b5b61005b5b7f" + "5b" * 32 + "5b")
    starts = instruction_starts(code)
    assert [position for position, mark in enumerate(starts) if mark] == [0, 2, 3, 6, 7, 40]
    assert instruction_starts(b"\x7f") == b"\x01"
    assert instruction_starts(b"") == b""


def test_a_jump_into_the_data_of_a_push_fails() -> None:
    assert network(bytes.fromhex("600456605b00")).send(0, to=CONTRACT).status == 0
    assert network(bytes.fromhex("6003565b00")).send(0, to=CONTRACT).status == 1


def test_a_long_run_of_pushes_does_not_exhaust_the_stack() -> None:
    """py-evm's search for jump destinations recurses once per PUSH here."""
    length = 24_000
    code = b"\x61" + length.to_bytes(2, "big") + b"\x56" + b"\x60" * (length - 4) + b"\x5b\x00"
    receipt = network(code).send(0, to=CONTRACT, gas=60_000)
    assert receipt.status == 1


def test_logs_of_nested_calls_are_in_order() -> None:
    outer = bytes.fromhex("600160006000a1") + call(INNER) + bytes.fromhex("600260006000a1") + call(INNER)
    receipt = network(outer, bytes.fromhex("600960006000a1")).send(0, to=CONTRACT)
    assert [log.topics[0][-1] for log in receipt.logs] == [1, 9, 2, 9]


def test_logs_and_writes_of_a_reverted_call_vanish() -> None:
    inner = bytes.fromhex("600960006000a1600160005560006000fd")
    made = network(call(INNER) + bytes.fromhex("600160006000a1"), inner)
    receipt = made.send(0, to=CONTRACT)
    assert receipt.status == 1
    assert len(receipt.logs) == 1
    assert chain.storage_at(made.read(), INNER, 0) == 0


def test_refunds_of_nested_calls_count() -> None:
    clears = AllocatedAccount(nonce=1, code=bytes.fromhex("6000600055"), storage={0: 1})
    alloc = {CONTRACT: AllocatedAccount(nonce=1, code=call(INNER)), INNER: clears}
    made = Chain(settings_with(alloc=alloc))
    without = network(call(INNER), bytes.fromhex("6000600155")).send(0, to=CONTRACT).gas_used
    used = made.send(0, to=CONTRACT).gas_used
    # 2,900 - 100 more for changing the slot, less 4,800 given back, of which a fifth of the gas at most.
    assert used == without + 2_800 - 4_800


def test_self_destruct_in_the_creating_transaction_only() -> None:
    made = network(bytes.fromhex("33ff"))
    assert made.send(0, to=CONTRACT, value=5).status == 1
    assert chain.code(made.read(), CONTRACT), "a contract of an earlier transaction stays (EIP-6780)"
    assert chain.account(made.read(), CONTRACT).balance == 0
    receipt = made.send(0, data=bytes.fromhex("33ff"), value=5)
    assert receipt.status == 1
    assert receipt.contract_address is not None
    assert chain.account(made.read(), receipt.contract_address).nonce == 0
    assert chain.creator(made.read(), receipt.contract_address) is None


def test_transient_storage_lasts_one_transaction() -> None:
    # Stores TLOAD(0) + 1 in slot 0 and sets transient slot 0 to 7.
    made = network(bytes.fromhex("60005c6001016000556007 60005d".replace(" ", "")))
    made.send(0, to=CONTRACT)
    made.send(0, to=CONTRACT)
    assert chain.storage_at(made.read(), CONTRACT, 0) == 1


@pytest.mark.parametrize("fork", ["cancun", "prague"])
def test_many_calls_leave_no_trail(fork: str) -> None:
    loop = bytes.fromhex("5b") + call(INNER) + bytes.fromhex("600056")
    receipt = network(loop, b"\x00", fork).send(0, to=CONTRACT, gas=200_000)
    assert (receipt.status, receipt.gas_used) == (0, 200_000)


def test_an_account_with_delegated_code_that_creates_pays_for_initcode_once() -> None:
    """py-evm takes a call whose sender is the origin for the outermost one and charges the initcode again."""
    creates = bytes.fromhex("61040060006000f050")
    made = network(creates, fork="prague")
    plain = made.send(0, to=CONTRACT, gas=200_000)
    delegated = made.send(
        1,
        to=BOB,
        gas=300_000,
        nonce=0,
        authorizationList=[KEYS[1].sign_authorization({"chainId": 1337, "address": CONTRACT, "nonce": 1})],
    )
    assert plain.status == delegated.status == 1
    # 25,000 for the authorization, of which 12,500 come back as the account exists (a fifth of the gas at most), and
    # the delegate is warm.
    before_refund = plain.gas_used + 25_000
    assert delegated.gas_used == before_refund - min(12_500, before_refund // 5)
