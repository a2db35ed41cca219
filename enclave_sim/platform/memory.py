"""The platform inside one process, for tests and one-process nodes. Nothing is measured: identities are constants."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime

import msgspec

from core.ports import ReportClaims
from enclave_sim.platform.cpu import CPUSVN, EnclaveIdentity, EnclaveKind, SimulatedCpu
from enclave_sim.platform.machine import SealPolicy
from enclave_sim.platform.sealing import KeySealer
from enclave_sim.sgx.cpu import FUSES_BYTES
from enclave_sim.sgx.keyrequest import KeyRequest


class LocalAttestor:
    """The Attestor port of one enclave, straight on the CPU."""

    def __init__(self, cpu: SimulatedCpu, identity: EnclaveIdentity) -> None:
        self._cpu = cpu
        self._identity = identity

    async def own_measurement(self) -> bytes:
        return self._identity.measurement

    async def local_report(self, report_data: bytes, *, target: bytes) -> bytes:
        return self._cpu.report(self._identity, report_data, target)

    async def verify_local_report(self, report: bytes) -> ReportClaims:
        return self._cpu.verify_report(self._identity, report)

    async def quote(self, report_data: bytes) -> bytes:
        return self._cpu.quote(self._identity, report_data)


class MemoryPlatform:
    """A simulated CPU and the enclaves of one process. The same fuses open what was sealed before.

    authority: the secret of the authority that certifies it; by default one of its own, derived from the fuses.
    """

    def __init__(self, fuses: bytes | None = None, authority: bytes | None = None, *, cpusvn: bytes = CPUSVN) -> None:
        fuses = fuses if fuses is not None else os.urandom(FUSES_BYTES)
        self._cpusvn = cpusvn
        secret = authority if authority is not None else hashlib.sha256(b"authority in memory" + fuses).digest()
        self.cpu = SimulatedCpu(fuses, secret, cpusvn=cpusvn)

    async def published(self) -> bytes:
        """Return what a node of this platform publishes of it: only collateral, as nothing is measured."""
        return msgspec.json.encode({"collateral": msgspec.Raw(self.cpu.collateral(datetime.now(UTC)).to_json())})

    def measurement(self, kind: EnclaveKind) -> bytes:
        """Return the constant that stands for the measurement of this kind."""
        return hashlib.sha256(b"coco in one process: " + kind.encode()).digest()

    def identity(self, kind: EnclaveKind) -> EnclaveIdentity:
        return EnclaveIdentity(measurement=self.measurement(kind), kind=kind)

    def attestor(self, kind: EnclaveKind) -> LocalAttestor:
        return LocalAttestor(self.cpu, self.identity(kind))

    def sealer(self, kind: EnclaveKind, policy: SealPolicy = "signer") -> KeySealer:
        return self.sealer_of(self.identity(kind), policy)

    def sealer_of(self, identity: EnclaveIdentity, policy: SealPolicy = "signer") -> KeySealer:
        """Return the sealer of any enclave of this machine."""

        async def get_key(request: KeyRequest) -> bytes:
            return self.cpu.key(identity, request)

        async def get_versions() -> tuple[int, bytes]:
            return identity.security_version, self._cpusvn

        return KeySealer(get_key, get_versions, policy)
