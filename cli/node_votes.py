"""`coco node approve` and `coco node remove`: propose a change of the list of nodes, or vote for what is proposed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from cli.connection import Connection
from cli.errors import NotFound, WrongUse
from cli.governance import ID_DIGITS_SHOWN, print_proposal, read_again
from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import note, print_fields, print_json
from cli.signing import GovernanceView, Signer, describe_action
from cli.store import Store

if TYPE_CHECKING:
    from core.governance.messages import Action


@click.command()
@click.argument("slot")
@click.option("--member", metavar="NAME", help="Whose node it is. Default: your own, or as proposed.")
@click.option("--address", metavar="HOST:PORT", help="Where other nodes reach it. Default: as proposed.")
@network_option
@identity_option
@json_option
@click.pass_obj
def approve(
    store: Store,
    slot: str,
    member: str | None,
    address: str | None,
    network: str | None,
    identity: str | None,
    as_json: bool,
) -> None:
    """Agree, as a member, that a node may join in a slot: propose it, or vote for the proposal that is open.

    More than half of the members must agree. Then the node joins with what its own member signs for it: coco node
    ticket, or coco node delegate.

    \b
    coco node approve node2 --member carrier --address node2.example.org:8500
    coco node approve node2
    """
    from core.governance.messages import admit_node

    client = store.client(network)
    signer = Signer.of(client, identity)
    with open_connection(client, signer.actor.name) as connection:
        view = GovernanceView.read(connection)
        if (known := view.slots.get(slot)) is not None and known["state"] != "removed":
            _admitted_already(known, member, address, as_json)
            return
        wanted = {name: value for name, value in (("member", member), ("address", address)) if value is not None}
        found = _find_open(view, "admit_node", {"slot": slot} | wanted)
        if found is None and address is None:
            raise WrongUse(
                f"nobody has proposed the slot {slot}" + (" so" if wanted else ""),
                hint="Propose it: say where the other nodes reach it, with --address HOST:PORT.",
            )
        action = admit_node(slot, member or signer.actor.name, address or "")
        _agree(connection, signer, found, action, as_json)


@click.command()
@click.argument("slot")
@network_option
@identity_option
@json_option
@click.pass_obj
def remove(store: Store, slot: str, network: str | None, identity: str | None, as_json: bool) -> None:
    """Agree, as a member, to take a slot and its node off the network: propose it, or vote for the open proposal.

    More than half of the members must agree. The name of a slot that was removed is not used again.
    """
    from core.governance.messages import remove_node

    client = store.client(network)
    signer = Signer.of(client, identity)
    with open_connection(client, signer.actor.name) as connection:
        view = GovernanceView.read(connection)
        known = view.slots.get(slot)
        if known is None:
            raise NotFound(f"the network has no slot {slot[:40]}", hint="coco governance slots lists them.")
        if known["state"] in ("removing", "removed"):
            note(f"The slot {slot} is {known['state']} already.")
            (print_json if as_json else print_fields)(known)
            return
        _agree(connection, signer, _find_open(view, "remove_node", {"slot": slot}), remove_node(slot), as_json)


def _agree(connection: Connection, signer: Signer, found: dict[str, Any] | None, action: Action, as_json: bool) -> None:
    """Vote for an open proposal, or make one; print how it stands then."""
    if found is None:
        proposal = signer.propose(connection, [action])
    else:
        proposal = str(found["id"])
        if found["ballots"].get(signer.actor.name) is True:
            note(f"{signer.actor.name} approves of this already; other members vote.")
        else:
            signer.vote(connection, proposal, approve=True)
    print_proposal(read_again(connection, proposal), as_json)


def _find_open(view: GovernanceView, name: str, arguments: dict[str, str]) -> dict[str, Any] | None:
    """Return the one open proposal that asks for this; raises WrongUse where a vote would mean something else."""
    found = [
        one
        for one in view.proposals
        if one["state"] == "Open" and any(_asks_for(action, name, arguments) for action in one["actions"])
    ]
    if not found:
        return None
    if len(found) > 1:
        which = ", ".join(str(one["id"])[:ID_DIGITS_SHOWN] for one in found)
        raise WrongUse(f"{len(found)} proposals ask for this: {which}", hint="Choose: coco governance vote PROPOSAL")
    (only,) = found
    if len(only["actions"]) > 1:
        others = "; ".join(describe_action(action) for action in only["actions"])
        raise WrongUse(
            f"the proposal asks for more than that: {others}",
            hint=f"To agree to all of it: coco governance vote {str(only['id'])[:ID_DIGITS_SHOWN]}",
        )
    return only


def _asks_for(action: dict[str, Any], name: str, arguments: dict[str, str]) -> bool:
    return action.get("name") == name and arguments.items() <= action.get("args", {}).items()


def _admitted_already(known: dict[str, Any], member: str | None, address: str | None, as_json: bool) -> None:
    slot = known["slot"]
    if member not in (None, known["member"]) or address not in (None, known["address"]):
        raise WrongUse(
            f"the slot {slot} is {known['member']}'s, at {known['address']}",
            hint="Propose another slot; this one can be removed: coco node remove " + str(slot),
        )
    note(f"The slot {slot} is {known['state']} already.")
    (print_json if as_json else print_fields)(known)
