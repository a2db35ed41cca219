"""The one codec of the internal boundaries: a version byte, then MessagePack of a closed union of tagged structs.

Strict: an unknown tag, a missing or additional field, a wrong type or trailing bytes raise MalformedMessage.
Source: the msgspec package.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from core import limits
from core.errors import LimitExceeded, MalformedMessage

CODEC_VERSION = 1
_PREFIX = bytes([CODEC_VERSION])

MessageT = TypeVar("MessageT")


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Base of every message. Subclasses give `tag=N`, unique within their boundary."""


class Codec(Generic[MessageT]):
    """Encodes and decodes the messages of one boundary. `union` is a Union of Message subclasses with tags."""

    def __init__(self, union: Any) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[MessageT] = msgspec.msgpack.Decoder(union)

    def encode(self, message: MessageT) -> bytes:
        """Encode; raises LimitExceeded above limits.MESSAGE_BYTES_MAX."""
        data = _PREFIX + self._encoder.encode(message)
        if len(data) > limits.MESSAGE_BYTES_MAX:
            raise LimitExceeded(f"message of {len(data)} bytes; the bound is {limits.MESSAGE_BYTES_MAX}")
        return data

    def decode(self, data: bytes) -> MessageT:
        """Decode; raises MalformedMessage or LimitExceeded, never anything else."""
        if len(data) > limits.MESSAGE_BYTES_MAX:
            raise LimitExceeded(f"message of {len(data)} bytes; the bound is {limits.MESSAGE_BYTES_MAX}")
        if data[:1] != _PREFIX:
            raise MalformedMessage(f"message version {data[:1].hex() or 'missing'}; this node speaks {CODEC_VERSION}")
        try:
            return self._decoder.decode(memoryview(data)[1:])
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise MalformedMessage(f"malformed message: {error}") from None
