"""The open block: transactions run one after another, then the header is made from what they left.

What is held here between two commands (gas used, receipts, encodings, writes) changes only when a transaction has
succeeded; whatever is raised leaves it, and the key-value transaction, as they were. A batch that fails later on goes
back with checkpoint and restore. A transaction that takes longer than the settings allow is refused: the chain holds
nothing but exact results, and a transaction cut short has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adapters.deadline import Deadline, TimeExceeded
from adapters.ethereum import chain
from adapters.ethereum.account_db import AccountDatabase, Writes
from adapters.ethereum.blocks import (
    EMPTY_REQUESTS_HASH,
    encode_receipt_after,
    header_hash,
    next_state_root,
    receipt_tail,
)
from adapters.ethereum.bloom import combine, logs_bloom
from adapters.ethereum.compiler.program import ProgramCache
from adapters.ethereum.evm import make_state
from adapters.ethereum.fees import FeeRules
from adapters.ethereum.model import Block, Header, Receipt, SignedTransaction
from adapters.ethereum.records import Head
from adapters.ethereum.settings import Settings
from adapters.ethereum.state_transition import Invocation, Outcome, apply, system_call
from adapters.ethereum.system_contracts import BEACON_ROOTS_ADDRESS, HISTORY_STORAGE_ADDRESS
from adapters.ethereum.transactions import check_intrinsic_gas
from adapters.ethereum.tries import ordered_root
from adapters.ethereum.validation import check_transaction
from adapters.ethereum.vm import BlockEnvironment
from adapters.jsonrpc import SERVER_ERROR, RpcError
from core.adapter.interface import BlockFull, ExecutionContext, ScopedTransaction
from core.errors import InvariantBroken

EXTRA_DATA = b""
PARENT_BEACON_BLOCK_ROOT = bytes(32)
"""There is no beacon chain."""


@dataclass(slots=True)
class _OpenBlock:
    """state: py-evm's. writes: of the state tables, one per transaction, the opening's in the first.

    tails: of the receipts (blocks.py), encoded once for header and claims.
    """

    parent: Head
    environment: BlockEnvironment
    state: Any
    gas_used: int = 0
    receipts: list[Receipt] = field(default_factory=list)
    tails: list[bytes] = field(default_factory=list)
    transactions: list[SignedTransaction] = field(default_factory=list)
    writes: list[Writes] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position in the open block. block None: none was open."""

    block: _OpenBlock | None
    transactions: int = 0
    gas_used: int = 0


class BlockExecutor:
    """Runs transactions into blocks. fees, programs: other than the settings' and the process's own, for tests."""

    def __init__(
        self, settings: Settings, *, fees: FeeRules | None = None, programs: ProgramCache | None = None
    ) -> None:
        self.settings = settings
        self._programs = programs
        self.fees = settings.fees if fees is None else fees
        self._database = AccountDatabase()
        self._deadline = Deadline(settings.transaction_seconds_max)
        self._block: _OpenBlock | None = None
        self._transaction: ScopedTransaction | None = None

    @property
    def is_open(self) -> bool:
        """Whether a block is open, which is so from its first successful transaction on."""
        return self._block is not None

    @property
    def next_index(self) -> int:
        """The place that the next transaction of the open block gets."""
        return 0 if self._block is None else len(self._block.transactions)

    def reset(self) -> None:
        """Forget the open block: after a start, a rollback, and a block that was closed."""
        self._block = None
        self._transaction = None

    def checkpoint(self) -> Checkpoint:
        """Return the place to go back to when a batch fails. The key-value transaction has marks of its own."""
        block = self._block
        return Checkpoint(None) if block is None else Checkpoint(block, len(block.transactions), block.gas_used)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Forget the transactions executed since the checkpoint, which was taken in the same block."""
        block = self._block = checkpoint.block
        if block is not None:
            count = checkpoint.transactions
            del block.transactions[count:], block.receipts[count:], block.tails[count:], block.writes[count:]
            block.gas_used = checkpoint.gas_used

    def execute(self, transaction: ScopedTransaction, signed: SignedTransaction, context: ExecutionContext) -> Receipt:
        """Run a transaction, write its effects and return its receipt.

        Raises RpcError when it may not be executed or takes too long, and BlockFull when its gas limit does not fit in
        the open block.
        A transaction that fails in the EVM is a success here, with status 0.
        """
        database = self._database
        database.begin(transaction)
        self._transaction = transaction
        intrinsic = check_intrinsic_gas(signed, self.settings)
        check_transaction(database, signed, self.settings, self.fees)
        block = self._block
        if block is not None and block.gas_used + signed.gas_limit > block.environment.gas_limit:
            raise BlockFull
        mark = transaction.checkpoint()
        try:
            if block is None:
                block = self._open(transaction, context)
            opening = None
            if not block.transactions:
                opening = database.flush()
                database.begin(transaction)
            # Else nothing but look-ups came before, whose results stay good.
            outcome = self._apply(block.state, signed, intrinsic)
            writes = database.flush()
            receipt = self._receipt(signed, outcome, block.gas_used + outcome.gas_used)
            self._write_creators(transaction, signed.sender, outcome)
            chain.write_transaction(transaction, signed, block.environment.number, len(block.transactions))
        except BaseException:
            transaction.revert(mark)
            raise
        self._block = block
        block.gas_used = receipt.cumulative_gas_used
        block.receipts.append(receipt)
        block.tails.append(receipt_tail(receipt))
        block.transactions.append(signed)
        block.writes.append(writes if opening is None else _merged([opening, writes]))
        return receipt

    def _apply(self, state: Any, signed: SignedTransaction, intrinsic: int) -> Outcome:
        """Run a transaction's content within the time limit; raises RpcError when that is up."""
        invocation = self._invocation(signed, intrinsic)
        try:
            return self._deadline.run(lambda: apply(state, self._database, invocation, self.settings))
        except TimeExceeded as exceeded:
            raise RpcError(SERVER_ERROR, time_exceeded_text(exceeded.seconds)) from None

    @property
    def last_tail(self) -> bytes:
        """The newest receipt's tail (blocks.py); a block is open."""
        if self._block is None:
            raise InvariantBroken("no transaction has been run in an open block")
        return self._block.tails[-1]

    def close(self, transaction: ScopedTransaction, context: ExecutionContext) -> Block:
        """Write the open block's header, hashes and receipts and begin anew; context.seqno is the block's own."""
        open_block = self._block
        if open_block is None:
            raise InvariantBroken("there is no open Ethereum block to close")
        receipts = tuple(open_block.receipts)
        header = self._header(open_block, receipts)
        hashes = tuple(signed.hash for signed in open_block.transactions)
        block = Block(header, header_hash(header), hashes, context.seqno)
        chain.write_block(transaction, block, receipts)
        self.reset()
        return block

    def _open(self, transaction: ScopedTransaction, context: ExecutionContext) -> _OpenBlock:
        """Open a block after the head and let the system contracts learn of it (EIP-4788, EIP-2935)."""
        settings, parent = self.settings, chain.head(transaction)
        hashes = {parent.number: parent.hash}

        def block_hash(number: int) -> bytes | None:
            found = hashes.get(number)
            if found is None and self._transaction is not None:
                found = chain.block_hash(self._transaction, number)
                if found is not None:
                    hashes[number] = found
            return found

        environment = BlockEnvironment(
            number=parent.number + 1,
            timestamp=max(context.time_s, parent.timestamp),
            coinbase=settings.coinbase,
            gas_limit=settings.block_gas_limit,
            base_fee=self.fees.base_fee,
            prevrandao=context.entropy,
            block_hash=block_hash,
        )
        state = make_state(self._database, settings, environment, self._deadline, self._programs)
        block = _OpenBlock(parent, environment, state)
        self._database.begin(transaction)
        system_call(block.state, self._database, BEACON_ROOTS_ADDRESS, PARENT_BEACON_BLOCK_ROOT)
        if settings.is_prague:
            system_call(block.state, self._database, HISTORY_STORAGE_ADDRESS, parent.hash)
        return block

    def _invocation(self, signed: SignedTransaction, intrinsic: int) -> Invocation:
        return Invocation(
            sender=signed.sender,
            to=signed.to,
            value=signed.value,
            data=signed.data,
            gas_limit=signed.gas_limit,
            price=self.fees.effective_price(signed.max_fee, signed.max_priority_fee),
            tip=self.fees.tip(signed.max_fee, signed.max_priority_fee),
            intrinsic=intrinsic,
            access_list=signed.access_list,
            authorizations=signed.authorizations,
        )

    def _receipt(self, signed: SignedTransaction, outcome: Outcome, cumulative_gas_used: int) -> Receipt:
        return Receipt(
            type=signed.type,
            status=1 if outcome.error is None else 0,
            cumulative_gas_used=cumulative_gas_used,
            gas_used=outcome.gas_used,
            effective_gas_price=self.fees.effective_price(signed.max_fee, signed.max_priority_fee),
            logs=outcome.logs,
            bloom=logs_bloom(outcome.logs),
            contract_address=outcome.contract_address,
        )

    def _write_creators(self, transaction: ScopedTransaction, sender: bytes, outcome: Outcome) -> None:
        """Record who deployed the contracts that this transaction leaves behind."""
        if outcome.error is None:
            for address in outcome.created:
                if self._database.get_nonce(address):
                    transaction.table("creators").put(address, sender)

    def _header(self, block: _OpenBlock, receipts: tuple[Receipt, ...]) -> Header:
        environment = block.environment
        return Header(
            parent_hash=block.parent.hash,
            coinbase=environment.coinbase,
            state_root=next_state_root(block.parent.state_root, _merged(block.writes)),
            transactions_root=ordered_root([signed.raw for signed in block.transactions]),
            receipts_root=ordered_root(
                [
                    encode_receipt_after(receipt, receipt.cumulative_gas_used, tail)
                    for receipt, tail in zip(receipts, block.tails, strict=True)
                ]
            ),
            bloom=combine(receipt.bloom for receipt in receipts),
            number=environment.number,
            gas_limit=environment.gas_limit,
            gas_used=block.gas_used,
            timestamp=environment.timestamp,
            extra_data=EXTRA_DATA,
            mix_hash=environment.prevrandao,
            base_fee=environment.base_fee,
            parent_beacon_block_root=PARENT_BEACON_BLOCK_ROOT,
            requests_hash=EMPTY_REQUESTS_HASH if self.settings.is_prague else None,
        )


def time_exceeded_text(seconds: float) -> str:
    """Return what the sender of a transaction that takes too long is told."""
    text = f"execution aborted (timeout = {seconds:g}s): a transaction of this network may not take more processor time"
    return text + "; nothing of it remains and its nonce is unused; split its work into several transactions"


def _merged(writes: list[Writes]) -> Writes:
    """Return the last value of each key."""
    merged: Writes = {name: {} for name in chain.STATE_TABLES}
    for tables in writes:
        for name, changes in tables.items():
            merged[name].update(changes)
    return merged
