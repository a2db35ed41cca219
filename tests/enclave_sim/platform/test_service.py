"""The CPU over a channel: who asks is known from the channel, and bad requests are denied."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.errors import AuthenticationFailed, ChannelClosed
from core.ports import Transport
from enclave_sim.boundary.memory_transport import memory_pair
from enclave_sim.platform.client import PlatformClient
from enclave_sim.platform.cpu import CPUSVN, EnclaveIdentity, SimulatedCpu
from enclave_sim.platform.messages import FROM_CPU, Denied
from enclave_sim.platform.service import serve_enclave
from enclave_sim.sgx.keyrequest import KeyName, KeyPolicy, KeyRequest
from enclave_sim.sgx.quote import parse_quote

OWN = b"m" * 32
IDENTITY = EnclaveIdentity(OWN, "manager")


@pytest.fixture
def cpu() -> SimulatedCpu:
    return SimulatedCpu(bytes(32), bytes(32))


@pytest.fixture
async def channel(cpu: SimulatedCpu) -> AsyncIterator[Transport]:
    enclave, platform = memory_pair()
    serving = asyncio.create_task(serve_enclave(cpu, IDENTITY, platform, lambda: b'{"code": 1}'))
    yield enclave
    await enclave.close()
    await serving


async def test_reports_quotes_and_sealing(cpu: SimulatedCpu, channel: Transport) -> None:
    client = PlatformClient(channel)
    claims = await client.verify_local_report(await client.local_report(b"d" * 64, target=OWN))
    assert claims == cpu.verify_report(IDENTITY, cpu.report(IDENTITY, b"d" * 64, OWN))
    assert claims.measurement == IDENTITY.measurement
    assert parse_quote(await client.quote(b"q" * 64)).body.report_data == b"q" * 64
    assert await client.own_measurement() == OWN
    assert await client.published() == b'{"code": 1}'
    sealed = await client.sealer().seal(b"secret", context=b"c")
    assert await client.sealer().unseal(sealed, context=b"c") == b"secret"


async def test_bad_reports_and_sizes_are_denied(channel: Transport) -> None:
    client = PlatformClient(channel)
    with pytest.raises(AuthenticationFailed, match="platform"):
        await client.verify_local_report(b"forged")
    with pytest.raises(AuthenticationFailed, match="64 bytes"):
        await client.local_report(b"short", target=OWN)
    with pytest.raises(AuthenticationFailed, match="security version"):
        await client.key(KeyRequest(KeyName.SEAL, CPUSVN, KeyPolicy.MRSIGNER, 9))
    with pytest.raises(AuthenticationFailed, match="seal keys only"):
        await client.key(KeyRequest(KeyName.REPORT, CPUSVN))
    with pytest.raises(AuthenticationFailed, match="target"):
        await client.local_report(bytes(64), target=b"short")


async def test_a_report_for_another_enclave_is_refused(channel: Transport) -> None:
    client = PlatformClient(channel)
    with pytest.raises(AuthenticationFailed, match="for this enclave"):
        await client.verify_local_report(await client.local_report(bytes(64), target=bytes(32)))


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x91\x63", b"\x01\x94\x04\x01\xa5other\x01"])
async def test_malformed_requests_are_denied_and_the_cpu_goes_on(channel: Transport, data: bytes) -> None:
    await channel.send(data)
    assert isinstance(FROM_CPU.decode(await channel.receive()), Denied)
    await PlatformClient(channel).local_report(bytes(64), target=OWN)


async def test_a_cancelled_request_does_not_shift_the_answers(channel: Transport) -> None:
    client = PlatformClient(channel)
    task = asyncio.create_task(client.local_report(b"1" * 64, target=OWN))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    claims = await client.verify_local_report(await client.local_report(b"2" * 64, target=OWN))
    assert claims.report_data == b"2" * 64


async def test_concurrent_requests_each_get_their_own(channel: Transport) -> None:
    client = PlatformClient(channel)
    reports = await asyncio.gather(*(client.local_report(bytes([number]) * 64, target=OWN) for number in range(20)))
    claims = await asyncio.gather(*(client.verify_local_report(report) for report in reports))
    assert [claim.report_data[0] for claim in claims] == list(range(20))


async def test_a_platform_that_is_gone_is_told(cpu: SimulatedCpu) -> None:
    enclave, platform = memory_pair()
    await platform.close()
    with pytest.raises(ChannelClosed, match="platform"):
        await PlatformClient(enclave).local_report(bytes(64), target=OWN)
