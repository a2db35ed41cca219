"""Governance at the manager: what it carries out, and what it refuses with an entry that says why."""

from __future__ import annotations

import json

import pytest

from core.crypto.keys import PrivateKey
from core.governance.messages import set_default_adapter, sign_message
from core.kv.write_set import decode_domain
from core.node.messages import (
    EntryDraft,
)
from core.types import NO_CLAIMS
from tests.support.manager_bench import (
    MEMBER_CERTIFICATE,
    MEMBER_KEY,
    PARTICIPANT_CERTIFICATE,
    PARTICIPANT_KEY,
    Machine,
    kv_draft,
    make_constitution,
)


def signed(
    network: bytes | None = None, key: PrivateKey = MEMBER_KEY, at: float = 1_800_000_000, to: str = "kv"
) -> bytes:
    digest = make_constitution().digest() if network is None else network
    certificate = MEMBER_CERTIFICATE if key is MEMBER_KEY else PARTICIPANT_CERTIFICATE
    return sign_message(
        [set_default_adapter(to)],
        network=digest,
        certificate=certificate,
        key=key,
        created_at=int(at),  # type: ignore[arg-type]
    )


def governance(message: bytes) -> EntryDraft:
    return EntryDraft("coco", b"", message, NO_CLAIMS)


REJECTED = {
    "garbage": b"garbage",
    "empty": b"",
    "participant": signed(key=PARTICIPANT_KEY),
    "other network": signed(network=bytes(32)),
    "stale": signed(at=1_800_000_000 - 601),
    "future": signed(at=1_800_000_000 + 601),
    "adapter not live": signed(to="corda"),
}


@pytest.mark.parametrize("message", REJECTED.values(), ids=REJECTED.keys())
async def test_rejected_governance_leaves_an_entry_that_says_why(message: bytes) -> None:
    machine = Machine()
    async with machine.node() as node:
        done = await node.commit(kv_draft(b"a", b"1"), governance(message), kv_draft(b"b", b"1"))
        (result,) = done.governance
        assert (result.seqno, done.last_seqno) == (5, 7)
        assert result.reason
        ((name, writes),) = decode_domain(result.public).items()
        assert name == "public:coco.governance.rejected"
        assert json.loads(next(iter(writes.values())) or b"")["reason"] == result.reason
    async with machine.node() as node:
        assert "public:coco.settings" not in node.state()
        assert node.state()["kv.data"] == {b"a": b"1", b"b": b"1"}


async def test_accepted_governance_changes_the_setting_once() -> None:
    machine = Machine()
    message = signed()
    async with machine.node() as node:
        first = (await node.commit(governance(message))).governance[0]
        assert first.reason == ""
        assert decode_domain(first.public)["public:coco.settings"] == {b"default_adapter": b"kv"}
        again = (await node.commit(governance(message), governance(message))).governance
        assert all("carried out before" in result.reason for result in again)
    async with machine.node() as node:
        assert node.state()["public:coco.settings"] == {b"default_adapter": b"kv"}
        assert message in node.state()["public:coco.governance.messages"].values()
        assert "carried out before" in (await node.commit(governance(message))).governance[0].reason
