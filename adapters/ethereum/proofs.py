"""What a ledger receipt of a transaction proves, and to whom it may be given.

The claims of a transaction's entry commit to its hash and its receipt (chain.claims), so who shows them shows all of
it: a caller may have the proof when it sees the transaction and every log of its receipt. The entry that binds an
address is the bound identity's, and claims nothing. Nobody gets the proof of a block's own entry: its header counts
what others did.
"""

from __future__ import annotations

from adapters.ethereum import chain
from adapters.ethereum.binding import decode_binding
from adapters.ethereum.formatting import data
from adapters.ethereum.rpc_blocks import find_transaction
from adapters.ethereum.scope import Scope
from adapters.ethereum.visibility import VisibleReceipt
from core.adapter.interface import Disclosure, WrittenEntry
from core.errors import InvariantBroken


def find_entry(scope: Scope, transaction_hash: bytes) -> int | None:
    """Return the seqno of a transaction's ledger entry; None when there is no proof that the caller may have."""
    if _provable(scope, transaction_hash) is None:
        return None
    return scope.transaction.table("transactions").version(transaction_hash)


def disclose(scope: Scope, entry: WrittenEntry) -> Disclosure | None:
    """Return what the caller may have of an entry's receipt."""
    hashes = list(entry.tables.get("transactions", {}))
    if len(hashes) == 1:
        item = _provable(scope, hashes[0])
        return None if item is None else Disclosure(_claims(item, entry))
    bindings = entry.tables.get("bindings", {}).values()
    if not hashes and bindings and all(one and decode_binding(one).identity == scope.identity for one in bindings):
        return Disclosure()
    return None


def _provable(scope: Scope, transaction_hash: bytes) -> VisibleReceipt | None:
    """Return a transaction that the caller sees whole."""
    found = find_transaction(scope, transaction_hash)
    if found is None:
        return None
    item = found[1]
    return item if item.transaction_visible and len(item.logs) == len(item.receipt.logs) else None


def _claims(item: VisibleReceipt, entry: WrittenEntry) -> dict[str, str]:
    signed = item.stored.transaction
    if chain.claims(signed, item.receipt) != entry.claims:
        raise InvariantBroken(f"entry {entry.seqno} does not claim what its transaction did")
    return {"transactionHash": data(signed.hash), "receipt": data(chain.claimed_receipt(item.receipt))}
