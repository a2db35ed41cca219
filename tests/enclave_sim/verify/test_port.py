"""Evidence between nodes: collateral in certificates, and the verifier that core is handed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.ports import Evidence
from enclave_sim.pki.pem import parse_chain
from enclave_sim.platform.remote import PlatformEvidence
from enclave_sim.snp.processor import SimulatedSnp, SimulatedSnpVendor
from enclave_sim.snp.report import SnpTcb
from enclave_sim.verify import errors
from enclave_sim.verify.certificates import read_certificate
from enclave_sim.verify.endorsements import (
    INTEL_QUOTE_TAG,
    SNP_REPORT_TAG,
    VBS_REPORT_TAG,
    encode_endorsements,
    parse_endorsements,
    tag_of,
)
from enclave_sim.verify.policy import Policy
from enclave_sim.verify.port import RemoteVerifier
from enclave_sim.verify.snp import SnpCollateral
from enclave_sim.verify.trust import simulated_root, trust_store
from tests.support.attestation import ENCLAVE, MONTH, NOW, REPORT_DATA, YEARS, hardware
from tests.support.attested_tls import IDENTITY, SGX, SgxEvidence, VsmEvidence, mixed_store
from tests.support.fakes import FakeAttestor

VSM = VsmEvidence()
TCB = SnpTcb(3, 0, 8, 115)
SNP = SimulatedSnp(b"s" * 32, TCB)
VENDOR = SimulatedSnpVendor(b"v" * 32, YEARS)
SNP_COLLATERAL = SnpCollateral(*VENDOR.issue_vcek_chain(SNP), VENDOR.revocation_list(MONTH))
SNP_STORE = trust_store([simulated_root("snp", VENDOR.root_certificate)], accept_simulated=True)
SNP_EVIDENCE = Evidence(SNP_REPORT_TAG, SNP.report(b"m" * 48, REPORT_DATA), encode_endorsements(SNP_COLLATERAL))
COLLATERALS = {"sgx": SGX.collateral(), "vsm": VSM.collateral, "snp": SNP_COLLATERAL}
ENDORSEMENTS = {name: encode_endorsements(one) for name, one in COLLATERALS.items()}


@pytest.mark.parametrize("name", COLLATERALS)
def test_collateral_that_travels_is_the_same(name: str) -> None:
    collateral = COLLATERALS[name]
    assert parse_endorsements(tag_of(collateral), ENDORSEMENTS[name]) == collateral
    assert cbor2.loads(ENDORSEMENTS[name]).tag == tag_of(collateral)


def test_the_form_for_intels_quotes() -> None:
    """Eight entries, in the order of the fields of OE's sgx_endorsements."""
    collateral = SGX.collateral()
    version, tcb_info, tcb_chain, pck_crl, root_crl, crl_chain, identity, identity_chain = cbor2.loads(
        ENDORSEMENTS["sgx"]
    ).value
    assert version == 1
    assert tcb_info.startswith(b'{"tcbInfo":{')
    assert tcb_info.endswith(b'"}')
    assert identity.startswith(b'{"enclaveIdentity":{')
    assert (pck_crl, root_crl) == (collateral.pck_crl, collateral.root_ca_crl)
    assert {tcb_chain, identity_chain} == {collateral.tcb_info_issuer_chain, collateral.qe_identity_issuer_chain}
    assert crl_chain == collateral.pck_crl_issuer_chain
    assert tag_of(collateral) == INTEL_QUOTE_TAG == 60000


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_real_collateral_fits(name: str) -> None:
    _, collateral = hardware(name)
    data = encode_endorsements(collateral)
    assert len(data) < 32 * 1024
    assert parse_endorsements(60000, data) == collateral


@pytest.mark.parametrize("name", COLLATERALS)
def test_other_bytes_are_refused(name: str) -> None:
    good, tag = ENDORSEMENTS[name], tag_of(COLLATERALS[name])
    others = {SNP_REPORT_TAG, VBS_REPORT_TAG, INTEL_QUOTE_TAG} - {tag}
    for wrong_tag in others:
        with pytest.raises(errors.CollateralMalformed):
            parse_endorsements(wrong_tag, good)
    for data in (b"", good + b"\0", good[1:], good[:3], *(good[:size] for size in range(4, len(good), 97))):
        with pytest.raises(errors.CollateralMalformed):
            parse_endorsements(tag, data)
    with pytest.raises(errors.EvidenceMalformed):
        parse_endorsements(60001, good)


def test_documents_in_another_form_are_refused() -> None:
    items = cbor2.loads(ENDORSEMENTS["sgx"]).value
    good = items[1]
    for document in (
        b"",
        good[1:],
        good[:-1],
        good.replace(b'"tcbInfo"', b'"tcbinfo"', 1),
        good[:-4] + b'AA"}',
        good[:-3] + b' "}',
        good.replace(b',"signature":"', b', "signature":"'),
        b'{"tcbInfo":,"signature":"' + good[-50:],
    ):
        with pytest.raises(errors.CollateralMalformed):
            parse_endorsements(60000, cbor2.dumps(cbor2.CBORTag(60000, [1, document, *items[2:]])))
    with pytest.raises(errors.CollateralMalformed):
        parse_endorsements(60000, cbor2.dumps(cbor2.CBORTag(60000, [2, *items[1:]])))


@given(st.sampled_from(sorted(COLLATERALS)), st.integers(0, 7000), st.binary(max_size=6))
def test_changed_endorsements_have_one_encoding(name: str, offset: int, new: bytes) -> None:
    good = ENDORSEMENTS[name]
    data = good[:offset] + new + good[offset + len(new) :]
    with contextlib.suppress(errors.CollateralMalformed):
        assert encode_endorsements(parse_endorsements(tag_of(COLLATERALS[name]), data)) == data


# The verifier.


def test_every_kind_is_verified() -> None:
    verifier = RemoteVerifier(mixed_store(VSM), Policy())
    claims = verifier.verify(SgxEvidence().make(REPORT_DATA), at=NOW)
    assert (claims.tee, claims.measurement, claims.report_data) == ("sgx", ENCLAVE.mrenclave, REPORT_DATA)
    claims = verifier.verify(VSM.make(REPORT_DATA), at=NOW)
    assert (claims.tee, claims.measurement, claims.report_data) == ("vsm", IDENTITY.unique_id, REPORT_DATA)
    claims = RemoteVerifier(SNP_STORE, Policy()).verify(SNP_EVIDENCE, at=NOW)
    assert (claims.tee, claims.measurement, claims.report_data) == ("snp", b"m" * 48, REPORT_DATA)


def refuse(reason: type[errors.EvidenceRefused], verifier: RemoteVerifier, evidence: Evidence, days: int = 0) -> None:
    with pytest.raises(errors.EvidenceRefused) as refused:
        verifier.verify(evidence, at=NOW + timedelta(days=days))
    assert refused.type is reason, refused.value


def test_what_it_refuses() -> None:
    quote = SgxEvidence().make(REPORT_DATA)
    verifier = RemoteVerifier(mixed_store(VSM), Policy())
    refuse(errors.Expired, verifier, quote, days=30)
    refuse(errors.NotYetValid, verifier, quote, days=-11)
    refuse(errors.UnknownRoot, RemoteVerifier(trust_store(), Policy()), quote)
    refuse(errors.SimulatedRootOff, RemoteVerifier(mixed_store(accept_simulated=False), Policy()), quote)
    refuse(errors.MeasurementRefused, RemoteVerifier(mixed_store(), Policy(measurements=frozenset())), quote)
    refuse(errors.TeeRefused, RemoteVerifier(mixed_store(VSM), Policy(tees=frozenset({"sgx"}))), VSM.make(REPORT_DATA))
    refuse(errors.EvidenceMalformed, verifier, replace(quote, tag=60001))
    refuse(errors.CollateralMalformed, verifier, replace(quote, endorsements=b""))
    refuse(errors.CollateralMalformed, verifier, replace(quote, tag=VBS_REPORT_TAG))
    refuse(errors.EvidenceMalformed, verifier, replace(quote, data=quote.data + b"\0"))


def test_a_peer_may_not_leave_out_the_list_of_the_revoked() -> None:
    without = encode_endorsements(replace(SNP_COLLATERAL, revocation_list=None))
    verifier = RemoteVerifier(SNP_STORE, Policy())
    refuse(errors.RevocationListInvalid, verifier, replace(SNP_EVIDENCE, endorsements=without))


def test_the_minima_are_the_verifiers_own() -> None:
    report = VSM.make(REPORT_DATA)
    for minima in ({"secure_kernel_svn_min": 5}, {"platform_svn_min": 6}):
        refuse(errors.TcbStatusRefused, RemoteVerifier(mixed_store(VSM), Policy(), **minima), report)
    exact = RemoteVerifier(mixed_store(VSM), Policy(), secure_kernel_svn_min=4, platform_svn_min=5)
    assert exact.verify(report, at=NOW).tee == "vsm"
    newer = RemoteVerifier(SNP_STORE, Policy(), snp_tcb_min=SnpTcb(3, 0, 9, 115))
    refuse(errors.TcbStatusRefused, newer, SNP_EVIDENCE)
    assert RemoteVerifier(SNP_STORE, Policy(), snp_tcb_min=TCB).verify(SNP_EVIDENCE, at=NOW).tee == "snp"


def test_own_collateral_counts_in_place_of_a_peers() -> None:
    quote = SgxEvidence().make(REPORT_DATA)
    own = RemoteVerifier(mixed_store(VSM), Policy(), collateral=SGX.collateral())
    assert own.verify(replace(quote, endorsements=b""), at=NOW).tee == "sgx"
    assert own.verify(VSM.make(REPORT_DATA), at=NOW).tee == "vsm"
    serial = read_certificate(parse_chain(SGX.chain)[0]).serial
    revoking = SGX.collateral(revoked_serials=[serial])
    refuse(errors.CertificateRevoked, RemoteVerifier(mixed_store(), Policy(), collateral=revoking), quote)


async def test_a_platform_as_a_source() -> None:
    attestor = FakeAttestor()
    made = await PlatformEvidence(attestor, SGX.collateral()).evidence(REPORT_DATA)
    assert (made.tag, made.data, made.endorsements) == (
        60000,
        b"fake quote over " + REPORT_DATA,
        ENDORSEMENTS["sgx"],
    )
    assert attestor.quoted == [REPORT_DATA]
