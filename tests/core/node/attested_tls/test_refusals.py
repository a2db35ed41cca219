"""Each way to be another than one claims: refused inside the handshake, with its own reason, before any byte counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, ChannelClosed
from core.node.attested_tls import connection as connection_module
from core.node.attested_tls.certificate import ENDORSEMENTS_EXTENSION, make_certificate
from core.node.attested_tls.claims import Claims, encode_extension, report_data
from core.node.attested_tls.connection import ChannelSettings, State
from core.node.attested_tls.hello import Mode
from core.node.attested_tls.register import NodeRegister
from core.ports import Evidence, ReportClaims
from core.types import NodeId
from enclave_sim.pki.authority import SimulatedAuthority
from enclave_sim.pki.issuing import Validity
from enclave_sim.verify.endorsements import encode_endorsements
from enclave_sim.verify.policy import Policy
from tests.support.attestation import DEBUG_ENCLAVE, ENCLAVE, NOW, START, YEARS, Platform
from tests.support.attested_tls import (
    SGX,
    SGX_ENDORSEMENTS,
    STRICT,
    SgxEvidence,
    assert_refused,
    ends,
    mixed_store,
    resigned,
    run,
    settings,
)

Forge = Callable[[PrivateKey, bytes | None, bytes], x509.Certificate]
ROGUE = PrivateKey.generate()
VICTIM = PrivateKey.generate()
ROGUE_NONCE, HONEST_NONCE = b"r" * 32, b"h" * 32
TEE_NONE = Policy(measurements=frozenset())


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch) -> Callable[[Forge], None]:
    """Return what sets how the rogue makes its certificate."""

    def use(make: Forge) -> None:
        def made(key: PrivateKey, *, evidence: bytes | None = None, endorsements: bytes = b"") -> x509.Certificate:
            if key is ROGUE:
                return make(key, evidence, endorsements)
            return make_certificate(key, evidence=evidence, endorsements=endorsements)

        monkeypatch.setattr(connection_module, "make_certificate", made)

    return use


def rogue_settings() -> ChannelSettings:
    return settings(ROGUE, random=lambda size: ROGUE_NONCE)


def honest_settings(**changes: Any) -> ChannelSettings:
    return settings(**{"random": lambda size: HONEST_NONCE} | changes)


def assert_both_roles_refuse(
    reason: str,
    *,
    mode: Mode = Mode.JOIN,
    make: Callable[[bytes], Evidence] | None = None,
    at: timedelta = timedelta(0),
    **honest: Any,
) -> None:
    """The rogue as responder, then as initiator, meets an honest end."""
    for rogue_first in (False, True):
        pair = (rogue_settings(), honest_settings(**honest))
        makers = (make, None)
        if not rogue_first:
            pair, makers = (pair[1], pair[0]), (None, make)
        first, second = ends(
            mode,
            initiator=pair[0],
            responder=pair[1],
            make_initiator=makers[0],
            make_responder=makers[1],
            at=NOW + at,
        )
        run(first, second, application=b"secret")
        rogue, honest_end = (first, second) if rogue_first else (second, first)
        assert_refused(honest_end, rogue, reason)


def quoted(buffer: bytes, **changes: Any) -> bytes:
    """Return an extension with a genuine quote over that claims buffer."""
    return encode_extension(SgxEvidence(**changes).make(report_data(buffer)), buffer)


def with_claims(claims: Claims | bytes) -> Forge:
    buffer = claims if isinstance(claims, bytes) else claims.encode()
    return lambda key, evidence, endorsements: make_certificate(key, evidence=quoted(buffer), endorsements=endorsements)


def with_evidence(change: Callable[[bytes], bytes]) -> Forge:
    return lambda key, evidence, endorsements: make_certificate(
        key, evidence=change(evidence or b""), endorsements=endorsements
    )


def test_the_rogue_itself_is_well_behaved(forge: Callable[[Forge], None]) -> None:
    """The accepting twin of all below: the same ends, and an honest certificate by the forger's means."""
    forge(with_claims(Claims.over(ROGUE.public_key(), HONEST_NONCE)))
    for pair in ((rogue_settings(), honest_settings()), (honest_settings(), rogue_settings())):
        first, second = ends(initiator=pair[0], responder=pair[1])
        run(first, second, application=b"secret")
        assert (bytes(first.delivered), bytes(second.delivered)) == (b"secret", b"secret")


CLAIMS: dict[str, tuple[Claims | bytes, str]] = {
    "a valid quote of another key": (Claims.over(VICTIM.public_key(), HONEST_NONCE), "key-not-claimed"),
    "a quote of an earlier connection": (Claims.over(ROGUE.public_key(), b"o" * 32), "stale-nonce"),
    "the nonce of the wrong side": (Claims.over(ROGUE.public_key(), ROGUE_NONCE), "stale-nonce"),
    "no nonce": (replace(Claims.over(ROGUE.public_key(), b""), nonce=None), "missing-nonce"),
    "an empty nonce": (Claims.over(ROGUE.public_key(), b""), "stale-nonce"),
    "no claims": (b"", "malformed-evidence-extension"),
    "bytes after the claims": (
        Claims.over(ROGUE.public_key(), HONEST_NONCE).encode() + b"\0",
        "malformed-evidence-extension",
    ),
    "claims in a longer encoding": (
        b"\xb8\x02" + Claims.over(ROGUE.public_key(), HONEST_NONCE).encode()[1:],
        "malformed-evidence-extension",
    ),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims(name: str, forge: Callable[[Forge], None]) -> None:
    claims, reason = CLAIMS[name]
    forge(with_claims(claims))
    assert_both_roles_refuse(reason)


def twice(key: PrivateKey, evidence: bytes | None, endorsements: bytes) -> x509.Certificate:
    made = make_certificate(key, evidence=evidence, endorsements=evidence or b"")
    place = bytes.fromhex("678105050402")
    return resigned(made, key, lambda signed: signed.replace(place, place[:-1] + b"\x09"))


def by_another(key: PrivateKey, evidence: bytes | None, endorsements: bytes) -> x509.Certificate:
    """Signed by another key: the names say self-signed, the signature does not."""
    return resigned(make_certificate(key, evidence=evidence, endorsements=endorsements), VICTIM, bytes)


CERTIFICATES: dict[str, tuple[Forge, str]] = {
    "no extension": (lambda key, evidence, _: make_certificate(key), "missing-evidence"),
    "the extension twice": (twice, "repeated-extension"),
    "not self-signed": (by_another, "invalid-certificate"),
    "bytes after the evidence": (with_evidence(lambda value: value + b"\0"), "malformed-evidence-extension"),
    "the tag in a longer encoding": (
        with_evidence(lambda value: b"\xda\0\0" + value[1:]),
        "malformed-evidence-extension",
    ),
    "an unknown tag": (with_evidence(lambda value: b"\xd9\xea\x61" + value[3:]), "malformed-evidence"),
    "another kind's tag": (with_evidence(lambda value: b"\xda\x43\x4f\0\1" + value[3:]), "malformed-collateral"),
    "no evidence in the extension": (with_evidence(lambda value: b""), "malformed-evidence-extension"),
    "no collateral": (lambda key, evidence, _: make_certificate(key, evidence=evidence), "malformed-collateral"),
    "collateral of another kind": (
        lambda key, evidence, _: make_certificate(key, evidence=evidence, endorsements=b"\xda\x43\x4f\0\1\x80"),
        "malformed-collateral",
    ),
    "bytes after the collateral": (
        lambda key, evidence, endorsements: make_certificate(key, evidence=evidence, endorsements=endorsements + b"\0"),
        "malformed-collateral",
    ),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates(name: str, forge: Callable[[Forge], None]) -> None:
    make, reason = CERTIFICATES[name]
    forge(make)
    assert_both_roles_refuse(reason)


def tampered(data: bytes) -> Evidence:
    """A genuine quote over other claims than those beside it."""
    return SgxEvidence().make(data[:31] + bytes([data[31] ^ 1]) + data[32:])


def unpadded(data: bytes) -> Evidence:
    return SgxEvidence().make(data[:63] + b"\1")


def changed_quote(data: bytes) -> Evidence:
    made = SgxEvidence().make(data)
    return replace(made, data=made.data[:120] + bytes([made.data[120] ^ 1]) + made.data[121:])


OTHER_ROOT = Platform(SimulatedAuthority(b"o" * 32, YEARS))
OTHER_FAMILY = Platform(fmspc=bytes.fromhex("c0c051000001"))
LATE = Platform(pck_validity=Validity(START + timedelta(days=20), START + timedelta(days=3000)))
EVIDENCE: dict[str, tuple[Callable[[bytes], Evidence], str]] = {
    "claims that were changed": (tampered, "claims-not-reported"),
    "report data that does not end in zeros": (unpadded, "claims-not-reported"),
    "a quote with a changed byte": (changed_quote, "invalid-signature"),
    "a quote cut short": (lambda data: replace(SgxEvidence().make(data), data=b"\3"), "malformed-evidence"),
    "another root": (
        SgxEvidence(OTHER_ROOT, endorsements=encode_endorsements(OTHER_ROOT.collateral())).make,
        "unknown-root",
    ),
    "another platform's collateral": (
        SgxEvidence(endorsements=encode_endorsements(OTHER_FAMILY.collateral())).make,
        "platform-mismatch",
    ),
    "a platform not certified yet": (
        SgxEvidence(LATE, endorsements=encode_endorsements(LATE.collateral())).make,
        "not-yet-valid",
    ),
    "a debug enclave": (SgxEvidence(enclave=DEBUG_ENCLAVE).make, "debug-enclave"),
    "another measurement": (
        SgxEvidence(enclave=replace(ENCLAVE, mrenclave=b"\x01" * 32)).make,
        "measurement-not-allowed",
    ),
}


@pytest.mark.parametrize("name", EVIDENCE)
def test_evidence(name: str) -> None:
    make, reason = EVIDENCE[name]
    assert_both_roles_refuse(reason, make=make)


def test_a_debug_enclave_that_the_verifier_lets_through() -> None:
    allowed = replace(STRICT, allow_debug=True)
    assert_both_roles_refuse("debug-enclave", make=SgxEvidence(enclave=DEBUG_ENCLAVE).make, policy=allowed)


def test_simulated_evidence_where_only_hardware_counts() -> None:
    assert_both_roles_refuse("simulated-root-off", store=mixed_store(accept_simulated=False))


@pytest.mark.parametrize(("days", "reason"), [(30, "expired"), (-11, "not-yet-valid")])
def test_collateral_out_of_its_time(days: int, reason: str) -> None:
    """Both ends refuse, the initiator first."""
    first, second = ends(at=NOW + timedelta(days=days))
    run(first, second, application=b"secret")
    assert_refused(first, second, reason)
    assert_both_roles_refuse_at(days, reason)


def assert_both_roles_refuse_at(days: int, reason: str) -> None:
    """As responder, with an initiator that does not look at the time."""

    class AnyTime:
        def verify(self, evidence: Evidence, *, at: object) -> ReportClaims:
            return settings().verifier.verify(evidence, at=NOW)

    first, second = ends(at=NOW + timedelta(days=days), initiator=settings(verifier=AnyTime()))
    run(first, second, application=b"secret")
    assert_refused(second, first, reason)


class TooEarly(AuthenticationFailed):
    reason = "too-early"


@pytest.mark.parametrize("mode", list(Mode))
def test_the_callers_policy(mode: Mode) -> None:
    """Its own reason; it sees claims, node id and mode."""
    seen: list[tuple[ReportClaims | None, NodeId, Mode]] = []

    def admit(claims: ReportClaims | None, node_id: NodeId, mode: Mode) -> None:
        seen.append((claims, node_id, mode))
        raise TooEarly("this node is not yet voted in")

    assert_both_roles_refuse("too-early", mode=mode, admit=admit)
    assert {(node_id, asked) for _, node_id, asked in seen} == {(ROGUE.public_key().node_id(), mode)}
    for claims, _, _ in seen:
        assert (claims is None) == (mode is Mode.PINNED)


def test_a_fault_of_the_callers_policy_is_not_a_refusal() -> None:
    """It ends the handshake as well, and is not taken for the peer's."""

    def admit(claims: ReportClaims | None, node_id: NodeId, mode: Mode) -> None:
        raise KeyError("a fault")

    first, second = ends(Mode.PINNED, initiator=settings(admit=admit))
    with pytest.raises(KeyError):
        run(first, second, application=b"secret")
    assert not first.opened
    assert not second.opened
    assert first.connection.state is State.CLOSED
    with pytest.raises(ChannelClosed):
        first.connection.receive(b"more")


@pytest.mark.parametrize("mode", list(Mode))
def test_oneself(mode: Mode) -> None:
    """Two connections of one node, joined by someone in between."""
    key = PrivateKey.generate()
    first, second = ends(mode, initiator=settings(key), responder=settings(key))
    run(first, second, application=b"secret")
    assert_refused(first, second, "own-certificate")


# Mode pinned.


def register_of(*keys: PrivateKey, removed: frozenset[NodeId] = frozenset()) -> NodeRegister:
    return NodeRegister({key.public_key().node_id(): key.public_key() for key in keys}, removed)


def test_registered_nodes() -> None:
    first_key, second_key = PrivateKey.generate(), PrivateKey.generate()
    register = register_of(first_key, second_key)
    first, second = ends(
        Mode.PINNED,
        initiator=settings(first_key, admit=register.admit),
        responder=settings(second_key, admit=register.admit),
    )
    run(first, second, application=b"entry")
    assert (bytes(first.delivered), bytes(second.delivered)) == (b"entry", b"entry")


def test_an_unregistered_node() -> None:
    assert_both_roles_refuse("unregistered-node", mode=Mode.PINNED, admit=register_of(VICTIM).admit)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_removed_node(mode: Mode) -> None:
    register = register_of(VICTIM, removed=frozenset({ROGUE.public_key().node_id()}))
    assert_both_roles_refuse("removed-node", mode=mode, admit=register.admit)


@pytest.mark.parametrize("extension", ["evidence", "endorsements"])
def test_evidence_that_nobody_would_check(extension: str, forge: Callable[[Forge], None]) -> None:
    value = quoted(Claims.over(ROGUE.public_key(), HONEST_NONCE).encode())
    forge(lambda key, _, __: make_certificate(key, **{extension: value}))  # type: ignore[arg-type]
    assert_both_roles_refuse("unexpected-evidence", mode=Mode.PINNED)


def test_the_extensions_are_what_the_forgeries_change() -> None:
    """So that `twice` above does what it says."""
    made = twice(ROGUE, b"evidence", b"")
    assert ENDORSEMENTS_EXTENSION.dotted_string == "2.23.133.5.4.2"
    assert made.tbs_certificate_bytes.count(bytes.fromhex("678105050409")) == 2
    assert SGX.store().accept_simulated
    assert SGX_ENDORSEMENTS.startswith(bytes.fromhex("d9ea6088"))
