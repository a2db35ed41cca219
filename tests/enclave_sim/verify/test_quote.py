"""Simulated quotes: accepted where they should be, and each reason to refuse them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import msgspec
import pytest

from enclave_sim.pki.authority import SimulatedAuthority
from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.documents import TcbStatus
from enclave_sim.pki.issuing import Validity
from enclave_sim.pki.keys import raw_public_key, raw_signature
from enclave_sim.pki.pem import encode_chain, parse_chain
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.quote import Quote, parse_quote
from enclave_sim.sgx.quoting import provisioning_key, quoting_enclave_identity
from enclave_sim.verify import errors
from enclave_sim.verify.certificates import read_certificate
from enclave_sim.verify.policy import Policy, check_policy
from enclave_sim.verify.quote import QuoteVerifier, verify_quote
from enclave_sim.verify.trust import simulated_root, trust_store
from tests.support.attestation import DEBUG_ENCLAVE, ENCLAVE, MONTH, NOW, REPORT_DATA, START, YEARS, Platform

PLATFORM = Platform()
QUOTE = PLATFORM.quote()
COLLATERAL = PLATFORM.collateral()
LEAF, INTERMEDIATE, ROOT = parse_chain(PLATFORM.chain)


def refuse(
    reason: type[errors.EvidenceRefused],
    quote: bytes = QUOTE,
    collateral: Collateral = COLLATERAL,
    at: timedelta = timedelta(0),
) -> errors.EvidenceRefused:
    with pytest.raises(errors.EvidenceRefused) as refused:
        verify_quote(quote, collateral, at=NOW + at, trust_store=PLATFORM.store())
    assert refused.type is reason, refused.value
    return refused.value


def test_it_is_accepted_where_simulated_roots_are_on() -> None:
    verdict = verify_quote(QUOTE, COLLATERAL, at=NOW, trust_store=PLATFORM.store())
    assert (verdict.measurement, verdict.signer, verdict.report_data) == (
        ENCLAVE.mrenclave,
        ENCLAVE.mrsigner,
        REPORT_DATA,
    )
    assert (verdict.tee, verdict.simulated, verdict.debug) == ("sgx", True, False)
    assert (verdict.product_id, verdict.security_version) == (1, 2)
    assert (verdict.tcb_status, verdict.platform) == (TcbStatus.UP_TO_DATE, PLATFORM.cpu.ppid.hex())
    assert verdict.claims().simulated
    check_policy(verdict, Policy())


def test_it_is_refused_where_they_are_off_unknown_or_for_something_else() -> None:
    root = PLATFORM.authority.root_certificate
    other = SimulatedAuthority(b"b" * 32, YEARS).root_certificate
    for store, reason in (
        (trust_store(), errors.UnknownRoot),
        (PLATFORM.store(accept_simulated=False), errors.SimulatedRootOff),
        (trust_store([simulated_root("sgx", root)]), errors.SimulatedRootOff),
        (trust_store([simulated_root("sgx", other)], accept_simulated=True), errors.UnknownRoot),
        (trust_store([simulated_root("vsm", root)], accept_simulated=True), errors.UnknownRoot),
    ):
        with pytest.raises(reason):
            verify_quote(QUOTE, COLLATERAL, at=NOW, trust_store=store)


def test_the_platform_ca_as_well() -> None:
    public_key = provisioning_key(PLATFORM.cpu).public_key()
    chain = PLATFORM.authority.issue_pck_chain(public_key, PLATFORM.extension, ca="platform")
    quote = resigned(parse_quote(QUOTE), pck_chain_pem=chain)
    assert verify_quote(quote, PLATFORM.collateral(ca="platform"), at=NOW, trust_store=PLATFORM.store())
    refuse(errors.PlatformMismatch, quote)


def test_times() -> None:
    assert verify_quote(QUOTE, COLLATERAL, at=MONTH.end, trust_store=PLATFORM.store())
    assert verify_quote(QUOTE, COLLATERAL, at=MONTH.start, trust_store=PLATFORM.store())
    second = timedelta(seconds=1)
    refuse(errors.NotYetValid, at=START - NOW - second)
    refuse(errors.Expired, at=MONTH.end - NOW + second)


def test_the_same_verifier_at_other_times() -> None:
    """What a verifier remembers is signatures, never times."""
    verifier = QuoteVerifier(PLATFORM.store())
    for _ in range(2):
        assert verifier.verify(QUOTE, COLLATERAL, at=NOW)
        with pytest.raises(errors.Expired):
            verifier.verify(QUOTE, COLLATERAL, at=NOW + timedelta(days=40))


EARLY, LATE = Validity(START, START + timedelta(days=1)), Validity(NOW + timedelta(days=1), MONTH.end)


@pytest.mark.parametrize(("window", "reason"), [(EARLY, errors.Expired), (LATE, errors.NotYetValid)])
@pytest.mark.parametrize("part", ["revocation", "tcb_info", "qe_identity", "pck"])
def test_each_part_has_its_own_time(part: str, window: Validity, reason: type[errors.EvidenceRefused]) -> None:
    dates = {"issue_date": window.start, "next_update": window.end}
    match part:
        case "pck":
            refuse(reason, Platform(pck_validity=window).quote())
        case "revocation":
            refuse(reason, collateral=PLATFORM.collateral(revocation=window))
        case "tcb_info":
            document = msgspec.structs.replace(PLATFORM.tcb_info(), **dates)
            refuse(reason, collateral=PLATFORM.collateral(tcb_info=document))
        case _:
            identity = msgspec.structs.replace(PLATFORM.qe_identity(), **dates)
            refuse(reason, collateral=PLATFORM.collateral(qe_identity=identity))


def test_expired_certificates_of_the_authority() -> None:
    platform = Platform(SimulatedAuthority(b"a" * 32, EARLY))
    with pytest.raises(errors.Expired):
        verify_quote(platform.quote(), platform.collateral(), at=NOW, trust_store=platform.store())


def test_revoked() -> None:
    leaf, intermediate = (read_certificate(der).serial for der in (LEAF, INTERMEDIATE))
    refuse(errors.CertificateRevoked, collateral=PLATFORM.collateral(revoked_serials=[1, leaf]))
    refuse(errors.CertificateRevoked, collateral=PLATFORM.collateral(revoked_ca_serials=[intermediate]))
    signer = read_certificate(parse_chain(COLLATERAL.tcb_info_issuer_chain)[0]).serial
    refuse(errors.CertificateRevoked, collateral=PLATFORM.collateral(revoked_ca_serials=[signer]))
    others = PLATFORM.collateral(revoked_serials=[leaf + 1], revoked_ca_serials=[leaf])
    assert verify_quote(QUOTE, others, at=NOW, trust_store=PLATFORM.store())


def test_another_platforms_collateral() -> None:
    refuse(errors.PlatformMismatch, collateral=Platform(fmspc=bytes(6)).collateral())
    refuse(errors.PlatformMismatch, Platform(fmspc=bytes(6)).quote())
    info = msgspec.structs.replace(PLATFORM.tcb_info(), pce_id="0100")
    refuse(errors.PlatformMismatch, collateral=PLATFORM.collateral(tcb_info=info))
    other = Platform(SimulatedAuthority(b"b" * 32, YEARS))
    refuse(errors.UnknownRoot, collateral=other.collateral())
    both = (simulated_root("sgx", one.authority.root_certificate) for one in (PLATFORM, other))
    store = trust_store([*both], accept_simulated=True)
    with pytest.raises(errors.PlatformMismatch):
        verify_quote(QUOTE, other.collateral(), at=NOW, trust_store=store)


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: json.dumps(json.loads(text)).encode(),
        lambda text: json.dumps(json.loads(text), separators=(",", ":"), sort_keys=True).encode(),
        lambda text: text + b"\n",
        lambda text: b" " + text,
        lambda text: text.replace(b"UpToDate", b"UpToDatE"),
    ],
)
@pytest.mark.parametrize("document", ["tcb_info", "qe_identity"])
def test_documents_written_again_are_no_longer_signed(document: str, change: Change) -> None:
    changed = change(getattr(COLLATERAL, document))
    assert changed != getattr(COLLATERAL, document)
    refuse(errors.DocumentSignatureInvalid, collateral=replace(COLLATERAL, **{document: changed}))


def test_a_document_in_place_of_another() -> None:
    swapped = replace(COLLATERAL, tcb_info=COLLATERAL.qe_identity, tcb_info_signature=COLLATERAL.qe_identity_signature)
    refuse(errors.DocumentInvalid, collateral=swapped)
    for changes in ({"id": "TDX"}, {"version": 2}, {"tcb_type": 1}):
        info = msgspec.structs.replace(PLATFORM.tcb_info(), **changes)
        refuse(errors.DocumentInvalid, collateral=PLATFORM.collateral(tcb_info=info))
    for identity_changes in ({"id": "TD_QE"}, {"version": 1}, {"mrsigner": "00"}, {"attributes_mask": "00"}):
        identity = msgspec.structs.replace(PLATFORM.qe_identity(), **identity_changes)
        refuse(errors.DocumentInvalid, collateral=PLATFORM.collateral(qe_identity=identity))


def test_chains_of_another_shape() -> None:
    signer, root = parse_chain(COLLATERAL.tcb_info_issuer_chain)
    other_root = SimulatedAuthority(b"b" * 32, YEARS).root_certificate
    chains = [
        (LEAF, INTERMEDIATE),
        (INTERMEDIATE, ROOT),
        (LEAF, ROOT),
        (LEAF, LEAF, ROOT),
        (INTERMEDIATE, INTERMEDIATE, ROOT),
        (LEAF, INTERMEDIATE, INTERMEDIATE, ROOT),
        (LEAF, signer, ROOT),
        (signer, INTERMEDIATE, ROOT),
        (LEAF, ROOT, ROOT),
        (ROOT, ROOT, ROOT),
    ]
    for chain in chains:
        refuse(errors.ChainInvalid, resigned(parse_quote(QUOTE), pck_chain_pem=encode_chain(chain)))
    # Signatures are checked only once the root is known.
    refuse(errors.UnknownRoot, resigned(parse_quote(QUOTE), pck_chain_pem=encode_chain((LEAF, ROOT, INTERMEDIATE))))
    refuse(
        errors.UnknownRoot, resigned(parse_quote(QUOTE), pck_chain_pem=encode_chain((LEAF, INTERMEDIATE, other_root)))
    )
    for name in ("tcb_info_issuer_chain", "qe_identity_issuer_chain"):
        for chain in ((signer,), (LEAF, INTERMEDIATE, root), (INTERMEDIATE, root), (LEAF, root), (signer, signer)):
            refuse(errors.ChainInvalid, collateral=replace(COLLATERAL, **{name: encode_chain(chain)}))
    for chain in ((INTERMEDIATE,), (signer, root), (root, root), (LEAF, INTERMEDIATE)):
        refuse(errors.ChainInvalid, collateral=replace(COLLATERAL, pck_crl_issuer_chain=encode_chain(chain)))


def test_a_pck_certificate_cannot_sign_tcb_info() -> None:
    """The processor's own key is certified under the same root; it must not rate itself."""
    key = provisioning_key(PLATFORM.cpu)
    forged = replace(
        COLLATERAL,
        tcb_info_signature=raw_signature(key, COLLATERAL.tcb_info),
        tcb_info_issuer_chain=encode_chain((LEAF, ROOT)),
    )
    refuse(errors.ChainInvalid, collateral=forged)


def test_revocation_lists_of_others() -> None:
    swapped = replace(COLLATERAL, pck_crl=COLLATERAL.root_ca_crl)
    refuse(errors.RevocationListInvalid, collateral=swapped)
    refuse(errors.RevocationListInvalid, collateral=replace(COLLATERAL, root_ca_crl=COLLATERAL.pck_crl))
    other = Platform(SimulatedAuthority(b"b" * 32, YEARS)).collateral()
    refuse(errors.RevocationListInvalid, collateral=replace(COLLATERAL, pck_crl=other.pck_crl))
    platform_list = PLATFORM.collateral(ca="platform").pck_crl
    refuse(errors.RevocationListInvalid, collateral=replace(COLLATERAL, pck_crl=platform_list))
    for end in range(0, len(COLLATERAL.pck_crl), 7):
        refuse(errors.RevocationListInvalid, collateral=replace(COLLATERAL, pck_crl=COLLATERAL.pck_crl[:end]))


def test_a_quote_put_together_from_two() -> None:
    ours, theirs = parse_quote(QUOTE), parse_quote(Platform(fuses=b"g" * 32).quote())
    refuse(
        errors.QeReportSignatureInvalid,
        replace(ours, signature=replace(theirs.signature, pck_chain_pem=PLATFORM.chain)).encode(),
    )
    key = replace(ours.signature, attestation_key=theirs.signature.attestation_key)
    refuse(errors.AttestationKeyUnbound, replace(ours, signature=key).encode())
    refuse(errors.QuoteSignatureInvalid, replace(theirs, signature=ours.signature).encode())
    data = replace(ours.signature, qe_authentication_data=bytes(32))
    refuse(errors.AttestationKeyUnbound, replace(ours, signature=data).encode())


def test_an_attestation_key_that_is_no_point() -> None:
    bound = hashlib.sha256(b"\x01" * 64 + bytes(range(32))).digest() + bytes(32)
    report = replace(parse_quote(QUOTE).signature.qe_report, report_data=bound)
    quote = resigned(parse_quote(QUOTE), qe_report=report, attestation_key=b"\x01" * 64)
    refuse(errors.AttestationKeyUnbound, quote)


def test_debug_enclaves_are_for_the_policy_and_debug_quoting_enclaves_never() -> None:
    verdict = verify_quote(PLATFORM.quote(DEBUG_ENCLAVE), COLLATERAL, at=NOW, trust_store=PLATFORM.store())
    assert verdict.debug
    with pytest.raises(errors.DebugRefused):
        check_policy(verdict, Policy())
    qe = quoting_enclave_identity()
    attributes = Attributes(qe.attributes.flags | AttributeFlag.DEBUG, qe.attributes.xfrm)
    debug = Platform(qe=replace(qe, attributes=attributes))
    refuse(errors.QeIdentityMismatch, debug.quote())
    refuse(errors.QeIdentityMismatch, debug.quote(), debug.collateral())


@pytest.mark.parametrize("changes", [{"mrsigner": bytes(32)}, {"isvprodid": 2}, {"miscselect": 1}])
def test_another_quoting_enclave(changes: dict[str, object]) -> None:
    qe = replace(quoting_enclave_identity(), **changes)  # type: ignore[arg-type]
    platform = Platform(qe=qe)
    refuse(errors.QeIdentityMismatch, platform.quote())
    assert verify_quote(platform.quote(), platform.collateral(), at=NOW, trust_store=PLATFORM.store())


def test_an_old_quoting_enclave() -> None:
    refuse(errors.TcbLevelUnknown, Platform(qe=quoting_enclave_identity(isvsvn=7)).quote())
    out_of_date = PLATFORM.collateral(qe_identity=PLATFORM.qe_identity(status=TcbStatus.OUT_OF_DATE))
    verdict = verify_quote(QUOTE, out_of_date, at=NOW, trust_store=PLATFORM.store())
    assert verdict.tcb_status is TcbStatus.OUT_OF_DATE
    revoked = PLATFORM.collateral(qe_identity=PLATFORM.qe_identity(status=TcbStatus.REVOKED))
    refuse(errors.TcbRevoked, collateral=revoked)


def test_tcb_status() -> None:
    for status in TcbStatus:
        collateral = PLATFORM.collateral(tcb_info=PLATFORM.tcb_info(status=status, advisory_ids=["X"]))
        if status is TcbStatus.REVOKED:
            refuse(errors.TcbRevoked, collateral=collateral)
            continue
        verdict = verify_quote(QUOTE, collateral, at=NOW, trust_store=PLATFORM.store())
        assert (verdict.tcb_status, verdict.advisory_ids) == (status, ("X",))
        if status is not TcbStatus.UP_TO_DATE:
            with pytest.raises(errors.TcbStatusRefused):
                check_policy(verdict, Policy())
    refuse(errors.TcbLevelUnknown, collateral=PLATFORM.collateral(tcb_info=PLATFORM.tcb_info(levels=())))


def test_other_versions_and_lengths() -> None:
    for version in (0, 1, 2, 4, 5, 0x0103):
        refuse(errors.EvidenceMalformed, version.to_bytes(2, "little") + QUOTE[2:])
    for end in range(len(QUOTE)):
        refuse(errors.EvidenceMalformed, QUOTE[:end])
    refuse(errors.EvidenceMalformed, QUOTE + b"\0")
    refuse(errors.EvidenceMalformed, QUOTE + QUOTE)
    refuse(errors.EvidenceMalformed, bytes(1 << 20))


def resigned(quote: Quote, **changes: object) -> bytes:
    """Return the quote with changes to its signature part, whose QE report the platform's key signs again."""
    signature = replace(quote.signature, **changes)  # type: ignore[arg-type]
    key = provisioning_key(PLATFORM.cpu)
    assert raw_public_key(key)
    signature = replace(signature, qe_report_signature=raw_signature(key, signature.qe_report.encode()))
    return replace(quote, signature=signature).encode()
