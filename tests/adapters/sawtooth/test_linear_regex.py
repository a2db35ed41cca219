"""Patterns of clients: what is found is what Python finds, and no pattern takes long."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.sawtooth.linear_regex import BadPattern, Budget, LinearRegex, TooCostly

_ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "0",
        ".",
        r"\d",
        r"\w",
        r"\S",
        "[ab]",
        "[^a]",
        "[a-c0-9]",
        r"[^\d\s]",
        "^",
        "$",
        r"\b",
        r"\B",
        r"\A",
        r"\Z",
    ]
)
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "*?", "+?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
        inner.map(lambda one: f"({one})"),
    ),
    max_leaves=8,
)


@given(_PATTERNS, st.text(alphabet="ab01 \nü_", min_size=1, max_size=14))
@settings(max_examples=400, deadline=None)
def test_what_is_found_is_what_python_finds(pattern: str, text: str) -> None:
    assert LinearRegex(pattern).search(text, Budget()) is (re.search(pattern, text) is not None)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(a*)*$", "(.*)*x", "a?" * 30 + "a" * 30, "(a{0,20}){0,20}b"])
def test_patterns_that_stop_others(pattern: str) -> None:
    budget = Budget()
    LinearRegex(pattern).search("a" * 60 + "!", budget)
    assert budget.left > 0


@pytest.mark.parametrize(
    "pattern",
    [
        *("(", "a{2", "[", "*", "(?P<n>a)(?P=n)", r"(a)\1", "(?=a)", "(?<!a)b", "(?i)a", "(?s:.)", "(?>a)", "a*+"),
        *("a" * 1_001, "(a{100}){100}", "a{5000}", "(" * 400 + ")" * 400 + "x" * 500),
    ],
)
def test_patterns_that_are_refused(pattern: str) -> None:
    if pattern == "a{2":
        assert LinearRegex(pattern).search("a{2", Budget())  # It is plain text, in Python too.
        return
    with pytest.raises(BadPattern):
        LinearRegex(pattern)


def test_a_budget_ends() -> None:
    budget = Budget(1_000)
    with pytest.raises(TooCostly):
        LinearRegex("(a|b)*c").search("ab" * 500, budget)
