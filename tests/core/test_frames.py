"""Frames cut from a stream, however it arrives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import limits
from core.errors import LimitExceeded
from core.frames import FrameReader, frame_header


def encoded(messages: list[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(4, "little") + message for message in messages)


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 30))
def test_any_cut_of_the_stream_gives_the_same_frames(messages: list[bytes], step: int) -> None:
    """Messages over 20 bytes are skipped, and stand as errors in their places."""
    reader = FrameReader(frame_bytes_max=20)
    stream = encoded(messages)
    frames = [frame for start in range(0, len(stream), step) for frame in reader.feed(stream[start : start + step])]
    assert len(frames) == len(messages)
    for frame, message in zip(frames, messages, strict=True):
        assert isinstance(frame, LimitExceeded) if len(message) > 20 else frame == message
    assert not reader.is_inside_frame


def test_an_oversized_frame_is_not_stored() -> None:
    reader = FrameReader(frame_bytes_max=10)
    assert reader.feed((1000).to_bytes(4, "little") + bytes(500)) == []
    assert reader.is_inside_frame
    assert len(reader._buffer) == 0
    skipped, frame = reader.feed(bytes(500) + encoded([b"next"]))
    assert isinstance(skipped, LimitExceeded)
    assert frame == b"next"


def test_a_torn_stream_is_known_as_such() -> None:
    reader = FrameReader()
    reader.feed(b"\x05\0\0\0abc")
    assert reader.is_inside_frame


def test_the_header_is_little_endian_and_bounded() -> None:
    assert frame_header(258) == b"\x02\x01\0\0"
    with pytest.raises(LimitExceeded):
        frame_header(limits.MESSAGE_BYTES_MAX + 1)
