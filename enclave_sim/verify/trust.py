"""Trust stores: the roots that evidence may lead to. Simulated roots count only when they are turned on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from enclave_sim.pki.issuing import SIMULATED
from enclave_sim.verify.errors import SimulatedRootOff, UnknownRoot
from enclave_sim.verify.roots import AMD_ROOTS, INTEL_SGX_ROOT

RootKind = Literal["sgx", "snp", "vsm"]
"""What a root certifies: SGX and TDX platforms, SEV-SNP processors, or host guardians of VBS enclaves."""


@dataclass(frozen=True, slots=True)
class TrustedRoot:
    """digest: SHA-256 of the certificate (DER)."""

    name: str
    kind: RootKind
    digest: bytes
    simulated: bool


@dataclass(frozen=True, slots=True)
class TrustStore:
    """See the module. Simulated roots may be listed while off, so that a refusal can say so."""

    roots: tuple[TrustedRoot, ...]
    accept_simulated: bool = False

    def find(self, kind: RootKind, certificate: bytes) -> TrustedRoot:
        """Return the root of that kind that is this certificate (DER); raises UnknownRoot, SimulatedRootOff.

        A root whose certificate says that it is simulated never passes for hardware, whoever lists it as such.
        """
        digest = hashlib.sha256(certificate).digest()
        says_simulated = SIMULATED.encode() in certificate
        for root in self.roots:
            if root.kind == kind and root.digest == digest:
                if (root.simulated and not self.accept_simulated) or (says_simulated and not root.simulated):
                    raise SimulatedRootOff(
                        f"the evidence comes from a simulated platform ({root.name})",
                        hint="Simulated platforms protect nothing: they count only where the TEE manifest says so.",
                    )
                return root
        raise UnknownRoot(
            "the evidence does not lead to a trusted root",
            hint="Trust stores hold Intel's and AMD's roots; a simulated one must be given and turned on.",
            says_simulated=says_simulated,
        )


def hardware_roots() -> tuple[TrustedRoot, ...]:
    """Return the vendors' roots: Intel SGX, and AMD's for Milan and Genoa."""
    intel = TrustedRoot("Intel SGX Root CA", "sgx", INTEL_SGX_ROOT, simulated=False)
    return (intel, *(TrustedRoot(name, "snp", digest, simulated=False) for name, digest in AMD_ROOTS.items()))


def simulated_root(kind: RootKind, certificate: bytes) -> TrustedRoot:
    """Return a simulated root (DER) for a trust store."""
    return TrustedRoot(f"simulated {kind} root", kind, hashlib.sha256(certificate).digest(), simulated=True)


def trust_store(simulated: Sequence[TrustedRoot] = (), *, accept_simulated: bool = False) -> TrustStore:
    """Return a store of the hardware roots and these simulated ones, which are off unless turned on."""
    return TrustStore((*hardware_roots(), *simulated), accept_simulated)
