"""Verifying SGX and TDX quotes: from the vendor's root down to the enclave's report.

    trust store's root - intermediate - PCK leaf  signs  QE report  binds  attestation key  signs  header and body

beside it the collateral, under the same root: revocation lists, TCB info and QE identity. Chains and collateral that
verified once are remembered (their signatures, never their times), so that the next quote costs two signatures.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.der import MalformedDer
from enclave_sim.pki.documents import SGX_TCB_INFO, TDX_TCB_INFO, TcbStatus
from enclave_sim.pki.pck_extension import SGX_EXTENSION, PckExtension, parse_pck_extension
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.quote import Quote, parse_quote
from enclave_sim.sgx.report import ReportBody
from enclave_sim.sgx.tdx import SEPT_VE_DISABLE, TdReportBody
from enclave_sim.verify.certificates import Certificate, read_chain, require_chain
from enclave_sim.verify.collateral import PCK_CA_NAMES, OpenedCollateral, open_collateral, verify_p256
from enclave_sim.verify.errors import (
    AttestationKeyUnbound,
    ChainInvalid,
    DocumentInvalid,
    EvidenceMalformed,
    PlatformMismatch,
    QeReportSignatureInvalid,
    QuoteSignatureInvalid,
    TcbRevoked,
    TdAttributesUnsafe,
)
from enclave_sim.verify.tcb import Rating, converge, rate_platform, rate_quoting_enclave
from enclave_sim.verify.trust import TrustedRoot, TrustStore
from enclave_sim.verify.validity import Window, require_aware, require_within
from enclave_sim.verify.verdict import Verdict

PCK_NAME = "SGX PCK Certificate"
REMEMBERED_MAX = 64

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class _PckChain:
    """A PCK chain whose signatures hold under `root`."""

    root: TrustedRoot
    leaf: Certificate
    intermediate: Certificate
    extension: PckExtension
    windows: tuple[Window, ...]


class _Memory(Generic[KeyT, ValueT]):
    """Remembers the last REMEMBERED_MAX results of a check. Failures are not remembered."""

    def __init__(self, check: Callable[[KeyT], ValueT]) -> None:
        self._check = check
        self._known: OrderedDict[KeyT, ValueT] = OrderedDict()

    def get(self, key: KeyT) -> ValueT:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._check(key)
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return known


class QuoteVerifier:
    """Verifies many quotes under one trust store. See the module."""

    def __init__(self, trust_store: TrustStore) -> None:
        self._store = trust_store
        self._collaterals: _Memory[Collateral, OpenedCollateral] = _Memory(
            lambda collateral: open_collateral(collateral, trust_store)
        )
        self._chains: _Memory[bytes, _PckChain] = _Memory(self._open_chain)

    def verify(self, quote: bytes, collateral: Collateral, *, at: datetime) -> Verdict:
        """Verify a quote of SGX or TDX at that time (ValueError without a time zone).

        Raises an EvidenceRefused. The verdict is cryptographic: see `enclave_sim.verify.policy` for what to accept.
        """
        at = require_aware(at)
        try:
            parsed = parse_quote(quote)
        except MalformedStructure as error:
            raise EvidenceMalformed(error.message) from None
        chain = self._chains.get(parsed.signature.pck_chain_pem)
        opened = self._collaterals.get(collateral)
        _require_same_platform(chain, opened)
        windows = (*chain.windows, *opened.windows)
        require_within(windows, at)
        opened.pck_revocations.require_not_revoked(chain.leaf)
        opened.root_revocations.require_not_revoked(chain.intermediate)
        _require_signatures(parsed, chain.leaf)
        rating = _rate(parsed, chain, opened)
        return _verdict(parsed, chain, opened, rating, min(window.end for window in windows))

    def _open_chain(self, pem: bytes) -> _PckChain:
        what = "the PCK chain"
        leaf, intermediate, root_certificate = chain = read_chain(pem, 3, what)
        root = self._store.find("sgx", root_certificate.der)
        require_chain(chain, what)
        if PCK_NAME not in leaf.common_name or not any(name in intermediate.common_name for name in PCK_CA_NAMES):
            raise ChainInvalid(f"{what}: {leaf.common_name!r} is not a PCK certificate")
        value = leaf.extensions.get(SGX_EXTENSION)
        if value is None:
            raise ChainInvalid(f"{what}: the leaf lacks the SGX extension")
        try:
            extension = parse_pck_extension(value)
        except MalformedDer as error:
            raise ChainInvalid(f"{what}: {error.message}") from None
        return _PckChain(root, leaf, intermediate, extension, tuple(one.window for one in chain))


def verify_quote(quote: bytes, collateral: Collateral, *, at: datetime, trust_store: TrustStore) -> Verdict:
    """Verify one quote; see `QuoteVerifier.verify`."""
    return QuoteVerifier(trust_store).verify(quote, collateral, at=at)


def _require_same_platform(chain: _PckChain, opened: OpenedCollateral) -> None:
    if chain.root != opened.root:
        raise PlatformMismatch("quote and collateral lead to different roots")
    theirs, ours = opened.pck_ca.parsed, chain.intermediate.parsed
    if theirs.subject != ours.subject or opened.pck_ca.public_key != chain.intermediate.public_key:
        raise PlatformMismatch(
            f"the collateral's revocation list is of {opened.pck_ca.common_name!r}; the platform was certified by "
            f"{chain.intermediate.common_name!r}"
        )


def _require_signatures(quote: Quote, pck: Certificate) -> None:
    signature = quote.signature
    if not verify_p256(pck, signature.qe_report_signature, signature.qe_report.encode()):
        raise QeReportSignatureInvalid("the quoting enclave's report is not signed by the platform's key")
    bound = hashlib.sha256(signature.attestation_key + signature.qe_authentication_data).digest() + bytes(32)
    if not hmac.compare_digest(bound, signature.qe_report.report_data):
        raise AttestationKeyUnbound("the quoting enclave's report does not bind the attestation key")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + signature.attestation_key)
    except ValueError:
        raise AttestationKeyUnbound("the attestation key is no point of P-256") from None
    if not verify_p256(key, signature.signature, quote.signed()):
        raise QuoteSignatureInvalid("header and body are not what the attestation key signed")


def _rate(quote: Quote, chain: _PckChain, opened: OpenedCollateral) -> Rating:
    td = quote.body if isinstance(quote.body, TdReportBody) else None
    expected = (SGX_TCB_INFO, "QE") if td is None else (TDX_TCB_INFO, "TD_QE")
    if (opened.tcb_info.id, opened.qe_identity.id) != expected:
        raise DocumentInvalid(
            f"the collateral is for {opened.tcb_info.id} and {opened.qe_identity.id}; the quote needs "
            f"{expected[0]} and {expected[1]}"
        )
    quoting_enclave = rate_quoting_enclave(opened.qe_identity, quote.signature.qe_report)
    rating = converge(rate_platform(opened.tcb_info, chain.extension, td), quoting_enclave)
    if rating.status is TcbStatus.REVOKED:
        raise TcbRevoked("the platform's TCB level is revoked", hint="Update the platform's microcode and firmware.")
    if td is not None and not td.td_attributes & SEPT_VE_DISABLE:
        raise TdAttributesUnsafe("the trust domain runs without SEPT_VE_DISABLE")
    return rating


def _verdict(
    quote: Quote, chain: _PckChain, opened: OpenedCollateral, rating: Rating, valid_until: datetime
) -> Verdict:
    body = quote.body
    sgx = body if isinstance(body, ReportBody) else None
    number = min(opened.tcb_info.tcb_evaluation_data_number, opened.qe_identity.tcb_evaluation_data_number)
    return Verdict(
        tee="tdx" if isinstance(body, TdReportBody) else "sgx",
        simulated=chain.root.simulated,
        root=chain.root.name,
        measurement=body.mrtd if isinstance(body, TdReportBody) else body.mrenclave,
        signer=body.mrowner if isinstance(body, TdReportBody) else body.mrsigner,
        product_id=sgx.isvprodid if sgx else 0,
        security_version=sgx.isvsvn if sgx else 0,
        report_data=body.report_data,
        debug=body.debug if isinstance(body, TdReportBody) else body.attributes.debug,
        platform=chain.extension.ppid.hex(),
        tcb_status=rating.status,
        valid_until=valid_until,
        advisory_ids=rating.advisory_ids,
        tcb_date=rating.tcb_date,
        tcb_evaluation_number=number,
        fmspc=chain.extension.fmspc.hex().upper(),
        runtime_measurements=body.rtmrs if isinstance(body, TdReportBody) else (),
        root_digest=chain.root.digest,
        platform_versions=(("tcb_evaluation", number),),
    )
