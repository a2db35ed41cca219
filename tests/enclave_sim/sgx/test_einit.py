"""EINIT refuses whatever is not exactly what was signed, with the architectural error; else the card says who it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.einit import LaunchRefused, einit
from enclave_sim.sgx.sigstruct import EnclaveIdentity, generate_signing_key, mrsigner_of, sign_enclave

KEY = generate_signing_key()
MEASURED = b"m" * 32
CREATED = Attributes(AttributeFlag.MODE64BIT, 0xE7)
CARD = EnclaveIdentity(MEASURED, CREATED, b"\xff" * 8 + bytes(8), date(2026, 1, 31), isvprodid=1, isvsvn=3)
SIGNED = sign_enclave(CARD, KEY).encode()


def refused(code: str, sigstruct: bytes = SIGNED, mrenclave: bytes = MEASURED, attributes: Attributes = CREATED) -> str:
    with pytest.raises(LaunchRefused) as caught:
        einit(mrenclave, attributes, sigstruct)
    assert caught.value.code == code
    return caught.value.message


def test_other_code_than_was_signed() -> None:
    message = refused("SGX_INVALID_MEASUREMENT", mrenclave=b"n" * 32)
    assert MEASURED.hex() in message
    assert (b"n" * 32).hex() in message


def test_a_signature_that_does_not_verify() -> None:
    signed = sign_enclave(CARD, KEY)
    for forged in (replace(signed, identity=replace(CARD, isvsvn=9)), replace(signed, signature=signed.signature - 1)):
        refused("SGX_INVALID_SIGNATURE", forged.encode())


def test_what_is_no_sigstruct() -> None:
    for data in (b"", SIGNED[:-1], SIGNED + b"\0", bytes(1808), bytes([SIGNED[0] ^ 1]) + SIGNED[1:]):
        refused("SGX_INVALID_SIG_STRUCT", data)


def test_debug_and_other_attributes() -> None:
    debug = Attributes(AttributeFlag.MODE64BIT | AttributeFlag.DEBUG, 0xE7)
    assert "debug" in refused("SGX_INVALID_ATTRIBUTE", sign_enclave(replace(CARD, attributes=debug), KEY).encode())
    refused("SGX_INVALID_ATTRIBUTE", attributes=debug)
    initialised = Attributes(AttributeFlag.MODE64BIT | AttributeFlag.INIT, 0xE7)
    refused("SGX_INVALID_ATTRIBUTE", sign_enclave(replace(CARD, attributes=initialised), KEY).encode())
    refused("SGX_INVALID_ATTRIBUTE", sign_enclave(replace(CARD, miscselect=1), KEY).encode())


def test_the_card_says_who_the_enclave_is() -> None:
    enclave = einit(MEASURED, CREATED, SIGNED)
    assert (enclave.mrenclave, enclave.isvprodid, enclave.isvsvn) == (MEASURED, 1, 3)
    assert enclave.mrsigner == mrsigner_of(KEY.public_key().public_numbers().n)
    assert enclave.attributes.has(AttributeFlag.INIT)
    assert not enclave.attributes.debug
    assert (
        einit(MEASURED, Attributes(AttributeFlag.MODE64BIT, 3), SIGNED).attributes.xfrm == 3
    )  # The mask leaves XFRM out.
