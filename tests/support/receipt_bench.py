"""Ledgers of several chunks, restarts and views, and the receipts that a manager makes of their entries."""

from __future__ import annotations

import asyncio
import base64
import functools
import itertools
import json
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from core.crypto.certificates import issue, public_key_of, self_signed
from core.crypto.hashing import sha256
from core.crypto.keys import PrivateKey
from core.kv.write_set import WriteSet
from core.node.messages import TO_MANAGER, EntryDraft, ReceiptMade, ReceiptRequest
from tests.support.manager_bench import Machine, Node, make_config

SMALL_CHUNK_BYTES = 4_000
START = datetime(2026, 1, 1, tzinfo=UTC)


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
    return str(msgspec.json.decode(node.manager.service_info())["service_certificate"])


@dataclass(frozen=True, slots=True)
class Made:
    """receipts: of each entry, from entry 1."""

    service: str
    receipts: tuple[ReceiptMade, ...]

    @property
    def ordinary(self) -> ReceiptMade:
        """The receipt of an entry that claims something, with steps on both sides of its path."""
        for one in self.receipts:
            sides = {side for step in json.loads(one.receipt)["proof"] for side in step}
            if sides == {"left", "right"} and any(one.claims):
                return one
        raise AssertionError("there is none")

    @property
    def signature(self) -> ReceiptMade:
        return next(one for one in self.receipts if one.is_signature)


@functools.cache
def made_receipts() -> Made:
    """Return the receipts of all entries of one ledger."""

    async def make() -> Made:
        machine = await make_ledger()
        async with machine.node() as node:
            assert node.ready is not None
            made = await ask_receipts(node, range(1, node.ready.last_seqno + 1))
            return Made(service_certificate(node), tuple(made))

    return asyncio.run(make())


def recovered(receipt: dict[str, Any], service: str) -> tuple[dict[str, Any], str]:
    """Return a receipt as a service shows it that was recovered after it, and the new service's certificate."""
    key = PrivateKey.generate()
    new = self_signed("recovered service", key, not_before=START, days=3650)
    return {**receipt, "service_endorsements": [endorsement(service, new, key)]}, new


def endorsement(service: str, new: str, key: PrivateKey) -> str:
    """Return the certificate by which a new service vouches for the key of an earlier one."""
    earlier, issuer = (x509.load_pem_x509_certificate(one.encode()) for one in (service, new))
    made = (
        x509.CertificateBuilder()
        .subject_name(earlier.subject)
        .issuer_name(issuer.subject)
        .public_key(public_key_of(service).raw)
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key.raw, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def changed(receipt: dict[str, Any], service: str) -> dict[str, dict[str, Any]]:
    """Return what a receipt must not verify as: each with one part changed."""

    def flip(text: str) -> str:
        return ("1" if text[0] != "1" else "2") + text[1:]

    made = {}
    for part in ("write_set_digest", "claims_digest"):
        made[part] = deepcopy(receipt)
        made[part]["leaf_components"][part] = flip(receipt["leaf_components"][part])
    evidence = receipt["leaf_components"]["commit_evidence"]
    made["commit evidence"] = deepcopy(receipt)
    made["commit evidence"]["leaf_components"]["commit_evidence"] = evidence[:-64] + flip(evidence[-64:])
    made["transaction id"] = deepcopy(receipt)
    made["transaction id"]["leaf_components"]["commit_evidence"] = evidence.replace("ce:", "ce:1", 1)
    for at, step in enumerate(receipt["proof"]):
        ((side, digest),) = step.items()
        made[f"step {at}"] = deepcopy(receipt)
        made[f"step {at}"]["proof"][at] = {side: flip(digest)}
        made[f"side of step {at}"] = deepcopy(receipt)
        made[f"side of step {at}"]["proof"][at] = {"right" if side == "left" else "left": digest}
        made[f"without step {at}"] = deepcopy(receipt)
        del made[f"without step {at}"]["proof"][at]
    made["one step more"] = deepcopy(receipt)
    made["one step more"]["proof"].append({"left": "00" * 32})
    signature = bytearray(base64.b64decode(receipt["signature"]))
    signature[-1] ^= 1
    made["signature"] = {**receipt, "signature": base64.b64encode(signature).decode()}
    other_key = PrivateKey.generate()
    other = self_signed("bench service", other_key, not_before=START, days=3650)
    forged = issue(
        "node", other_key.public_key(), issuer=other, issuer_key=other_key, not_before=START, days=9, usage="signing"
    )
    forged_id = other_key.public_key().node_id()
    made["certificate of another service's node"] = {**receipt, "cert": forged, "node_id": forged_id}
    made["the service's certificate"] = {**receipt, "cert": service, "node_id": public_key_of(service).node_id()}
    made["an endorsement too many"] = {**receipt, "service_endorsements": [other]}
    return made
