"""A constitution that no network can run under is refused, by name of what is wrong."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from core import limits
from core.errors import CocoError, IncompatibleData
from core.governance.constitution import CONSTITUTION_VERSION, Constitution, Identity
from core.governance.manifests import CodeEntry, TeeEntry

FINE: dict[str, Any] = {
    "version": CONSTITUTION_VERSION,
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
        ({"version": 1}, "the constitution is of version 1; this build reads version 2"),
        ({"version": 3}, "of version 3"),
        ({"tee_manifest": (TeeEntry("sgx", ()),)}, "names 0 roots"),
        ({"code_manifest": (CodeEntry("worker"),)}, "neither a measurement nor a signer"),
        ({"code_manifest": (CodeEntry("worker", ("a" * 64,)),)}, "no code for the live adapter 'kv'"),
        ({"tee_manifest": (TeeEntry("sgx", ("a" * 64,)),) * (limits.MANIFEST_ENTRIES_MAX + 1)}, "more than"),
        ({"default_adapter": "ethereum"}, "the default adapter 'ethereum' is not among"),
        ({"identities": (Identity("a", "member", ""), Identity("a", "participant", ""))}, "identities repeat"),
        ({"identities": (Identity("a", "participant", ""),)}, "at least one member"),
    ],
)
def test_what_no_network_can_run_under(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CocoError, match=message):
        Constitution.decode(Constitution(**FINE | changes).encode())


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"version": 2}', b'{"unknown": 1}'])
def test_what_does_not_parse(data: bytes) -> None:
    with pytest.raises(CocoError, match="does not parse"):
        Constitution.decode(data)


def test_too_large() -> None:
    with pytest.raises(CocoError, match="bytes long"):
        Constitution.decode(b" " * (limits.GOVERNANCE_MESSAGE_BYTES_MAX * 16 + 1))


def test_a_constitution_without_manifests_is_of_another_version() -> None:
    """Version 1 had none. Nothing says what its network admits, so that it is not run."""
    old = Constitution(**FINE).encode().replace(b'"version":2', b'"version":1')
    old = old.replace(b'"code_manifest":[],', b"").replace(b'"tee_manifest":[],', b"")
    with pytest.raises(IncompatibleData, match="version 1") as caught:
        Constitution.decode(old)
    assert "create a new one" in caught.value.hint
    with pytest.raises(IncompatibleData):
        Constitution(**FINE | {"version": 1}).check()


def test_the_manifests_are_part_of_the_digest() -> None:
    manifest = (TeeEntry("sgx", ("a" * 64,), simulated=True),)
    constitution = Constitution(**FINE | {"tee_manifest": manifest})
    assert Constitution.decode(constitution.encode()).tee_manifest == manifest
    assert constitution.digest() != Constitution(**FINE).digest()
