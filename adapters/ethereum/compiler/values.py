"""Values on the stack while bytecode is compiled: constants, names of Python variables, and tests not yet made numbers.

Every value is an integer of 256 bits; `most` is the largest it can be, which spares masks and comparisons.
Invariant: `text` is an atom (a name, a literal, or in parentheses), so that it may stand anywhere in an expression.
"""

from __future__ import annotations

WORD_MAX = 2**256 - 1
_NAMED = {WORD_MAX: "M", 2**160 - 1: "A", 2**255: "S"}
"""Literals that generated code refers to by a global name; see runtime.py."""


class Value:
    """number: of a constant. test and its opposite: of a boolean that no variable holds yet; text is then empty.

    place: of an item that was on the stack when the trace began and is not in a variable yet, counted from the top.
    """

    __slots__ = ("most", "number", "opposite", "place", "test", "text")

    def __init__(
        self,
        text: str,
        most: int = WORD_MAX,
        *,
        number: int | None = None,
        test: str = "",
        opposite: str = "",
        place: int = 0,
    ) -> None:
        self.text = text
        self.most = most
        self.number = number
        self.test = test
        self.opposite = opposite
        self.place = place

    def shown(self) -> str:
        """Return an expression for the value that assigns nothing: for the exits of a trace."""
        if self.text:
            return self.text
        if self.place:
            return f"s[-{self.place}]"
        return f"(1 if {self.test} else 0)"


def literal(number: int) -> str:
    """Return a number as generated code writes it."""
    return _NAMED.get(number) or (str(number) if number < 10 else hex(number))


def constant(number: int) -> Value:
    return Value(literal(number), number, number=number)


def boolean(test: str, opposite: str) -> Value:
    """Return a value that is 1 where the test holds and 0 elsewhere."""
    return Value("", 1, test=test, opposite=opposite)
