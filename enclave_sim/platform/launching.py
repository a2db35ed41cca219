"""Who an enclave is at launch: what it measures, and who signed that (SIGSTRUCT; sgx/einit.py).

An operator may name a SIGSTRUCT per kind of enclave (network.json, `sigstruct`), made by `coco enclave sign` with a key
that need not be on this machine. Otherwise the machine signs what it measured with a key of its own, made on first use
beside the authority (DIR/node0/platform): a development key, which vouches for nothing but that this machine ran it.
Under VSM the same card stands in for the signature of the enclave's image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from core.errors import IncompatibleData, StorageFailed
from enclave_sim.platform.cpu import PRODUCT, SECURITY_VERSION, XFRM, EnclaveIdentity, EnclaveKind
from enclave_sim.platform.secret_file import create_secret, load_secret
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.einit import LaunchRefused, einit
from enclave_sim.sgx.sigstruct import (
    MODULUS_BYTES,
    SIGSTRUCT_BYTES,
    generate_signing_key,
    mrsigner_of,
    sign_enclave,
)
from enclave_sim.sgx.sigstruct import EnclaveIdentity as SignedIdentity

DEVELOPMENT_KEY_FILE = "development-signing-key.pem"
DEVELOPMENT = "(development)"
SIGNED_ATTRIBUTES = Attributes(AttributeFlag.MODE64BIT, XFRM)
"""What a SIGSTRUCT of ours says: of an enclave that is not initialised yet, and is no debug enclave."""
ATTRIBUTE_MASK = b"\xff" * 8 + bytes(8)
"""Which attributes the processor must find as signed: all flags (so no debug), and any XFRM."""
_KEY_FILE_BYTES_MAX = 16 * 1024
_LABEL = f"Coco enclave signing key {DEVELOPMENT}: its signatures vouch for nothing.\n".encode()


@dataclass(frozen=True, slots=True)
class SignedBy:
    """Who signed an enclave. signer: MRSIGNER."""

    signer: bytes
    is_development: bool

    def __str__(self) -> str:
        return f"{self.signer.hex()}{' ' + DEVELOPMENT if self.is_development else ''}"


class SigstructOfOtherProduct(LaunchRefused):
    """A SIGSTRUCT for the other kind of enclave."""


def launch_identity(kind: EnclaveKind, measurement: bytes, sigstruct: bytes) -> EnclaveIdentity:
    """Return who the enclave is; raises LaunchRefused unless the SIGSTRUCT is of this code and kind."""
    enclave = einit(measurement, SIGNED_ATTRIBUTES, sigstruct)
    if enclave.isvprodid != PRODUCT[kind]:
        # With the manager's product, a worker would derive the manager's sealing keys.
        raise SigstructOfOtherProduct(
            "SIGSTRUCT", f"it is for product {enclave.isvprodid}; the {kind} enclave is product {PRODUCT[kind]}"
        )
    return EnclaveIdentity(measurement, kind, enclave.mrsigner, enclave.isvsvn)


def development_sigstruct(kind: EnclaveKind, measurement: bytes, key: rsa.RSAPrivateKey, built: date) -> bytes:
    """Sign what was measured here, as `coco enclave sign` does."""
    identity = SignedIdentity(
        mrenclave=measurement,
        attributes=SIGNED_ATTRIBUTES,
        attribute_mask=ATTRIBUTE_MASK,
        built=built,
        isvprodid=PRODUCT[kind],
        isvsvn=SECURITY_VERSION,
    )
    return sign_enclave(identity, key).encode()


def launch_identities(
    measurements: Mapping[EnclaveKind, bytes], given: Mapping[EnclaveKind, Path], fuses: Path, built: date
) -> tuple[dict[EnclaveKind, EnclaveIdentity], dict[EnclaveKind, SignedBy]]:
    """Return who each enclave is, and who signed it. given: SIGSTRUCT files; a kind without is signed here.

    Raises LaunchRefused, IncompatibleData (a file that cannot be used), StorageFailed.
    """
    identities: dict[EnclaveKind, EnclaveIdentity] = {}
    signers: dict[EnclaveKind, SignedBy] = {}
    for kind, measurement in measurements.items():
        file = given.get(kind)
        if file is None:
            key = load_or_create_signing_key(fuses)
            data = development_sigstruct(kind, measurement, key, built)
        else:
            data = _read_sigstruct(file)
        try:
            identities[kind] = launch_identity(kind, measurement, data)
        except LaunchRefused as refusal:
            where = f" (SIGSTRUCT {file})" if file is not None else ""
            message = f"the {kind} enclave is not launched: {refusal.message}{where}"
            raise IncompatibleData(message, hint=refusal.hint or "Sign it with coco enclave sign.") from None
        signers[kind] = SignedBy(identities[kind].signer, file is None)
    return identities, signers


def load_or_create_signing_key(fuses: Path) -> rsa.RSAPrivateKey:
    """Return the development key of the machine whose fuses are at that path, made once.

    Raises IncompatibleData for a damaged file, or one that others may read; StorageFailed when the disk fails.
    """
    path = fuses.with_name(DEVELOPMENT_KEY_FILE)
    try:
        try:
            data = load_secret(path, _KEY_FILE_BYTES_MAX)
        except FileNotFoundError:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            data = create_secret(path, _new_key())
    except OSError as error:
        raise StorageFailed(
            f"the development signing key {path} cannot be kept: {error.strerror}",
            hint="Check permissions and free space of the node's directory.",
        ) from None
    return _parse_key(path, data)


def development_signer(fuses: Path) -> bytes:
    """Return MRSIGNER of the machine's development key, which is made when there is none."""
    return mrsigner_of(load_or_create_signing_key(fuses).public_key().public_numbers().n)


def _new_key() -> bytes:
    pem = generate_signing_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return _LABEL + pem


def _parse_key(path: Path, data: bytes) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != MODULUS_BYTES * 8:
        raise IncompatibleData(
            f"the development signing key {path} is damaged",
            hint="Restore the file from a copy: with another key, what was sealed to the signer does not open.",
        )
    return key


def _read_sigstruct(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(SIGSTRUCT_BYTES + 1)
    except OSError as error:
        raise IncompatibleData(
            f"the SIGSTRUCT {file} cannot be read: {error.strerror}",
            hint="Correct sigstruct in network.json, or remove it to have the machine sign for development.",
        ) from None
