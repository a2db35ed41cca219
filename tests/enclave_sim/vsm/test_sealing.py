"""What a secure kernel sealed for one enclave opens for none that the policy does not name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import AuthenticationFailed, OlderThanSealed
from enclave_sim.vsm.report import VbsFlag, VbsIdentity
from enclave_sim.vsm.sealing import SealingPolicy, seal, sealed_by, unseal

HOST = b"h" * 32
SEALER = VbsIdentity(b"o" * 32, b"u" * 32, b"a" * 32, b"f" * 16, b"i" * 16, 3, 4, 5)
BLOB = seal(HOST, SEALER, b"secret", SealingPolicy.SAME_IMAGE)


@pytest.mark.parametrize(
    "changes",
    [
        {"owner_id": bytes(32)},
        {"author_id": bytes(32)},
        {"family_id": bytes(16)},
        {"image_id": bytes(16)},
        {"flags": int(VbsFlag.FULL_DEBUG_ENABLED)},
        {"flags": int(VbsFlag.DYNAMIC_DEBUG_ENABLED)},
    ],
)
def test_another_image_owner_author_or_a_debugger(changes: dict[str, object]) -> None:
    with pytest.raises(AuthenticationFailed, match="another enclave"):
        unseal(HOST, replace(SEALER, **changes), BLOB)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("version", "what"),
    [("enclave_svn", "enclave"), ("secure_kernel_svn", "secure kernel"), ("platform_svn", "platform")],
)
def test_newer_opens_older_and_never_the_reverse(version: str, what: str) -> None:
    number = getattr(SEALER, version)
    assert unseal(HOST, replace(SEALER, **{version: number + 1}), BLOB) == b"secret"
    with pytest.raises(OlderThanSealed) as caught:
        unseal(HOST, replace(SEALER, **{version: number - 1}), BLOB)
    assert (caught.value.what, caught.value.own, caught.value.sealed) == (what, number - 1, number)


def test_policies() -> None:
    new_code = replace(SEALER, unique_id=bytes(32))
    assert unseal(HOST, new_code, BLOB) == b"secret"
    exact = seal(HOST, SEALER, b"secret", SealingPolicy.EXACT_CODE)
    assert unseal(HOST, SEALER, exact) == b"secret"
    with pytest.raises(AuthenticationFailed):
        unseal(HOST, new_code, exact)


def test_another_host_and_every_byte() -> None:
    with pytest.raises(AuthenticationFailed, match="does not open"):
        unseal(b"i" * 32, SEALER, BLOB)
    for offset in range(len(BLOB)):
        changed = bytearray(BLOB)
        changed[offset] ^= 1 << offset % 8
        with pytest.raises(AuthenticationFailed):
            unseal(HOST, SEALER, bytes(changed))
        with pytest.raises(AuthenticationFailed):
            unseal(HOST, SEALER, BLOB[:offset])
    with pytest.raises(AuthenticationFailed):
        unseal(HOST, SEALER, BLOB + b"\0")


def test_it_names_who_sealed_and_hides_what() -> None:
    assert sealed_by(BLOB) == SEALER
    assert b"secret" not in BLOB
    assert seal(HOST, SEALER, b"secret", SealingPolicy.SAME_IMAGE) != BLOB
