"""Sealed blobs open for the same enclave, platform and context, unchanged, and for nothing else."""

from __future__ import annotations

import pytest

from core import limits
from core.errors import AuthenticationFailed, LimitExceeded
from enclave_sim.platform.memory import MemoryPlatform

CONTEXT = b"node secrets"


@pytest.fixture
def platform() -> MemoryPlatform:
    return MemoryPlatform(bytes(range(32)))


@pytest.mark.parametrize("policy", ["signer", "measurement"])
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
