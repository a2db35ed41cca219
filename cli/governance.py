"""`coco governance`: what members propose, and how they vote on it."""

from __future__ import annotations

import time
from typing import Any

import click

from cli.connection import Connection
from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import note, print_fields, print_json, print_table
from cli.signing import GovernanceView, Signer, describe_action
from cli.store import Store

ID_DIGITS_SHOWN = 16


@click.group()
def governance() -> None:
    """See what members propose, and vote on it."""


@governance.command()
@network_option
@identity_option
@click.option("--all", "show_all", is_flag=True, help="Decided ones as well.")
@json_option
@click.pass_obj
def proposals(store: Store, network: str | None, identity: str | None, show_all: bool, as_json: bool) -> None:
    """List the proposals that are open, or all of them."""
    with open_connection(store.client(network), identity) as connection:
        view = GovernanceView.read(connection)
    shown = [one for one in view.proposals if show_all or one["state"] == "Open"]
    if as_json:
        print_json(shown)
    elif shown:
        rows = [
            (one["id"][:ID_DIGITS_SHOWN], _state(one), one["member"], _tally(one), "; ".join(_actions(one)))
            for one in shown
        ]
        print_table(("proposal", "state", "by", "approvals", "asks to"), rows)
    else:
        note("No proposal is open. coco governance proposals --all lists those that were.")


@governance.command()
@click.argument("proposal")
@network_option
@identity_option
@json_option
@click.pass_obj
def show(store: Store, proposal: str, network: str | None, identity: str | None, as_json: bool) -> None:
    """Show a proposal: what it asks for, and who has voted how. Its id may be cut short."""
    with open_connection(store.client(network), identity) as connection:
        found = GovernanceView.read(connection).find(proposal)
    print_proposal(found, as_json)


@governance.command()
@click.argument("proposal")
@click.option("--approve/--reject", default=True, show_default=True, help="How to vote.")
@network_option
@identity_option
@json_option
@click.pass_obj
def vote(store: Store, proposal: str, approve: bool, network: str | None, identity: str | None, as_json: bool) -> None:
    """Vote on a proposal as a member, or change the vote while it is open. Its id may be cut short."""
    client = store.client(network)
    signer = Signer.of(client, identity)
    with open_connection(client, signer.actor.name) as connection:
        found = GovernanceView.read(connection).find(proposal)
        if found["state"] == "Open" and found["ballots"].get(signer.actor.name) is approve:
            note(f"{signer.actor.name} has voted so already.")
        else:
            signer.vote(connection, found["id"], approve)
        print_proposal(read_again(connection, found["id"]), as_json)


@governance.command()
@click.argument("proposal")
@network_option
@identity_option
@json_option
@click.pass_obj
def withdraw(store: Store, proposal: str, network: str | None, identity: str | None, as_json: bool) -> None:
    """Take a proposal of one's own back. Its id may be cut short."""
    client = store.client(network)
    signer = Signer.of(client, identity)
    with open_connection(client, signer.actor.name) as connection:
        found = GovernanceView.read(connection).find(proposal)
        signer.withdraw(connection, found["id"])
        print_proposal(read_again(connection, found["id"]), as_json)


@governance.command()
@network_option
@identity_option
@json_option
@click.pass_obj
def slots(store: Store, network: str | None, identity: str | None, as_json: bool) -> None:
    """List the network's slots: whose node may be in each, at which address, and which node is."""
    with open_connection(store.client(network), identity) as connection:
        view = GovernanceView.read(connection)
    if as_json:
        print_json(list(view.slots.values()))
        return
    rows = [
        (name, slot["member"], slot["state"], slot["address"] or "-", slot["node"][:ID_DIGITS_SHOWN] or "-")
        for name, slot in view.slots.items()
    ]
    print_table(("slot", "member", "state", "address", "node"), rows)


def read_again(connection: Connection, proposal: str) -> dict[str, Any]:
    """Return a proposal as it is now."""
    return GovernanceView.read(connection).find(proposal)


def print_proposal(proposal: dict[str, Any], as_json: bool) -> None:
    """Print one, and what is left to do about it."""
    if as_json:
        print_json(proposal)
        return
    voted = {True: "approves", False: "rejects"}
    fields: dict[str, object] = {"proposal": proposal["id"], "state": _state(proposal), "by": proposal["member"]}
    fields |= {f"asks to {number}": text for number, text in enumerate(_actions(proposal), 1)}
    fields |= {"approvals": _tally(proposal)}
    fields |= {f"vote of {name}": voted[approve] for name, approve in proposal["ballots"].items()}
    fields |= {"expires": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(proposal["expires_at"]))}
    print_fields(fields | {"reason": proposal.get("reason") or None})
    if proposal["state"] == "Open":
        note(f"Other members vote: coco governance vote {proposal['id'][:ID_DIGITS_SHOWN]}")


def _state(proposal: dict[str, Any]) -> str:
    if proposal["state"] == "Open" and time.time() > proposal["expires_at"]:
        return "Expired"
    return str(proposal["state"])


def _tally(proposal: dict[str, Any]) -> str:
    return f"{proposal['approvals']} of {proposal['needed']} needed"


def _actions(proposal: dict[str, Any]) -> list[str]:
    return [describe_action(action) for action in proposal["actions"]]
