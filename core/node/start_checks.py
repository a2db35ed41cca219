"""What must hold before a start changes anything: what is on disk fits together, and this node may start a network."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.crypto.certificates import fingerprint
from core.crypto.keys import PrivateKey
from core.errors import IncompatibleData, InvariantBroken, LedgerDamaged
from core.governance.constitution import Constitution
from core.governance.restarts import Approvals, RestartRecord, approvals_needed
from core.ledger.files import FOLDER
from core.ledger.replay import Replayed
from core.ledger.verify import DAMAGE_HINT, Place, SignedState, damaged
from core.node.manager_keys import NEW_NETWORK_HINT, NodeSecrets
from core.node.manager_tables import SystemState
from core.ports import Disk
from core.types import View

RESTART_VIEWS = 1_000
"""By so many the view is above any that the disks tell of, after several nodes: an election may have left no entry."""

LOSS_VIEWS = 1_000_000
"""The same where disks are given up: a network may have started from those, too, and no view shall be in both."""


@dataclass(frozen=True, slots=True)
class StartPermit:
    """By what a node starts a network. is_chosen: by the other nodes, for its disk. approvals: of members.

    node_key: the node's from then on, which members approved of.
    """

    is_chosen: bool = False
    approvals: Approvals | None = None
    node_key: PrivateKey = field(default_factory=PrivateKey.generate)

    @property
    def record(self) -> RestartRecord | None:
        """What the ledger is to hold of it."""
        return None if self.approvals is None else RestartRecord.of(self.approvals)

    def view_after(self, last_view: View) -> View:
        """Return the view to begin. last_view: the highest that the disk tells of."""
        accept_loss = self.approvals is not None and self.approvals.request.accept_loss
        return new_view(last_view, is_chosen=self.is_chosen, accept_loss=accept_loss)

    def check(
        self, constitution: Constitution, slot: str, service_certificate: str, signed: SignedState, view: View
    ) -> None:
        """Check that members approved of this start, where that is needed. signed: where the ledger ends now.

        Raises IncompatibleData for a disk that is not as it was when they were asked.
        """
        if not signed.seqno:
            return  # The network begins.
        if self.approvals is None:
            if approvals_needed(constitution, accept_loss=False):
                raise InvariantBroken("a network would start again without its members' approval")
            return
        request = self.approvals.request
        if not self.approvals.are_enough or request.node != self.node_key.public_key().node_id():
            raise InvariantBroken("a network would start again by what members did not approve of")
        now = (
            constitution.digest().hex(),
            fingerprint(service_certificate),
            slot,
            (signed.view, signed.seqno, signed.frontier.root().hex(), view),
        )
        asked = (request.network, request.service, request.slot)
        if now != (*asked, (request.view, request.seqno, request.root, request.new_view)):
            raise IncompatibleData(
                f"the disk ends at {signed.view}.{signed.seqno} now, and the members approved of a start after "
                f"{request.view}.{request.seqno}: it was changed meanwhile",
                hint="Start the node again, and have its new request approved: coco node restart show",
            )


def new_view(last_view: View, *, is_chosen: bool, accept_loss: bool) -> View:
    """Return the view that a start begins."""
    above = LOSS_VIEWS if accept_loss else RESTART_VIEWS if is_chosen else 0
    return View(last_view + above + 1)


def check_alone(state: SystemState) -> None:
    """Check that the network had one node; raises IncompatibleData."""
    nodes = state.trusted_nodes()
    if len(nodes) > 1:
        raise IncompatibleData(
            f"this network has {len(nodes)} nodes, so none of them starts again alone: the others may have gone on",
            hint="Start the node with an authorization of its member, and with the addresses of the others, to join "
            "them again.",
        )


async def check_beside(disk: Disk, kept: NodeSecrets | None, constitution: Constitution) -> None:
    """Check that keys and ledger are both there, or neither, and of this network; raises IncompatibleData."""
    files = [info for info in await disk.list_files(FOLDER) if info.size_bytes]
    if kept is None:
        if files:
            raise IncompatibleData(
                "there is a ledger here, but its sealed keys are missing",
                hint=f"Restore sealed/keys from a backup of the same moment or later. {NEW_NETWORK_HINT}",
            )
        return
    if kept.constitution != constitution.digest():
        raise IncompatibleData(
            f"the data directory is of network {kept.constitution.hex()[:16]}; "
            f"the constitution given is of {constitution.digest().hex()[:16]}",
            hint=f"Give the genesis constitution the network was created with. {NEW_NETWORK_HINT}",
        )
    if kept.known_seqno and not files:
        raise IncompatibleData(
            f"the sealed keys are here, but the ledger, which held {kept.known_seqno} entries or more, is missing",
            hint=f"Restore the ledger folder from a backup. {NEW_NETWORK_HINT}",
        )


def check_reach(replayed: Replayed, kept: NodeSecrets, state: SystemState) -> None:
    """Check that the ledger reaches as far as it once did, and begins with the constitution."""
    reached = replayed.signed.seqno
    if reached < kept.known_seqno:
        file = replayed.cut.file if replayed.cut else FOLDER
        offset = replayed.cut.keep_bytes if replayed.cut else replayed.open_bytes
        what = f"it ends at entry {reached}, but it held entry {kept.known_seqno} when the node last started"
        raise damaged(Place(file, offset), reached + 1, what)
    if reached and not state.constitution_seen:
        raise LedgerDamaged(
            "the ledger holds no constitution", file=f"{FOLDER}/ledger_1", offset=0, entry=1, hint=DAMAGE_HINT
        )
