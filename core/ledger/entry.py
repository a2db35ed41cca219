"""One ledger entry: its framing, sealing, opening and Merkle leaf. DESIGN section 4; CCF 6, "Ledger format".

    header          version 1 | flags 1 | size of all that follows 6
    GCM header      tag 16 | nonce 12 = seqno 8 | view 4
    public domain   length 8 | entry type 1 | seqno 8 | claims digest 32 | commit-evidence digest 32
                    | highest conflict (always 0) 8 | public write set
    private domain  the private write set, encrypted; associated data: the public domain

Integers are little-endian; both write sets are opaque here.
Leaf = H(H(entry) | commit-evidence digest | claims digest).

A signature entry is one whose public write set begins with the table of signatures. It holds nothing private and is
authenticated by what it says: its tag is zero, its claims are none and its commit evidence is the root that it signs,
so that whoever holds the ledger can check every byte of the last one too, which no later root covers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from core import limits
from core.crypto.aead import TAG_BYTES
from core.crypto.hashing import sha256
from core.errors import InvariantBroken, LimitExceeded, MalformedMessage
from core.ledger.secrets import EntryKey
from core.ledger.tables import SIGNATURES
from core.types import NO_CLAIMS, Digest, Seqno, View

ENTRY_VERSION = 1
ENTRY_TYPE = 4
"""CCF's number of a write set with commit evidence and claims, the one type it still writes."""

HEADER_BYTES = 8
_TAG_AT = HEADER_BYTES
_NONCE_AT = HEADER_BYTES + TAG_BYTES
_PREFIX = struct.Struct("<Q16sQIQ")
_NONCE = struct.Struct("<QI")
_HEAD = struct.Struct("<BQ32s32sQ")
_FIXED_BYTES = _PREFIX.size - HEADER_BYTES
_NO_TAG = bytes(TAG_BYTES)
_SIGNATURE_START = struct.pack("<Q", len(SIGNATURES)) + SIGNATURES.encode()
VIEW_MAX = 2**31 - 1
"""The nonce's view has four bytes, of which the top bit marks snapshots."""


@dataclass(frozen=True, slots=True)
class SealedEntry:
    data: bytes
    leaf: Digest


@dataclass(frozen=True, slots=True)
class ParsedEntry:
    """A whole entry as it stands, not authenticated. digest: of all its bytes. public: the encoded write set.

    private: still encrypted. domain: the whole public domain. tag: zero in a signature entry.
    """

    view: View
    seqno: Seqno
    claims: Digest
    evidence: Digest
    public: bytes
    domain: bytes
    private: bytes
    tag: bytes
    digest: Digest

    @property
    def is_signature(self) -> bool:
        return self.public.startswith(_SIGNATURE_START)

    @property
    def leaf(self) -> Digest:
        return sha256(self.digest + self.evidence + self.claims)


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """An entry whose tag is right, or a signature entry, which its own signature authenticates.

    public and private: the encoded write sets. digest: of all the entry's bytes.
    """

    seqno: Seqno
    view: View
    claims: Digest
    evidence: Digest
    public: bytes
    private: bytes
    digest: Digest
    leaf: Digest
    is_signature: bool


class EntrySealer:
    """Seals the entries of one view. Owns the rule that a seqno is sealed once."""

    def __init__(self, key: EntryKey, after: Seqno) -> None:
        if not 0 < key.view <= VIEW_MAX:
            raise InvariantBroken(f"view {key.view} does not fit a nonce")
        self._key = key
        self._sealed = after

    def seal(self, seqno: Seqno, public: bytes, private: bytes, claims: Digest = NO_CLAIMS) -> SealedEntry:
        """Seal a write-set entry; raises LimitExceeded, and InvariantBroken for a seqno that is not the next."""
        if len(claims) != 32:
            raise InvariantBroken("a claims digest has 32 bytes")
        if public.startswith(_SIGNATURE_START):
            raise InvariantBroken("a write set may not begin with the table of signatures")
        evidence = self._key.commit_evidence_digest(seqno)
        domain = _HEAD.pack(ENTRY_TYPE, seqno, claims, evidence, 0) + public
        self._take(seqno, len(domain) + len(private))
        sealed = self._key.aead.encrypt(_NONCE.pack(seqno, self._key.view), private, domain)
        body = memoryview(sealed)[:-TAG_BYTES]
        data = _frame(sealed[-TAG_BYTES:], seqno, self._key.view, domain, body)
        return SealedEntry(data, sha256(sha256(data) + evidence + claims))

    def seal_signature(self, seqno: Seqno, public: bytes, root: Digest) -> SealedEntry:
        """Frame a signature entry: public holds the signatures over `root`. Raises as `seal`."""
        if not public.startswith(_SIGNATURE_START):
            raise InvariantBroken("a signature entry begins with the table of signatures")
        evidence = signature_evidence(self._key.view, seqno, root)
        domain = _HEAD.pack(ENTRY_TYPE, seqno, NO_CLAIMS, evidence, 0) + public
        self._take(seqno, len(domain))
        data = _frame(_NO_TAG, seqno, self._key.view, domain, memoryview(b""))
        return SealedEntry(data, sha256(sha256(data) + evidence + NO_CLAIMS))

    def _take(self, seqno: Seqno, domain_bytes: int) -> None:
        if seqno != self._sealed + 1:
            raise InvariantBroken(f"entry {seqno} is to be sealed after {self._sealed}: a nonce might repeat")
        if _FIXED_BYTES + domain_bytes > limits.ENTRY_BYTES_MAX:
            size = _FIXED_BYTES + domain_bytes
            raise LimitExceeded(f"entry {seqno} would have {size} bytes; the bound is {limits.ENTRY_BYTES_MAX}")
        self._sealed = seqno


def signature_evidence(view: View, seqno: Seqno, root: Digest) -> Digest:
    """Return the commit-evidence digest of the signature entry over a root: anyone can compute it."""
    return sha256(f"ce:{view}.{seqno}:{root.hex()}".encode())


def framed_bytes(header: bytes) -> int:
    """Return the whole length of the entry that starts with these 8 bytes; raises MalformedMessage."""
    word = int.from_bytes(header[:HEADER_BYTES], "little")
    size = word >> 16
    if word & 0xFFFF != ENTRY_VERSION:
        raise MalformedMessage(f"entry version {word & 0xFF} with flags {word >> 8 & 0xFF}; this build reads version 1")
    if not _FIXED_BYTES + _HEAD.size <= size <= limits.ENTRY_BYTES_MAX:
        raise MalformedMessage(f"an entry cannot have {size} bytes")
    return HEADER_BYTES + size


def position_of(data: bytes) -> tuple[View, Seqno]:
    """Return the view and seqno an entry claims, before it is authenticated; raises MalformedMessage."""
    if len(data) < _PREFIX.size:
        raise MalformedMessage("an entry is cut short")
    seqno, view = _NONCE.unpack_from(data, _NONCE_AT)
    return View(view), Seqno(seqno)


def nonce_of(view: View, seqno: Seqno) -> bytes:
    """Return the nonce bytes by which an entry can be found in a file."""
    return _NONCE.pack(seqno, view)


def parse_entry(data: bytes) -> ParsedEntry:
    """Take one whole entry apart, without any key; raises MalformedMessage."""
    if framed_bytes(data) != len(data):
        raise MalformedMessage("an entry's size differs from its header's")
    _, tag, seqno, view, public_bytes = _PREFIX.unpack_from(data, 0)
    if public_bytes > len(data) - _PREFIX.size:
        raise MalformedMessage("an entry's public domain runs past its end")
    split = _PREFIX.size + public_bytes
    domain = data[_PREFIX.size : split]
    if public_bytes < _HEAD.size:
        raise MalformedMessage("an entry's public domain is cut short")
    kind, stated, claims, evidence, conflict = _HEAD.unpack_from(domain, 0)
    if kind != ENTRY_TYPE or conflict:
        raise MalformedMessage(f"entry type {kind} with conflict version {conflict}")
    if stated != seqno:
        raise MalformedMessage("an entry's public domain states another seqno")
    public = domain[_HEAD.size :]
    private = data[split:]
    if public.startswith(_SIGNATURE_START) and (tag != _NO_TAG or private or claims != NO_CLAIMS):
        raise MalformedMessage("a signature entry holds more than its signatures")
    return ParsedEntry(
        View(view), Seqno(seqno), Digest(claims), Digest(evidence), public, domain, private, tag, sha256(data)
    )


def open_entry(data: bytes, key: EntryKey) -> OpenedEntry:
    """Authenticate and decrypt one whole entry; raises MalformedMessage or AuthenticationFailed.

    Of a signature entry only the form is checked here: the caller verifies what it says (see LedgerVerifier).
    """
    entry = parse_entry(data)
    if entry.is_signature:
        private = b""
    else:
        nonce = _NONCE.pack(entry.seqno, entry.view)
        private = key.aead.decrypt(nonce, entry.private + entry.tag, entry.domain)
    return OpenedEntry(
        seqno=entry.seqno,
        view=entry.view,
        claims=entry.claims,
        evidence=entry.evidence,
        public=entry.public,
        private=private,
        digest=entry.digest,
        leaf=entry.leaf,
        is_signature=entry.is_signature,
    )


def _frame(tag: bytes, seqno: Seqno, view: View, domain: bytes, private: memoryview) -> bytes:
    size = _FIXED_BYTES + len(domain) + len(private)
    return b"".join((_PREFIX.pack(size << 16 | ENTRY_VERSION, tag, seqno, view, len(domain)), domain, private))
