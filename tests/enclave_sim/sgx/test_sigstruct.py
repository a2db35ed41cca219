"""SIGSTRUCT: the layout, the processor's shortcut (Q1, Q2), and every byte of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import date

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from core.errors import AuthenticationFailed
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.sigstruct import (
    EnclaveIdentity,
    SigStruct,
    generate_signing_key,
    parse_sigstruct,
    sign_enclave,
)

IDENTITY = EnclaveIdentity(
    mrenclave=b"m" * 32,
    attributes=Attributes(AttributeFlag.MODE64BIT, 3),
    attribute_mask=bytes([0xFD]) + b"\xff" * 7 + bytes(8),
    built=date(2026, 1, 31),
    isvprodid=7,
    isvsvn=8,
)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return generate_signing_key()


@pytest.fixture(scope="module")
def signed(key: rsa.RSAPrivateKey) -> SigStruct:
    return sign_enclave(IDENTITY, key)


def test_the_layout(signed: SigStruct) -> None:
    data = signed.encode()
    assert len(data) == 1808
    assert data[:16].hex() == "06000000e10000000000010000000000"
    assert data[20:24] == bytes.fromhex("31012620")
    assert data[24:40].hex() == "01010000600000006000000001000000"
    assert data[512:516] == bytes.fromhex("03000000")
    assert data[960:992] == IDENTITY.mrenclave
    assert data[1024:1028] == bytes.fromhex("07000800")
    assert signed.mrsigner == hashlib.sha256(data[128:512]).digest()
    n, s, q1, q2 = (int.from_bytes(data[at : at + 384], "little") for at in (128, 516, 1040, 1424))
    assert s**3 % n == s**3 - q1 * s * n - q2 * n
    assert q1 == s * s // n


def test_it_comes_back(signed: SigStruct) -> None:
    assert parse_sigstruct(signed.encode()) == signed


def test_every_byte_counts(signed: SigStruct) -> None:
    data = signed.encode()
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= 1 << offset % 8
        with pytest.raises((MalformedStructure, AuthenticationFailed)):
            parse_sigstruct(bytes(changed))
    for other in (b"", data[:-1], data + b"\0"):
        with pytest.raises(MalformedStructure):
            parse_sigstruct(other)


def test_a_signature_over_something_else(signed: SigStruct) -> None:
    with pytest.raises(AuthenticationFailed):
        parse_sigstruct(replace(signed, identity=replace(IDENTITY, isvsvn=9)).encode())


def test_only_the_keys_that_sgx_takes() -> None:
    for exponent, bits in ((65537, 3072), (3, 2048)):
        with pytest.raises(ValueError):
            sign_enclave(IDENTITY, rsa.generate_private_key(exponent, bits))


def test_which_attributes_it_admits() -> None:
    assert IDENTITY.admits(Attributes(AttributeFlag.MODE64BIT, 0xE7), 0)
    assert IDENTITY.admits(Attributes(AttributeFlag.MODE64BIT | AttributeFlag.DEBUG, 3), 0)  # The mask leaves it out.
    assert not IDENTITY.admits(Attributes(AttributeFlag.MODE64BIT | AttributeFlag.PROVISIONKEY, 3), 0)
    assert not IDENTITY.admits(Attributes(AttributeFlag.MODE64BIT, 3), 1)
