"""A simulated host guardian service: it certifies the identity keys of hosts, which sign reports of their VBS enclaves.

    root ── attestation CA ── identity key of each host (RSA)

As for SGX's authority, all derives from one 32-byte secret and the validity, and every name says (SIMULATED).
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from enclave_sim.pki.issuing import (
    Validity,
    issue_certificate,
    issue_revocation_list,
    make_issuer,
    make_root,
)
from enclave_sim.pki.pem import encode_chain
from enclave_sim.vsm.report import VbsIdentity, VbsModule, VbsPackage

IDENTITY_KEY_BITS = 2048
SALT_BYTES = 32


class SimulatedHostGuardian:
    """See the module. secret: 32 random bytes; validity: of all its certificates."""

    def __init__(self, secret: bytes, validity: Validity) -> None:
        self._validity = validity
        self._root = make_root(secret, "Coco Host Guardian Root CA (SIMULATED)", validity)
        self._ca = make_issuer(self._root, secret, "Coco Host Guardian Attestation CA (SIMULATED)", validity)

    @property
    def root_certificate(self) -> bytes:
        """The root certificate (DER), which goes into trust stores."""
        return self._root.der

    def issue_identity_chain(self, public_key: rsa.RSAPublicKey) -> bytes:
        """Certify a host's identity key; returns leaf, intermediate and root as PEM."""
        leaf = issue_certificate(self._ca, "Coco VBS Identity Key (SIMULATED)", public_key, self._validity)
        return encode_chain((leaf.public_bytes(Encoding.DER), self._ca.der, self._root.der))

    def revocation_lists(self, validity: Validity, revoked_serials: Sequence[int] = ()) -> tuple[bytes, bytes]:
        """Return the lists (DER) of the root and of the attestation CA, the latter with these serials."""
        return (
            issue_revocation_list(self._root, validity, ()),
            issue_revocation_list(self._ca, validity, revoked_serials),
        )


class SimulatedSecureKernel:
    """Signs reports of the enclaves of one host. identity_key: RSA, this host's own."""

    def __init__(self, identity_key: rsa.RSAPrivateKey) -> None:
        self._key = identity_key

    def report(self, identity: VbsIdentity, enclave_data: bytes, modules: Sequence[VbsModule] = ()) -> bytes:
        """Return the package; enclave_data: 64 bytes (ValueError otherwise)."""
        if len(enclave_data) != 64:
            raise ValueError("enclave data is 64 bytes")
        unsigned = VbsPackage(enclave_data, identity, tuple(modules), b"")
        signature = self._key.sign(unsigned.statement(), PSS(MGF1(SHA256()), SALT_BYTES), SHA256())
        return VbsPackage(enclave_data, identity, tuple(modules), signature).encode()


def generate_identity_key() -> rsa.RSAPrivateKey:
    """Return a new identity key for a host."""
    return rsa.generate_private_key(65537, IDENTITY_KEY_BITS)
