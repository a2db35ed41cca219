"""One query: the committed state it runs on, the blocks it may name, and the sight of its caller."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from adapters.ethereum import chain
from adapters.ethereum.access import AccessChecks, AccessMemo
from adapters.ethereum.binding import addresses_of
from adapters.ethereum.call_state import CallDatabase, CallSight
from adapters.ethereum.model import Block, CallRequest, CallResult
from adapters.ethereum.requests import LATEST, BlockAt
from adapters.ethereum.settings import Settings
from adapters.ethereum.simulate import simulate
from adapters.ethereum.validation import DELEGATION_PREFIX
from adapters.ethereum.visibility import Sight, ViewMemo, VisibleBlock
from adapters.jsonrpc import SERVER_ERROR, RpcError
from core.adapter.interface import QueryContext, ScopedTransaction
from core.errors import InvariantBroken
from core.kv.errors import SnapshotGone
from core.types import Seqno

STATE_BLOCKS_MAX = 128
"""State can be asked for at this many newest blocks."""


def retained_seqno(transaction: ScopedTransaction) -> Seqno:
    """Return the oldest sequence number that queries still ask for."""
    oldest = max(0, chain.head_number(transaction) - STATE_BLOCKS_MAX + 1)
    return Seqno(_block(transaction, oldest).seqno)


def _block(transaction: ScopedTransaction, number: int) -> Block:
    block = chain.block_by_number(transaction, number)
    if block is None:
        raise InvariantBroken(f"block {number} is missing below the head")
    return block


@dataclass(slots=True)
class Memos:
    """What the executor remembers between queries."""

    views: ViewMemo = field(default_factory=ViewMemo)
    access: AccessMemo = field(default_factory=AccessMemo)

    def clear(self) -> None:
        self.views = ViewMemo()
        self.access = AccessMemo()


class Scope:
    """See the module. identity: the caller's, which every query has."""

    def __init__(self, settings: Settings, memos: Memos, context: QueryContext, identity: str) -> None:
        self.settings = settings
        self.context = context
        self.transaction = context.transaction
        self.identity = identity
        self.addresses = addresses_of(context.transaction, identity)
        head = chain.head(context.transaction)
        self.head_number, self._head_hash = head.number, head.hash
        self._memos = memos
        checks = AccessChecks(self._simulate_check, memos.access, self._head_hash, self.addresses)
        self.sight = Sight(settings.policy, self.addresses, checks)

    @cached_property
    def head(self) -> Block:
        """The newest block."""
        return _block(self.transaction, self.head_number)

    def find_block(self, at: BlockAt) -> Block | None:
        """Return the block a request names."""
        if at.hash:
            return chain.block_by_hash(self.transaction, at.hash)
        if at.number in (LATEST, self.head_number):
            return self.head
        return chain.block_by_number(self.transaction, at.number)

    def require_block(self, at: BlockAt) -> Block:
        """Return the block a request names; raises RpcError when there is none."""
        block = self.find_block(at)
        if block is None:
            raise RpcError(SERVER_ERROR, "header not found")
        return block

    def state_at(self, block: Block) -> ScopedTransaction:
        """Return the state after a block; raises RpcError when it is no longer kept."""
        behind = self.head_number - block.header.number
        if behind == 0:
            return self.transaction
        if behind < STATE_BLOCKS_MAX:
            try:
                return self.context.at(Seqno(block.seqno))
            except SnapshotGone:
                pass
        raise RpcError(SERVER_ERROR, "historical state not available")

    def view(self, block: Block) -> VisibleBlock:
        """Return what the caller sees of a block."""
        return self._memos.views.view(self.transaction, block, self._head_hash, self.identity, self.sight)

    def sees_code(self, address: bytes) -> bool:
        """Say whether the code of an account is visible.

        Code without a creator is the genesis's, unless it is a delegation (EIP-7702) of the account's owner.
        """
        creator = chain.creator(self.transaction, address)
        in_genesis = creator is None and not chain.code(self.transaction, address).startswith(DELEGATION_PREFIX)
        return self.sight.sees_code(address, creator, in_genesis=in_genesis)

    @property
    def call_sight(self) -> CallSight:
        """What the code of the caller's calls is told of accounts."""
        return CallSight(self.sight.sees_account, self.sees_code)

    def _simulate_check(self, call: CallRequest) -> CallResult:
        """Run a contract's own check, with exactly the gas it asks for.

        Its code is told what the reader sees, so that the answer is the same whichever identity has it remembered.
        """
        mark = self.transaction.checkpoint()
        database = CallDatabase(CallSight(lambda address: address == call.sender, lambda _: True))
        try:
            return simulate(self.transaction, call, self.head, self.settings, gas_cap=call.gas or 0, database=database)
        finally:
            self.transaction.revert(mark)
