"""Rules of the system's tables: what only a broken or taken-over manager could write, each entry by itself."""

from __future__ import annotations

import msgspec
import pytest

from core.governance.messages import set_default_adapter, sign_message, verify_message
from core.kv.write_set import encode_domain
from core.ledger.entry import EntrySealer, ParsedEntry, parse_entry
from core.ledger.secrets import EntryKey
from core.ledger.tables import RootSignature, SignedRoot
from core.node.audit_rules import SystemRules
from core.types import NO_CLAIMS, Digest, NodeId, Seqno, View
from tests.support.manager_bench import (
    MEMBER_CERTIFICATE,
    MEMBER_KEY,
    PARTICIPANT_CERTIFICATE,
    PARTICIPANT_KEY,
    make_constitution,
)

NODE = NodeId("ab" * 32)
CREATED_AT = 1_700_000_000
CONSTITUTION = make_constitution()
Tables = dict[str, dict[bytes, bytes | None]]


def message(adapter: str = "kv", *, certificate: str = MEMBER_CERTIFICATE, network: bytes | None = None) -> bytes:
    return sign_message(
        [set_default_adapter(adapter)],
        network=CONSTITUTION.digest() if network is None else network,  # type: ignore[arg-type]
        certificate=certificate,
        key=MEMBER_KEY if certificate == MEMBER_CERTIFICATE else PARTICIPANT_KEY,
        created_at=CREATED_AT,
    )


def accepted(data: bytes, setting: bytes = b"kv") -> Tables:
    digest = verify_message(data, CONSTITUTION, now=None).digest
    return {
        "public:coco.governance.messages": {digest: data},
        "public:coco.settings": {b"default_adapter": setting},
    }


def epoch(number: int = 1, view: int = 1, first_seqno: int = 1, node: str = NODE) -> Tables:
    value = msgspec.json.encode({"first_seqno": first_seqno, "node": node, "view": view})
    return {"public:coco.epochs": {str(number).encode(): value}}


GENESIS: Tables = {"public:coco.constitution": {b"current": CONSTITUTION.encode()}}


class Ledger:
    """Feeds entries to the rules as the audit does."""

    def __init__(self, *genesis: Tables) -> None:
        self.rules = SystemRules()
        self.seqno = 0
        for tables in genesis or (GENESIS, epoch()):
            assert list(self.take(tables)) == []

    def take(self, tables: Tables, view: int = 1, claims: bytes = NO_CLAIMS) -> list[str]:
        return list(self.rules.take(self._entry(encode_domain(tables), view, claims), tables))

    def sign(self, view: int = 1, node: str = NODE) -> list[str]:
        signed = SignedRoot(RootSignature(node, self.seqno + 1, view, "00" * 32, ""), b"")
        return list(self.rules.take_signature(self._entry(b"", view), signed))

    def _entry(self, public: bytes, view: int, claims: bytes = NO_CLAIMS) -> ParsedEntry:
        sealer = EntrySealer(EntryKey(bytes(32), NODE, View(view)), Seqno(self.seqno))
        self.seqno += 1
        return parse_entry(sealer.seal(Seqno(self.seqno), public, b"", Digest(claims)).data)


def test_what_the_manager_writes_is_as_it_should_be() -> None:
    ledger = Ledger()
    assert ledger.sign() == []
    assert ledger.take(accepted(message())) == []
    assert ledger.take({"public:kv.log": {b"k": b"v"}}) == []
    assert ledger.take({}) == []
    assert ledger.take({"public:coco.governance.rejected": {bytes(32): b'{"reason":"no"}'}}) == []
    evidence = msgspec.json.encode({"hash": "ab" * 32, "version": 3})
    assert ledger.take({"public:ccf.internal.snapshot_evidence": {bytes(8): evidence}}, claims=b"\xab" * 32) == []
    assert ledger.take(epoch(3, 2, 8), view=2) == []
    assert ledger.sign(view=2) == []
    facts = ledger.rules.facts()
    assert facts["settings"] == {"default_adapter": "kv"}
    assert (facts["messages_rejected"], facts["snapshots"], facts["epochs"]) == (1, 1, 2)
    assert facts["constitution_digest"] == CONSTITUTION.digest().hex()


def two_messages() -> Tables:
    one, other = accepted(message()), accepted(message("ethereum"))
    both = {**one["public:coco.governance.messages"], **other["public:coco.governance.messages"]}
    return {"public:coco.governance.messages": both, "public:coco.settings": {b"default_adapter": b"kv"}}


def wrong_digest() -> Tables:
    return {**accepted(message()), "public:coco.governance.messages": {bytes(32): message()}}


def unverified(data: bytes) -> Tables:
    return {"public:coco.governance.messages": {bytes(32): data}, "public:coco.settings": {b"default_adapter": b"kv"}}


def flipped() -> bytes:
    data = bytearray(message())
    data[-1] ^= 1
    return bytes(data)


REFUSED: dict[str, tuple[Tables, str]] = {
    "a setting without a message": ({"public:coco.settings": {b"default_adapter": b"kv"}}, "without exactly one"),
    "another setting than asked for": (accepted(message(), b"ethereum"), "other settings"),
    "a setting too many": (
        {**accepted(message()), "public:coco.settings": {b"default_adapter": b"kv", b"x": b"y"}},
        "other settings",
    ),
    "a message without its setting": (
        {"public:coco.governance.messages": accepted(message())["public:coco.governance.messages"]},
        "other settings",
    ),
    "two messages": (two_messages(), "without exactly one"),
    "a message under another digest": (wrong_digest(), "another digest"),
    "a deleted message": ({"public:coco.governance.messages": {bytes(32): None}}, "deletes a message"),
    "a message of a participant": (unverified(message(certificate=PARTICIPANT_CERTIFICATE)), "participant"),
    "a message for another network": (unverified(message(network=bytes(32))), "another network"),
    "a message with a changed signature": (unverified(flipped()), "does not verify"),
    "no message": (unverified(b"junk"), "CBOR"),
    "another constitution": (GENESIS, "replaces the constitution"),
    "a system table nobody knows": ({"public:coco.other": {b"k": b"v"}}, "neither"),
    "a table of CCF nobody knows": ({"public:ccf.internal.signaturet": {bytes(8): b"{}"}}, "neither"),
    "a table of no adapter": ({"public:corda.x": {b"k": b"v"}}, "neither"),
    "tables of two adapters": ({"public:kv.x": {b"k": b"v"}, "public:ethereum.x": {b"k": b"v"}}, "neither"),
    "an adapter's and the system's": ({**accepted(message()), "public:kv.x": {b"k": b"v"}}, "neither"),
    "a misshapen rejection": ({"public:coco.governance.rejected": {b"short": b'{"reason":"no"}'}}, "rejected"),
    "a rejection with more to it": ({"public:coco.governance.rejected": {bytes(32): b'{"x":1}'}}, "rejected"),
    "an epoch for another view": (epoch(2, view=7), "another view"),
    "an epoch out of turn": (epoch(1), "turn"),
    "an epoch that begins later": (epoch(2, first_seqno=99), "place"),
    "a misshapen epoch": ({"public:coco.epochs": {b"2": b"{}"}}, "form"),
    "an epoch with a misshapen number": ({"public:coco.epochs": {b"02": b"{}"}}, "form"),
    "a node's record deleted": ({"public:ccf.gov.nodes.info": {NODE.encode(): None}}, "deletes the record"),
    "evidence of a later snapshot": (
        {"public:ccf.internal.snapshot_evidence": {bytes(8): msgspec.json.encode({"hash": "ab" * 32, "version": 99})}},
        "snapshot",
    ),
    "evidence that it does not claim": (
        {"public:ccf.internal.snapshot_evidence": {bytes(8): msgspec.json.encode({"hash": "ab" * 32, "version": 1})}},
        "not what it claims",
    ),
    "misshapen evidence": ({"public:ccf.internal.snapshot_evidence": {bytes(8): b"{}"}}, "snapshot"),
}


@pytest.mark.parametrize(("tables", "what"), REFUSED.values(), ids=REFUSED.keys())
def test_what_no_manager_writes_is_found(tables: Tables, what: str) -> None:
    wrong = Ledger().take(tables)
    assert any(what in one for one in wrong), wrong


def test_a_message_counts_once() -> None:
    ledger = Ledger()
    data = message()
    assert ledger.take(accepted(data)) == []
    assert ledger.take(accepted(data)) == ["it carries out a message a second time"]


def test_a_ledger_begins_with_its_constitution() -> None:
    for first in ({}, {"public:kv.log": {b"k": b"v"}}, epoch()):
        ledger = Ledger.__new__(Ledger)
        ledger.rules, ledger.seqno = SystemRules(), 0
        assert "the ledger does not begin with a constitution" in ledger.take(first)
    ledger = Ledger.__new__(Ledger)
    ledger.rules, ledger.seqno = SystemRules(), 0
    spaced = {"public:coco.constitution": {b"current": CONSTITUTION.encode() + b" "}}
    assert ledger.take(spaced) == ["the constitution is not in its one canonical form"]
    ledger.rules, ledger.seqno = SystemRules(), 0
    assert "no network can run" in ledger.take({"public:coco.constitution": {b"current": b"{}"}})[0]


def test_a_view_has_its_epoch_and_its_leader() -> None:
    assert Ledger().sign(node="cd" * 32) == ["view 1 is led by another node than its epoch's record names"]
    ledger = Ledger()
    assert ledger.sign() == []
    assert ledger.sign(view=2) == ["view 2 began without a record of its epoch"]
    assert ledger.take(epoch(2, view=1)) == ["it records a node's start though its view has begun before"]
