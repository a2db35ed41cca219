"""The stack and memory of a frame as they are known while a trace is compiled.

The stack: what the trace has put on top, over the items that were there when it began, of which it has taken some.
Nothing of the real stack is changed before the trace is left: `spill` says how to change it then.
"""

from __future__ import annotations

from adapters.ethereum.compiler.analysis import JumpDestinations
from adapters.ethereum.compiler.contexts import FREE_POINTER, KNOWN_ITEMS_MAX, Context
from adapters.ethereum.compiler.values import Value, constant

WORD_BYTES = 32


class SymbolicStack:
    """values: the top of the stack, lowest first. taken: how many items of the real stack they stand for."""

    def __init__(self, context: Context) -> None:
        self.values: list[Value] = []
        self.taken = 0
        self._known = dict(context.constants)
        self._origins: list[Value] = []

    def ensure(self, count: int) -> None:
        """Take items of the real stack until there are `count` values."""
        while len(self.values) < count:
            self.taken += 1
            number = self._known.get(self.taken)
            value = Value("", place=self.taken) if number is None else constant(number)
            self._origins.append(value)
            self.values.insert(0, value)

    def pop(self) -> Value:
        self.ensure(1)
        return self.values.pop()

    @property
    def growth(self) -> int:
        """How many items more there are than when the trace began."""
        return len(self.values) - self.taken

    def spill(self) -> str:
        """Return the statement that makes the real stack what it is here; empty when it is that already."""
        values, origins = self.values, self._origins
        same = 0
        while same < len(values) and same < self.taken and values[same] is origins[self.taken - 1 - same]:
            same += 1
        replaced = self.taken - same
        items = "".join(f"{value.shown()}, " for value in values[same:])
        if items:
            return f"s[-{replaced}:] = ({items[:-1]})" if replaced else f"s += ({items[:-1]})"
        return f"del s[-{replaced}:]" if replaced else ""

    def constants(self, targets: JumpDestinations) -> tuple[tuple[int, int], ...]:
        """Return the constants near the top that may be jumped to, as a context holds them."""
        found = []
        for place in range(1, min(KNOWN_ITEMS_MAX, len(self.values)) + 1):
            number = self.values[-place].number
            if number is not None and number in targets:
                found.append((place, number))
        # What lies below the values is as it was when the trace began.
        for place, number in self._known.items():
            below = place + self.growth
            if place > self.taken and below <= KNOWN_ITEMS_MAX:
                found.append((below, number))
        return tuple(found)


class SymbolicMemory:
    """size: bytes that memory has at least. words: what is known to stand at an offset."""

    def __init__(self, context: Context) -> None:
        self.size = context.size
        self.words: dict[int, Value] = {} if context.free is None else {FREE_POINTER: constant(context.free)}

    def forget(self, start: Value | None = None, size: Value | None = None) -> None:
        """Drop what a write may have changed: of these bytes, or of any."""
        if size is not None and size.number == 0:
            return
        if start is None or start.number is None or size is None or size.number is None:
            self.words.clear()
            return
        first, end = start.number - WORD_BYTES, start.number + size.number
        for offset in [offset for offset in self.words if first < offset < end]:
            del self.words[offset]

    def write(self, start: Value, value: Value) -> None:
        """Note a word that was stored."""
        self.forget(start, constant(WORD_BYTES))
        if start.number is not None:
            self.words[start.number] = value

    def holds(self, start: Value, value: Value) -> bool:
        """Say whether a word is known to stand at a place already."""
        known = self.words.get(start.number) if start.number is not None else None
        return known is not None and (known is value or (known.number is not None and known.number == value.number))

    def text(self, start: int, size: int) -> str:
        """Return the names of the words that stand from a place on; empty where one is not known, or cut off."""
        if size % WORD_BYTES or size > WORD_BYTES * len(self.words):
            return ""
        words = [self.words.get(offset) for offset in range(start, start + size, WORD_BYTES)]
        known = [word.text for word in words if word is not None]
        return ", ".join(known) if len(known) == len(words) else ""

    @property
    def free(self) -> int | None:
        word = self.words.get(FREE_POINTER)
        return None if word is None else word.number
