"""Tells, without keys, a write that was cut off from an entry whose length was changed so that it looks like one.

A write that was cut off is a prefix of an entry, and nothing follows it. With the keys `LedgerVerifier` decides by
tags; here the form alone speaks: a whole signature entry, or the head of the next entry. Whoever gets that head into
the public tables of the very entry at which a node crashes can make the crash look like damage, never the reverse.
"""

from __future__ import annotations

from core.errors import MalformedMessage
from core.ledger.entry import ENTRY_VERSION, HEADER_BYTES, VIEW_MAX, ParsedEntry, framed_bytes, parse_entry
from core.types import Seqno, View

_NONCE_AT = 24
_SEQNO_BYTES, _VIEW_BYTES = 8, 4
_STATED_AT = 45
"""Where the public domain states the seqno once more."""


def whole_with_another_length(rest: bytes) -> ParsedEntry | None:
    """Return the entry that these bytes are if all of them are taken for it, whatever its header says."""
    if len(rest) <= HEADER_BYTES:
        return None
    header = ((len(rest) - HEADER_BYTES) << 16 | ENTRY_VERSION).to_bytes(HEADER_BYTES, "little")
    try:
        return parse_entry(header + rest[HEADER_BYTES:])
    except MalformedMessage:
        return None


def follows(rest: bytes, seqno: Seqno, view: View) -> bool:
    """Say whether an entry of this seqno, of this view or a later one, begins somewhere within these bytes."""
    wanted = seqno.to_bytes(_SEQNO_BYTES, "little")
    found = rest.find(wanted, HEADER_BYTES + _NONCE_AT)
    while found >= 0:
        if _begins(rest[found - _NONCE_AT :], wanted, view):
            return True
        found = rest.find(wanted, found + 1)
    return False


def _begins(data: bytes, seqno: bytes, view: View) -> bool:
    after = _NONCE_AT + _SEQNO_BYTES
    try:
        framed_bytes(data[:HEADER_BYTES])
    except MalformedMessage:
        return False
    claimed = int.from_bytes(data[after : after + _VIEW_BYTES], "little")
    stated = data[_STATED_AT : _STATED_AT + _SEQNO_BYTES]
    return view <= claimed <= VIEW_MAX and (len(data) < _STATED_AT + _SEQNO_BYTES or stated == seqno)
