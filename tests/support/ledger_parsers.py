"""Every parser of what comes from a ledger's disk or from others, with something of its own to begin from.

For hypothesis (tests/core/ledger/test_parsers_fuzz.py) and for atheris (tests/fuzz/parsers.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from core.crypto.keys import PrivateKey
from core.errors import AuthenticationFailed, CocoError, InvariantBroken, LedgerDamaged, LimitExceeded, MalformedMessage
from core.governance.authorizations import AuthorizationUse, parse_authorization
from core.governance.constitution import Constitution
from core.governance.messages import verify_message
from core.governance.proposals import ProposalRecord, Vote
from core.governance.slots import SlotRecord
from core.governance.ticket_requests import parse_request
from core.kv.write_set import decode_domain
from core.ledger.audit_receipts import read_witness
from core.ledger.cose import verify_root
from core.ledger.cose_receipt import CoseReceipt
from core.ledger.entry import framed_bytes, open_entry, parse_entry, position_of
from core.ledger.files import Chunk, Record, read_records
from core.ledger.key_file import decode_key_file
from core.ledger.key_wrapping import epoch_key_row, parse_epoch_key_row, unwrap_epoch_key, wrap_epoch_key
from core.ledger.merkle import MerkleFrontier
from core.ledger.receipt import Receipt
from core.ledger.secrets import EntryKey
from core.ledger.snapshot_evidence import SnapshotEvidence
from core.ledger.snapshot_format import (
    DomainReader,
    Prefix,
    SnapshotPoint,
    cut_rows,
    encode_rows,
    encode_table_head,
)
from core.ledger.tables import NODES, SERVICE, NodeInfo, RootSignature, ServiceInfo, SignedRoot, TrustedNodes
from core.ledger.tail import follows, whole_with_another_length
from core.node.audit_rules import SystemRules
from core.types import Digest, NodeId, Seqno, View
from tests.support.ledger_example import EPOCH_KEY, SERVICE_KEY, build
from tests.support.manager_bench import make_constitution
from tests.support.memory_disk import MemoryDisk

FILE, PARTS, _ = build()
FIRST_AT, SECOND_AT, TABLE_AT = 8, 275, int.from_bytes(FILE[:8], "little")
ENTRIES = [FILE[FIRST_AT:SECOND_AT], FILE[SECOND_AT:TABLE_AT]]
PUBLIC = [parse_entry(entry).public for entry in ENTRIES]
SIGNED = SignedRoot.from_tables(decode_domain(PUBLIC[1]))
KEY = EntryKey(EPOCH_KEY, NodeId("ab" * 32), View(2))
SAYS_WHAT_CANNOT_BE = ("constitution", "governance message", "authorization")
"""What is well formed, and yet no network can run under or carry out, is a plain CocoError."""


async def read_chunk(data: bytes, *, closed: bool) -> list[Record]:
    chunk = Chunk(Seqno(1), Seqno(2) if closed else None)
    return [record async for record in read_records(MemoryDisk({chunk.file: data}), chunk)]


def absorb_nodes(data: bytes) -> None:
    TrustedNodes().absorb({NODES: {b"node": data}}, data.decode("latin-1"))


def judge(data: bytes) -> None:
    """The rules of the system's tables, given any write set."""
    rules = SystemRules()
    entry = parse_entry(ENTRIES[0])
    for tables in (decode_domain(data), {SERVICE: {bytes(8): data}}, {NODES: {b"x": data}}):
        for wrong in rules.take(entry, tables):
            assert wrong
    governed = ("governance.messages", "governance.rejected", "proposals", "slots", "authorizations", "epoch_keys")
    for name in ("constitution", "epochs", "settings", *governed):
        list(rules.take(entry, {f"public:coco.{name}": {b"current": data, b"1": data}}))
        list(rules.take(entry, {f"public:coco.{name}": {b"current": data}}))
    list(rules.take(entry, {"public:ccf.internal.snapshot_evidence": {bytes(8): data}}))


def _domain() -> bytes:
    rows = encode_rows([(b"key", 1, b"value"), (b"k" * 20, 2, b"v" * 40)])
    return encode_table_head("one.a", Seqno(2), len(rows)) + rows


def read_domain(data: bytes) -> None:
    """Read a snapshot's tables in one piece and in small ones: the same comes out."""
    whole, pieces = DomainReader(), DomainReader()
    found = b"".join(part.data for part in whole.feed(data, Seqno(2)))
    again = b"".join(part.data for at in range(0, len(data), 7) for part in pieces.feed(data[at : at + 7], Seqno(2)))
    if found != again:
        raise InvariantBroken("a domain reads differently in pieces")
    whole.finish()
    pieces.finish()


FRONTIER = MerkleFrontier()
FRONTIER.append(Digest(bytes(32)))
FRONTIER.append(Digest(bytes(32)))
POINT = SnapshotPoint(Seqno(2), View(2), FRONTIER, ((View(2), Seqno(1)),))
CONSTITUTION = make_constitution()
NODE_KEY = PrivateKey.generate()
ROOT = Digest(bytes(32))
PARSERS: dict[str, tuple[Callable[[bytes], object], tuple[bytes, ...]]] = {
    "entry": (parse_entry, tuple(ENTRIES)),
    "entry with a key": (lambda data: open_entry(data, KEY), tuple(ENTRIES)),
    "entry's head": (lambda data: (framed_bytes(data[:8]), position_of(data)), tuple(ENTRIES)),
    "tail": (lambda data: (whole_with_another_length(data), follows(data, Seqno(2), View(1))), (FILE, *ENTRIES)),
    "write set": (decode_domain, tuple(PUBLIC)),
    "signatures": (lambda data: SignedRoot.from_tables(decode_domain(data)), tuple(PUBLIC)),
    "node's signature": (RootSignature.decode, (SIGNED.node.encode(),)),
    "service's signature": (
        lambda data: verify_root(data, SERVICE_KEY.public_key(), ROOT, View(2), Seqno(2)),
        (SIGNED.service,),
    ),
    "node's record": (NodeInfo.decode, (b'{"status":"Trusted","public_key":"","quote_info":{"quote":""}}',)),
    "node's record and certificate": (absorb_nodes, (b'{"status":"Trusted","public_key":"","quote_info":{}}',)),
    "service's record": (ServiceInfo.decode, (b'{"cert":"","status":"Open"}',)),
    "constitution": (Constitution.decode, (CONSTITUTION.encode(),)),
    "governance message": (lambda data: verify_message(data, CONSTITUTION, None), (SIGNED.service,)),
    "authorization": (parse_authorization, (SIGNED.service,)),
    "request for a ticket": (
        parse_request,
        (
            b'{"version":1,"network":"","slot":"a","address":"b:1","node":"","public_key":"","quote":"","collateral":"",'
            b'"measurements":{"manager":"","worker":""},"until":1}',
        ),
    ),
    "use of an authorization": (
        lambda data: AuthorizationUse.decode(data).message_bytes(),
        (AuthorizationUse.of(b"message", 1).encode(),),
    ),
    "slot": (SlotRecord.decode, (SlotRecord("a", "b:1", "active").encode(),)),
    "proposal": (ProposalRecord.decode, (ProposalRecord((), "a", 1, "Open", {"a": Vote(True, 1)}).encode(),)),
    "wrapped key": (
        lambda data: unwrap_epoch_key(data, NODE_KEY, network=ROOT, epoch=1),
        (wrap_epoch_key(bytes(32), NODE_KEY.public_key(), network=ROOT, epoch=1),),
    ),
    "wrapped key's row": (parse_epoch_key_row, (epoch_key_row(1, NodeId("ab" * 32)),)),
    "rules": (judge, tuple(PUBLIC)),
    "receipt": (Receipt.decode, (b'{"cert":"","is_signature_transaction":false,"proof":[]}',)),
    "COSE receipt": (CoseReceipt.decode, (SIGNED.service,)),
    "witness": (lambda data: read_witness("x", data), (SIGNED.node.encode(), SIGNED.service, b'{"cert":""}')),
    "key file": (decode_key_file, (b'{"epochs":[{"epoch":1,"first_seqno":1,"view":1,"node":"","key":""}]}',)),
    "snapshot's head": (Prefix.decode, (Prefix(400, bytes(16), Seqno(2), View(2), 100).encode(),)),
    "snapshot's place": (lambda data: SnapshotPoint.decode(data, View(2)), (POINT.encode(),)),
    "snapshot's tables": (read_domain, (_domain(), _domain() + encode_table_head("one.b", Seqno(2), 0))),
    "snapshot's rows": (cut_rows, (encode_rows([(b"key", 1, b"value"), (b"k" * 20, 2, b"")]),)),
    "snapshot's evidence": (SnapshotEvidence.decode, (b'{"hash":"","version":2,"state_digest":""}',)),
    "Merkle frontier": (MerkleFrontier.from_bytes, (FRONTIER.to_bytes(),)),
    "open chunk": (lambda data: asyncio.run(read_chunk(data, closed=False)), (FILE, bytes(8) + FILE[8:TABLE_AT])),
    "closed chunk": (lambda data: asyncio.run(read_chunk(data, closed=True)), (FILE,)),
}


def parse(name: str, data: bytes) -> None:
    """Have a parser take any bytes; raises what it should not have raised."""
    take, _ = PARSERS[name]
    try:
        take(data)
    except (MalformedMessage, AuthenticationFailed, LedgerDamaged, LimitExceeded):
        pass
    except CocoError:
        if name not in SAYS_WHAT_CANNOT_BE:
            raise
