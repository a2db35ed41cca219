"""Amounts, exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import WrongUse
from cli.values import format_ether, parse_integer, parse_seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("1000", 1000),
        ("1_000_000", 1_000_000),
        ("-5", -5),
        ("0x3E8", 1000),
        ("1ether", 10**18),
        ("1 ether", 10**18),
        ("1.5ether", 15 * 10**17),
        ("0.000000000000000001ether", 1),
        ("20gwei", 20 * 10**9),
        ("-0.5gwei", -5 * 10**8),
        ("7wei", 7),
        ("1.50gwei", 15 * 10**8),
        ("2.0", 2),
    ],
)
def test_amounts(text: str, value: int) -> None:
    assert parse_integer(text) == value


def test_a_unit_can_be_given_for_plain_numbers() -> None:
    assert parse_integer("2.5", unit="gwei") == 25 * 10**8
    assert parse_integer("2.5ether", unit="gwei") == 25 * 10**17


@pytest.mark.parametrize(
    "text",
    [
        *("", "ether", "1.5", "0.0000000000000000001ether", "1e18", "1,000", "__1", "1__0", "1_", "0x", "0xg", "1 eth"),
        *("１", "9" * 101, "0x" + "f" * 65, "--1", "+1", "1\n", "1  ether"),
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(WrongUse):
        parse_integer(text)


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_ether_is_written_and_read_exactly(wei: int) -> None:
    text = format_ether(wei)
    assert text.endswith(" ether")
    assert parse_integer(text) == wei


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10.0), ("500ms", 0.5), ("2m", 120.0), ("1.5", 1.5), ("60m", 3600.0)]
)
def test_lengths_of_time(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-1s", "soon", "1h", "61m", "1 s", "1e3", "10s\n", "\u0661s"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(WrongUse):
        parse_seconds(text)
