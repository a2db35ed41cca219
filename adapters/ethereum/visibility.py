"""Who may see what of a block. The one place where the rules stand; every answer of the adapter is made from a view.

- A transaction is visible to the identity of its sender and of its externally owned recipient (only those can be
  bound, so a bound recipient is one).
- A log is visible to the identity of the transaction's sender, to the identities whose addresses stand in its topics,
  and to whom its contract admits by its check-access method (access.py). A contract without one follows the network's
  policy: `members`, every identity of the network; `private`, nobody more.
- A receipt is visible to whom the transaction is, and to whoever may see one of its logs; with those logs only.
- Under the policy `public` every identity sees all.

Positions, counts, gas and blooms of a view cover what is in it, so that they tell nothing of what is not.

What the code of a call (eth_call and others) is told of accounts follows the same rules, see call_state.py, and what a
call may assume of them, overrides.py. In a transaction the EVM hides nothing from code: whoever deploys code that reads
a balance does it on the record. A contract's storage is told by its own code only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass

from adapters.ethereum import chain
from adapters.ethereum.access import AccessChecks
from adapters.ethereum.bloom import combine, logs_bloom
from adapters.ethereum.model import Block, Log, Receipt, SignedTransaction, StoredTransaction
from adapters.ethereum.settings import Policy
from core.adapter.interface import ScopedTransaction
from core.errors import InvariantBroken

BLOCKS_REMEMBERED_MAX = 32
VIEWS_REMEMBERED_MAX = 256

_TOPIC_PADDING = bytes(12)


@dataclass(frozen=True, slots=True)
class VisibleReceipt:
    """A receipt in a view. logs: the visible ones; bloom: of them. index and first_log_index count visible things."""

    stored: StoredTransaction
    receipt: Receipt
    logs: tuple[Log, ...]
    bloom: bytes
    transaction_visible: bool
    index: int
    first_log_index: int
    cumulative_gas_used: int


@dataclass(frozen=True, slots=True)
class VisibleBlock:
    """What one identity sees of a block: the visible receipts in order; gas and bloom of them."""

    block: Block
    items: tuple[VisibleReceipt, ...]
    gas_used: int
    bloom: bytes

    def find(self, index: int) -> VisibleReceipt | None:
        """Return the visible receipt of the transaction at this place of the real block."""
        position = bisect_left(self.items, index, key=lambda item: item.stored.index)
        if position < len(self.items) and self.items[position].stored.index == index:
            return self.items[position]
        return None


class Sight:
    """The rules for one identity, during one query. addresses: those bound to it."""

    def __init__(self, policy: Policy, addresses: tuple[bytes, ...], checks: AccessChecks) -> None:
        self._policy = policy
        self.addresses = addresses
        self._own = frozenset(addresses)
        self._own_topics = frozenset(_TOPIC_PADDING + address for address in addresses)
        self._checks = checks

    def sees_account(self, address: bytes) -> bool:
        """Say whether balance and nonce of an account are visible: of one's own, or in a public network."""
        return self._policy == "public" or address in self._own

    def sees_code(self, address: bytes, creator: bytes | None, *, in_genesis: bool) -> bool:
        """Say whether an account's code is visible: to all identities, or in a private network to its deployer's."""
        return self._policy != "private" or in_genesis or address in self._own or creator in self._own

    def sees_transaction(self, transaction: SignedTransaction) -> bool:
        return self._policy == "public" or transaction.sender in self._own or transaction.to in self._own

    def visible_logs(self, transaction: SignedTransaction, receipt: Receipt) -> tuple[Log, ...]:
        """Return the logs of a receipt that are visible, in order."""
        if self._policy == "public" or transaction.sender in self._own:
            return receipt.logs
        return tuple(log for log in receipt.logs if self._sees_log(log))

    def _sees_log(self, log: Log) -> bool:
        """Decide on a log of somebody else's transaction."""
        if not self._own_topics.isdisjoint(log.topics):
            return True
        if self._checks.implements(log.address):
            return self._checks.admits(log)
        return self._policy == "members"

    def view(self, block: Block, content: BlockContent) -> VisibleBlock:
        """Return what is visible of a block."""
        self._checks.open_block()
        items: list[VisibleReceipt] = []
        gas_used = log_count = 0
        for stored, receipt in content:
            seen = self.sees_transaction(stored.transaction)
            logs = self.visible_logs(stored.transaction, receipt)
            if not seen and not logs:
                continue
            gas_used += receipt.gas_used
            bloom = receipt.bloom if len(logs) == len(receipt.logs) else logs_bloom(logs)
            items.append(VisibleReceipt(stored, receipt, logs, bloom, seen, len(items), log_count, gas_used))
            log_count += len(logs)
        return VisibleBlock(block, tuple(items), gas_used, combine(item.bloom for item in items))


BlockContent = tuple[tuple[StoredTransaction, Receipt], ...]


class ViewMemo:
    """Blocks read and views made lately, held by the executor between queries.

    A view is good for an identity as long as its addresses are the same and no newer block has changed what contracts
    answer.
    """

    def __init__(self) -> None:
        self._contents: OrderedDict[bytes, BlockContent] = OrderedDict()
        self._views: OrderedDict[tuple[bytes, str], tuple[bytes, tuple[bytes, ...], VisibleBlock]] = OrderedDict()

    def clear(self) -> None:
        self._contents.clear()
        self._views.clear()

    def view(
        self, transaction: ScopedTransaction, block: Block, head: bytes, identity: str, sight: Sight
    ) -> VisibleBlock:
        """Return an identity's view of a block. head: the hash of the newest block."""
        key = (block.hash, identity)
        found = self._views.get(key)
        if found is not None and found[0] == head and found[1] == sight.addresses:
            self._views.move_to_end(key)
            return found[2]
        view = sight.view(block, self._content(transaction, block))
        self._views[key] = (head, sight.addresses, view)
        self._views.move_to_end(key)
        if len(self._views) > VIEWS_REMEMBERED_MAX:
            self._views.popitem(last=False)
        return view

    def _content(self, transaction: ScopedTransaction, block: Block) -> BlockContent:
        content = self._contents.get(block.hash)
        if content is None:
            content = self._contents[block.hash] = _read_content(transaction, block)
            if len(self._contents) > BLOCKS_REMEMBERED_MAX:
                self._contents.popitem(last=False)
        else:
            self._contents.move_to_end(block.hash)
        return content


def _read_content(transaction: ScopedTransaction, block: Block) -> BlockContent:
    stored = []
    for transaction_hash in block.transaction_hashes:
        found = chain.transaction_by_hash(transaction, transaction_hash)
        if found is None:
            raise InvariantBroken(f"block {block.header.number} lacks a transaction")
        stored.append(found)
    receipts = chain.receipts_of(transaction, block.header.number)
    if len(receipts) != len(stored):
        raise InvariantBroken(f"block {block.header.number} has {len(receipts)} receipts for {len(stored)}")
    return tuple(zip(stored, receipts, strict=True))
