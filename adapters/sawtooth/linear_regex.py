"""Regular expressions in time that grows with pattern times text, whatever the pattern: clients bring their own.

Python's `re` goes back and tries again, and with some patterns never ends. Here its parser is used, and what it reads
is run as a non-deterministic automaton (Thompson, 1968). What such an automaton cannot do is refused: references to
groups, look-around, atomic groups and possessive repeats, flags.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

PATTERN_CHARACTERS_MAX = 1_000
STATES_MAX = 2_000
STEPS_MAX = 3_000_000
"""Of all matching that one Budget pays for: about a second."""

_CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}
_IS_WORD = re.compile(r"\w").fullmatch

Place = Callable[[str, int], bool]
"""Whether an anchor holds at a position of a text."""
Test = Callable[[str], bool]


class BadPattern(ValueError):
    """A pattern that cannot be read, or asks for what is not offered."""


class TooCostly(Exception):
    """Matching has taken more steps than were granted."""


class Budget:
    """The steps that are left."""

    __slots__ = ("left",)

    def __init__(self, steps: int = STEPS_MAX) -> None:
        self.left = steps

    def take(self, steps: int) -> None:
        self.left -= steps
        if self.left < 0:
            raise TooCostly


class LinearRegex:
    """A pattern, ready to search with. Raises BadPattern."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > PATTERN_CHARACTERS_MAX:
            raise BadPattern(f"a pattern of more than {PATTERN_CHARACTERS_MAX} characters")
        try:
            parsed = parser.parse(pattern)
        except (re.error, OverflowError, RecursionError, ValueError) as error:
            raise BadPattern(f"not a regular expression: {error}") from None
        if parsed.state.flags & ~re.UNICODE.value:
            raise BadPattern("flags are not offered")
        # A state has a test of a character, or none, and the states after it; or a place that must hold.
        self._tests: list[Test | None] = []
        self._places: list[Place | None] = []
        self._next: list[list[int]] = []
        end = self._add()
        try:
            self._start = self._sequence(list(parsed), end)
        except RecursionError:
            raise BadPattern("a pattern that is nested too deep") from None
        self._end = end

    def search(self, text: str, budget: Budget) -> bool:
        """Say whether the pattern is found anywhere in a text. Raises TooCostly."""
        current: set[int] = set()
        for position in range(len(text) + 1):
            current = self._closure(current | {self._start}, text, position, budget)
            if self._end in current:
                return True
            if position < len(text):
                character, following = text[position], set[int]()
                for state in current:
                    test = self._tests[state]
                    if test is not None and test(character):
                        following.update(self._next[state])
                current = following
        return False

    def _closure(self, states: Iterable[int], text: str, position: int, budget: Budget) -> set[int]:
        waiting, seen = list(states), set(states)
        while waiting:
            state = waiting.pop()
            if self._tests[state] is not None:
                continue
            place = self._places[state]
            if place is not None and not place(text, position):
                continue
            for after in self._next[state]:
                if after not in seen:
                    seen.add(after)
                    waiting.append(after)
        budget.take(len(seen))
        return seen

    def _add(self, following: Iterable[int] = (), test: Test | None = None, place: Place | None = None) -> int:
        if len(self._next) >= STATES_MAX:
            raise BadPattern("a pattern that is too large")
        self._next.append(list(following))
        self._tests.append(test)
        self._places.append(place)
        return len(self._next) - 1

    def _sequence(self, items: list[tuple[Any, Any]], after: int) -> int:
        """Add states for items one after another, leading to `after`; returns the first one."""
        for code, argument in reversed(items):
            after = self._item(code, argument, after)
        return after

    def _item(self, code: Any, argument: Any, after: int) -> int:
        if code in (codes.LITERAL, codes.NOT_LITERAL, codes.ANY, codes.IN):
            return self._add((after,), test=_test(code, argument))
        if code is codes.BRANCH:
            return self._add([self._sequence(list(one), after) for one in argument[1]])
        if code is codes.SUBPATTERN:
            _, added, removed, items = argument
            if added or removed:
                raise BadPattern("flags are not offered")
            return self._sequence(list(items), after)
        if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            least, most, items = argument
            return self._repeat(least, most, items, after)
        if code is codes.AT:
            return self._add((after,), place=_place(argument))
        raise BadPattern(f"{str(code).lower()} is not offered")

    def _repeat(self, least: int, most: Any, items: Any, after: int) -> int:
        if most is codes.MAXREPEAT:
            loop = self._add((after,))
            self._next[loop].append(self._sequence(list(items), loop))
            after = loop
        else:
            end = after
            for _ in range(most - least):
                after = self._add((end, self._sequence(list(items), after)))
        for _ in range(least):
            after = self._sequence(list(items), after)
        return after


def _test(code: Any, argument: Any) -> Test:
    if code is codes.ANY:
        return lambda character: character != "\n"
    if code in (codes.LITERAL, codes.NOT_LITERAL):
        wanted, is_wanted = chr(argument), code is codes.LITERAL
        return lambda character: (character == wanted) is is_wanted
    negated = argument[0][0] is codes.NEGATE
    tests = [_in_test(kind, value) for kind, value in (argument[1:] if negated else argument)]
    return lambda character: any(test(character) for test in tests) is not negated


def _in_test(kind: Any, value: Any) -> Test:
    if kind is codes.LITERAL:
        return lambda character: ord(character) == value
    if kind is codes.RANGE:
        return lambda character: value[0] <= ord(character) <= value[1]
    matches = re.compile(_CATEGORIES[value]).fullmatch
    return lambda character: matches(character) is not None


def _place(kind: Any) -> Place:
    if kind in (codes.AT_BEGINNING, codes.AT_BEGINNING_STRING):
        return lambda text, position: position == 0
    if kind is codes.AT_END_STRING:
        return lambda text, position: position == len(text)
    if kind is codes.AT_END:
        return lambda text, position: text[position:] in ("", "\n")
    if kind in (codes.AT_BOUNDARY, codes.AT_NON_BOUNDARY):
        return lambda text, position: _is_boundary(text, position) is (kind is codes.AT_BOUNDARY)
    raise BadPattern(f"{str(kind).lower()} is not offered")


def _is_boundary(text: str, position: int) -> bool:
    before = position > 0 and _IS_WORD(text[position - 1]) is not None
    behind = position < len(text) and _IS_WORD(text[position]) is not None
    return before is not behind
