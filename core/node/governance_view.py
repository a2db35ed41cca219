"""What the committed tables say of governance, as `GET /node/governance` shows it: members, proposals, slots.

    {"members": [name], "default_adapter": name, "slots": [{"slot", "member", "address", "state", "node", ...}],
     "proposals": [{"id", "state", "member", "actions", "ballots", "approvals", "needed", "created_at", "expires_at"}]}

Open proposals come first, then the newest others, as many as OTHERS_MAX. The state of a proposal is the ledger's: one
that has expired is open there until the next message of a member.
"""

from __future__ import annotations

from typing import Any

import msgspec

from core.governance.constitution import Constitution
from core.governance.proposals import PROPOSALS, ProposalRecord, approvals_needed
from core.governance.slots import SLOTS, SlotRecord
from core.kv.transaction import Transaction
from core.node.manager_tables import CONSTITUTION, CURRENT, DEFAULT_ADAPTER, SETTINGS

OTHERS_MAX = 200


def governance_view(committed: Transaction) -> dict[str, Any]:
    """Return the document. Raises CocoError for a ledger without a constitution, which no node serves."""
    constitution = Constitution.decode(committed.table(CONSTITUTION).get(CURRENT) or b"")
    members = [identity.name for identity in constitution.identities if identity.role == "member"]
    chosen = committed.table(SETTINGS).get(DEFAULT_ADAPTER)
    return {
        "members": members,
        "default_adapter": constitution.default_adapter if chosen is None else chosen.decode(),
        "slots": [
            {"slot": key.decode("ascii", "replace")} | msgspec.to_builtins(SlotRecord.decode(value))
            for key, value in _rows(committed, SLOTS)
        ],
        "proposals": _proposals(committed, members),
    }


def _proposals(committed: Transaction, members: list[str]) -> list[dict[str, Any]]:
    records = [(key.hex(), ProposalRecord.decode(value)) for key, value in _rows(committed, PROPOSALS)]
    records.sort(key=lambda one: (one[1].created_at, one[0]), reverse=True)
    wanted = [one for one in records if one[1].state == "Open"]
    wanted += [one for one in records if one[1].state != "Open"][:OTHERS_MAX]
    return [_shown(name, record, members) for name, record in wanted]


def _shown(name: str, record: ProposalRecord, members: list[str]) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(record)
    ballots = {voter: vote.approve for voter, vote in sorted(record.ballots.items())}
    return shown | {
        "id": name,
        "ballots": ballots,
        "approvals": sum(ballots.get(voter, False) for voter in members),
        "needed": approvals_needed(record.actions, len(members)),
        "expires_at": record.expires_at,
    }


def _rows(committed: Transaction, name: str) -> list[tuple[bytes, bytes]]:
    table = committed.table(name)
    return [(key, value) for key in table.keys() if (value := table.get(key)) is not None]  # noqa: SIM118 - no mapping
