"""Failures of the command line, each with the exit code that scripts can tell it by.

Exit codes: 0 done; 1 failed; 2 wrong use; 3 the node stopped; 4 ledger damaged; 5 storage failed; 6 state of another
version or damaged; 7 no network answers, or it is not the pinned one; 8 the network refused the request; 9 a
transaction reverted; 10 whether a transaction took effect is not known; 11 a ledger contradicts another copy or a
receipt; 130 interrupted.
"""

from __future__ import annotations

from core.errors import CocoError


class WrongUse(CocoError):
    """An argument or option that cannot be meant."""

    exit_code = 2


class NotFound(CocoError):
    """A network, identity, account or contract that this machine does not know."""

    exit_code = 2


class StateDamaged(CocoError):
    """A file under COCO_HOME that cannot be read as what it should be."""

    exit_code = 6


class Unreachable(CocoError):
    """Nothing answers at the network's address, or what answers is not the pinned network."""

    exit_code = 7


class Refused(CocoError):
    """The network answered with an error. code: of JSON-RPC, or the HTTP status. data: as the network gave it."""

    exit_code = 8

    def __init__(self, message: str, *, code: int, data: object | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.data = data


class Reverted(CocoError):
    """A call or transaction reverted. transaction_hash: None when it was never sent."""

    exit_code = 9

    def __init__(self, message: str, *, transaction_hash: str | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.transaction_hash = transaction_hash


class OutcomeUnknown(CocoError):
    """Whether a transaction was committed is not known here. transaction: the hash or id to ask about."""

    exit_code = 10

    def __init__(self, message: str, *, transaction: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.transaction = transaction


class Equivocation(CocoError):
    """Ledgers, receipts or signed roots of one network that contradict each other."""

    exit_code = 11
