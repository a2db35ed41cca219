"""Ledgers of several chunks, restarts and views, and the receipts that a manager makes of their entries."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from core.crypto.hashing import sha256
from core.kv.write_set import WriteSet
from core.node.messages import TO_MANAGER, EntryDraft, ReceiptMade, ReceiptRequest
from core.types import Digest
from tests.support.manager_bench import Machine, Node, make_config

SMALL_CHUNK_BYTES = 4_000


def claiming_draft(number: int) -> EntryDraft:
    """An entry that claims `claim_of(number)`."""
    tables: dict[str, dict[bytes, bytes | None]] = {"kv.data": {b"%d" % number: b"value %d" % number}}
    return EntryDraft("kv", *WriteSet(tables).encode(), sha256(claim_of(number)))


def claim_of(number: int) -> bytes:
    return b"claim %d" % number


async def ask_receipts(node: Node, seqnos: Iterable[int]) -> list[ReceiptMade]:
    """Ask for receipts one after the other."""
    made = []
    for ticket, seqno in enumerate(seqnos, 1):
        await node.executor.send(TO_MANAGER.encode(ReceiptRequest(ticket, seqno)))
        answer = await node.next()
        assert isinstance(answer, ReceiptMade)
        assert answer.ticket == ticket
        made.append(answer)
    return made


async def make_ledger(starts: int = 3, blocks: int = 8) -> Machine:
    """Return a machine whose ledger has several chunks and views. Entry drafts are numbered from 0."""
    machine = Machine(config=make_config(chunk_bytes_min=SMALL_CHUNK_BYTES))
    numbers = itertools.count()
    for _ in range(starts):
        async with machine.node() as node:
            for block in range(blocks):
                await node.commit(*(claiming_draft(next(numbers)) for _ in range(1 + block % 3)))
    return machine


def service_certificate(node: Node) -> str:
    import msgspec

    return str(msgspec.json.decode(node.manager.service_info())["service_certificate"])


def claims_of(made: ReceiptMade) -> Digest:
    return Digest(made.claims)
