"""A constitution that no network can run under is refused, by name of what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core import limits
from core.errors import CocoError
from core.governance.constitution import Constitution, Identity

FINE: dict[str, Any] = {
    "version": 1,
    "network": "demo",
    "identities": (Identity("org1", "member", "certificate"),),
    "adapters": {"kv": {}},
    "default_adapter": "kv",
}


def test_encode_and_decode() -> None:
    constitution = Constitution(**FINE)
    assert Constitution.decode(constitution.encode()) == constitution
    assert len(constitution.digest()) == 32
    assert msgspec.structs.replace(constitution, network="other").digest() != constitution.digest()


@pytest.mark.parametrize("name", ["ccf", "coco", "node", "public", "token", "Kv", "", "a" * 33])
def test_adapters_that_cannot_be_named_so(name: str) -> None:
    """Every name that loading refuses is refused at genesis: else a network could be made that never starts."""
    with pytest.raises(CocoError, match="not an adapter's name"):
        Constitution(**FINE | {"adapters": {name: {}}, "default_adapter": name}).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "constitution version 2"),
        ({"default_adapter": "ethereum"}, "the default adapter 'ethereum' is not among"),
        ({"identities": (Identity("a", "member", ""), Identity("a", "participant", ""))}, "identities repeat"),
        ({"identities": (Identity("a", "participant", ""),)}, "at least one member"),
    ],
)
def test_what_no_network_can_run_under(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CocoError, match=message):
        Constitution.decode(Constitution(**FINE | changes).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version": 1}', b'{"unknown": 1}'])
def test_what_does_not_parse(data: bytes) -> None:
    with pytest.raises(CocoError, match="does not parse"):
        Constitution.decode(data)


def test_too_large() -> None:
    with pytest.raises(CocoError, match="bytes long"):
        Constitution.decode(b" " * (limits.GOVERNANCE_MESSAGE_BYTES_MAX * 16 + 1))
