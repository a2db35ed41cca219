"""One ledger entry: its framing, sealing, opening and Merkle leaf. DESIGN section 4; CCF, "Ledger format".

    header          version 1 | flags 1 | size of all that follows 6
    GCM header      tag 16 | nonce 12 = seqno 8 | view 4
    public domain   length 8 | entry type 1 | seqno 8 | claims digest 32 | commit-evidence digest 32 | public write set
    private domain  the private write set, encrypted; associated data: the public domain

A signature entry has no claims and no commit evidence. Integers are little-endian. Both write sets are opaque here.
Leaf = H(H(entry) | commit-evidence digest | claims digest), of a signature entry H(entry).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

from core import limits
from core.crypto.aead import TAG_BYTES
from core.crypto.hashing import sha256
from core.errors import InvariantBroken, LimitExceeded, MalformedMessage
from core.ledger.secrets import EntryKey
from core.types import NO_CLAIMS, Digest, Seqno, View

ENTRY_VERSION = 1
HEADER_BYTES = 8
_NONCE_AT = HEADER_BYTES + TAG_BYTES
_PREFIX = struct.Struct("<Q16sQIQ")
_NONCE = struct.Struct("<QI")
_SIGNATURE_HEAD = struct.Struct("<BQ")
_WRITE_SET_HEAD = struct.Struct("<BQ32s32s")
_FIXED_BYTES = _PREFIX.size - HEADER_BYTES
VIEW_MAX = 2**31 - 1
"""The nonce's view has four bytes, of which the top bit marks snapshots."""


class EntryType(IntEnum):
    """Numbers as CCF has them: a plain write set, and one with commit evidence and claims."""

    SIGNATURE = 0
    WRITE_SET = 4


@dataclass(frozen=True, slots=True)
class SealedEntry:
    data: bytes
    leaf: Digest


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """An authentic entry. public and private: the encoded write sets."""

    type: EntryType
    seqno: Seqno
    view: View
    claims: Digest
    public: bytes
    private: bytes
    leaf: Digest


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
        evidence = self._key.commit_evidence_digest(seqno)
        head = _WRITE_SET_HEAD.pack(EntryType.WRITE_SET, seqno, claims, evidence)
        data = self._frame(seqno, head + public, private)
        return SealedEntry(data, sha256(sha256(data) + evidence + claims))

    def seal_signature(self, seqno: Seqno, public: bytes, private: bytes) -> SealedEntry:
        """Seal a signature entry; raises as `seal`."""
        data = self._frame(seqno, _SIGNATURE_HEAD.pack(EntryType.SIGNATURE, seqno) + public, private)
        return SealedEntry(data, sha256(data))

    def _frame(self, seqno: Seqno, public_domain: bytes, private: bytes) -> bytes:
        if seqno != self._sealed + 1:
            raise InvariantBroken(f"entry {seqno} is to be sealed after {self._sealed}: a nonce might repeat")
        size = _FIXED_BYTES + len(public_domain) + len(private)
        if size > limits.ENTRY_BYTES_MAX:
            raise LimitExceeded(f"entry {seqno} would have {size} bytes; the bound is {limits.ENTRY_BYTES_MAX}")
        self._sealed = seqno
        view = self._key.view
        sealed = self._key.aead.encrypt(_NONCE.pack(seqno, view), private, public_domain)
        prefix = _PREFIX.pack(size << 16 | ENTRY_VERSION, sealed[-TAG_BYTES:], seqno, view, len(public_domain))
        return b"".join((prefix, public_domain, memoryview(sealed)[:-TAG_BYTES]))


def framed_bytes(header: bytes) -> int:
    """Return the whole length of the entry that starts with these 8 bytes; raises MalformedMessage."""
    word = int.from_bytes(header[:HEADER_BYTES], "little")
    size = word >> 16
    if word & 0xFFFF != ENTRY_VERSION:
        raise MalformedMessage(f"entry version {word & 0xFF} with flags {word >> 8 & 0xFF}; this build reads version 1")
    if not _FIXED_BYTES + _SIGNATURE_HEAD.size <= size <= limits.ENTRY_BYTES_MAX:
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


def open_entry(data: bytes, key: EntryKey) -> OpenedEntry:
    """Authenticate and decrypt one whole entry; raises MalformedMessage or AuthenticationFailed."""
    if framed_bytes(data) != len(data):
        raise MalformedMessage("an entry's size differs from its header's")
    _, tag, raw_seqno, raw_view, public_bytes = _PREFIX.unpack_from(data, 0)
    if public_bytes > len(data) - _PREFIX.size:
        raise MalformedMessage("an entry's public domain runs past its end")
    split = _PREFIX.size + public_bytes
    domain = data[_PREFIX.size : split]
    private = key.aead.decrypt(data[_NONCE_AT : _NONCE_AT + _NONCE.size], data[split:] + tag, domain)
    # From here on the bytes are what a manager enclave of this network sealed.
    digest = sha256(data)
    seqno, view = Seqno(raw_seqno), View(raw_view)
    try:
        if domain[0] == EntryType.SIGNATURE:
            _, stated = _SIGNATURE_HEAD.unpack_from(domain, 0)
            claims, leaf, head = NO_CLAIMS, digest, _SIGNATURE_HEAD.size
        elif domain[0] == EntryType.WRITE_SET:
            _, stated, claims, evidence = _WRITE_SET_HEAD.unpack_from(domain, 0)
            leaf, head = sha256(digest + evidence + claims), _WRITE_SET_HEAD.size
        else:
            raise MalformedMessage(f"entry type {domain[0]}")
    except (struct.error, IndexError):
        raise MalformedMessage("an entry's public domain is cut short") from None
    if stated != seqno:
        raise MalformedMessage("an entry's public domain states another seqno")
    return OpenedEntry(EntryType(domain[0]), seqno, view, Digest(claims), domain[head:], private, leaf)
