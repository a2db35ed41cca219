"""The tables that the ledger itself writes and reads back: signatures, nodes, service. Names and shapes are CCF's."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from core.crypto.certificates import public_key_of, verify_issued_under
from core.crypto.keys import PrivateKey, PublicKey
from core.errors import AuthenticationFailed, MalformedMessage
from core.types import Digest, NodeId, Seqno, View

SIGNATURES = "public:ccf.internal.signatures"
COSE_SIGNATURES = "public:ccf.internal.cose_signatures"
NODES = "public:ccf.gov.nodes.info"
ENDORSED_CERTIFICATES = "public:ccf.gov.nodes.endorsed_certificates"
SERVICE = "public:ccf.gov.service.info"
SNAPSHOT_EVIDENCE = "public:ccf.internal.snapshot_evidence"
SINGLETON_KEY = bytes(8)
"""The key of a table that holds one value (CCF's ServiceValue)."""

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError)

Tables = dict[str, dict[bytes, bytes | None]]


@dataclass(frozen=True, slots=True)
class DomainCodec:
    """How write sets are encoded; handed in, since ledger and key-value store do not know each other."""

    encode: Callable[[Tables], bytes]
    decode: Callable[[bytes], Mapping[str, Mapping[bytes, bytes | None]]]
    names: Callable[[bytes], list[str]]


class QuoteInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Evidence over a node's key. quote, endorsements (what it verifies with): base64; verified_at: Unix seconds."""

    quote: str
    endorsements: str = ""
    verified_at: int = 0


class NodeInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node, in the table NODES under its id. public_key: PEM. Its certificate stands in ENDORSED_CERTIFICATES."""

    status: Literal["Trusted", "Retired"]
    public_key: str
    quote_info: QuoteInfo

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    def retired(self) -> NodeInfo:
        """Return the record of the node once it is trusted no more. How its quote verified stands where it came."""
        return NodeInfo("Retired", self.public_key, QuoteInfo(self.quote_info.quote))

    @classmethod
    def decode(cls, data: bytes) -> NodeInfo:
        """Decode; raises MalformedMessage."""
        try:
            return msgspec.json.decode(data, type=cls)
        except _NOT_JSON as error:
            raise MalformedMessage(f"a node's record does not parse: {error}") from None


class ServiceInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The service, in the table SERVICE. cert: PEM, self-signed."""

    cert: str
    status: Literal["Opening", "Open", "Recovering", "WaitingForRecoveryShares"]

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> ServiceInfo:
        """Decode; raises MalformedMessage."""
        try:
            return msgspec.json.decode(data, type=cls)
        except _NOT_JSON as error:
            raise MalformedMessage(f"the service's record does not parse: {error}") from None


class TrustedNodes:
    """The keys that may sign roots, as the entries read so far have it: nodes that are trusted and endorsed."""

    def __init__(self) -> None:
        self._infos: dict[str, NodeInfo] = {}
        self._certificates: dict[str, str] = {}
        self._keys: dict[str, PublicKey] = {}

    def copy(self) -> TrustedNodes:
        """Return what changes apart from this one."""
        twin = TrustedNodes()
        twin._infos, twin._certificates, twin._keys = self._infos.copy(), self._certificates.copy(), self._keys.copy()
        return twin

    def find(self, node: str) -> PublicKey | None:
        """Return the key of a trusted node, None for any other."""
        return self._keys.get(node)

    def certificate(self, node: str) -> str | None:
        """Return a node's endorsed certificate (PEM), also of a retired one."""
        return self._certificates.get(node)

    def absorb(self, tables: Mapping[str, Mapping[bytes, bytes | None]], service_certificate: str) -> None:
        """Take in what an entry writes; raises AuthenticationFailed, MalformedMessage."""
        changed = set[str]()
        for raw, value in tables.get(NODES, {}).items():
            changed.add(node := _node_name(raw))
            if value is None:
                self._infos.pop(node, None)
            else:
                self._infos[node] = NodeInfo.decode(value)
        for raw, value in tables.get(ENDORSED_CERTIFICATES, {}).items():
            changed.add(node := _node_name(raw))
            if value is None:
                self._certificates.pop(node, None)
            else:
                self._certificates[node] = value.decode("ascii", "replace")
        for node in changed:
            self._keys.pop(node, None)
            info, certificate = self._infos.get(node), self._certificates.get(node)
            if info is not None and certificate is not None and info.status == "Trusted":
                self._keys[node] = _verify_node_key(node, info, certificate, service_certificate)


def _node_name(raw: bytes) -> str:
    return raw.decode("ascii", "replace")


def _verify_node_key(node: str, info: NodeInfo, certificate: str, service_certificate: str) -> PublicKey:
    verify_issued_under(certificate, service_certificate, at=None)
    key = public_key_of(certificate)
    if key.node_id() != node or info.public_key != key.to_pem():
        raise AuthenticationFailed("a node's certificate is for another node")
    return key


class RootSignature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's signature over the Merkle root of all entries before this one. root: hex; sig: base64 DER ECDSA."""

    node: str
    seqno: int
    view: int
    root: str
    sig: str

    @classmethod
    def make(cls, key: PrivateKey, node: NodeId, view: View, seqno: Seqno, root: Digest) -> RootSignature:
        """Sign a root; seqno and view are those of the signature entry."""
        signature = base64.b64encode(key.sign_digest(root)).decode()
        return cls(node=node, seqno=seqno, view=view, root=root.hex(), sig=signature)

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> RootSignature:
        """Decode; raises MalformedMessage for anything but what `encode` returns, byte for byte."""
        try:
            signature = msgspec.json.decode(data, type=cls)
        except _NOT_JSON as error:
            raise MalformedMessage(f"a signature entry does not parse: {error}") from None
        if signature.encode() != data:
            raise MalformedMessage("a signature entry is not in its one canonical form")
        return signature

    @property
    def signer(self) -> NodeId:
        return NodeId(self.node)

    @property
    def signed_root(self) -> Digest:
        """The root as it is stated; raises MalformedMessage."""
        if len(self.root) != 64 or not set(self.root) <= set("0123456789abcdef"):
            raise MalformedMessage("the signed root is not a digest")
        return Digest(bytes.fromhex(self.root))

    def verify(self, key: PublicKey, root: Digest) -> None:
        """Verify against the root computed from the entries; raises AuthenticationFailed."""
        if self.root != root.hex():
            raise AuthenticationFailed("the signed Merkle root is not that of the entries before it")
        try:
            signature = base64.b64decode(self.sig, validate=True)
        except (binascii.Error, ValueError):
            raise AuthenticationFailed("the signature is not base64") from None
        if base64.b64encode(signature).decode() != self.sig:
            raise AuthenticationFailed("the signature is not in its one canonical form")
        key.verify_digest(signature, root)


@dataclass(frozen=True, slots=True)
class SignedRoot:
    """What a signature entry holds: the node's signature over the root, and the service's (COSE_Sign1)."""

    node: RootSignature
    service: bytes

    def to_tables(self) -> Tables:
        encoded = msgspec.json.encode(base64.b64encode(self.service).decode())
        return {SIGNATURES: {SINGLETON_KEY: self.node.encode()}, COSE_SIGNATURES: {SINGLETON_KEY: encoded}}

    @classmethod
    def from_tables(cls, tables: Mapping[str, Mapping[bytes, bytes | None]]) -> SignedRoot:
        """Parse a signature entry's public write set, which holds nothing else; raises MalformedMessage."""
        found = [dict(tables.get(name, {})) for name in (SIGNATURES, COSE_SIGNATURES)]
        if len(tables) != 2 or any(list(table) != [SINGLETON_KEY] for table in found):
            raise MalformedMessage("a signature entry does not hold exactly one signature of each kind")
        node, service = (table[SINGLETON_KEY] for table in found)
        if node is None or service is None:
            raise MalformedMessage("a signature entry deletes a signature")
        try:
            cose = base64.b64decode(msgspec.json.decode(service, type=str), validate=True)
        except (msgspec.DecodeError, binascii.Error, ValueError):
            raise MalformedMessage("the service's signature is not base64 in JSON") from None
        signed = cls(RootSignature.decode(node), cose)
        if signed.to_tables()[COSE_SIGNATURES][SINGLETON_KEY] != service:
            raise MalformedMessage("the service's signature is not in its one canonical form")
        return signed
