"""A simulated SGX platform with its authority and collateral, and the evidence of real hardware."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from enclave_sim.pki.authority import SimulatedAuthority, make_qe_identity, make_tcb_info
from enclave_sim.pki.collateral import Collateral, parse_collateral
from enclave_sim.pki.documents import QeIdentity, TcbInfo
from enclave_sim.pki.issuing import Validity
from enclave_sim.pki.pck_extension import PckExtension
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.cpu import Enclave, SimulatedSgx
from enclave_sim.sgx.quote import without_padding
from enclave_sim.sgx.quoting import QuotingEnclave, provisioning_key, quoting_enclave_identity
from enclave_sim.verify.trust import TrustStore, simulated_root, trust_store

VECTORS = Path(__file__).resolve().parents[3] / "shared" / "vectors" / "attestation"
VECTORS_MISSING = "the evidence of real hardware does not lie beside the repository (../shared/vectors/attestation)"
HARDWARE_TIME = datetime.fromtimestamp(1750420000, UTC)

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=10)
YEARS = Validity(START - timedelta(days=30), START + timedelta(days=3650))
MONTH = Validity(START, START + timedelta(days=30))
CPUSVN = bytes([5, 5, 2, 0, 3, 1] + [0] * 10)
FMSPC = bytes.fromhex("c0c051000000")
PCE_SVN = 13
REPORT_DATA = bytes(range(64))
ENCLAVE = Enclave(
    mrenclave=bytes([0xE1]) * 32,
    mrsigner=bytes([0x51]) * 32,
    attributes=Attributes(AttributeFlag.INIT | AttributeFlag.MODE64BIT, 0xE7),
    isvprodid=1,
    isvsvn=2,
)
DEBUG_ENCLAVE = Enclave(
    ENCLAVE.mrenclave, ENCLAVE.mrsigner, Attributes(ENCLAVE.attributes.flags | AttributeFlag.DEBUG, 0xE7), 1, 2
)


def vector(name: str) -> Path:
    """Return a file of real evidence, or skip the test where there is none."""
    if not (VECTORS / name).is_file():
        pytest.skip(VECTORS_MISSING)
    return VECTORS / name


def hardware(name: str) -> tuple[bytes, Collateral]:
    """Return a real quote ("sgx" or "tdx") and its collateral."""
    quote = without_padding(vector(f"{name}_quote").read_bytes())
    return quote, parse_collateral(vector(f"{name}_quote_collateral.json").read_bytes())


@dataclass
class Platform:
    """One simulated processor, certified by one authority."""

    authority: SimulatedAuthority = field(default_factory=lambda: SimulatedAuthority(b"a" * 32, YEARS))
    fuses: bytes = b"f" * 32
    fmspc: bytes = FMSPC
    qe: Enclave = field(default_factory=quoting_enclave_identity)
    pck_validity: Validity | None = None

    def __post_init__(self) -> None:
        self.cpu = SimulatedSgx(self.fuses, cpusvn=CPUSVN, boot_id=b"b" * 32)
        self.extension = PckExtension(self.cpu.ppid, tuple(CPUSVN), PCE_SVN, CPUSVN, bytes(2), self.fmspc)
        public_key = provisioning_key(self.cpu).public_key()
        self.chain = self.authority.issue_pck_chain(public_key, self.extension, validity=self.pck_validity)
        self.quoting = QuotingEnclave(self.cpu, self.chain, pce_svn=PCE_SVN, enclave=self.qe)

    def quote(self, enclave: Enclave = ENCLAVE, report_data: bytes = REPORT_DATA) -> bytes:
        return self.quoting.quote(self.cpu.ereport(enclave, self.quoting.target_info(), report_data))

    def tcb_info(self, **changes: object) -> TcbInfo:
        return make_tcb_info(self.extension, MONTH, **changes)  # type: ignore[arg-type]

    def qe_identity(self, **changes: object) -> QeIdentity:
        return make_qe_identity(self.qe, MONTH, **changes)  # type: ignore[arg-type]

    def collateral(
        self, *, tcb_info: TcbInfo | None = None, qe_identity: QeIdentity | None = None, **changes: object
    ) -> Collateral:
        return self.authority.collateral(
            tcb_info or self.tcb_info(),
            qe_identity or self.qe_identity(),
            **({"revocation": MONTH} | changes),  # type: ignore[arg-type]
        )

    def store(self, *, accept_simulated: bool = True) -> TrustStore:
        root = simulated_root("sgx", self.authority.root_certificate)
        return trust_store([root], accept_simulated=accept_simulated)
