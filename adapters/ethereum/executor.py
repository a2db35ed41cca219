"""The half of the adapter that runs in the executor: commands into blocks, queries into answers.

Replies are JSON-RPC fragments (adapters/jsonrpc.py), which the gateway only puts into their envelopes.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from typing import assert_never

from adapters.ethereum import chain, proofs, rpc_blocks, rpc_calls, rpc_state
from adapters.ethereum.access import ChecksExhausted
from adapters.ethereum.binding import BindingMessages, addresses_of, bind, check_sender, secret_of
from adapters.ethereum.blocks import encode_header
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.filters import FilterBook
from adapters.ethereum.formatting import checksum_address, data
from adapters.ethereum.queue import EthereumQueue, Standing
from adapters.ethereum.quota import ExecutorQuota
from adapters.ethereum.records import decode_account
from adapters.ethereum.requests import (
    COMMANDS,
    CRITERIA,
    QUERIES,
    AdvanceFilter,
    Bind,
    BindMessage,
    BlockQuery,
    FilterState,
    FindEntry,
    GetNonce,
    GetPool,
    InstallFilter,
    LiveQuery,
    Query,
    SendTransaction,
    SimulationQuery,
    StateQuery,
    UninstallFilter,
    asks_for_queue,
)
from adapters.ethereum.scope import Memos, Scope
from adapters.ethereum.settings import Settings
from adapters.ethereum.transactions import decode_stored
from adapters.ethereum.txpool import get_pool
from adapters.jsonrpc import DENIED, RpcError, error_fragment, result_fragment
from core.adapter.interface import (
    Caller,
    CommandRejected,
    Disclosure,
    Executed,
    ExecutionContext,
    QueryContext,
    ScopedTransaction,
    WrittenEntry,
)
from core.types import NO_CLAIMS, Digest, Seqno


class _Head:
    """The head state, as the queue sees it."""

    def __init__(self, transaction: ScopedTransaction, committed: Seqno) -> None:
        self._transaction = transaction
        self._committed = committed

    def nonce(self, sender: bytes) -> int:
        found = self._transaction.table("accounts").get(sender)
        return 0 if found is None else decode_account(found).nonce

    def check_sender(self, sender: bytes, caller: Caller) -> None:
        check_sender(self._transaction, sender, caller)

    def standing(self, transaction_hash: bytes) -> Standing:
        if not chain.has_transaction(self._transaction, transaction_hash):
            return ""
        seqno = self._transaction.table("transactions").version(transaction_hash)
        return "committed" if seqno is not None and seqno <= self._committed else "run"


class EthereumExecutor:
    """See the module. Everything held here can be lost: blocks are taken back, messages written anew."""

    def __init__(self, settings: Settings, network: str) -> None:
        self._settings = settings
        self._blocks = BlockExecutor(settings)
        self._messages = BindingMessages(secrets.token_bytes(32), network=network, chain_id=settings.chain_id)
        self._memos = Memos()
        self._quota = ExecutorQuota()
        self._filters = FilterBook()
        self._queue: EthereumQueue | None = None
        self.committed = Seqno(0)
        """The newest committed entry."""

    def reset(self, transaction: ScopedTransaction) -> None:
        """Forget the open block and everything remembered from queries; not filters, which are at committed blocks."""
        self._blocks.reset()
        self._memos.clear()
        secret = secret_of(transaction)
        if secret is not None:
            self._messages.use(secret)

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> EthereumQueue:
        """Return the queue; queries look into it for pending nonces."""
        self._queue = EthereumQueue(lambda: _Head(read(), self.committed))
        return self._queue

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        """Run a command. Raises CommandRejected with the error to answer, or BlockFull."""
        command = COMMANDS.decode(payload)
        try:
            match command:
                case SendTransaction():
                    return self._send(transaction, command, context)
                case Bind():
                    return self._bind(transaction, command, context)
                case _:
                    assert_never(command)
        except RpcError as error:
            raise CommandRejected(error_fragment(error)) from None

    def close_block(self, transaction: ScopedTransaction, context: ExecutionContext) -> Digest:
        """End the open Ethereum block, if there is one. Its claims: SHA-256 of the header's RLP."""
        if not self._blocks.is_open:
            return NO_CLAIMS
        block = self._blocks.close(transaction, context)
        return Digest(hashlib.sha256(encode_header(block.header)).digest())

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        """Answer a query."""
        query = QUERIES.decode(payload)
        try:
            if context.caller.identity is None:
                raise RpcError(DENIED, "this network answers to identities only")
            return result_fragment(self._dispatch(query, context, context.caller.identity))
        except RpcError as error:
            return error_fragment(error)

    def disclose(self, entry: WrittenEntry, context: QueryContext) -> Disclosure | None:
        """Say what the caller may have of an entry's receipt; nothing where its logs cannot be judged."""
        if context.caller.identity is None:
            return None
        try:
            return proofs.disclose(Scope(self._settings, self._memos, context, context.caller.identity), entry)
        except ChecksExhausted:
            return None

    def _send(self, transaction: ScopedTransaction, command: SendTransaction, context: ExecutionContext) -> Executed:
        signed = decode_stored(command.stored)
        check_sender(transaction, signed.sender, context.caller)
        identity = context.caller.identity
        self._check_share(identity)
        began = time.thread_time()
        try:
            receipt = self._blocks.execute(transaction, signed, context)
        finally:
            self._quota.charge(identity, time.thread_time() - began, time.monotonic())
        return Executed(result_fragment(data(signed.hash)), chain.claims(signed, receipt, self._blocks.last_tail))

    def _check_share(self, identity: str | None) -> None:
        """Raise RpcError when an identity is over its share of the executor's time and others wait."""
        now = time.monotonic()
        if self._quota.is_over(identity, now) and self._queue is not None and self._queue.waits_for_another(identity):
            raise self._quota.refusal(identity, now)

    def _bind(self, transaction: ScopedTransaction, command: Bind, context: ExecutionContext) -> Executed:
        identity = context.caller.identity
        if identity is None:
            raise RpcError(DENIED, "only an identity can bind an address")
        issued_s = self._messages.verify(command.message, command.signer, identity, context.time_s)
        bind(transaction, command.signer, identity, issued_s)
        return Executed(result_fragment({"address": checksum_address(command.signer), "identity": identity}))

    def _dispatch(self, query: Query, context: QueryContext, identity: str) -> object:
        if isinstance(query, LiveQuery):
            return self._answer_live(query, context, identity)
        scope = Scope(self._settings, self._memos, context, identity)
        if isinstance(query, BlockQuery):
            return rpc_blocks.answer(scope, query)
        if isinstance(query, FindEntry):
            return proofs.find_entry(scope, query.hash)
        if isinstance(query, SimulationQuery):
            return rpc_calls.answer(scope, query)
        if isinstance(query, StateQuery):
            counts_queue = isinstance(query, GetNonce) and asks_for_queue(query)
            return rpc_state.answer(scope, query, self._next_nonce(query.address) if counts_queue else 0)
        assert_never(query)

    def _answer_live(self, query: LiveQuery, context: QueryContext, identity: str) -> object:
        """Answer from what only the executor has."""
        now_s = context.time_s
        match query:
            case BindMessage():
                return self._messages.write(identity, query.address, now_s)
            case GetPool():
                return get_pool(self._queue, addresses_of(context.transaction, identity), query)
            case InstallFilter():
                head = chain.head_number(context.transaction)
                return self._filters.install(identity, query.criteria, head, now_s)
            case FilterState():
                found = self._filters.use(identity, query.id, now_s)
                return {"criteria": CRITERIA.encode(found.criteria).hex(), "position": found.position}
            case AdvanceFilter():
                return self._filters.advance(identity, query.id, query.before, query.after, now_s)
            case UninstallFilter():
                return self._filters.uninstall(identity, query.id, now_s)
            case _:
                assert_never(query)

    def _next_nonce(self, address: bytes) -> int:
        return 0 if self._queue is None else self._queue.next_nonce(address)
