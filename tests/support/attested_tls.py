"""Two ends of an attested connection on simulated platforms, joined by hand so that tests see and change every byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography import x509

from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed
from core.node.attested_tls.connection import AttestedConnection, ChannelSettings, State
from core.node.attested_tls.hello import Mode
from core.ports import Evidence, ReportClaims
from core.types import NodeId
from enclave_sim.verify.endorsements import encode_endorsements, tag_of
from enclave_sim.verify.policy import Policy
from enclave_sim.verify.port import RemoteVerifier
from enclave_sim.verify.trust import TrustStore, simulated_root, trust_store
from enclave_sim.verify.vsm import VsmCollateral
from enclave_sim.vsm.guardian import SimulatedHostGuardian, SimulatedSecureKernel, generate_identity_key
from enclave_sim.vsm.report import VbsIdentity
from tests.support.attestation import ENCLAVE, MONTH, NOW, YEARS, Platform

SGX = Platform()
SGX_ENDORSEMENTS = encode_endorsements(SGX.collateral())
IDENTITY = VbsIdentity(b"o" * 32, b"u" * 32, b"a" * 32, b"f" * 16, b"i" * 16, 3, 4, 5, signing_level=6)

SIGNATURES_DIFFER_BYTES = 16
"""By more than this two handshakes of the same sides do not differ in length."""

Change = Callable[[bytes], bytes]


def admit_all(claims: ReportClaims | None, node_id: NodeId, mode: Mode) -> None:
    """Any policy's simplest form."""


@dataclass
class SgxEvidence:
    """Makes quotes of one enclave."""

    platform: Platform = field(default_factory=lambda: SGX)
    enclave: Any = ENCLAVE
    endorsements: bytes = SGX_ENDORSEMENTS

    def make(self, report_data: bytes) -> Evidence:
        return Evidence(60000, self.platform.quote(self.enclave, report_data), self.endorsements)

    async def evidence(self, report_data: bytes) -> Evidence:
        return self.make(report_data)


class VsmEvidence:
    """Makes VBS reports of one host, certified by a guardian of its own."""

    def __init__(self) -> None:
        self.guardian = SimulatedHostGuardian(b"g" * 32, YEARS)
        key = generate_identity_key()
        self.kernel = SimulatedSecureKernel(key)
        chain = self.guardian.issue_identity_chain(key.public_key())
        self.collateral = VsmCollateral(chain, *self.guardian.revocation_lists(MONTH))

    def make(self, report_data: bytes) -> Evidence:
        report = self.kernel.report(IDENTITY, report_data)
        return Evidence(tag_of(self.collateral), report, encode_endorsements(self.collateral))

    async def evidence(self, report_data: bytes) -> Evidence:
        return self.make(report_data)


def mixed_store(vsm: VsmEvidence | None = None, *, accept_simulated: bool = True) -> TrustStore:
    roots = [simulated_root("sgx", SGX.authority.root_certificate)]
    if vsm is not None:
        roots.append(simulated_root("vsm", vsm.guardian.root_certificate))
    return trust_store(roots, accept_simulated=accept_simulated)


STRICT = Policy(measurements=frozenset({ENCLAVE.mrenclave, IDENTITY.unique_id}))


def settings(
    key: PrivateKey | None = None, *, store: TrustStore | None = None, policy: Policy = STRICT, **changes: Any
) -> ChannelSettings:
    verifier = RemoteVerifier(store or mixed_store(), policy)
    made = ChannelSettings(key or PrivateKey.generate(), verifier, admit_all)
    return replace(made, **changes)


@dataclass
class End:
    """One end, and everything that it said and delivered."""

    connection: AttestedConnection
    make: Callable[[bytes], Evidence] = field(default_factory=lambda: SgxEvidence().make)
    sent: bytearray = field(default_factory=bytearray)
    delivered: bytearray = field(default_factory=bytearray)
    refusal: AuthenticationFailed | None = None
    opened: bool = False

    def step(self, incoming: bytes) -> bytes:
        """Take bytes, give evidence when it is asked for, return the bytes to send."""
        try:
            self.delivered += self.connection.receive(incoming)
            if self.connection.report_data is not None:
                self.connection.give_evidence(self.make(self.connection.report_data))
        except AuthenticationFailed as refusal:
            self.refusal = refusal
        self.opened |= self.connection.state is State.OPEN
        return self.take()

    def take(self) -> bytes:
        data = self.connection.data_to_send()
        self.sent += data
        return data

    def finish(self) -> None:
        """The stream ends."""
        try:
            self.connection.end_of_stream()
        except AuthenticationFailed as refusal:
            self.refusal = refusal


def ends(
    mode: Mode = Mode.JOIN,
    *,
    initiator: ChannelSettings | None = None,
    responder: ChannelSettings | None = None,
    at: datetime = NOW,
    make_initiator: Callable[[bytes], Evidence] | None = None,
    make_responder: Callable[[bytes], Evidence] | None = None,
) -> tuple[End, End]:
    first = AttestedConnection.initiate(initiator or settings(), mode, at=at)
    second = AttestedConnection.respond(responder or settings(), at=at)
    return End(first, make_initiator or SgxEvidence().make), End(second, make_responder or SgxEvidence().make)


def run(
    first: End,
    second: End,
    *,
    to_second: Change = bytes,
    to_first: Change = bytes,
    application: bytes = b"",
) -> None:
    """Carry bytes until both are silent, then end the streams. application: what each sends once it may."""
    waiting = [first, second] if application else []
    from_first, from_second = first.take(), b""
    while from_first or from_second:
        from_second += second.step(to_second(from_first)) if from_first else b""
        from_first = first.step(to_first(from_second)) if from_second else b""
        from_second = b""
        for end in [end for end in waiting if end.connection.state is State.OPEN]:
            waiting.remove(end)
            end.connection.send(application)
            from_first, from_second = from_first + first.take(), second.take()
    first.finish()
    second.finish()


def reason_of(end: End) -> str:
    """Return the short name of why this end refused, "" when it did not."""
    return "" if end.refusal is None else str(getattr(end.refusal, "reason", type(end.refusal).__name__))


def assert_refused(first: End, second: End, reason: str) -> None:
    """Nobody opened the channel or got a byte, and `first` refused for this reason."""
    assert reason_of(first) == reason, first.refusal
    assert second.refusal is not None
    for end in (first, second):
        assert not end.opened
        assert not end.delivered
        assert end.connection.state is State.REFUSED


def resigned(certificate: x509.Certificate, key: PrivateKey, change: Change) -> x509.Certificate:
    """Return the certificate with its signed part changed and signed again by that key."""
    return x509.load_der_x509_certificate(resigned_der(certificate, key, change))


def resigned_der(certificate: x509.Certificate, key: PrivateKey, change: Change) -> bytes:
    signed = change(certificate.tbs_certificate_bytes)
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    return _der(0x30, signed + algorithm + _der(0x03, b"\0" + key.sign(signed)))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content
