"""Hypothesis against every parser of the ledger: any bytes raise what is declared, and nothing else."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import AuthenticationFailed, CocoError, LedgerDamaged, LimitExceeded, MalformedMessage
from core.governance.constitution import Constitution
from core.governance.messages import verify_message
from core.kv.write_set import decode_domain, encode_domain
from core.ledger.audit_receipts import read_witness
from core.ledger.cose import verify_root
from core.ledger.cose_receipt import CoseReceipt
from core.ledger.entry import framed_bytes, open_entry, parse_entry, position_of
from core.ledger.files import Chunk, Record, arrange_chunks, encode_positions, is_chunk_name, read_records
from core.ledger.key_file import decode_key_file
from core.ledger.receipt import Receipt
from core.ledger.secrets import EntryKey
from core.ledger.tables import NODES, SERVICE, NodeInfo, RootSignature, ServiceInfo, SignedRoot, TrustedNodes
from core.ledger.tail import follows, whole_with_another_length
from core.node.audit_rules import SystemRules
from core.ports import FileInfo
from core.types import Digest, NodeId, Seqno, View
from tests.support.ledger_bench import audit_disks, write_ledger
from tests.support.ledger_example import EPOCH_KEY, SERVICE_KEY, build
from tests.support.manager_bench import make_constitution
from tests.support.memory_disk import MemoryDisk

FILE, PARTS, _ = build()
FIRST_AT, SECOND_AT, TABLE_AT = 8, 275, int.from_bytes(FILE[:8], "little")
ENTRIES = [FILE[FIRST_AT:SECOND_AT], FILE[SECOND_AT:TABLE_AT]]
PUBLIC = [parse_entry(entry).public for entry in ENTRIES]
SIGNED = SignedRoot.from_tables(decode_domain(PUBLIC[1]))
KEY = EntryKey(EPOCH_KEY, NodeId("ab" * 32), View(2))
MACHINE = asyncio.run(write_ledger(starts=2, blocks=2, transactions=1, chunk_bytes_min=4_000))
LEDGER = {name: data for name, data in MACHINE.disk.files.items() if name.startswith("ledger/")}
NAMES = sorted(LEDGER, key=lambda name: int(name.split("_")[1].split("-")[0]))

EXAMPLES = int(os.environ.get("COCO_FUZZ_EXAMPLES", "150"))
"""Per parser. More of them: COCO_FUZZ_EXAMPLES=20000."""
SAYS_WHAT_CANNOT_BE = ("constitution", "governance message")
"""What is well formed, and yet no network can run under or carry out, is a plain CocoError."""

several = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=max(EXAMPLES // 4, 1), deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def damaged(draw: st.DrawFn, *sources: bytes) -> bytes:
    """A source with bytes overwritten, cut, doubled, or with another's middle; sometimes anything at all."""
    data = bytearray(draw(st.sampled_from(sources)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(("set", "cut", "double", "insert", "swap"))):
            case "set":
                data[at : at + 8] = draw(st.binary(min_size=1, max_size=8))
            case "cut":
                del data[at : at + draw(st.integers(1, 64))]
            case "double":
                data[at:at] = data[at : at + 64]
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case _:
                other = draw(st.sampled_from(sources))
                data[at : at + 32] = other[at : at + 32]
    return draw(st.one_of(st.just(bytes(data)), st.just(bytes(data)), st.binary(max_size=300)))


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
    for name in ("constitution", "epochs", "settings", "governance.messages", "governance.rejected"):
        list(rules.take(entry, {f"public:coco.{name}": {b"current": data, b"1": data}}))
        list(rules.take(entry, {f"public:coco.{name}": {b"current": data}}))
    list(rules.take(entry, {"public:ccf.internal.snapshot_evidence": {bytes(8): data}}))


CONSTITUTION = make_constitution()
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
    "rules": (judge, tuple(PUBLIC)),
    "receipt": (Receipt.decode, (b'{"cert":"","is_signature_transaction":false,"proof":[]}',)),
    "COSE receipt": (CoseReceipt.decode, (SIGNED.service,)),
    "witness": (lambda data: read_witness("x", data), (SIGNED.node.encode(), SIGNED.service, b'{"cert":""}')),
    "key file": (decode_key_file, (b'{"epochs":[{"epoch":1,"first_seqno":1,"view":1,"node":"","key":""}]}',)),
    "open chunk": (lambda data: asyncio.run(read_chunk(data, closed=False)), (FILE, bytes(8) + FILE[8:TABLE_AT])),
    "closed chunk": (lambda data: asyncio.run(read_chunk(data, closed=True)), (FILE,)),
}


@pytest.mark.parametrize("name", PARSERS)
@several
@given(st.data())
def test_a_parser_raises_what_is_declared(name: str, data: st.DataObject) -> None:
    parse, sources = PARSERS[name]
    given_bytes = data.draw(damaged(*sources))
    try:
        parse(given_bytes)
    except (MalformedMessage, AuthenticationFailed, LedgerDamaged, LimitExceeded):
        pass
    except CocoError:
        if name not in SAYS_WHAT_CANNOT_BE:
            raise


@several
@given(st.lists(st.text("ledgr_0123456789-.comit", max_size=30), max_size=6))
@example(["ledger_1", "ledger_1-2.committed"])
@example(["ledger_1-2.committed", "ledger_3"])
def test_any_file_names_are_arranged_or_refused(names: list[str]) -> None:
    try:
        chunks = arrange_chunks([FileInfo(f"ledger/{name}", 1) for name in names])
    except LedgerDamaged:
        return
    assert [chunk.first for chunk in chunks] == sorted({chunk.first for chunk in chunks})
    assert all(is_chunk_name(chunk.file) for chunk in chunks)


@given(st.binary(max_size=400))
def test_a_write_set_that_parses_is_the_one_that_is_written(data: bytes) -> None:
    try:
        tables = decode_domain(data)
    except MalformedMessage:
        return
    assert encode_domain(tables) == data


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20),
        st.dictionaries(st.binary(max_size=9), st.one_of(st.none(), st.binary(max_size=20)), min_size=1, max_size=4),
        max_size=4,
    )
)
def test_a_write_set_that_is_written_parses(tables: dict[str, dict[bytes, bytes | None]]) -> None:
    assert decode_domain(encode_domain(tables)) == tables


@few
@given(st.data())
def test_the_audit_survives_any_file_and_finds_every_change(data: st.DataObject) -> None:
    """One file of a ledger is changed anyhow: the audit ends, and calls it sound only if only a tail was cut off."""
    name = data.draw(st.sampled_from(NAMES))
    changed = data.draw(damaged(*LEDGER.values()))
    report = asyncio.run(audit_disks(MemoryDisk({**LEDGER, name: changed})))
    if changed != LEDGER[name] and report.is_sound:
        (ledger,) = report.ledgers
        assert name == NAMES[-1]
        assert not name.endswith(".committed")
        whole = LEDGER[name]
        unfinished = any("unfinished" in one.what or "never finished" in one.what for one in ledger.warnings)
        assert whole.startswith(changed) or unfinished or not changed.strip(b"\0")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_in_anothers_place_or_of_an_older_time_is_found(name: str) -> None:
    older = MACHINE.disk.files[NAMES[0]]
    for other in (older[: len(older) // 2], b"", LEDGER[NAMES[0]] + LEDGER[name], encode_positions([8])):
        report = asyncio.run(audit_disks(MemoryDisk({**LEDGER, name: other})))
        is_tail = name == NAMES[-1] and not name.endswith(".committed") and not other
        assert report.is_sound == is_tail
