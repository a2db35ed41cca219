"""DER, PEM, the SGX extension and collateral files: one encoding each, everything else refused."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from core.errors import LimitExceeded
from enclave_sim.pki.collateral import COLLATERAL_BYTES_MAX, MalformedCollateral, parse_collateral
from enclave_sim.pki.der import MalformedDer, integer, object_identifier, octets, read_elements, sequence
from enclave_sim.pki.pck_extension import (
    SGX_EXTENSION,
    PckExtension,
    PlatformConfiguration,
    SgxType,
    encode_pck_extension,
    parse_pck_extension,
)
from enclave_sim.pki.pem import MalformedPem, encode_chain, parse_chain
from enclave_sim.sgx.quote import parse_quote
from tests.support.attestation import hardware, vector

EXTENSION = PckExtension(b"p" * 16, (5, 200, *[0] * 14), 300, b"c" * 16, b"\0\0", b"fmspc!")
MULTI_PACKAGE = replace(
    EXTENSION, sgx_type=SgxType.SCALABLE, configuration=PlatformConfiguration(b"i" * 16, True, False, True)
)


@pytest.mark.parametrize("extension", [EXTENSION, MULTI_PACKAGE])
def test_the_extension_comes_back_and_only_whole(extension: PckExtension) -> None:
    value = encode_pck_extension(extension)
    assert parse_pck_extension(value) == extension
    for end in range(len(value)):
        with pytest.raises(MalformedDer):
            parse_pck_extension(value[:end])
    with pytest.raises(MalformedDer):
        parse_pck_extension(value + b"\0")


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_real_extensions_come_back(name: str) -> None:
    leaf = parse_chain(parse_quote(hardware(name)[0]).signature.pck_chain_pem)[0]
    parsed = x509.load_der_x509_certificate(leaf)
    value = parsed.extensions.get_extension_for_oid(x509.ObjectIdentifier(SGX_EXTENSION)).value
    assert isinstance(value, x509.UnrecognizedExtension)
    assert encode_pck_extension(parse_pck_extension(value.value)) == value.value


@pytest.mark.parametrize(
    "extension",
    [
        replace(EXTENSION, fmspc=b"short"),
        replace(EXTENSION, ppid=b""),
        replace(EXTENSION, pce_svn=1 << 16),
        replace(EXTENSION, tcb_components=(256, *[0] * 15)),
        replace(EXTENSION, tcb_components=(0,) * 15),
        replace(EXTENSION, tcb_components=(0,) * 17),
        replace(MULTI_PACKAGE, configuration=PlatformConfiguration(b"short")),
    ],
)
def test_other_extensions_are_refused(extension: PckExtension) -> None:
    with pytest.raises(MalformedDer):
        parse_pck_extension(encode_pck_extension(extension))


def test_unknown_double_and_misplaced_entries_are_refused() -> None:
    entry = sequence(object_identifier(f"{SGX_EXTENSION}.3"), octets(b"\0\0"))
    unknown = sequence(object_identifier(f"{SGX_EXTENSION}.9"), octets(b""))
    inner = encode_pck_extension(EXTENSION)
    body = b"".join(element.encode() for element in read_elements(read_elements(inner)[0].content))
    assert parse_pck_extension(sequence(body)) == EXTENSION
    for wrong in (sequence(body, entry), sequence(body, unknown), sequence(body, integer(1)), entry, b"", octets(body)):
        with pytest.raises(MalformedDer):
            parse_pck_extension(wrong)


def test_der_has_one_form() -> None:
    assert object_identifier("1.2.840.113741.1.13.1").hex() == "06092a864886f84d010d01"
    assert [integer(value).hex() for value in (0, 127, 128, 65535)] == ["020100", "02017f", "02020080", "020300ffff"]
    for text in ("30", "3001", "308100", "30820001", "30800000", "3084000000010000", "02"):
        with pytest.raises(MalformedDer):
            read_elements(bytes.fromhex(text))


@given(st.binary(max_size=200))
def test_random_der(data: bytes) -> None:
    with contextlib.suppress(MalformedDer):
        assert b"".join(element.encode() for element in read_elements(data)) == data
    with contextlib.suppress(MalformedDer):
        assert encode_pck_extension(parse_pck_extension(data)) == data


def test_a_chain_has_one_form() -> None:
    ders = (b"one" * 40, b"two" * 33)
    pem = encode_chain(ders)
    assert parse_chain(pem) == ders
    assert parse_chain(pem + b"\0") == ders
    assert parse_chain(pem[:-1]) == ders
    wrong = [
        b"",
        b"\n" + pem,
        pem + b"\n",
        pem + b"\0\0",
        pem + b" ",
        b"text" + pem,
        pem.replace(b"\n", b"\r\n"),
        pem.replace(b"CERTIFICATE", b"PRIVATE KEY"),
        pem.replace(b"\n", b"", 2),
        pem.replace(b"b25l", b"b2 5l", 1),
        encode_chain((b"x" * 5000,)),
        encode_chain((b"x",) * 5),
        b"-----BEGIN CERTIFICATE-----\neB==\n-----END CERTIFICATE-----\n",  # Unused bits of base64 are not zero.
    ]
    for text in wrong:
        with pytest.raises(MalformedPem):
            parse_chain(text)


@given(st.binary(max_size=300))
def test_random_pem(data: bytes) -> None:
    with pytest.raises(MalformedPem):
        parse_chain(data)


@pytest.mark.parametrize("name", ["sgx", "tdx"])
def test_a_real_collateral_file(name: str) -> None:
    data = vector(f"{name}_quote_collateral.json").read_bytes()
    collateral = parse_collateral(data)
    assert json.loads(collateral.to_json()) == json.loads(data)
    assert parse_collateral(collateral.to_json()) == collateral
    shape = json.loads(data)
    for member in shape:
        for wrong in ({**shape, member: 1}, {key: value for key, value in shape.items() if key != member}):
            with pytest.raises(MalformedCollateral):
                parse_collateral(json.dumps(wrong).encode())
    for changes in ({"more": ""}, {"pck_crl": "0"}, {"pck_crl": "zz"}, {"tcb_info_signature": "00" * 63}):
        with pytest.raises(MalformedCollateral):
            parse_collateral(json.dumps({**shape, **changes}).encode())
    with pytest.raises(MalformedCollateral):
        parse_collateral(b"\xff")
    with pytest.raises(LimitExceeded):
        parse_collateral(b" " * (COLLATERAL_BYTES_MAX + 1))
