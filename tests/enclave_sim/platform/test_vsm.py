"""A simulated VSM machine behind the same channel as an SGX one: reports, evidence and sealing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from core import limits
from core.errors import AuthenticationFailed, LimitExceeded, OlderThanSealed
from core.ports import Sealer
from enclave_sim.boundary.memory_transport import memory_pair
from enclave_sim.platform.client import PlatformClient
from enclave_sim.platform.cpu import EnclaveIdentity, SimulatedCpu
from enclave_sim.platform.machine import Machine, SealPolicy
from enclave_sim.platform.service import serve_enclave
from enclave_sim.platform.vsm import SimulatedVsm, VsmVersions
from enclave_sim.sgx.keyrequest import KeyName, KeyPolicy, KeyRequest
from enclave_sim.verify.errors import UnknownRoot
from enclave_sim.verify.trust import simulated_root, trust_store
from enclave_sim.verify.vsm import verify_vbs_report

FUSES, AUTHORITY = b"f" * 32, b"a" * 32
MANAGER = EnclaveIdentity(b"m" * 32, "manager", b"s" * 32, 2)
WORKER = EnclaveIdentity(b"w" * 32, "worker", b"s" * 32, 2)
MACHINE = SimulatedVsm(FUSES, AUTHORITY)


@asynccontextmanager
async def client_of(identity: EnclaveIdentity = MANAGER, machine: Machine = MACHINE) -> AsyncIterator[PlatformClient]:
    enclave, platform = memory_pair()
    serving = asyncio.create_task(serve_enclave(machine, identity, platform))
    yield PlatformClient(enclave)
    await enclave.close()
    await serving


async def sealed_by(identity: EnclaveIdentity, machine: Machine = MACHINE, policy: SealPolicy = "signer") -> bytes:
    async with client_of(identity, machine) as client:
        return await client.sealer(policy).seal(b"secret", context=b"c")


async def opened_by(
    sealed: bytes, identity: EnclaveIdentity, machine: Machine = MACHINE, context: bytes = b"c"
) -> bytes:
    async with client_of(identity, machine) as client:
        sealer: Sealer = client.sealer()
        return await sealer.unseal(sealed, context=context)


async def test_reports_pass_between_enclaves_of_one_machine_only() -> None:
    async with client_of(MANAGER) as manager, client_of(WORKER) as worker:
        claims = await worker.verify_local_report(await manager.local_report(b"d" * 64, target=WORKER.measurement))
        assert await manager.own_measurement() == MANAGER.measurement
    assert (claims.measurement, claims.signer, claims.tee) == (MANAGER.measurement, MANAGER.signer, "vsm")
    assert (claims.product, claims.security_version, claims.debug, claims.simulated) == (1, 2, False, True)
    assert claims.report_data == b"d" * 64
    foreign = SimulatedVsm(FUSES, AUTHORITY)  # The same host after a restart: another identity key.
    async with client_of(WORKER) as worker:
        for report in (foreign.quote(MANAGER, bytes(64)), b"", b"junk", MACHINE.quote(MANAGER, bytes(64)) + b"\0"):
            with pytest.raises(AuthenticationFailed, match="not made on this platform"):
                await worker.verify_local_report(report)
        with pytest.raises(AuthenticationFailed, match="64 bytes"):
            await worker.quote(b"short")


def test_its_evidence_leads_to_its_guardian_and_nowhere_else() -> None:
    now = datetime.now(UTC)
    quote, collateral = MACHINE.quote(MANAGER, b"q" * 64), MACHINE.collateral(now)
    root = simulated_root("vsm", MACHINE.root_certificate)
    verdict = verify_vbs_report(quote, collateral, at=now, trust_store=trust_store([root], accept_simulated=True))
    assert (verdict.measurement, verdict.signer, verdict.product_id) == (MANAGER.measurement, MANAGER.signer, 1)
    assert verdict.platform == MACHINE.platform_id
    sgx = SimulatedCpu(FUSES, AUTHORITY).root_certificate
    for other in (simulated_root("sgx", MACHINE.root_certificate), simulated_root("vsm", sgx)):
        with pytest.raises(UnknownRoot):
            verify_vbs_report(quote, collateral, at=now, trust_store=trust_store([other], accept_simulated=True))


async def test_a_restart_opens_what_was_sealed() -> None:
    sealed = await sealed_by(MANAGER)
    assert await opened_by(sealed, MANAGER, SimulatedVsm(FUSES, b"other authority, same processor!")) == b"secret"


@pytest.mark.parametrize(
    ("identity", "machine"),
    [
        (WORKER, MACHINE),
        (replace(MANAGER, signer=bytes(32)), MACHINE),
        (replace(MANAGER, debug=True), MACHINE),
        (MANAGER, SimulatedVsm(b"g" * 32, AUTHORITY)),
        (MANAGER, SimulatedCpu(FUSES, AUTHORITY)),
    ],
)
async def test_others_do_not(identity: EnclaveIdentity, machine: Machine) -> None:
    with pytest.raises(AuthenticationFailed):
        await opened_by(await sealed_by(MANAGER), identity, machine)


async def test_purposes_policies_and_bounds() -> None:
    with pytest.raises(AuthenticationFailed, match="another purpose"):
        await opened_by(await sealed_by(MANAGER), MANAGER, context=b"d")
    new_code = replace(MANAGER, measurement=bytes(32))
    assert await opened_by(await sealed_by(MANAGER), new_code) == b"secret"
    with pytest.raises(AuthenticationFailed):
        await opened_by(await sealed_by(MANAGER, policy="enclave"), new_code)
    async with client_of() as client:
        sealer = client.sealer()
        with pytest.raises(LimitExceeded):
            await sealer.seal(bytes(limits.SEALED_BLOB_BYTES_MAX), context=b"c")
        with pytest.raises(LimitExceeded):
            await sealer.unseal(bytes(limits.SEALED_BLOB_BYTES_MAX + 1), context=b"c")


async def test_older_code_and_hosts_are_told_why() -> None:
    sealed = await sealed_by(MANAGER)
    with pytest.raises(OlderThanSealed, match="of the enclave"):
        await opened_by(sealed, replace(MANAGER, security_version=1))
    with pytest.raises(OlderThanSealed, match="of the secure kernel"):
        await opened_by(sealed, MANAGER, SimulatedVsm(FUSES, AUTHORITY, VsmVersions(secure_kernel=0)))


async def test_each_machine_has_its_own_instructions() -> None:
    async with client_of() as client:
        with pytest.raises(AuthenticationFailed, match="EGETKEY"):
            await client.key(KeyRequest(KeyName.SEAL, bytes(16), KeyPolicy.MRSIGNER))
    cpu = SimulatedCpu(FUSES, AUTHORITY)
    for work in (lambda: cpu.seal(MANAGER, b"", "signer"), lambda: cpu.unseal(MANAGER, b"")):
        with pytest.raises(AuthenticationFailed, match="by themselves"):
            work()
