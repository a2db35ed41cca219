"""How a node that waits for its network tells what it waits for, and hears what members and its operator say to that.

Through files of the folder `restart` of its disk, which its host reads and writes (cli/node_restart.py): `state` says
how things are, `request` is what members are asked, `approval_*` are their answers, each judged once and then removed,
and `accept_loss` is the operator's wish to do without the disks that are missing. The host can withhold any of it. What
it makes up changes nothing: a wish leads to a request at most, and members sign that themselves.

Invariant: approvals count for the request they were made for; it is made anew, with another nonce, whenever the claim
that it rests on changes, and at each start.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from core import limits
from core.consensus.restart import DiskReport
from core.crypto.certificates import fingerprint
from core.crypto.hashing import sha256
from core.errors import CocoError
from core.governance.constitution import Constitution
from core.governance.restarts import (
    NONCE_BYTES,
    REQUEST_VERSION,
    ApprovalRefused,
    Approvals,
    DiskOfNode,
    MissingDisk,
    RestartRequest,
    approvals_needed,
)
from core.governance.slots import slot_of
from core.ledger.verify import SignedState
from core.node.manager_keys import NodeSecrets
from core.node.manager_tables import SystemState
from core.node.replication.restarting import Claim, Restarting
from core.node.start_checks import StartPermit, new_view
from core.ports import Disk, FileInfo
from core.types import NodeId, View

FOLDER = "restart"
STATE, REQUEST, ACCEPT_LOSS = f"{FOLDER}/state", f"{FOLDER}/request", f"{FOLDER}/accept_loss"
APPROVAL_PREFIX = f"{FOLDER}/approval_"
STATE_VERSION = 1
POLL_SECONDS = 1.0
"""Between two looks into the folder."""

REMIND_LOOKS = 20
"""Looks after which the log says again what is waited for."""

_REFUSALS_TOLD_MAX = 32


@dataclass(frozen=True, slots=True)
class FoundDisk:
    """A disk from which a network may start. state: at its end. last_view: the highest it tells of."""

    report: DiskReport
    kept: NodeSecrets
    state: SystemState
    signed: SignedState
    last_view: View


class RestartState(msgspec.Struct, frozen=True):
    """The file `state`. waits_for: disks of other nodes, or members. best: whose disk reaches furthest. before: disks
    that do not stand back for this one yet. request: digest (hexadecimal) of what is to be approved, "" for nothing.

    refused: approvals that do not count: digest of the file (hexadecimal) and reason.
    """

    version: int
    waits_for: str
    slot: str
    disks: tuple[DiskOfNode, ...]
    missing: tuple[MissingDisk, ...]
    best: str
    accept_loss: bool
    request: str = ""
    needed: int = 0
    approved: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


class RestartDesk:
    """See the module. is_chosen: whether other nodes choose, who are to be outdone by the new view."""

    def __init__(
        self,
        disk: Disk,
        constitution: Constitution,
        found: FoundDisk,
        slot: str,
        log: Callable[[str], None],
        *,
        is_chosen: bool,
    ) -> None:
        self._disk = disk
        self._constitution = constitution
        self._found = found
        self._slot = slot
        self._log = log
        self._permit = StartPermit(is_chosen)
        self._claim: Claim | None = None
        self._approvals: Approvals | None = None
        self._counted: list[str] = []
        self._refused: list[tuple[str, str]] = []
        self._written: dict[str, bytes] = {}
        self._looks = 0

    def needs_members(self, claim: Claim) -> bool:
        """Whether members must approve before the network is started by this claim."""
        return bool(approvals_needed(self._constitution, accept_loss=claim.accept_loss))

    @property
    def is_only_node(self) -> bool:
        """Whether the disk is that of a network with one node."""
        return len(self._found.state.trusted_nodes()) == 1

    @property
    def permit(self) -> StartPermit:
        """By what the network is started where members are not needed."""
        return self._permit

    async def look(self, restarting: Restarting) -> StartPermit | None:
        """Look what has come, and tell how things are; returns what the network is started by, once it may be.

        Raises StorageFailed.
        """
        files = list(await self._disk.list_files(FOLDER))[: 4 * limits.RESTART_APPROVALS_MAX]
        if any(info.name == ACCEPT_LOSS for info in files):
            restarting.accept_loss()
        claim = restarting.claim() if self._permit.is_chosen else Claim((restarting.own,), (), accept_loss=False)
        if claim is not None and not self.needs_members(claim):
            return self._permit
        if claim != self._claim:
            await self._ask(claim)
        restarting.awaits_members = claim is not None
        await self._judge([info for info in files if info.name.startswith(APPROVAL_PREFIX)])
        await self._write(STATE, msgspec.json.encode(self._state(restarting)))
        if self._approvals is not None and self._approvals.are_enough:
            return StartPermit(self._permit.is_chosen, self._approvals, self._permit.node_key)
        self._looks += 1
        if self._looks % REMIND_LOOKS == 0:
            self._remind(restarting)
        return None

    async def _ask(self, claim: Claim | None) -> None:
        """Make a request of this claim; what was approved before does not count for it."""
        self._claim, self._approvals, self._counted = claim, None, []
        if claim is None:
            await self._remove(REQUEST)
            return
        self._approvals = Approvals(self._make_request(claim), self._constitution)
        await self._write(REQUEST, self._approvals.request.encode())
        self._log(self._waiting())

    def _make_request(self, claim: Claim) -> RestartRequest:
        found = self._found
        view = new_view(found.last_view, is_chosen=self._permit.is_chosen, accept_loss=claim.accept_loss)
        return RestartRequest(
            version=REQUEST_VERSION,
            network=self._constitution.digest().hex(),
            service=fingerprint(found.kept.service_certificate),
            node=self._permit.node_key.public_key().node_id(),
            slot=self._slot,
            view=found.signed.view,
            seqno=found.signed.seqno,
            root=found.signed.frontier.root().hex(),
            new_view=view,
            nonce=secrets.token_hex(NONCE_BYTES),
            disks=tuple(DiskOfNode(self._slot_of(one.node), one.node, one.view, one.seqno) for one in claim.disks),
            missing=tuple(MissingDisk(self._slot_of(node), node) for node in claim.missing),
            accept_loss=claim.accept_loss,
        )

    def _waiting(self) -> str:
        if self._approvals is None:
            return "waits for other nodes' disks"
        request, count = self._approvals.request, len(self._approvals.members)
        loss = f", without {len(request.missing)} disks" if request.accept_loss else ""
        return (
            f"waits for the members: request {request.digest().hex()[:16]} to start the network after "
            f"{request.view}.{request.seqno}{loss}; {count} of {self._approvals.needed} have approved"
        )

    def _remind(self, restarting: Restarting) -> None:
        if self._approvals is not None:
            self._log(self._waiting())
        else:
            restarting.remind()

    async def _judge(self, files: list[FileInfo]) -> None:
        for info in files[: limits.RESTART_APPROVALS_MAX]:
            too_large = info.size_bytes > limits.GOVERNANCE_MESSAGE_BYTES_MAX
            data = b"" if too_large else await self._disk.read(info.name, 0, limits.GOVERNANCE_MESSAGE_BYTES_MAX)
            self._take(data)
            await self._disk.remove(info.name)

    def _take(self, data: bytes) -> None:
        """Count an approval, or say why it does not count."""
        digest = sha256(data).hex()
        if self._approvals is None:
            self._refuse(digest, "not-asked", "nothing is to be approved now")
            return
        try:
            member = self._approvals.take(data)
        except ApprovalRefused as error:
            self._refuse(digest, error.reason, error.message)
            return
        self._counted.append(digest)
        self._log(f"{member} approves of the restart; {self._waiting()}")

    def _refuse(self, digest: str, reason: str, message: str) -> None:
        self._refused = [*self._refused, (digest, reason)][-_REFUSALS_TOLD_MAX:]
        self._log(f"an approval does not count ({reason}): {message}")

    def _state(self, restarting: Restarting) -> RestartState:
        approvals = self._approvals
        return RestartState(
            version=STATE_VERSION,
            waits_for="disks" if approvals is None else "members",
            slot=self._slot,
            disks=tuple(
                DiskOfNode(self._slot_of(one.node), one.node, one.view, one.seqno) for one in restarting.reports
            ),
            missing=tuple(MissingDisk(self._slot_of(node), node) for node in restarting.missing),
            best=self._slot_of(restarting.best.node),
            accept_loss=restarting.accepts_loss,
            request="" if approvals is None else approvals.request.digest().hex(),
            needed=0 if approvals is None else approvals.needed,
            approved=() if approvals is None else tuple(approvals.members),
            counted=tuple(self._counted),
            refused=tuple(self._refused),
        )

    def _slot_of(self, node: NodeId) -> str:
        return slot_of(self._found.state.slots, node) or ""

    async def _write(self, name: str, data: bytes) -> None:
        if self._written.get(name) != data:
            await self._disk.replace(name, data)
            self._written[name] = data

    async def _remove(self, name: str) -> None:
        if self._written.pop(name, None) is not None:
            await self._disk.remove(name)


async def clear_desk(disk: Disk) -> None:
    """Remove what an earlier wait, or one that is over, has left. Raises StorageFailed."""
    for info in await disk.list_files(FOLDER):
        await disk.remove(info.name)


def decode_state(data: bytes) -> RestartState:
    """Decode the file `state`; raises CocoError."""
    try:
        return msgspec.json.decode(data, type=RestartState)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise CocoError(f"what the waiting node says does not parse: {error}") from None


def describe(request: RestartRequest) -> dict[str, Any]:
    """Return a request as JSON values, with its digest."""
    return {"digest": request.digest().hex(), **msgspec.to_builtins(request)}
