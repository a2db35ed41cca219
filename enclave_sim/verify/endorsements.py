"""Collateral as it travels in a certificate between nodes, and the CBOR tags that name each kind of evidence.

    60000     SGX and TDX quotes, registered with IANA. 60000([1, TCB info, its issuer chain, CRL of the PCK CA, CRL of
              the root, issuer chain of the former, QE identity, its issuer chain]): documents as Intel's service gives
              them ({"tcbInfo":...,"signature":"..."}, {"enclaveIdentity":...,"signature":"..."}), lists DER, chains PEM
    0x1A7504  SEV-SNP reports, as librats has it (not registered): tag([VCEK, ASK, ARK, CRL of the ARK]), all DER
    0x434F0001  VBS enclave reports, our own: tag([chain PEM, CRL of the root, CRL of the CA])

Source: Interoperable RA-TLS SGX / TDX Evidence Tags and Formats (CCC Attestation SIG), without the optional last entry.
"""

from __future__ import annotations

from core import limits
from core.node.attested_tls.cbor import (
    ARRAY,
    TAG,
    UNSIGNED,
    CborReader,
    MalformedCbor,
    encode_array,
    encode_bytes,
    encode_head,
)
from enclave_sim.pki.collateral import SIGNATURE_BYTES, Collateral
from enclave_sim.verify.errors import CollateralMalformed, EvidenceMalformed
from enclave_sim.verify.evidence import AnyCollateral
from enclave_sim.verify.snp import SnpCollateral
from enclave_sim.verify.vsm import VsmCollateral

INTEL_QUOTE_TAG = 60000
SNP_REPORT_TAG = 0x1A7504
VBS_REPORT_TAG = 0x434F0001
"""In the range that anyone may use; not registered."""

_INTEL_VERSION = 1
_SIGNATURE = b',"signature":"'
_TCB_INFO, _QE_IDENTITY = b'{"tcbInfo":', b'{"enclaveIdentity":'


def tag_of(collateral: AnyCollateral) -> int:
    """Return the tag of the evidence that this collateral belongs to."""
    match collateral:
        case Collateral():
            return INTEL_QUOTE_TAG
        case VsmCollateral():
            return VBS_REPORT_TAG
        case SnpCollateral():
            return SNP_REPORT_TAG


def encode_endorsements(collateral: AnyCollateral) -> bytes:
    """Return the extension's value. Minimum versions are the verifier's own and do not travel.

    SNP collateral without a revocation list makes endorsements that are refused.
    """
    match collateral:
        case Collateral():
            items = [encode_head(UNSIGNED, _INTEL_VERSION), *map(encode_bytes, _intel_parts(collateral))]
        case VsmCollateral():
            parts = (collateral.chain_pem, collateral.root_revocation_list, collateral.ca_revocation_list)
            items = [encode_bytes(part) for part in parts]
        case SnpCollateral():
            chain = (collateral.vcek, collateral.ask, collateral.ark, collateral.revocation_list or b"")
            items = [encode_bytes(part) for part in chain]
    return encode_head(TAG, tag_of(collateral)) + encode_array(*items)


def parse_endorsements(tag: int, data: bytes) -> AnyCollateral:
    """Parse the endorsements of evidence with this tag; raises EvidenceMalformed, CollateralMalformed."""
    if tag not in (INTEL_QUOTE_TAG, SNP_REPORT_TAG, VBS_REPORT_TAG):
        raise EvidenceMalformed(f"evidence of an unknown kind (CBOR tag {tag})")
    try:
        reader = CborReader(data)
        reader.take_exactly(TAG, tag)
        if tag == INTEL_QUOTE_TAG:
            return _take_intel(reader)
        if tag == VBS_REPORT_TAG:
            chain, root_list, ca_list = _take_parts(reader, 3)
            return VsmCollateral(chain, root_list, ca_list)
        # A peer may not leave out the list that might name it: an empty one is refused as a list.
        vcek, ask, ark, revocation_list = _take_parts(reader, 4)
        return SnpCollateral(vcek, ask, ark, revocation_list)
    except MalformedCbor as error:
        raise CollateralMalformed(f"the endorsements: {error.message}") from None


def _intel_parts(collateral: Collateral) -> tuple[bytes, ...]:
    return (
        _signed(_TCB_INFO, collateral.tcb_info, collateral.tcb_info_signature),
        collateral.tcb_info_issuer_chain,
        collateral.pck_crl,
        collateral.root_ca_crl,
        collateral.pck_crl_issuer_chain,
        _signed(_QE_IDENTITY, collateral.qe_identity, collateral.qe_identity_signature),
        collateral.qe_identity_issuer_chain,
    )


def _take_intel(reader: CborReader) -> Collateral:
    reader.take_exactly(ARRAY, 8)
    reader.take_exactly(UNSIGNED, _INTEL_VERSION)
    parts = [reader.take_bytes(limits.ENDORSEMENTS_BYTES_MAX) for _ in range(7)]
    reader.end()
    tcb_info, tcb_info_chain, pck_crl, root_crl, pck_crl_chain, qe_identity, qe_identity_chain = parts
    tcb_info, tcb_info_signature = _take_signed(_TCB_INFO, tcb_info)
    qe_identity, qe_identity_signature = _take_signed(_QE_IDENTITY, qe_identity)
    return Collateral(
        pck_crl_issuer_chain=pck_crl_chain,
        root_ca_crl=root_crl,
        pck_crl=pck_crl,
        tcb_info_issuer_chain=tcb_info_chain,
        tcb_info=tcb_info,
        tcb_info_signature=tcb_info_signature,
        qe_identity_issuer_chain=qe_identity_chain,
        qe_identity=qe_identity,
        qe_identity_signature=qe_identity_signature,
    )


def _take_parts(reader: CborReader, count: int) -> list[bytes]:
    reader.take_exactly(ARRAY, count)
    parts = [reader.take_bytes(limits.ENDORSEMENTS_BYTES_MAX) for _ in range(count)]
    reader.end()
    return parts


def _signed(start: bytes, document: bytes, signature: bytes) -> bytes:
    return start + document + _SIGNATURE + signature.hex().encode() + b'"}'


def _take_signed(start: bytes, text: bytes) -> tuple[bytes, bytes]:
    """Return document and signature: the exact bytes in between count, so nothing is parsed and written again."""
    end = len(text) - len(_SIGNATURE) - 2 * SIGNATURE_BYTES - 2
    digits = text[end + len(_SIGNATURE) : -2]
    if end < len(start) or text[: len(start)] != start or text[end : end + len(_SIGNATURE)] != _SIGNATURE:
        raise MalformedCbor("a document is not in the form of Intel's service")
    if text[-2:] != b'"}' or set(digits) - set(b"0123456789abcdef"):
        raise MalformedCbor("a document's signature is not in the form of Intel's service")
    return text[len(start) : end], bytes.fromhex(digits.decode())
