"""The front end's certificate: asked for at the start, and again before it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core import limits
from core.crypto.keys import PrivateKey
from core.errors import ChannelClosed, InvariantBroken
from core.node import front_end_keys
from core.node.front_end_keys import FrontEndKeys
from core.node.messages import TO_MANAGER, CertificateIssued, CertificateRequest
from enclave_sim.boundary.memory_transport import MemoryTransport, memory_pair

DAY = 24 * 3600


class Bench:
    """Keys that were obtained on day 0 with the chain "1", and their manager."""

    def __init__(self) -> None:
        self.manager: MemoryTransport
        self.manager, theirs = memory_pair()
        self.now = 0.0
        self.keys = FrontEndKeys(theirs, lambda: self.now)

    async def requested(self) -> bytes:
        message = TO_MANAGER.decode(await asyncio.wait_for(self.manager.receive(), 5))
        assert isinstance(message, CertificateRequest)
        return message.public_key


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(front_end_keys, "CHECK_SECONDS", 0.001)
    found = Bench()
    running = asyncio.create_task(found.keys.run())
    found.keys.open()
    public_key = await found.requested()
    found.keys.issued(CertificateIssued(b"1"))
    assert PrivateKey.from_pem(found.keys.private_key).public_key().to_der() == public_key
    yield found
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_new_key_is_certified_at_two_thirds_of_its_life(bench: Bench) -> None:
    first = bench.keys.private_key
    bench.now = limits.FRONT_END_DAYS * DAY * 2 / 3
    public_key = await bench.requested()
    assert bench.keys.private_key == first
    bench.keys.issued(CertificateIssued(b"2"))
    assert bench.keys.chain == b"2"
    assert bench.keys.private_key != first
    assert PrivateKey.from_pem(bench.keys.private_key).public_key().to_der() == public_key
    bench.now *= 2
    assert await bench.requested() != public_key


async def test_nothing_is_asked_before_that_and_nothing_twice(bench: Bench) -> None:
    bench.now = limits.FRONT_END_DAYS * DAY * 2 / 3 - 1
    asking = asyncio.create_task(bench.requested())
    await asyncio.sleep(0.02)
    assert not asking.done()
    bench.now += 1
    await asking
    asking = asyncio.create_task(bench.requested())
    await asyncio.sleep(0.02)
    assert not asking.done()
    asking.cancel()


async def test_a_certificate_that_was_not_asked_for_is_refused(bench: Bench) -> None:
    with pytest.raises(InvariantBroken, match="not asked for"):
        bench.keys.issued(CertificateIssued(b"2"))
    assert bench.keys.chain == b"1"


async def test_nothing_is_asked_before_there_is_something_to_serve() -> None:
    bench = Bench()
    running = asyncio.create_task(bench.keys.run())
    asking = asyncio.create_task(bench.requested())
    await asyncio.sleep(0.02)
    assert not asking.done()
    bench.keys.open()
    await asking
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_manager_that_is_gone_is_told() -> None:
    bench = Bench()
    bench.keys.open()
    await bench.manager.close()
    with pytest.raises(ChannelClosed):
        await bench.keys.run()


async def test_secrets_are_not_shown(bench: Bench) -> None:
    assert "PRIVATE" not in repr(bench.keys)
