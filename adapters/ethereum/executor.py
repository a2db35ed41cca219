"""The half of the adapter that runs in the executor: commands into blocks, queries into answers.

Replies are JSON-RPC fragments (adapters/jsonrpc.py), which the gateway only puts into their envelopes.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import assert_never

from adapters.ethereum import chain, rpc_blocks, rpc_state
from adapters.ethereum.binding import BindingMessages, addresses_of, bind, check_sender
from adapters.ethereum.blocks import encode_header
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.formatting import checksum_address, data
from adapters.ethereum.queue import EthereumQueue
from adapters.ethereum.requests import (
    COMMANDS,
    QUERIES,
    Bind,
    BindMessage,
    BlockNumber,
    BoundAddresses,
    Call,
    EstimateGas,
    FeeHistory,
    GetBalance,
    GetBlock,
    GetBlockReceipts,
    GetCode,
    GetLogs,
    GetNonce,
    GetReceipt,
    GetTransaction,
    Query,
    SendTransaction,
)
from adapters.ethereum.scope import Memos, Scope
from adapters.ethereum.settings import Settings
from adapters.ethereum.transactions import decode_stored
from adapters.jsonrpc import DENIED, RpcError, error_fragment, result_fragment
from core.adapter.interface import (
    Caller,
    CommandRejected,
    Executed,
    ExecutionContext,
    QueryContext,
    ScopedTransaction,
)
from core.types import NO_CLAIMS, Digest


class _Head:
    """The head state, as the queue sees it."""

    def __init__(self, transaction: ScopedTransaction) -> None:
        self._transaction = transaction

    def nonce(self, sender: bytes) -> int:
        return chain.account(self._transaction, sender).nonce

    def check_sender(self, sender: bytes, caller: Caller) -> None:
        check_sender(self._transaction, sender, caller)


class EthereumExecutor:
    """See the module. Everything held here can be lost: blocks are taken back, messages written anew."""

    def __init__(self, settings: Settings, network: str) -> None:
        self._settings = settings
        self._blocks = BlockExecutor(settings)
        self._messages = BindingMessages(secrets.token_bytes(32), network=network, chain_id=settings.chain_id)
        self._memos = Memos()
        self._queue: EthereumQueue | None = None

    def reset(self) -> None:
        """Forget the open block and everything remembered from queries."""
        self._blocks.reset()
        self._memos.clear()

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> EthereumQueue:
        """Return the queue; queries look into it for pending nonces."""
        self._queue = EthereumQueue(lambda: _Head(read()))
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

    def _send(self, transaction: ScopedTransaction, command: SendTransaction, context: ExecutionContext) -> Executed:
        signed = decode_stored(command.stored)
        check_sender(transaction, signed.sender, context.caller)
        receipt = self._blocks.execute(transaction, signed, context)
        return Executed(result_fragment(data(signed.hash)), chain.claims(signed, receipt))

    def _bind(self, transaction: ScopedTransaction, command: Bind, context: ExecutionContext) -> Executed:
        identity = context.caller.identity
        if identity is None:
            raise RpcError(DENIED, "only an identity can bind an address")
        issued_s = self._messages.verify(command.message, command.signer, identity, context.time_s)
        bind(transaction, command.signer, identity, issued_s)
        return Executed(result_fragment({"address": checksum_address(command.signer), "identity": identity}))

    def _dispatch(self, query: Query, context: QueryContext, identity: str) -> object:
        if isinstance(query, BindMessage):
            return self._messages.write(identity, query.address, context.time_s)
        if isinstance(query, BoundAddresses):
            return [checksum_address(one) for one in addresses_of(context.transaction, identity)]
        scope = Scope(self._settings, self._memos, context, identity)
        match query:
            case BlockNumber():
                return rpc_blocks.block_number(scope)
            case GetBlock():
                return rpc_blocks.get_block(scope, query)
            case GetBlockReceipts():
                return rpc_blocks.get_block_receipts(scope, query)
            case GetTransaction():
                return rpc_blocks.get_transaction(scope, query)
            case GetReceipt():
                return rpc_blocks.get_receipt(scope, query)
            case GetLogs():
                return rpc_blocks.get_logs(scope, query)
            case FeeHistory():
                return rpc_blocks.fee_history(scope, query)
            case GetNonce():
                return rpc_state.get_nonce(scope, query, self._next_nonce)
            case GetBalance():
                return rpc_state.get_balance(scope, query)
            case GetCode():
                return rpc_state.get_code(scope, query)
            case Call():
                return rpc_state.call(scope, query)
            case EstimateGas():
                return rpc_state.estimate(scope, query)
            case _:
                assert_never(query)

    def _next_nonce(self, address: bytes) -> int:
        return 0 if self._queue is None else self._queue.next_nonce(address)
