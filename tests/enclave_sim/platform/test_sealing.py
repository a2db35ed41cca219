"""Sealed blobs open for the same enclave, platform and context, unchanged, and for nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core import limits
from core.errors import AuthenticationFailed, IncompatibleData, LimitExceeded, OlderThanSealed
from enclave_sim.platform.cpu import CPUSVN
from enclave_sim.platform.memory import MemoryPlatform

CONTEXT = b"node secrets"


@pytest.fixture
def platform() -> MemoryPlatform:
    return MemoryPlatform(bytes(range(32)))


@pytest.mark.parametrize("policy", ["signer", "enclave"])
async def test_what_was_sealed_opens_again(platform: MemoryPlatform, policy: str) -> None:
    sealer = platform.sealer("manager", policy)  # type: ignore[arg-type]
    sealed = await sealer.seal(b"secret", context=CONTEXT)
    assert b"secret" not in sealed
    assert await sealer.unseal(sealed, context=CONTEXT) == b"secret"
    assert await platform.sealer("manager").unseal(sealed, context=CONTEXT) == b"secret"


async def test_sealing_twice_gives_two_blobs(platform: MemoryPlatform) -> None:
    sealer = platform.sealer("manager")
    assert await sealer.seal(b"x", context=CONTEXT) != await sealer.seal(b"x", context=CONTEXT)


async def test_another_context_platform_or_enclave_does_not_open_it(platform: MemoryPlatform) -> None:
    sealed = await platform.sealer("manager").seal(b"secret", context=CONTEXT)
    with pytest.raises(AuthenticationFailed):
        await platform.sealer("manager").unseal(sealed, context=b"other")
    with pytest.raises(AuthenticationFailed):
        await MemoryPlatform(bytes(32)).sealer("manager").unseal(sealed, context=CONTEXT)
    with pytest.raises(AuthenticationFailed):
        await platform.sealer("worker").unseal(sealed, context=CONTEXT)


async def test_any_flipped_bit_and_any_cut_is_refused(platform: MemoryPlatform) -> None:
    sealer = platform.sealer("manager")
    sealed = await sealer.seal(b"secret", context=CONTEXT)
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        with pytest.raises(AuthenticationFailed):
            await sealer.unseal(bytes(changed), context=CONTEXT)
        with pytest.raises(AuthenticationFailed):
            await sealer.unseal(sealed[:position], context=CONTEXT)


async def test_blobs_are_bounded(platform: MemoryPlatform) -> None:
    sealer = platform.sealer("manager")
    with pytest.raises(LimitExceeded):
        await sealer.seal(bytes(limits.SEALED_BLOB_BYTES_MAX), context=CONTEXT)
    with pytest.raises(LimitExceeded):
        await sealer.unseal(bytes(limits.SEALED_BLOB_BYTES_MAX + 1), context=CONTEXT)


@pytest.mark.parametrize(("policy", "opens"), [("signer", True), ("enclave", False)])
async def test_new_code_opens_the_signers_seals_only(platform: MemoryPlatform, policy: str, opens: bool) -> None:
    sealed = await platform.sealer("manager", policy).seal(b"secret", context=CONTEXT)  # type: ignore[arg-type]
    new_code = platform.sealer_of(replace(platform.identity("manager"), measurement=bytes(32)))
    if opens:
        assert await new_code.unseal(sealed, context=CONTEXT) == b"secret"
    else:
        with pytest.raises(AuthenticationFailed):
            await new_code.unseal(sealed, context=CONTEXT)


async def test_newer_versions_open_older_seals_and_never_the_reverse(platform: MemoryPlatform) -> None:
    old = platform.sealer("manager")
    new = platform.sealer_of(replace(platform.identity("manager"), security_version=2))
    assert await new.unseal(await old.seal(b"old", context=CONTEXT), context=CONTEXT) == b"old"
    with pytest.raises(OlderThanSealed, match="security version 2 of the enclave"):
        await old.unseal(await new.seal(b"new", context=CONTEXT), context=CONTEXT)


async def test_an_updated_processor_opens_older_seals_and_never_the_reverse(platform: MemoryPlatform) -> None:
    old = platform.sealer("manager")
    new = MemoryPlatform(bytes(range(32)), cpusvn=bytes([CPUSVN[0] + 1]) + CPUSVN[1:]).sealer("manager")
    assert await new.unseal(await old.seal(b"old", context=CONTEXT), context=CONTEXT) == b"old"
    with pytest.raises(OlderThanSealed, match="6 of the processor"):
        await old.unseal(await new.seal(b"new", context=CONTEXT), context=CONTEXT)


@pytest.mark.parametrize("other", [{"signer": bytes(32)}, {"debug": True}, {"kind": "worker"}])
async def test_another_signer_product_or_a_debug_enclave_is_refused(
    platform: MemoryPlatform, other: dict[str, object]
) -> None:
    sealed = await platform.sealer("manager").seal(b"secret", context=CONTEXT)
    stranger = replace(platform.identity("manager"), **other)  # type: ignore[arg-type]
    with pytest.raises(AuthenticationFailed):
        await platform.sealer_of(stranger).unseal(sealed, context=CONTEXT)


async def test_what_version_1_sealed_is_told(platform: MemoryPlatform) -> None:
    with pytest.raises(IncompatibleData, match="version 1"):
        await platform.sealer("manager").unseal(b"COCOSEAL\x01" + bytes(200), context=CONTEXT)
