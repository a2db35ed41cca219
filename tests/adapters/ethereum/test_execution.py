"""The open block: receipts, fees, refusals that leave nothing, headers, and the forks' additions."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from adapters.ethereum import chain
from adapters.ethereum.blocks import encode_receipt, header_hash, next_state_root
from adapters.ethereum.model import Block
from adapters.ethereum.settings import AllocatedAccount
from adapters.ethereum.state_transition import contract_address
from adapters.ethereum.system_contracts import (
    BEACON_ROOTS_ADDRESS,
    EXCESS_INHIBITOR,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from adapters.ethereum.tries import ordered_root
from adapters.jsonrpc import RpcError
from core.adapter.interface import BlockFull
from core.errors import InvariantBroken
from tests.adapters.ethereum.evm_support import ALICE, BOB, CAROL, CHAIN_ID, KEYS, Chain, initcode, settings_with, sign

CONTRACT = b"\xcc" * 20
COINBASE = b"\xfe" * 20
DELEGATE = b"\xdd" * 20

# Each stores what it reads in slot 0 (slot 1): PREVRANDAO, TIMESTAMP, BLOCKHASH(calldata), GASPRICE and BASEFEE.
READ_RANDOM = bytes.fromhex("44600055")
READ_TIME = bytes.fromhex("42600055")
READ_HASH = bytes.fromhex("60003540600055")
READ_PRICE = bytes.fromhex("3a60005548600155")
LOGGER = bytes.fromhex("7f" + "ab" * 32 + "60006000a1")
REVERTER = bytes.fromhex("60006000fd")
BURNER = bytes.fromhex("5b600056")


def with_contract(code: bytes, **changes: Any) -> Chain:
    return Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=code)}, **changes))


def slot(network: Chain, number: int = 0, address: bytes = CONTRACT) -> int:
    return chain.storage_at(network.read(), address, number)


def balance(network: Chain, address: bytes) -> int:
    return chain.account(network.read(), address).balance


def refused(network: Chain, key: int, **fields: Any) -> str:
    """Return the error's text, having checked that nothing was written and nothing is held."""
    transaction = network.read()
    before = network.executor.checkpoint()
    with pytest.raises(RpcError) as caught:
        network.executor.execute(transaction, network.decode(sign(key, **fields)), network.context())
    assert caught.value.code == -32000
    assert network.executor.checkpoint() == before
    assert not transaction.inner.take_write_set()
    return caught.value.message


def test_a_transfer() -> None:
    network = Chain()
    receipt = network.send(0, to=BOB, value=5)
    assert (receipt.status, receipt.gas_used, receipt.effective_gas_price) == (1, 21_000, 0)
    assert balance(network, ALICE) == 10**20 - 5
    assert balance(network, BOB) == 10**20 + 5
    assert chain.account(network.read(), ALICE).nonce == 1


def test_a_block() -> None:
    network = Chain()
    assert not network.executor.is_open
    receipts = [network.send(0, to=BOB, value=1), network.send(1, to=CAROL, value=1)]
    assert network.executor.next_index == 2
    found = chain.transaction_by_hash(network.read(), network.decode(sign(0, to=BOB, value=1)).hash)
    assert found is None, "a transaction of the open block is not found yet"
    assert chain.head_number(network.read()) == 0
    block = network.close()
    assert not network.executor.is_open
    read = network.read()
    assert chain.head_number(read) == 1
    assert chain.block_by_number(read, 1) == block == chain.block_by_hash(read, block.hash)
    assert block.seqno == network.store.head
    header = block.header
    assert header.parent_hash == network.genesis.hash
    assert header_hash(header) == block.hash
    assert header.gas_used == 42_000 == receipts[1].cumulative_gas_used
    assert chain.receipts_of(read, 1) == tuple(receipts)
    stored = chain.transaction_by_hash(read, block.transaction_hashes[1])
    assert stored is not None
    assert (stored.block_number, stored.index, stored.transaction.sender) == (1, 1, BOB)
    raws = [sign(0, to=BOB, value=1), sign(1, to=CAROL, value=1)]
    assert header.transactions_root == ordered_root(raws)
    assert header.receipts_root == ordered_root([encode_receipt(receipt) for receipt in receipts])
    assert header.mix_hash == network.entropy
    assert header.requests_hash is None


def test_the_state_root_follows_from_the_ledgers_entries() -> None:
    network = Chain()
    merged: dict[str, dict[bytes, bytes | None]] = {"accounts": {}, "code": {}, "storage": {}}
    for key in (0, 1):
        transaction = network.read()
        network.executor.execute(transaction, network.decode(sign(key, to=CAROL, value=1)), network.context())
        for name, writes in transaction.inner.take_write_set().tables.items():
            if name.removeprefix("ethereum.") in merged:
                merged[name.removeprefix("ethereum.")].update(writes)
        network.commit(transaction)
    block = network.close()
    assert block.header.state_root == next_state_root(network.genesis.header.state_root, merged)


def test_claims() -> None:
    network = Chain()
    signed = network.decode(sign(0, to=BOB))
    receipt = network.send(0, to=BOB)
    assert chain.claims(signed, receipt) == hashlib.sha256(signed.hash + encode_receipt(receipt)).digest()


def test_nonces() -> None:
    network = Chain()
    assert refused(network, 0, to=BOB, nonce=1) == "nonce too high: next nonce 0, tx nonce 1"
    network.send(0, to=BOB)
    assert refused(network, 0, to=BOB, nonce=0) == "nonce too low: next nonce 1, tx nonce 0"
    assert network.executor.next_index == 1


def test_value_needs_a_balance_even_on_a_free_network() -> None:
    network = Chain()
    text = refused(network, 0, to=BOB, value=10**20 + 1)
    assert text == (f"insufficient funds for gas * price + value: balance {10**20}, tx cost {10**20 + 1}, overshot 1")


def test_a_sender_with_code_is_refused() -> None:
    network = Chain(settings_with(alloc={ALICE: AllocatedAccount(balance=1, code=b"\x00")}))
    assert refused(network, 0, to=BOB).startswith("sender not an eoa: address 0x")
    delegation = b"\xef\x01\x00" + DELEGATE
    cancun = Chain(settings_with(alloc={ALICE: AllocatedAccount(balance=1, code=delegation)}))
    assert refused(cancun, 0, to=BOB).startswith("sender not an eoa")
    prague = Chain(settings_with(fork="prague", alloc={ALICE: AllocatedAccount(balance=1, code=delegation)}))
    assert prague.send(0, to=BOB).status == 1


def test_a_free_network_ignores_prices() -> None:
    network = with_contract(READ_PRICE)
    poor = Chain(settings_with(alloc={ALICE: AllocatedAccount()}))
    assert poor.send(0, to=BOB, maxFeePerGas=10**12, maxPriorityFeePerGas=10**12).effective_gas_price == 0
    receipt = network.send(0, to=CONTRACT, maxFeePerGas=9, maxPriorityFeePerGas=9)
    assert receipt.effective_gas_price == 0
    assert (slot(network, 0), slot(network, 1)) == (0, 0)
    assert balance(network, ALICE) == 10**20
    assert network.close().header.base_fee == 0


def test_a_priced_network() -> None:
    network = with_contract(READ_PRICE, base_fee_wei=7, coinbase=COINBASE)
    receipt = network.send(0, to=CONTRACT, maxFeePerGas=100, maxPriorityFeePerGas=2)
    assert receipt.effective_gas_price == 9
    assert (slot(network, 0), slot(network, 1)) == (9, 7)
    assert balance(network, ALICE) == 10**20 - 9 * receipt.gas_used
    assert balance(network, COINBASE) == 2 * receipt.gas_used
    capped = network.send(1, to=CAROL, maxFeePerGas=8, maxPriorityFeePerGas=5)
    assert capped.effective_gas_price == 8
    legacy = network.send(2, to=CAROL, gasPrice=20)
    assert legacy.effective_gas_price == 20
    assert network.close().header.base_fee == 7


def test_a_priced_network_refuses() -> None:
    network = Chain(settings_with(base_fee_wei=7, alloc={ALICE: AllocatedAccount(balance=800_000)}))
    text = refused(network, 0, to=BOB, maxFeePerGas=6)
    assert text == f"max fee per gas less than block base fee: address 0x{ALICE.hex()}, maxFeePerGas: 6, baseFee: 7"
    text = refused(network, 0, to=BOB, maxFeePerGas=8, value=1)
    assert text.endswith("balance 800000, tx cost 800001, overshot 1"), "the max fee counts, not the price paid"
    assert network.send(0, to=BOB, maxFeePerGas=8).effective_gas_price == 7


def test_block_full_leaves_everything_as_it_was() -> None:
    network = Chain(settings_with(block_gas_limit=120_000, transaction_gas_limit=100_000))
    network.send(0, to=BOB, gas=21_000)
    transaction = network.read()
    before = network.executor.checkpoint()
    with pytest.raises(BlockFull):
        network.executor.execute(transaction, network.decode(sign(1, to=BOB, gas=99_001)), network.context())
    assert network.executor.checkpoint() == before
    assert not transaction.inner.take_write_set()
    network.close()
    assert network.send(1, to=BOB, gas=99_001).status == 1
    assert network.executor.next_index == 1


def test_a_batch_goes_back() -> None:
    network = Chain()
    transaction, mark = network.read(), network.executor.checkpoint()
    network.executor.execute(transaction, network.decode(sign(0, to=BOB, value=1)), network.context())
    network.executor.execute(transaction, network.decode(sign(0, to=BOB, nonce=1)), network.context())
    with pytest.raises(RpcError):
        network.executor.execute(transaction, network.decode(sign(0, to=BOB, nonce=1)), network.context())
    network.executor.restore(mark)
    assert not network.executor.is_open
    first = network.send(0, to=BOB, value=1)
    again = network.executor.checkpoint()
    transaction = network.read()
    network.executor.execute(transaction, network.decode(sign(1, to=BOB)), network.context())
    network.executor.restore(again)
    assert network.executor.next_index == 1
    block = network.close()
    assert chain.receipts_of(network.read(), 1) == (first,)
    assert block.header.gas_used == 21_000


def test_a_failing_transaction_has_a_receipt() -> None:
    network = with_contract(REVERTER)
    reverted = network.send(0, to=CONTRACT, value=3)
    assert (reverted.status, reverted.logs) == (0, ())
    assert 21_000 < reverted.gas_used < 100_000
    assert balance(network, CONTRACT) == 0
    burner = with_contract(BURNER)
    assert burner.send(0, to=CONTRACT, gas=60_000).gas_used == 60_000


def test_logs_and_bloom() -> None:
    network = with_contract(LOGGER)
    receipt = network.send(0, to=CONTRACT)
    (log,) = receipt.logs
    assert (log.address, log.topics, log.data) == (CONTRACT, (b"\xab" * 32,), b"")
    block = network.close()
    assert block.header.bloom == receipt.bloom != bytes(256)


def test_creation_and_its_creator() -> None:
    network = Chain()
    receipt = network.send(0, data=initcode(READ_TIME))
    expected = contract_address(ALICE, 0)
    assert receipt.contract_address == expected
    assert chain.code(network.read(), expected) == READ_TIME
    assert chain.account(network.read(), expected).nonce == 1
    assert chain.creator(network.read(), expected) == ALICE
    assert chain.creator(network.read(), ALICE) is None
    failed = network.send(0, data=REVERTER)
    assert failed.status == 0
    assert failed.contract_address == contract_address(ALICE, 1)
    assert chain.creator(network.read(), contract_address(ALICE, 1)) is None


def test_the_creator_of_a_nested_creation_is_the_sender() -> None:
    # Deploys an empty contract with CREATE each time it is called.
    network = with_contract(bytes.fromhex("600060006000f050"))
    network.send(1, to=CONTRACT)
    assert chain.creator(network.read(), contract_address(CONTRACT, 1)) == BOB


def test_block_values() -> None:
    network = with_contract(READ_RANDOM)
    network.send(0, to=CONTRACT)
    assert slot(network) == int.from_bytes(network.entropy, "big")


def test_time_never_decreases() -> None:
    network = with_contract(READ_TIME)
    network.time_s += 10
    network.send(0, to=CONTRACT)
    first = network.close()
    network.time_s -= 5
    network.send(0, to=CONTRACT)
    second = network.close()
    assert slot(network) == second.header.timestamp == first.header.timestamp == chain.last_timestamp(network.read())


def test_block_hashes_are_real() -> None:
    network = with_contract(READ_HASH)
    blocks: list[Block] = [network.genesis]
    for _ in range(3):
        network.send(1, to=BOB)
        blocks.append(network.close())
    for number, expected in ((0, blocks[0].hash), (3, blocks[3].hash), (4, bytes(32)), (99, bytes(32))):
        network.send(0, to=CONTRACT, data=number.to_bytes(32, "big"))
        assert slot(network) == int.from_bytes(expected, "big")


def test_an_open_block_is_needed_to_close_one() -> None:
    network = Chain()
    with pytest.raises(InvariantBroken):
        network.executor.close(network.read(), network.context())
    network.send(0, to=BOB)
    network.executor.reset()
    assert not network.executor.is_open


def test_system_contracts_learn_of_each_block() -> None:
    network = Chain(settings_with(fork="prague"))
    network.send(0, to=BOB)
    block = network.close()
    number = block.header.number
    stored = chain.storage_at(network.read(), HISTORY_STORAGE_ADDRESS, number - 1)
    assert stored == int.from_bytes(network.genesis.hash, "big")
    timestamp = block.header.timestamp
    assert chain.storage_at(network.read(), BEACON_ROOTS_ADDRESS, timestamp % 8191) == timestamp
    assert block.header.requests_hash == hashlib.sha256(b"").digest()


def test_a_refused_first_transaction_does_not_open_the_block() -> None:
    network = Chain(settings_with(fork="prague"))
    refused(network, 0, to=BOB, nonce=4)
    assert not network.executor.is_open


def test_requests_to_validators_are_refused() -> None:
    network = Chain(settings_with(fork="prague"))
    assert chain.storage_at(network.read(), WITHDRAWAL_REQUESTS_ADDRESS, 0) == EXCESS_INHIBITOR
    assert network.send(0, to=WITHDRAWAL_REQUESTS_ADDRESS, value=1, data=bytes(56)).status == 0


def prague(**changes: Any) -> Chain:
    return with_contract(READ_TIME, fork="prague", **changes)


def authorize(key: int, nonce: int, address: bytes = CONTRACT, chain_id: int = CHAIN_ID) -> Any:
    return KEYS[key].sign_authorization({"chainId": chain_id, "address": address, "nonce": nonce})


def test_delegation() -> None:
    network = prague()
    receipt = network.send(0, to=BOB, authorizationList=[authorize(1, 0)])
    assert receipt.status == 1
    assert chain.code(network.read(), BOB) == b"\xef\x01\x00" + CONTRACT
    assert chain.account(network.read(), BOB).nonce == 1
    assert slot(network, 0, BOB) == network.time_s, "the recipient's new code ran in its own storage"
    network.send(0, to=CAROL, authorizationList=[authorize(1, 1, bytes(20))])
    assert chain.code(network.read(), BOB) == b""


@pytest.mark.parametrize(
    "authorization",
    [authorize(1, 5), authorize(1, 0, chain_id=1), authorize(1, 2**64 - 1)],
)
def test_an_invalid_authorization_is_passed_over(authorization: Any) -> None:
    network = prague()
    assert network.send(0, to=CAROL, authorizationList=[authorization, authorize(1, 0, chain_id=0)]).status == 1
    assert chain.code(network.read(), BOB) == b"\xef\x01\x00" + CONTRACT
    assert chain.account(network.read(), BOB).nonce == 1


def test_an_account_with_code_cannot_delegate() -> None:
    with_code = Chain(settings_with(fork="prague", alloc={BOB: AllocatedAccount(code=b"\x00")}))
    with_code.send(0, to=CAROL, authorizationList=[authorize(1, 0)])
    assert chain.code(with_code.read(), BOB) == b"\x00"


def test_a_broken_invariant_does_not_vanish_in_an_authorization(monkeypatch: pytest.MonkeyPatch) -> None:
    network = prague()

    def broken(*_: object) -> bytes:
        raise InvariantBroken("on purpose")

    monkeypatch.setattr("adapters.ethereum.account_db.AccountDatabase.get_code", broken)
    with pytest.raises(InvariantBroken):
        network.send(0, to=CAROL, authorizationList=[authorize(1, 0)])


def test_the_floor_price_of_data() -> None:
    network = Chain(settings_with(fork="prague"))
    assert network.send(0, to=BOB, data=b"\x01" * 1000).gas_used == 21_000 + 40 * 1000
    assert Chain().send(0, to=BOB, data=b"\x01" * 1000).gas_used == 21_000 + 16 * 1000
