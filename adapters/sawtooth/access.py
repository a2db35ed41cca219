"""Who may see what. The one place where the rules stand.

- State is read by who may read its namespace, as the constitution says; a namespace it does not name, by nobody.
- A transaction may use a namespace for which the constitution lets its submitter submit: who may read it, unless others
  are named. For what becomes of a transaction, and its receipt, tell its submitter what it read.
- A transaction is visible to the identity that submitted it, and to who may read every namespace that its inputs and
  outputs lie in. One that names no address, or a prefix shorter than a namespace, is its submitter's alone.
- A batch is visible to who sees all its transactions; so is what became of it, and its transactions' receipts.
- A change of state in an event is visible to who may read its address, and to the transaction's submitter.
- A processor outside the enclave runs transactions of families for which the constitution names its identity, and of
  those only what this identity sees; of the state it reads what this identity and the transaction's submitter both may.
- Block headers and state roots are public to the network's identities. A header names the ids of all its batches, which
  are signatures and tell nothing of what was signed: without them nobody could verify the block's own signature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.sawtooth.addresses import ADDRESS_BYTES, NAMESPACE_BYTES, namespaces_of
from adapters.sawtooth.records import Outcome
from adapters.sawtooth.settings import EVERYBODY, MEMBERS, Settings
from core.adapter.interface import Caller


class Sight:
    """The rules for one caller."""

    __slots__ = ("_identity", "readable", "usable")

    def __init__(self, settings: Settings, caller: Caller) -> None:
        self._identity = caller.identity
        names = _names(caller)
        self.readable = _where(settings.readers, names)
        """The namespaces that the caller may read."""
        self.usable = _where(settings.submitters, names)
        """The namespaces that the caller's transactions may use."""

    def is_submitter(self, outcome: Outcome) -> bool:
        return self._identity is not None and outcome.submitter == self._identity

    def sees_batch(self, outcome: Outcome) -> bool:
        return self.is_submitter(outcome) or self.readable.issuperset(outcome.namespaces)

    def sees_transaction(self, outcome: Outcome, prefixes: Iterable[str]) -> bool:
        """Say whether a transaction is visible. outcome: its batch's; prefixes: its inputs and outputs."""
        return self.is_submitter(outcome) or self.readable.issuperset(namespaces_of(prefixes))

    def sees_address(self, address: bytes) -> bool:
        return address[:NAMESPACE_BYTES] in self.readable and len(address) == ADDRESS_BYTES

    def readable_prefixes(self, prefix: bytes) -> list[bytes]:
        """Return the prefixes, in order, under which the addresses lie that begin with `prefix` and may be read."""
        if len(prefix) >= NAMESPACE_BYTES:
            return [prefix] if prefix[:NAMESPACE_BYTES] in self.readable else []
        return sorted(one for one in self.readable if one.startswith(prefix))


def batch_namespaces(transactions: Iterable[Iterable[str]]) -> tuple[bytes, ...]:
    """Return what one must be allowed to read to see a batch. transactions: the prefixes that each of them names."""
    return tuple(sorted(frozenset().union(*map(namespaces_of, transactions))))


def may_process(settings: Settings, caller: Caller, family: str) -> bool:
    """Say whether the caller's processors may run a family's transactions outside the enclave."""
    return not _names(caller).isdisjoint(settings.external_processors.get(family, ()))


def _names(caller: Caller) -> set[str]:
    """Return what the constitution may call a caller. An identity that is called like a group is not that group."""
    if caller.identity is None:
        return set()
    names = {EVERYBODY, MEMBERS if caller.is_member else EVERYBODY}
    return names if caller.identity == MEMBERS else names | {caller.identity}


def _where(rights: Mapping[bytes, frozenset[str]], names: set[str]) -> frozenset[bytes]:
    return frozenset(namespace for namespace, holders in rights.items() if not names.isdisjoint(holders))
