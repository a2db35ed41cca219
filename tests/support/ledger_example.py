"""The worked example of docs/ledger-format.md: a chunk of two entries from fixed keys, laid out part by part.

`python -m tests.support.ledger_example` prints it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from core.crypto.keys import PrivateKey
from core.kv.write_set import encode_domain
from core.ledger.cose import RootSigner
from core.ledger.entry import EntrySealer
from core.ledger.files import encode_positions
from core.ledger.merkle import MerkleFrontier
from core.ledger.secrets import EntryKey
from core.ledger.tables import COSE_SIGNATURES, SIGNATURES, RootSignature, SignedRoot
from core.types import Digest, NodeId, Seqno, View

EPOCH_KEY = bytes(range(32))
VIEW = View(2)
TIME_S = 1_700_000_000


class RepeatableKey(PrivateKey):
    """Signs the same each time (RFC 6979), which a node need not."""

    def sign(self, message: bytes) -> bytes:
        return self.raw.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    def sign_digest(self, digest: Digest) -> bytes:
        return self.raw.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()), deterministic_signing=True))


NODE_KEY = RepeatableKey(ec.derive_private_key(1, ec.SECP256R1()))
SERVICE_KEY = RepeatableKey(ec.derive_private_key(2, ec.SECP256R1()))

Part = tuple[str, bytes]


def build() -> tuple[bytes, list[Part], dict[str, str]]:
    """Return the file, its parts in order, and the values that are computed on the way."""
    node = NodeId(NODE_KEY.public_key().node_id())
    key = EntryKey(EPOCH_KEY, node, VIEW)
    sealer, frontier = EntrySealer(key, Seqno(0)), MerkleFrontier()
    public, private = encode_domain({"public:kv.log": {b"k": b"v"}}), encode_domain({"kv.data": {b"key": b"value"}})
    claims = Digest(b"\xcc" * 32)
    write = sealer.seal(Seqno(1), public, private, claims)
    frontier.append(write.leaf)
    root = frontier.root()
    node_signature = RootSignature.make(NODE_KEY, node, VIEW, Seqno(2), root)
    signed = SignedRoot(node_signature, RootSigner(SERVICE_KEY).sign(root, VIEW, Seqno(2), TIME_S))
    tables = signed.to_tables()
    signature = sealer.seal_signature(Seqno(2), encode_domain(tables), root)
    frontier.append(signature.leaf)
    table = encode_positions([8, 8 + len(write.data)])
    table_at = 8 + len(write.data) + len(signature.data)
    data = table_at.to_bytes(8, "little") + write.data + signature.data + table
    parts = [("file header: where the table begins", data[:8])]
    parts += list(_entry_parts("entry 1", write.data, {"public:kv.log": {b"k": b"v"}}))
    parts += list(_entry_parts("entry 2", signature.data, tables))
    parts.append(("table: where each entry begins", table))
    computed = {
        "epoch key": EPOCH_KEY.hex(),
        "node id": node,
        "entry 1, key": _entry_key(node).hex(),
        "entry 1, commit evidence": key.commit_evidence(Seqno(1)),
        "entry 1, private write set": private.hex(),
        "entry 1, leaf": write.leaf.hex(),
        "root over entries 0 and 1": root.hex(),
        "entry 2, commit evidence": f"ce:{VIEW}.2:{root.hex()}",
        "entry 2, leaf": signature.leaf.hex(),
        "service, public key": SERVICE_KEY.public_key().to_der().hex(),
        "node, public key": NODE_KEY.public_key().to_der().hex(),
    }
    return data, parts, computed


def _entry_key(node: NodeId) -> bytes:
    from core.crypto.hashing import hkdf_sha256

    return hkdf_sha256(EPOCH_KEY, info=bytes.fromhex(node) + VIEW.to_bytes(8, "little") + b"entry")


def _entry_parts(name: str, data: bytes, tables: dict[str, dict[bytes, bytes | None]]) -> Iterator[Part]:
    public_bytes = int.from_bytes(data[36:44], "little")
    yield f"{name}: version, flags", data[:2]
    yield "size of what follows", data[2:8]
    yield "tag", data[8:24]
    yield "nonce: seqno, view", data[24:36]
    yield "length of the public domain", data[36:44]
    yield "public domain: entry type", data[44:45]
    yield "seqno", data[45:53]
    yield "claims digest", data[53:85]
    yield "commit-evidence digest", data[85:117]
    yield "highest conflict", data[117:125]
    at = 125
    for table, writes in tables.items():
        for label, size in (("length of a table's name", 8), ("name", len(table)), ("read version, reads", 16)):
            yield label, data[at : at + size]
            at += size
        yield "writes", data[at : at + 8]
        at += 8
        for key, value in writes.items():
            assert value is not None
            for label, size in (
                ("length of a key", 8),
                ("key", len(key)),
                ("length of its value", 8),
                ("value", len(value)),
            ):
                yield label, data[at : at + size]
                at += size
        yield "deletions", data[at : at + 8]
        at += 8
    assert at == 44 + public_bytes
    if at < len(data):
        yield "private domain, encrypted", data[at:]


def _shown(data: bytes) -> list[str]:
    text = data.decode("ascii", "replace")
    if len(data) > 1 and text.isprintable() and "\ufffd" not in text:
        return [f'"{line}"' for line in textwrap.wrap(text, 64, break_on_hyphens=False, drop_whitespace=False)]
    return textwrap.wrap(data.hex(), 64)


def render() -> str:
    """Return the example as the page shows it."""
    _, parts, computed = build()
    lines, offset = [], 0
    for label, data in parts:
        for number, shown in enumerate(_shown(data)):
            lines.append(f"{offset if not number else '':>5}  {label if not number else '':<36}  {shown}".rstrip())
        offset += len(data)
    lines.append("")
    for label, value in computed.items():
        for number, shown in enumerate(textwrap.wrap(value, 72)):
            lines.append(f"{label if not number else '':<28}  {shown}")
    return "\n".join(lines) + "\n"


TABLES = (SIGNATURES, COSE_SIGNATURES)

if __name__ == "__main__":
    print(render(), end="")
