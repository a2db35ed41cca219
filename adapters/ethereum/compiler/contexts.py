"""What is known where a trace begins, and so becomes part of what is compiled.

A trace compiled for a context is reached only from traces that have established it, so that return addresses and
Solidity's free-memory pointer stay constants across traces: lazy basic block versioning (Chevalier-Boisvert, Feeley).
"""

from __future__ import annotations

from typing import NamedTuple

FREE_POINTER = 0x40
"""Where Solidity keeps the address of free memory: the one word of memory whose value a context may hold."""
KNOWN_ITEMS_MAX = 24
"""How far down the stack a context knows values."""


class Context(NamedTuple):
    """constants: (place from the top of the stack, beginning with 1; value), by place.

    free: the word at FREE_POINTER, None when unknown. size: bytes that memory has at least.
    """

    constants: tuple[tuple[int, int], ...] = ()
    free: int | None = None
    size: int = 0

    def implies(self, other: Context) -> bool:
        """Say whether all that the other context knows holds in this one."""
        return (
            other.size <= self.size
            and (other.free is None or other.free == self.free)
            and set(other.constants) <= set(self.constants)
        )

    def common(self, other: Context) -> Context:
        """Return what both contexts know."""
        constants = set(other.constants)
        return Context(
            tuple(item for item in self.constants if item in constants),
            self.free if self.free == other.free else None,
            min(self.size, other.size),
        )


NOTHING_KNOWN = Context()
