"""What an executor answers who asks for a receipt, within an Answer."""

from __future__ import annotations

from typing import Literal

from core.codec import Codec, Message


class ReceiptAnswer(Message, frozen=True, tag=51):
    """body: the receipt in the form that was asked for. none: there is none that the caller may have."""

    state: Literal["none", "pending", "made", "no_such_form", "unreadable"]
    body: bytes = b""


RECEIPT_ANSWER: Codec[ReceiptAnswer] = Codec(ReceiptAnswer)
