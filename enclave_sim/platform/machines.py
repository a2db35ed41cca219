"""Making the machine of a node from the secrets in its directory."""

from __future__ import annotations

import hashlib
from pathlib import Path

from enclave_sim.pki.authority import SimulatedAuthority
from enclave_sim.platform.cpu import AUTHORITY_VALIDITY, SimulatedCpu
from enclave_sim.platform.fuses import load_or_create_authority, load_or_create_fuses, sealed_keys_beside
from enclave_sim.platform.machine import Machine, PlatformKind
from enclave_sim.platform.vsm import SimulatedVsm
from enclave_sim.vsm.guardian import SimulatedHostGuardian


def make_machine(tee: PlatformKind, fuses: Path) -> Machine:
    """Return the machine whose fuses are at that path; raises IncompatibleData, StorageFailed."""
    secrets = load_or_create_fuses(fuses, sealed_keys_beside(fuses)), load_or_create_authority(fuses)
    return SimulatedVsm(*secrets) if tee == "vsm" else SimulatedCpu(*secrets)


def root_digest(tee: PlatformKind, fuses: Path) -> bytes:
    """Return SHA-256 of the root of that machine's evidence; its authority is made when there is none."""
    secret = load_or_create_authority(fuses)
    authority = SimulatedHostGuardian if tee == "vsm" else SimulatedAuthority
    return hashlib.sha256(authority(secret, AUTHORITY_VALIDITY).root_certificate).digest()
