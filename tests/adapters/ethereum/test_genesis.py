"""Block 0 and the contracts it holds."""

from __future__ import annotations

import pytest

from adapters.ethereum import chain
from adapters.ethereum.blocks import header_hash
from adapters.ethereum.keccak import keccak
from adapters.ethereum.multicall import MULTICALL3_ADDRESS
from adapters.ethereum.rlp_codec import encode
from adapters.ethereum.settings import AllocatedAccount
from adapters.ethereum.signatures import recover_address
from adapters.ethereum.state_transition import contract_address
from adapters.ethereum.system_contracts import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    CONSOLIDATION_REQUESTS_CODE,
    CREATE2_FACTORY_ADDRESS,
    CREATE2_FACTORY_CODE,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
    WITHDRAWAL_REQUESTS_CODE,
)
from core.errors import CocoError, InvariantBroken
from tests.adapters.ethereum.evm_support import ALICE, Chain, initcode, settings_with

INHIBIT = bytes.fromhex("7f" + "ff" * 32 + "5f55")


def synthetic_deployer(constructor: str, runtime: bytes, s: int) -> bytes:
    """Return who "signed" an EIP's keyless deployment: r is fixed, so the signer depends on every byte of the code."""
    data = INHIBIT + bytes.fromhex(constructor) + runtime
    return recover_address(keccak(encode([0, 0xE8D4A51000, 0x3D090, b"", 0, data])), 0, 0x539, s)


def test_block_zero() -> None:
    network = Chain()
    block = network.genesis
    assert chain.block_by_number(network.read(), 0) == block
    assert chain.block_by_hash(network.read(), block.hash) == block
    assert header_hash(block.header) == block.hash
    assert chain.receipts_of(network.read(), 0) == ()
    assert block.header.timestamp == network.time_s
    assert chain.account(network.read(), ALICE).balance == 10**20
    assert chain.block_by_number(network.read(), 1) is None
    assert chain.block_by_number(network.read(), -1) is None
    assert chain.block_by_hash(network.read(), bytes(32)) is None


def test_genesis_covers_the_state() -> None:
    other = settings_with(alloc={ALICE: AllocatedAccount(balance=1)})
    assert Chain(other).genesis.header.state_root != Chain().genesis.header.state_root


def test_system_contracts_of_each_fork() -> None:
    cancun, prague = Chain().read(), Chain(settings_with(fork="prague")).read()
    assert chain.code(cancun, BEACON_ROOTS_ADDRESS)
    assert not chain.code(cancun, HISTORY_STORAGE_ADDRESS)
    for address in (BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS):
        assert chain.code(prague, address)
        assert chain.account(prague, address).nonce == 1
    assert chain.code(prague, WITHDRAWAL_REQUESTS_ADDRESS) == WITHDRAWAL_REQUESTS_CODE
    assert chain.code(prague, CONSOLIDATION_REQUESTS_ADDRESS) == CONSOLIDATION_REQUESTS_CODE


def test_the_request_contracts_are_those_of_the_standards() -> None:
    withdrawals = synthetic_deployer(
        "6101f880602d5f395ff3", WITHDRAWAL_REQUESTS_CODE, 0x5FEEB084551E4E03A3581E269BC2EA2F8D0008
    )
    assert contract_address(withdrawals, 0) == WITHDRAWAL_REQUESTS_ADDRESS
    # EIP-7251 in its draft, whose code is the final one; the address was mined anew after it.
    consolidations = synthetic_deployer("61019e80602d5f395ff3", CONSOLIDATION_REQUESTS_CODE, 0x332601EF36AA2CE9)
    assert contract_address(consolidations, 0).hex() == "00431f263ce400f4455c2dcf564e53007ca4bbbb"


def test_predeployed_helpers_are_optional() -> None:
    with_helpers = Chain(settings_with(predeploy=True)).read()
    assert chain.code(with_helpers, CREATE2_FACTORY_ADDRESS) == CREATE2_FACTORY_CODE
    assert chain.code(with_helpers, MULTICALL3_ADDRESS)
    without = Chain(settings_with(predeploy=False)).read()
    assert not chain.code(without, CREATE2_FACTORY_ADDRESS)
    assert not chain.code(without, MULTICALL3_ADDRESS)


def test_the_factory_deploys_where_create2_says() -> None:
    network = Chain(settings_with(predeploy=True))
    code = initcode(b"\x00\x01")
    receipt = network.send(0, to=CREATE2_FACTORY_ADDRESS, data=bytes(32) + code)
    assert receipt.status == 1
    address = keccak(b"\xff" + CREATE2_FACTORY_ADDRESS + bytes(32) + keccak(code))[12:]
    assert chain.code(network.read(), address) == b"\x00\x01"


def test_alloc_replaces_helpers_but_not_system_contracts() -> None:
    own = settings_with(predeploy=True, alloc={MULTICALL3_ADDRESS: AllocatedAccount(nonce=1, code=b"\x00")})
    assert chain.code(Chain(own).read(), MULTICALL3_ADDRESS) == b"\x00"
    rich = settings_with(alloc={BEACON_ROOTS_ADDRESS: AllocatedAccount(balance=5)})
    read = Chain(rich).read()
    assert chain.account(read, BEACON_ROOTS_ADDRESS).balance == 5
    assert chain.code(read, BEACON_ROOTS_ADDRESS)
    with pytest.raises(CocoError, match="system contract"):
        Chain(settings_with(alloc={BEACON_ROOTS_ADDRESS: AllocatedAccount(code=b"\x00")}))


def test_nothing_can_be_read_before_genesis() -> None:
    network = Chain()
    network.store.rollback(type(network.store.head)(0))
    with pytest.raises(InvariantBroken):
        chain.head_number(network.read())
