"""Every byte of a quote and of its collateral counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.pki.collateral import Collateral
from enclave_sim.verify.errors import EvidenceRefused
from enclave_sim.verify.quote import QuoteVerifier
from enclave_sim.verify.trust import trust_store
from tests.support.attestation import HARDWARE_TIME, NOW, Platform, hardware

Case = tuple[QuoteVerifier, bytes, Collateral, datetime]


@pytest.fixture(scope="module", params=["simulated", "sgx", "tdx"])
def case(request: pytest.FixtureRequest) -> Case:
    """A verifier and evidence that it accepts."""
    if request.param == "simulated":
        platform = Platform()
        made = QuoteVerifier(platform.store()), platform.quote(), platform.collateral(), NOW
    else:
        made = QuoteVerifier(trust_store()), *hardware(request.param), HARDWARE_TIME
    verifier, quote, collateral, at = made
    assert verifier.verify(quote, collateral, at=at)
    return made


def flipped(data: bytes, offset: int, mask: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]


def require_all_refused(case: Case, quotes: Iterable[bytes]) -> None:
    verifier, _, collateral, at = case
    for quote in quotes:
        with pytest.raises(EvidenceRefused):
            verifier.verify(quote, collateral, at=at)


def test_every_byte_of_a_quote(case: Case) -> None:
    quote = case[1]
    require_all_refused(case, (flipped(quote, offset, 1 << offset % 8) for offset in range(len(quote))))


@pytest.mark.slow
@pytest.mark.parametrize("mask", [1, 2, 4, 8, 16, 32, 64, 128, 255])
def test_every_bit_of_a_quote(case: Case, mask: int) -> None:
    quote = case[1]
    require_all_refused(case, (flipped(quote, offset, mask) for offset in range(len(quote))))


def test_every_length_of_a_quote(case: Case) -> None:
    quote = case[1]
    require_all_refused(case, (quote[:end] for end in range(len(quote))))


def refuse_collateral(case: Case, step: int) -> None:
    verifier, quote, collateral, at = case
    for field in fields(Collateral):
        value: bytes = getattr(collateral, field.name)
        for offset in range(0, len(value), step):
            changed = replace(collateral, **{field.name: flipped(value, offset, 1 << offset % 8)})
            with pytest.raises(EvidenceRefused):
                verifier.verify(quote, changed, at=at)


def test_many_bytes_of_the_collateral(case: Case) -> None:
    refuse_collateral(case, 41)


@pytest.mark.slow
def test_every_byte_of_the_collateral(case: Case) -> None:
    refuse_collateral(case, 1)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fuzzed_evidence_is_refused_and_never_crashes(case: Case, data: st.DataObject) -> None:
    verifier, quote, collateral, at = case
    target = data.draw(st.sampled_from(["quote", *(field.name for field in fields(Collateral))]))
    original: bytes = quote if target == "quote" else getattr(collateral, target)
    start = data.draw(st.integers(0, len(original)))
    end = data.draw(st.integers(start, min(len(original), start + 64)))
    changed = original[:start] + data.draw(st.binary(max_size=64)) + original[end:]
    if changed == original:
        return
    if target != "quote":
        # A chain may end with or without its line feed or zero byte.
        if changed.rstrip(b"\n\0") == original.rstrip(b"\n\0"):
            return
        quote, collateral = quote, replace(collateral, **{target: changed})
    else:
        quote = changed
    with pytest.raises(EvidenceRefused):
        verifier.verify(quote, collateral, at=at)
