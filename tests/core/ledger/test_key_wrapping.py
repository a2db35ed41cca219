"""A wrapped epoch key opens for one node, one epoch and one network, and not at all when a byte of it differs."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from core.crypto.keys import Curve, PrivateKey
from core.errors import AuthenticationFailed, InvariantBroken, MalformedMessage
from core.ledger.key_wrapping import (
    WRAPPED_BYTES,
    epoch_key_row,
    parse_epoch_key_row,
    unwrap_epoch_key,
    wrap_epoch_key,
)
from core.types import Digest, NodeId

KEY, NETWORK = bytes(range(32)), Digest(b"\xaa" * 32)
NODE = PrivateKey.generate()
WRAPPED = wrap_epoch_key(KEY, NODE.public_key(), network=NETWORK, epoch=7)


def unwrap(wrapped: bytes = WRAPPED, key: PrivateKey = NODE, **changes: Any) -> bytes:
    return unwrap_epoch_key(wrapped, key, **{"network": NETWORK, "epoch": 7} | changes)


def test_the_node_gets_the_key() -> None:
    assert unwrap() == KEY
    assert len(WRAPPED) == WRAPPED_BYTES
    again = wrap_epoch_key(KEY, NODE.public_key(), network=NETWORK, epoch=7)
    assert again != WRAPPED
    assert KEY not in WRAPPED


def test_nobody_else_does() -> None:
    with pytest.raises(AuthenticationFailed):
        unwrap(key=PrivateKey.generate())
    with pytest.raises(AuthenticationFailed):
        unwrap(epoch=8)
    with pytest.raises(AuthenticationFailed):
        unwrap(network=Digest(b"\xab" * 32))


@pytest.mark.parametrize("at", [1, 2, 65, 66, 97, 98, WRAPPED_BYTES - 1])
def test_a_flipped_byte(at: int) -> None:
    changed = bytearray(WRAPPED)
    changed[at] ^= 1
    with pytest.raises(AuthenticationFailed):
        unwrap(bytes(changed))


@pytest.mark.parametrize("wrapped", [b"", WRAPPED[:-1], WRAPPED + b"\0", b"\x02" + WRAPPED[1:], WRAPPED[1:]])
def test_another_form(wrapped: bytes) -> None:
    with pytest.raises(MalformedMessage, match="bytes, version"):
        unwrap(wrapped)


def test_points_that_are_none() -> None:
    beside = b"\x04" + (5).to_bytes(32, "big") + (5).to_bytes(32, "big")
    compressed = ec.generate_private_key(ec.SECP256R1()).public_key()
    short = compressed.public_bytes(Encoding.X962, PublicFormat.CompressedPoint).ljust(65, b"\0")
    for point in (beside, bytes(65), b"\x04" + b"\xff" * 64, b"\0".ljust(65, b"\0"), short):
        with pytest.raises(AuthenticationFailed):
            unwrap(b"\x01" + point + WRAPPED[66:])


@given(st.binary(min_size=WRAPPED_BYTES - 1, max_size=WRAPPED_BYTES - 1))
def test_arbitrary_bytes(rest: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        unwrap(b"\x01" + rest)


def test_what_is_never_wrapped() -> None:
    for key, recipient, epoch in (
        (KEY[:16], NODE, 7),
        (KEY, PrivateKey.generate(Curve.P384), 7),
        (KEY, NODE, 0),
    ):
        with pytest.raises(InvariantBroken):
            wrap_epoch_key(key, recipient.public_key(), network=NETWORK, epoch=epoch)
    with pytest.raises(InvariantBroken):
        unwrap(key=PrivateKey.generate(Curve.P384))


def test_where_it_stands() -> None:
    node = NodeId("ab" * 32)
    assert parse_epoch_key_row(epoch_key_row(7, node)) == (7, node)
    for row in (
        b"",
        b"7",
        b"7.ab",
        b"07." + node.encode(),
        b"x." + node.encode(),
        b"7." + b"AB" * 32,
        b"-1." + b"a" * 64,
    ):
        with pytest.raises(MalformedMessage):
            parse_epoch_key_row(row)
