"""Length-prefixed frames on a byte stream: 4 bytes little-endian length, then that many bytes.

A frame longer than the bound is skipped in pieces as it arrives, never stored; the stream stays in step.
"""

from __future__ import annotations

from core import limits
from core.errors import LimitExceeded

HEADER_BYTES = 4


def frame_header(size_bytes: int) -> bytes:
    """Return the header of a frame; raises LimitExceeded above limits.MESSAGE_BYTES_MAX."""
    if size_bytes > limits.MESSAGE_BYTES_MAX:
        raise LimitExceeded(f"message of {size_bytes} bytes; the bound is {limits.MESSAGE_BYTES_MAX}")
    return size_bytes.to_bytes(HEADER_BYTES, "little")


class FrameReader:
    """Cuts a stream into frames. Holds at most one unfinished frame."""

    def __init__(self, frame_bytes_max: int = limits.MESSAGE_BYTES_MAX) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()
        self._skip_bytes = 0
        self._oversized_bytes = 0

    @property
    def is_inside_frame(self) -> bool:
        """Whether the stream would be torn if it ended here."""
        return bool(self._buffer or self._skip_bytes)

    def feed(self, data: bytes) -> list[bytes | LimitExceeded]:
        """Take bytes of the stream; return the frames they complete, an error standing for each one skipped."""
        frames: list[bytes | LimitExceeded] = []
        position = self._skip(data, 0, frames)
        if self._buffer:
            self._buffer += data[position:] if position else data
            source: bytes | bytearray = self._buffer
            position = 0
        else:
            source = data
        size = len(source)
        while size - position >= HEADER_BYTES:
            length = int.from_bytes(source[position : position + HEADER_BYTES], "little")
            start = position + HEADER_BYTES
            if length > self._frame_bytes_max:
                self._skip_bytes = self._oversized_bytes = length
                position = self._skip(source, start, frames)
                continue
            if size - start < length:
                break
            frames.append(bytes(source[start : start + length]))
            position = start + length
        if source is self._buffer:
            del self._buffer[:position]
        else:
            self._buffer += source[position:]
        return frames

    def _skip(self, source: bytes | bytearray, start: int, frames: list[bytes | LimitExceeded]) -> int:
        """Pass over what is left of an oversized frame; return where to go on."""
        if not self._skip_bytes:
            return start
        skipped = min(self._skip_bytes, len(source) - start)
        self._skip_bytes -= skipped
        if not self._skip_bytes:
            frames.append(
                LimitExceeded(f"message of {self._oversized_bytes} bytes; the bound is {self._frame_bytes_max}")
            )
        return start + skipped
