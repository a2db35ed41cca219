"""`coco node ticket` and `coco node delegate`: what a member signs so that its node may join, for the node to keep."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cli.errors import NotFound, WrongUse
from cli.evidence import verify_service
from cli.files import read_file, write_private
from cli.node_waiting import read_request
from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import note, print_fields, print_json
from cli.signing import GovernanceView, Signer, constitution_digest
from cli.store import ClientStore, Store
from core import limits
from core.crypto.certificates import fingerprint
from core.errors import CocoError
from core.types import NodeId

if TYPE_CHECKING:
    from core.governance.authorizations import Measurements
    from core.governance.constitution import Constitution
    from core.governance.ticket_requests import TicketRequest

TICKET_DAYS, DELEGATION_DAYS = 1, 90
DELEGATION_COUNT = 100
DAYS_MAX = limits.AUTHORIZATION_SECONDS_MAX // 86_400
_FILE = click.Path(path_type=Path, dir_okay=False)

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def _options(days: int) -> Callable[[FunctionT], FunctionT]:
    def add(function: FunctionT) -> FunctionT:
        for option in (
            click.option("--address", metavar="HOST:PORT", help="The node's. Default: as the slot has it."),
            click.option("--days", type=click.IntRange(1, DAYS_MAX), default=days, show_default=True, help="How long."),
            click.option("--out", type=_FILE, help="Where to write it. Default: SLOT.cose here."),
            click.option("--manager", metavar="HEX", help="The manager's measurement. Default: of what is installed."),
            click.option("--worker", metavar="HEX", help="The worker's measurement. Default: of what is installed."),
            click.option(
                "--service-certificate", type=_FILE, help="The service's (PEM). Default: the network is asked."
            ),
            network_option,
            identity_option,
            json_option,
        ):
            function = option(function)
        return function

    return add


@click.command()
@click.argument("slot")
@click.option(
    "--request",
    "file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="What the node wrote: its key, with evidence.",
)
@click.option(
    "--genesis",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The network's genesis.json. Default: that of a node of it that is here.",
)
@_options(TICKET_DAYS)
@click.pass_obj
def ticket(store: Store, /, slot: str, file: Path, genesis: Path | None, **options: Any) -> None:
    """Sign, as the slot's member, that this one node may join: its key, its code, this network, for some days.

    The node waits with its key (coco node join --ticket SLOT), and has written what is to be signed into FILE. Its
    quote is verified before anything is signed: that the key is in an enclave with this code, on a platform that the
    constitution's manifests admit. A ticket is for one start of one node; a node that is to come back by itself needs
    coco node delegate.

    \b
    coco node ticket node4 --request ticket-request.json --out node4.cose
    coco node join node4.cose        (where the node waits)
    """
    client = store.client(options["network"])
    options |= vouch_for(client, read_request(file, slot), _constitution_of(store, client, genesis), options)
    _sign(store, slot, options["node"], 1, options)


def _constitution_of(store: Store, client: ClientStore, genesis: Path | None) -> Constitution:
    """Return the constitution that this client knows its network by. Raises NotFound, WrongUse."""
    from cli.genesis import read_constitution
    from core.governance.constitution import Constitution

    found = Constitution.decode(read_file(genesis)) if genesis is not None else read_constitution(store, client.network)
    if found is None:
        raise NotFound(
            f"the constitution of network {client.network} is not on this machine",
            hint="Copy genesis.json from a node's directory, and give --genesis FILE.",
        )
    if found.digest() != constitution_digest(client):
        raise WrongUse(f"this is not the constitution of network {client.network}", hint="Give another --genesis.")
    return found


def vouch_for(
    client: ClientStore, request: TicketRequest, constitution: Constitution, options: dict[str, Any]
) -> dict[str, Any]:
    """Verify a node's request; return what is to be signed: `node`, `manager`, `worker`, and `evidence`.

    Raises WrongUse for a node that is to be another one, and the JoinRefused or ManifestRefused of its evidence.
    """
    from core.node.node_evidence import EvidenceRules, verify_evidence
    from core.node.peer_messages import NodeEvidence
    from enclave_sim.verify.manifest import verify_own_evidence

    if request.network != constitution.digest().hex():
        raise WrongUse(f"the request is of a node of another network than {client.network}")
    evidence = NodeEvidence(request.quote_bytes, request.collateral_bytes)
    rules = EvidenceRules(constitution, verify_own_evidence, int(time.time()))
    claims = verify_evidence(evidence, request.node_id, rules)
    wanted = _measurements(options["manager"], options["worker"])
    for what, found, expected in (
        ("manager", claims.measurement.hex(), wanted.manager),
        ("worker", request.measurements.worker, wanted.worker),
    ):
        if found != expected:
            raise WrongUse(
                f"the node's {what} measures {found}; {expected} is to be signed for",
                hint=f"Sign for it only if you know that code: --{what} {found}",
            )
    return {
        "node": request.node_id,
        "asks_for": request.address,
        "manager": wanted.manager,
        "worker": wanted.worker,
        "evidence": {"tee": claims.tee, "simulated": claims.simulated, "tcb_status": claims.tcb_status},
    }


@click.command()
@click.argument("slot")
@click.option(
    "--count",
    type=click.IntRange(1, limits.DELEGATION_COUNT_MAX),
    default=DELEGATION_COUNT,
    show_default=True,
    help="How many nodes may join by it, one after the other.",
)
@_options(DELEGATION_DAYS)
@click.pass_obj
def delegate(store: Store, /, slot: str, count: int, **options: Any) -> None:
    """Sign, as the slot's member, that nodes with this code may join in its slot, each in the place of the one before.

    So a node that crashed comes back without anybody being asked. Keep the file with the node; it is no secret, and
    counts only for this code.

    \b
    coco node delegate node2 --count 100 --days 90 --out node2.cose
    """
    _sign(store, slot, None, count, options)


def _sign(store: Store, slot: str, node: NodeId | None, count: int, options: dict[str, Any]) -> None:
    from core.governance.authorizations import parse_authorization, sign_delegation, sign_ticket

    signer = Signer.of(store.client(options["network"]), options["identity"])
    address, service = _of_the_network(store, signer, slot, options)
    if node is not None and options["asks_for"] != address:
        raise WrongUse(f"the node says it is at {options['asks_for']}, not at {address}")
    credentials = signer.credentials()
    common = {
        "network": signer.network,
        "service": service,
        "slot": slot,
        "address": address,
        "measurements": _measurements(options["manager"], options["worker"]),
        "not_after": int(time.time()) + options["days"] * 86_400,
        **credentials,
    }
    data = sign_delegation(count=count, **common) if node is None else sign_ticket(node=node, **common)
    file = (options["out"] or Path(f"{slot}.cose")).absolute()
    write_private(file, data)
    signed = parse_authorization(data)
    shown: dict[str, Any] = {
        "file": str(file),
        "member": signer.actor.name,
        "slot": slot,
        "address": address,
        "node": node or f"any with this code, {count} in all",
        "manager": signed.ticket.measurements.manager,
        "worker": signed.ticket.measurements.worker,
        "network": signed.ticket.network,
        "service": service,
        "digest": signed.digest.hex(),
        "not_after": signed.ticket.not_after,
    }
    if node is not None:
        shown["evidence"] = options["evidence"]
    if options["as_json"]:
        print_json(shown | {"node": node, "count": count})
        return
    shown |= {"not_after": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(signed.ticket.not_after))}
    if node is not None:
        shown["evidence"] = ", ".join(f"{name} {value}" for name, value in options["evidence"].items())
    print_fields(shown)
    note("Give the file to the node that is to join.")


def _of_the_network(store: Store, signer: Signer, slot: str, options: dict[str, Any]) -> tuple[str, str]:
    """Return the slot's address and the fingerprint of the service's certificate, given or as the network has them.

    A ticket names the service, so that a network which is asked for it has to show evidence first.
    """
    given, file = options["address"], options["service_certificate"]
    if file is not None and given is not None:
        return given, _fingerprint(read_file(file).decode("ascii", "replace"))
    client: ClientStore = signer.client
    with open_connection(client, signer.actor.name) as connection:
        known = GovernanceView.read(connection).slots.get(slot)
        service = connection.get("/node/network")
    if file is None:
        from cli.genesis import read_constitution

        verify_service(service, client.pinned_root(), constitution=read_constitution(store, client.network))
    certificate = (
        str(service.get("service_certificate")) if file is None else read_file(file).decode("ascii", "replace")
    )
    if known is None and given is None:
        raise NotFound(
            f"the network has no slot {slot[:40]}, so its address is not known",
            hint="Give --address HOST:PORT, or have it approved first: coco node approve SLOT --address HOST:PORT",
        )
    if known is not None:
        _check_slot(known, signer.actor.name, given)
    return given or str(known["address"] if known else ""), _fingerprint(certificate)


def _check_slot(known: dict[str, Any], actor: str, address: str | None) -> None:
    """Raise WrongUse for what the network would refuse anyway."""
    if known["state"] in ("removing", "removed"):
        raise WrongUse(f"the slot {known['slot']} is {known['state']}", hint="Have another one approved.")
    if known["member"] != actor:
        raise WrongUse(
            f"the slot {known['slot']} is {known['member']}'s, and {actor} would sign",
            hint=f"Its own member signs: --identity {known['member']}, where that key is.",
        )
    if address not in (None, known["address"]):
        raise WrongUse(f"the slot {known['slot']} is at {known['address']}, not at {address}", hint="Leave it out.")


def _fingerprint(certificate: str) -> str:
    try:
        return fingerprint(certificate)
    except CocoError as error:
        raise WrongUse(f"the service's certificate cannot be read: {error.message}", hint="It is a PEM file.") from None


def _measurements(manager: str | None, worker: str | None) -> Measurements:
    from core.governance.authorizations import Measurements

    if manager is None or worker is None:
        from enclave_sim.platform.measurement import measure_node

        here = measure_node()
        manager, worker = manager or here[0].mrenclave.hex(), worker or here[1].mrenclave.hex()
    return Measurements(manager.lower(), worker.lower())
