"""Amounts as people write them (1_000, 0x10, 1.5ether, 20gwei), and bytes as people can read them."""

from __future__ import annotations

import re

from cli.errors import WrongUse

_UNITS = {"wei": 0, "kwei": 3, "mwei": 6, "gwei": 9, "ether": 18}
_AMOUNT = re.compile(r"(-?)([0-9](?:_?[0-9])*)(?:\.([0-9]+))? ?(?:(wei|kwei|mwei|gwei|ether))?")
_HEX_AMOUNT = re.compile(r"0x[0-9a-fA-F]{1,64}")
AMOUNT_DIGITS_MAX = 100


def parse_integer(text: str, *, unit: str = "wei") -> int:
    """Parse a whole number, with underscores, in hexadecimal, or with a unit of ether. unit: when none is written.

    Raises WrongUse, also when the amount is not a whole number of wei.
    """
    if len(text) > AMOUNT_DIGITS_MAX:
        raise WrongUse(f"not a number: {text[:40]}...")
    if _HEX_AMOUNT.fullmatch(text):
        return int(text, 16)
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise WrongUse(f"not a number: {text!r}", hint="Write 1000, 1_000, 0x3e8, 1.5ether or 20gwei.")
    sign, whole, fraction, written = match.groups()
    places = _UNITS[written or unit]
    fraction = (fraction or "").rstrip("0")
    if len(fraction) > places:
        raise WrongUse(f"not a whole number: {text!r}", hint="The smallest amount is 1wei.")
    # The fraction, filled up to the unit's places, continues the whole part's digits.
    value = int(whole.replace("_", "") + fraction.ljust(places, "0"))
    return -value if sign else value


def format_ether(wei: int) -> str:
    """Write an amount of wei in ether, exactly."""
    whole, rest = divmod(wei, 10**18)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".") + " ether"


def readable_bytes(data: bytes) -> str:
    """Show bytes as text where they are text, else as hexadecimal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "0x" + data.hex()
    return text if all(character.isprintable() or character in "\n\t" for character in text) else "0x" + data.hex()
