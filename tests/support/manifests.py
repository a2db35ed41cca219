"""Manifests that admit the simulated machines of tests, and what a machine of a known root needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from core.governance.manifests import CodeEntry, TeeEntry
from core.ports import ReportClaims
from enclave_sim.platform.cpu import NO_SIGNER, PRODUCT, SimulatedCpu
from enclave_sim.sgx.sigstruct import generate_signing_key, mrsigner_of

AUTHORITY = b"authority of machines in tests!!"
"""A secret from which their root derives, so that a constitution can name it before they exist."""

FAKE_ROOT = bytes(32)
FAKE_WORKER = ReportClaims(bytes(32), bytes(32), 1, bytes(64), "fake", "sgx", debug=False, simulated=True, product=2)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A machine's development signing key, as its file has it."""

    pem: bytes
    mrsigner: bytes

    @classmethod
    def make(cls) -> SigningKey:
        key = generate_signing_key()
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return cls(pem, mrsigner_of(key.public_key().public_numbers().n))


def root_of_tests() -> bytes:
    """Return SHA-256 of the root of machines with AUTHORITY."""
    return SimulatedCpu(bytes(32), AUTHORITY).root_digest


def admitting(
    *adapters: str, roots: Iterable[bytes] = (), signers: Iterable[bytes] = (NO_SIGNER,), tee: Any = "sgx"
) -> dict[str, Any]:
    """Return manifests that admit simulated machines under these roots, with any code of these signers."""
    names = {"manager": PRODUCT["manager"], "worker": PRODUCT["worker"]} | dict.fromkeys(adapters)
    return {
        "tee_manifest": (TeeEntry(tee, tuple(root.hex() for root in roots), simulated=True),),
        "code_manifest": tuple(
            CodeEntry(name, signer=signer.hex(), product=product, security_version_min=1)
            for signer in signers
            for name, product in names.items()
        ),
    }
