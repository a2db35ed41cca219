"""What members of a network sign for nodes, where their keys are on this machine: admissions, and delegations.

A slot is admitted by the members' majority; its member's delegation lets a node take it, again and again, without
anybody being asked. Here is what `coco network start` does of that by itself, for the nodes that `create` planned.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.connection import Connection
from cli.files import read_private, write_private
from cli.signing import GovernanceView, Signer
from cli.store import ClientStore
from core import limits
from core.crypto.certificates import fingerprint
from core.errors import CocoError, MalformedMessage

if TYPE_CHECKING:
    from core.governance.authorizations import Authorization, Measurements
    from core.governance.constitution import Constitution

AUTHORIZATION_FILE = "authorization.cose"
DELEGATION_DAYS = 365
DELEGATION_COUNT = limits.DELEGATION_COUNT_MAX
RENEW_SECONDS = 30 * 86_400
"""A delegation that ends sooner is signed anew at a start, where its member's key is here."""

TAKEN_IN_SECONDS_MAX = 15.0


@dataclass(frozen=True, slots=True)
class Place:
    """A slot of the network as its members planned it. address: HOST:PORT at which the other nodes reach its node."""

    slot: str
    member: str
    address: str


def own_members(client: ClientStore, constitution: Constitution) -> list[str]:
    """Return the members whose keys are on this machine, in the constitution's order."""
    here = set(client.identities())
    return [one.name for one in constitution.identities if one.role == "member" and one.name in here]


def member_of(constitution: Constitution, number: int) -> str:
    """Return the member whose the planned node of this number (from 0) is: they take turns."""
    members = [one.name for one in constitution.identities if one.role == "member"]
    return members[number % len(members)]


def ensure_admitted(
    connection: Connection, client: ClientStore, constitution: Constitution, places: Sequence[Place]
) -> None:
    """Admit the places that are no slots of the network yet: a proposal, and the votes of the members that are here.

    Raises CocoError that names who has to vote where these are no majority.
    """
    known = slots_of(connection)
    wanted = [place for place in places if place.slot not in known]
    if not wanted:
        return
    voters = own_members(client, constitution)
    members = [one.name for one in constitution.identities if one.role == "member"]
    needed = len(members) // 2 + 1
    if len(voters) < needed:
        raise CocoError(
            f"{', '.join(place.slot for place in wanted)}: not admitted yet, and the keys of {len(voters)} of "
            f"{len(members)} members are here; {needed} must agree",
            hint="Let the others vote: coco node approve SLOT. Then: coco network start",
        )
    _vote_in(connection, client, wanted, voters[:needed])
    _wait_until_known(connection, {place.slot for place in wanted})


def _vote_in(connection: Connection, client: ClientStore, places: Sequence[Place], voters: Sequence[str]) -> None:
    from core.governance.messages import admit_node

    first, *others = (Signer.of(client, name) for name in voters)
    proposal = first.propose(connection, [admit_node(place.slot, place.member, place.address) for place in places])
    for other in others:
        other.vote(connection, proposal, approve=True)


def _wait_until_known(connection: Connection, slots: set[str]) -> None:
    deadline = time.monotonic() + TAKEN_IN_SECONDS_MAX
    while missing := sorted(slots - set(slots_of(connection))):
        if time.monotonic() > deadline:
            raise CocoError(
                f"{', '.join(missing)} was voted for, and is no slot of the network",
                hint="See the proposals with: coco governance proposals --all",
            )
        time.sleep(0.1)


def slots_of(connection: Connection) -> Mapping[str, Mapping[str, Any]]:
    """Return the network's slots by name, each with `member`, `address`, `state` and `node`; raises Refused."""
    return GovernanceView.read(connection).slots


def measurements_here() -> Measurements:
    """Return what the code that is installed here measures."""
    from core.governance.authorizations import Measurements
    from enclave_sim.platform.measurement import measure_node

    manager, worker = measure_node()
    return Measurements(manager.mrenclave.hex(), worker.mrenclave.hex())


def ensure_delegation(
    directory: Path, client: ClientStore | None, constitution: Constitution, place: Place, service_certificate: str
) -> None:
    """See that a node's directory has a delegation that it can join with; sign one where its member's key is here.

    Raises CocoError that says who must sign.
    """
    now = int(time.time())
    measured = measurements_here()
    file = directory / AUTHORIZATION_FILE
    reason = _unusable(file, constitution, place, service_certificate, measured, now)
    if not reason:
        return
    if client is None or place.member not in client.identities():
        raise CocoError(
            f"{place.slot} cannot join: {reason}",
            hint=f"{place.member} signs one: coco node delegate {place.slot}. Put it at {file}.",
        )
    from core.governance.authorizations import sign_delegation

    signer = Signer.of(client, place.member)
    delegation = sign_delegation(
        network=constitution.digest(),
        service=fingerprint(service_certificate),
        slot=place.slot,
        address=place.address,
        measurements=measured,
        count=DELEGATION_COUNT,
        not_after=now + DELEGATION_DAYS * 86_400,
        **signer.credentials(),
    )
    write_private(file, delegation)


def _unusable(
    file: Path,
    constitution: Constitution,
    place: Place,
    service_certificate: str,
    measured: Measurements,
    now: int,
) -> str:
    """Return why the authorization in a file does not do, "" if it does. What was used up, the ledger alone knows."""
    data = read_private(file)
    if data is None:
        return "it has no delegation of its member"
    try:
        ticket = read_authorization(data).ticket
    except CocoError as error:
        return f"its delegation cannot be read: {error.message}"
    if ticket.network != constitution.digest().hex() or ticket.service != fingerprint(service_certificate):
        return "its delegation is for another network"
    if (ticket.slot, ticket.address) != (place.slot, place.address):
        return f"its delegation is for {ticket.slot} at {ticket.address}"
    if ticket.measurements != measured:
        return "its delegation is for other code than is installed here"
    if ticket.not_after < now + RENEW_SECONDS and ticket.is_delegation:
        return "its delegation ends soon, or has ended"
    return ""


def read_authorization(data: bytes) -> Authorization:
    """Parse a ticket or delegation; raises MalformedMessage and other CocoErrors."""
    from core.governance.authorizations import parse_authorization

    if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
        raise MalformedMessage("the file is too large for an authorization")
    return parse_authorization(data)
