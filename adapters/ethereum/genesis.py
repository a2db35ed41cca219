"""Block 0: the configured accounts, the system contracts, the predeployed helpers, and a header over them."""

from __future__ import annotations

from adapters.ethereum import chain
from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.blocks import EMPTY_REQUESTS_HASH, header_hash, next_state_root
from adapters.ethereum.bloom import EMPTY_BLOOM
from adapters.ethereum.execution import PARENT_BEACON_BLOCK_ROOT
from adapters.ethereum.model import Block, Header
from adapters.ethereum.settings import AllocatedAccount, Settings
from adapters.ethereum.system_contracts import genesis_contracts
from adapters.ethereum.tries import EMPTY_ROOT
from core.adapter.interface import ExecutionContext, ScopedTransaction
from core.errors import CocoError

_NO_HASH = bytes(32)


def write_genesis(transaction: ScopedTransaction, settings: Settings, context: ExecutionContext) -> Block:
    """Write the first state and block 0, and return it; raises CocoError when alloc changes a system contract.

    An account of alloc takes the place of a predeployed helper at the same address, and only adds a balance to a
    system contract.
    """
    accounts = dict(genesis_contracts(settings))
    for address, allocated in settings.alloc.items():
        accounts[address] = _placed(address, accounts.get(address), allocated, settings)
    database = AccountDatabase()
    database.begin(transaction)
    for address, account in accounts.items():
        database.set_balance(address, account.balance)
        if account.nonce:
            database.set_nonce(address, account.nonce)
        if account.code:
            database.set_code(address, account.code)
        for slot, value in account.storage.items():
            database.set_storage(address, slot, value)
    header = Header(
        parent_hash=_NO_HASH,
        coinbase=settings.coinbase,
        state_root=next_state_root(_NO_HASH, database.flush()),
        transactions_root=EMPTY_ROOT,
        receipts_root=EMPTY_ROOT,
        bloom=EMPTY_BLOOM,
        number=0,
        gas_limit=settings.block_gas_limit,
        gas_used=0,
        timestamp=context.time_s,
        extra_data=b"",
        mix_hash=context.entropy,
        base_fee=settings.base_fee_wei,
        parent_beacon_block_root=PARENT_BEACON_BLOCK_ROOT,
        requests_hash=EMPTY_REQUESTS_HASH if settings.is_prague else None,
    )
    block = Block(header, header_hash(header), (), context.seqno)
    chain.write_block(transaction, block, ())
    return block


def _placed(
    address: bytes, contract: AllocatedAccount | None, allocated: AllocatedAccount, settings: Settings
) -> AllocatedAccount:
    """Return what stands at an address that alloc names."""
    system = genesis_contracts(Settings(settings.chain_id, settings.fork, predeploy=False))
    if contract is None or address not in system:
        return allocated
    if allocated.code not in (b"", contract.code) or allocated.storage or allocated.nonce > 1:
        raise CocoError(
            f"ethereum setting alloc.0x{address.hex()} changes a system contract",
            hint="Give this address a balance only, or leave it out.",
        )
    return AllocatedAccount(allocated.balance, contract.nonce, contract.code, contract.storage)
