"""What clients saw: one record per operation, as it is kept in a file, and the ledger's side of it.

The object is a set of registers in a contract (register.py). A write swaps a register's value for one that no other
write of the run writes, and its answer names the value before; a read asks for a value. Times are of one monotonic
clock, in seconds. A write's claims are what its ledger entry must claim, made from the answer alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

NEVER = float("inf")


class Write(msgspec.Struct, frozen=True, tag="write", forbid_unknown_fields=True):
    """outcome: "acknowledged"; "refused": nothing was written, says the network; "unknown": nobody told the client.

    session: the client's stay with one node; a new one begins with each node it turns to, and after each error.
    before, claims: of an acknowledged one, and of another that was found to be committed afterwards (found).
    """

    client: int
    node: str
    session: int
    key: int
    value: int
    transaction: str
    started: float
    ended: float
    outcome: Literal["acknowledged", "refused", "unknown"]
    before: int = 0
    claims: str = ""
    found: bool = False

    @property
    def is_committed(self) -> bool:
        return self.outcome == "acknowledged" or self.found

    @property
    def took_effect_by(self) -> float:
        """The time by which it had taken effect, as far as its client knows."""
        return self.ended if self.outcome == "acknowledged" else NEVER


class Read(msgspec.Struct, frozen=True, tag="read", forbid_unknown_fields=True):
    """session: as of Write."""

    client: int
    node: str
    session: int
    key: int
    value: int
    started: float
    ended: float


Operation = Write | Read


@dataclass(frozen=True, slots=True)
class Place:
    """A transaction id."""

    view: int
    seqno: int

    def __str__(self) -> str:
        return f"{self.view}.{self.seqno}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """One node's ledger. claims: what each entry that claims something claims (hexadecimal), with its place.

    leaves: of every entry, in order: two ledgers hold the same where these are equal.
    """

    node: str
    claims: Sequence[tuple[str, Place]]
    leaves: Sequence[str] = ()


def save_history(path: Path, operations: Iterable[Operation]) -> None:
    """Write one JSON object a line."""
    with path.open("wb") as file:
        for operation in operations:
            file.write(msgspec.json.encode(operation) + b"\n")


def load_history(path: Path) -> list[Operation]:
    """Read what save_history wrote; raises msgspec.DecodeError."""
    decoder = msgspec.json.Decoder(Operation)
    with path.open("rb") as file:
        return [decoder.decode(line) for line in file]
