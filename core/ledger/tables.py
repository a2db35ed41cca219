"""The tables that the ledger itself writes and reads back: signatures and nodes. Names and shapes as CCF has them."""

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
NODES = "public:ccf.gov.nodes.info"
SINGLETON_KEY = bytes(8)
"""The key of a table that holds one value (CCF's ServiceValue)."""

Tables = dict[str, dict[bytes, bytes | None]]


@dataclass(frozen=True, slots=True)
class DomainCodec:
    """How write sets are encoded; handed in, since ledger and key-value store do not know each other."""

    encode: Callable[[Tables], bytes]
    decode: Callable[[bytes], Mapping[str, Mapping[bytes, bytes | None]]]
    names: Callable[[bytes], list[str]]


class NodeInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """cert: PEM, endorsed by the service key. quote: base64 evidence over the node's key."""

    status: Literal["Trusted", "Retired"]
    cert: str
    quote: str

    def encode(self) -> bytes:
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> NodeInfo:
        """Decode; raises MalformedMessage."""
        try:
            return msgspec.json.decode(data, type=cls)
        except msgspec.DecodeError as error:
            raise MalformedMessage(f"a node's record does not parse: {error}") from None

    def verify_key(self, node: str, service_certificate: str) -> PublicKey:
        """Return the node's key; raises AuthenticationFailed unless the service endorsed it under this id."""
        verify_issued_under(self.cert, service_certificate, at=None)
        key = public_key_of(self.cert)
        if key.node_id() != node:
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

    def to_tables(self) -> Tables:
        return {SIGNATURES: {SINGLETON_KEY: msgspec.json.encode(self)}}

    @classmethod
    def from_tables(cls, tables: Mapping[str, Mapping[bytes, bytes | None]]) -> RootSignature:
        """Parse a signature entry's public write set, which holds nothing else; raises MalformedMessage."""
        value = tables.get(SIGNATURES, {}).get(SINGLETON_KEY)
        if value is None or len(tables) != 1 or len(tables[SIGNATURES]) != 1:
            raise MalformedMessage("a signature entry does not hold exactly one signature")
        try:
            return msgspec.json.decode(value, type=cls)
        except msgspec.DecodeError as error:
            raise MalformedMessage(f"a signature entry does not parse: {error}") from None

    def verify(self, key: PublicKey, root: Digest) -> None:
        """Verify against the root computed from the entries; raises AuthenticationFailed."""
        if self.root != root.hex():
            raise AuthenticationFailed("the signed Merkle root is not that of the entries before it")
        try:
            signature = base64.b64decode(self.sig, validate=True)
        except (binascii.Error, ValueError):
            raise AuthenticationFailed("the signature is not base64") from None
        key.verify_digest(signature, root)
