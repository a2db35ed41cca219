"""Histories of nodes that somebody meddled with: whatever a ledger says, the audit judges it and reads on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from core.crypto.keys import PrivateKey
from core.governance.messages import remove_node
from core.kv.write_set import Writes, encode_domain
from core.ledger.entry import EntrySealer, parse_entry
from core.ledger.secrets import EntryKey
from core.node.audit_rules import SystemRules
from core.types import NodeId, Seqno, View
from tests.support.governance_bench import Network

NODES, SLOTS = "public:ccf.gov.nodes.info", "public:coco.slots"
CERTIFICATES, AUTHORIZATIONS = "public:ccf.gov.nodes.endorsed_certificates", "public:coco.authorizations"
PROPOSALS, MESSAGES = "public:coco.proposals", "public:coco.governance.messages"


HISTORY_TABLES = (
    NODES, SLOTS, CERTIFICATES, AUTHORIZATIONS, PROPOSALS, MESSAGES,
    "public:coco.epochs", "public:coco.epoch_keys", "public:coco.settings", "public:ccf.gov.service.info",
)  # fmt: skip


def history() -> list[Writes]:
    """The life of a node, entry by entry, as it should be."""
    network = Network()
    network.admit()
    for key in (PrivateKey.generate(), PrivateKey.generate()):
        network.join(network.ticket("node2", "beta", "n2:1", None), key)
    network.promote("node2")
    network.pass_(remove_node("node2"))
    network.remove("node2")
    return network.written


HISTORY = history()
ROWS = [(key, value) for writes in HISTORY for rows in writes.values() for key, value in rows.items()]


@st.composite
def meddled(draw: st.DrawFn) -> list[Writes]:
    """The history with entries left out, repeated, swapped, and rows that stand elsewhere or are damaged."""
    entries = [{name: dict(rows) for name, rows in writes.items()} for writes in HISTORY]
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(1, len(entries) - 1))
        match draw(st.sampled_from(("drop", "repeat", "table", "row", "damage", "delete"))):
            case "drop" if len(entries) > 2:
                del entries[at]
            case "repeat":
                entries.insert(at, entries[draw(st.integers(1, len(entries) - 1))])
            case "table":
                entries[at].pop(draw(st.sampled_from(sorted(entries[at]) or [""])), None)
            case "row":
                key, value = draw(st.sampled_from(ROWS))
                entries[at].setdefault(draw(st.sampled_from(HISTORY_TABLES)), {})[key] = value
            case "damage" if entries[at]:
                rows = entries[at][draw(st.sampled_from(sorted(entries[at])))]
                if rows:
                    key = draw(st.sampled_from(sorted(rows)))
                    value = bytearray(rows[key] or b"x")
                    value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
                    rows[key] = bytes(value)
            case "delete" if entries[at]:
                rows = entries[at][draw(st.sampled_from(sorted(entries[at])))]
                for key in rows:
                    rows[key] = None
    return entries


@given(meddled())
@settings(max_examples=150, deadline=None)
def test_whatever_a_ledger_says_is_judged(entries: list[Writes]) -> None:
    """No history makes the audit fail: what is wrong is said, and reading goes on."""
    rules = SystemRules()
    for seqno, writes in enumerate(entries, 1):
        sealer = EntrySealer(EntryKey(bytes(32), NodeId("ab" * 32), View(1)), Seqno(seqno - 1))
        entry = parse_entry(sealer.seal(Seqno(seqno), encode_domain(writes), b"").data)
        assert all(isinstance(one, str) for one in rules.take(entry, writes))
        rules.facts()
