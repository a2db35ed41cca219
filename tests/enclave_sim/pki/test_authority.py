"""The simulated authority: every name says so, the same secret gives the same bytes, and the shape is Intel's."""

from __future__ import annotations

import json

import pytest
from cryptography import x509

from enclave_sim.pki.authority import SimulatedAuthority
from enclave_sim.pki.documents import MalformedDocument, TcbInfo, decode_document, encode_document
from enclave_sim.pki.issuing import simulated_name
from enclave_sim.pki.pem import parse_chain
from tests.support.attestation import YEARS, Platform, vector

PLATFORM = Platform()


def certificates() -> list[x509.Certificate]:
    collateral = PLATFORM.collateral()
    pems = (PLATFORM.chain, collateral.pck_crl_issuer_chain, collateral.tcb_info_issuer_chain)
    return [x509.load_der_x509_certificate(der) for pem in pems for der in parse_chain(pem)]


def test_every_name_says_it_is_simulated() -> None:
    for certificate in certificates():
        for attribute in (*certificate.subject, *certificate.issuer):
            assert "(SIMULATED)" in str(attribute.value)
    with pytest.raises(ValueError):
        simulated_name("Intel SGX Root CA")


def test_the_secret_is_the_whole_state() -> None:
    again = Platform()
    assert again.chain == PLATFORM.chain
    assert again.collateral() == PLATFORM.collateral()
    other = SimulatedAuthority(b"b" * 32, YEARS)
    assert other.root_certificate != PLATFORM.authority.root_certificate
    assert (b"a" * 32).hex() not in repr(PLATFORM.authority)
    with pytest.raises(ValueError):
        SimulatedAuthority(b"short", YEARS)


def test_serial_numbers_differ_and_are_positive() -> None:
    by_der = {certificate: certificate.serial_number for certificate in certificates()}
    assert len(set(by_der.values())) == len(by_der) == 4
    assert all(0 < serial < 1 << 159 for serial in by_der.values())


def test_collateral_has_the_shape_of_the_real_one() -> None:
    real = json.loads(vector("sgx_quote_collateral.json").read_bytes())
    ours = json.loads(PLATFORM.collateral().to_json())
    assert set(ours) == set(real)
    for document in ("tcb_info", "qe_identity"):
        assert set(json.loads(ours[document])) == set(json.loads(real[document]))
    level, real_level = (json.loads(one["tcb_info"])["tcbLevels"][0] for one in (ours, real))
    assert set(level) | {"advisoryIDs"} == set(real_level)
    assert set(level["tcb"]) == set(real_level["tcb"])


def test_documents_that_are_something_else() -> None:
    good = encode_document(PLATFORM.tcb_info())
    assert decode_document(good, TcbInfo) == PLATFORM.tcb_info()
    text = good.decode()
    for wrong in (
        "",
        "[]",
        text[:-1],
        text + "x",
        text.replace('"svn":5', '"svn":256', 1),
        text.replace("UpToDate", "Fine"),
        text.replace('"version":3', '"version":"3"'),
        text.replace("2026-01-01T00:00:00Z", "2026-01-01T00:00:00"),
        text.replace('{"svn":0},', "", 1),
        text.replace("C0C051000000", "not hex!"),
    ):
        assert wrong != text
        with pytest.raises(MalformedDocument):
            decode_document(wrong.encode(), TcbInfo)
