"""The platform inside one process, for tests and one-process nodes. Nothing is measured: identities are constants."""

from __future__ import annotations

import hashlib
import os

from core.ports import ReportClaims
from enclave_sim.platform.cpu import FUSES_BYTES, EnclaveIdentity, EnclaveKind, SealPolicy, SimulatedCpu
from enclave_sim.platform.sealing import KeySealer


class LocalAttestor:
    """The Attestor port of one enclave, straight on the CPU."""

    def __init__(self, cpu: SimulatedCpu, identity: EnclaveIdentity) -> None:
        self._cpu = cpu
        self._identity = identity

    async def local_report(self, report_data: bytes) -> bytes:
        return self._cpu.report(self._identity, report_data)

    async def verify_local_report(self, report: bytes) -> ReportClaims:
        return self._cpu.verify_report(report)

    async def quote(self, report_data: bytes) -> bytes:
        return self._cpu.quote(self._identity, report_data)


class MemoryPlatform:
    """A simulated CPU and the enclaves of one process. The same fuses open what was sealed before."""

    def __init__(self, fuses: bytes | None = None) -> None:
        self.cpu = SimulatedCpu(fuses if fuses is not None else os.urandom(FUSES_BYTES))

    def measurement(self, kind: EnclaveKind) -> bytes:
        """Return the constant that stands for the measurement of this kind."""
        return hashlib.sha256(b"coco in one process: " + kind.encode()).digest()

    def identity(self, kind: EnclaveKind) -> EnclaveIdentity:
        return EnclaveIdentity(measurement=self.measurement(kind), kind=kind)

    def attestor(self, kind: EnclaveKind) -> LocalAttestor:
        return LocalAttestor(self.cpu, self.identity(kind))

    def sealer(self, kind: EnclaveKind, policy: SealPolicy = "signer") -> KeySealer:
        identity = self.identity(kind)

        async def get_key(wanted: SealPolicy, security_version: int, key_id: bytes) -> bytes:
            return self.cpu.sealing_key(identity, wanted, security_version, key_id)

        return KeySealer(get_key, policy)
