"""The simulated provisioning authority, which stands where Intel stands: it certifies processors and rates their TCB.

    root CA ── PCK platform CA, PCK processor CA ── PCK certificate of each processor
            └─ TCB signing ── TCB info, QE identity

Everything derives from one 32-byte secret and the validity, so the secret is the whole state: whoever holds it can make
quotes of any simulated processor. It never lies in the repository. Every name says (SIMULATED), and verifiers accept
the root only where they were told to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.documents import (
    QE_IDENTITY_VERSION,
    SGX_TCB_INFO,
    TCB_INFO_VERSION,
    Component,
    EnclaveTcb,
    EnclaveTcbLevel,
    QeIdentity,
    Tcb,
    TcbInfo,
    TcbLevel,
    TcbStatus,
    encode_document,
)
from enclave_sim.pki.issuing import (
    Issuer,
    Validity,
    issue_certificate,
    issue_revocation_list,
    make_issuer,
    make_root,
)
from enclave_sim.pki.keys import raw_signature
from enclave_sim.pki.pck_extension import SGX_EXTENSION, PckExtension, encode_pck_extension
from enclave_sim.pki.pem import encode_chain
from enclave_sim.sgx.cpu import Enclave

PckCa = Literal["platform", "processor"]


class SimulatedAuthority:
    """See the module. secret: 32 random bytes; validity: of all its certificates."""

    def __init__(self, secret: bytes, validity: Validity) -> None:
        self._validity = validity
        self._root = make_root(secret, "Coco SGX Root CA (SIMULATED)", validity)
        self._cas: dict[PckCa, Issuer] = {
            "platform": make_issuer(self._root, secret, "Coco SGX PCK Platform CA (SIMULATED)", validity),
            "processor": make_issuer(self._root, secret, "Coco SGX PCK Processor CA (SIMULATED)", validity),
        }
        self._tcb_signer = make_issuer(self._root, secret, "Coco SGX TCB Signing (SIMULATED)", validity, is_ca=False)

    def __repr__(self) -> str:
        return f"<SimulatedAuthority {hashlib.sha256(self.root_certificate).hexdigest()}>"

    @property
    def root_certificate(self) -> bytes:
        """The root certificate (DER), which goes into trust stores."""
        return self._root.der

    def issue_pck_chain(
        self,
        public_key: ec.EllipticCurvePublicKey,
        extension: PckExtension,
        *,
        ca: PckCa = "processor",
        validity: Validity | None = None,
    ) -> bytes:
        """Certify a processor's PCK; returns leaf, intermediate and root as PEM, as it goes into quotes."""
        issuer = self._cas[ca]
        leaf = issue_certificate(
            issuer,
            "Coco SGX PCK Certificate (SIMULATED)",
            public_key,
            validity or self._validity,
            extensions={SGX_EXTENSION: encode_pck_extension(extension)},
        )
        return encode_chain((leaf.public_bytes(Encoding.DER), issuer.der, self._root.der))

    def collateral(
        self,
        tcb_info: TcbInfo,
        qe_identity: QeIdentity,
        *,
        revocation: Validity,
        ca: PckCa = "processor",
        revoked_serials: Sequence[int] = (),
        revoked_ca_serials: Sequence[int] = (),
    ) -> Collateral:
        """Return the collateral for quotes of processors that `ca` certified; revocation: when the lists hold."""
        issuer = self._cas[ca]
        documents = encode_document(tcb_info), encode_document(qe_identity)
        signer_chain = encode_chain((self._tcb_signer.der, self._root.der))
        return Collateral(
            pck_crl_issuer_chain=encode_chain((issuer.der, self._root.der)),
            root_ca_crl=issue_revocation_list(self._root, revocation, revoked_ca_serials),
            pck_crl=issue_revocation_list(issuer, revocation, revoked_serials),
            tcb_info_issuer_chain=signer_chain,
            tcb_info=documents[0],
            tcb_info_signature=raw_signature(self._tcb_signer.key, documents[0]),
            qe_identity_issuer_chain=signer_chain,
            qe_identity=documents[1],
            qe_identity_signature=raw_signature(self._tcb_signer.key, documents[1]),
        )


def make_tcb_info(
    extension: PckExtension,
    validity: Validity,
    *,
    status: TcbStatus = TcbStatus.UP_TO_DATE,
    advisory_ids: Sequence[str] = (),
    evaluation_number: int = 1,
    levels: Sequence[TcbLevel] | None = None,
) -> TcbInfo:
    """Return TCB info that rates exactly this platform's TCB (and newer) with `status`, or gives `levels`."""
    components = tuple(Component(svn) for svn in extension.tcb_components)
    own_level = TcbLevel(Tcb(components, extension.pce_svn), validity.start, status, tuple(advisory_ids))
    return TcbInfo(
        id=SGX_TCB_INFO,
        version=TCB_INFO_VERSION,
        issue_date=validity.start,
        next_update=validity.end,
        fmspc=extension.fmspc.hex().upper(),
        pce_id=extension.pce_id.hex().upper(),
        tcb_type=0,
        tcb_evaluation_data_number=evaluation_number,
        tcb_levels=tuple(levels) if levels is not None else (own_level,),
    )


def make_qe_identity(
    enclave: Enclave,
    validity: Validity,
    *,
    status: TcbStatus = TcbStatus.UP_TO_DATE,
    evaluation_number: int = 1,
) -> QeIdentity:
    """Return the QE identity that admits this quoting enclave, at its security version or a newer one."""
    return QeIdentity(
        id="QE",
        version=QE_IDENTITY_VERSION,
        issue_date=validity.start,
        next_update=validity.end,
        tcb_evaluation_data_number=evaluation_number,
        miscselect=enclave.miscselect.to_bytes(4, "little").hex().upper(),
        miscselect_mask="FFFFFFFF",
        attributes=(enclave.attributes.flags.to_bytes(8, "little") + bytes(8)).hex().upper(),
        attributes_mask="FBFFFFFFFFFFFFFF0000000000000000",
        mrsigner=enclave.mrsigner.hex().upper(),
        isvprodid=enclave.isvprodid,
        tcb_levels=(EnclaveTcbLevel(EnclaveTcb(enclave.isvsvn), validity.start, status),),
    )
