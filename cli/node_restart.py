"""`coco node restart`: when a network's nodes were lost and members must agree before it starts again.

Operators show what a node that waits would do, and hand it what members signed; members sign it where their keys are.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.errors import NotFound, WrongUse
from cli.files import Record, read_file, read_record, write_private, write_record
from cli.local_nodes import find_node, local_nodes
from cli.options import identity_option, json_option, network_option
from cli.output import note, print_fields, print_json, print_table
from cli.restart_files import Waiting, ask_for_loss, check_counted, choose_waiting, hand_over, read_waiting
from cli.signing import Signer
from cli.store import ClientStore, Store
from core.errors import CocoError

if TYPE_CHECKING:
    from core.governance.restarts import RestartRequest

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_NEW_FILE = click.Path(path_type=Path, dir_okay=False)
_node_option = click.option("--node", "slot", metavar="SLOT", help="Which node. Default: the one that waits.")


class ReceiptAbove(CocoError):
    """The network would start without a transaction of which this member holds a receipt."""

    exit_code = 11


class _Approved(Record, frozen=True, kw_only=True):
    """clients/NAME/restart-approvals.json: what was approved of here. Of each: digest, node, and where it goes on."""

    approvals: tuple[dict[str, str], ...] = ()


@click.group()
def restart() -> None:
    """Have members agree that a network starts again after its nodes were lost."""


@restart.command()
@_node_option
@click.option("--out", type=_NEW_FILE, help="Write the request there, to be given to members.")
@network_option
@json_option
@click.pass_obj
def show(store: Store, slot: str | None, out: Path | None, network: str | None, as_json: bool) -> None:
    """Show what a node of this machine that waits would do, and who has approved of it.

    The request goes to the members, who look at it and sign: coco node restart approve REQUEST.
    """
    name, directory = store.host_directory(network)
    waiting = choose_waiting(name, local_nodes(directory), slot, asks=out is not None)
    if out is not None and waiting.request is not None:
        write_private(out.absolute(), waiting.request.encode())
    shown = {"network": name, **waiting.describe()}
    if as_json:
        print_json(shown)
        return
    _print_waiting(name, waiting)


@restart.command()
@click.argument("request", type=_FILE)
@click.option("--receipt", "receipts", type=_FILE, multiple=True, help="A receipt you hold, to compare; repeatable.")
@click.option("--service-certificate", type=_FILE, help="The service's (PEM), for receipts that do not hold it.")
@click.option("--again", is_flag=True, help="Though another request was approved of here: that one did not start.")
@click.option("--out", type=_NEW_FILE, help="Where to write it. Default: MEMBER.approval here.")
@network_option
@identity_option
@json_option
@click.pass_obj
def approve(store: Store, /, request: Path, network: str | None, identity: str | None, **options: Any) -> None:
    """Agree, as a member, that the node which made REQUEST starts the network again, from where it says.

    Look at it first: everything after its `after` that was acknowledged is gone once it starts. A receipt that you hold
    is compared with that. Where a loss is to be accepted, make sure that the missing nodes are stopped for good, and
    approve of one node's request only.

    \b
    coco node restart approve request --identity carrier --receipt order-17.json --out carrier.approval
    """
    from core.governance.restarts import RestartRequest, sign_approval

    asked = RestartRequest.decode(read_file(request))
    signer = Signer.of(store.client(network), identity)
    if asked.network != signer.network.hex():
        raise WrongUse(
            f"the request is for network {asked.network[:16]}, not for {signer.client.network}",
            hint="Choose the network: --network NAME.",
        )
    certificate = options["service_certificate"]
    given = None if certificate is None else read_file(certificate).decode("ascii", "replace")
    compared = [_compare(asked, file, given) for file in options["receipts"]]
    earlier = _check_earlier(signer.client, asked, again=options["again"])
    signed = sign_approval(asked, **signer.credentials())
    _remember(signer.client, earlier, asked)
    out = (options["out"] or Path(f"{signer.actor.name}.approval")).absolute()
    write_private(out, signed)
    missing = [one.slot or one.node for one in asked.missing]
    shown = {
        "file": str(out),
        "member": signer.actor.name,
        "request": asked.digest().hex(),
        "after": f"{asked.view}.{asked.seqno}",
        "node": asked.node,
        "slot": asked.slot,
        "accept_loss": asked.accept_loss,
        "missing": missing,
        "compared": compared,
    }
    if options["as_json"]:
        print_json(shown)
        return
    print_fields(shown | {"missing": ", ".join(missing) or None, "compared": ", ".join(compared) or None})
    if not compared:
        note("Compared with nothing that you hold. A receipt of your newest transaction shows more: --receipt FILE.")
    note("Give the file to the operator of that node: coco node restart submit FILE")


@restart.command()
@click.argument("approvals", type=_FILE, nargs=-1, required=True)
@_node_option
@network_option
@json_option
@click.pass_obj
def submit(store: Store, approvals: tuple[Path, ...], slot: str | None, network: str | None, as_json: bool) -> None:
    """Hand what members signed to the node of this machine that waits for them; it says whether they count.

    Exits with 8 when one does not. The node starts the network by itself once there are enough.
    """
    name, directory = store.host_directory(network)
    waiting = choose_waiting(name, local_nodes(directory), slot, asks=True)
    verdicts = hand_over(waiting, [read_file(file) for file in approvals])
    now = read_waiting(waiting.node)
    missing = 0 if now is None else max(0, now.state.needed - len(now.state.approved))
    shown = {
        "network": name,
        "node": waiting.node.slot,
        "approvals": [{"approval": digest, "verdict": verdict} for digest, verdict in verdicts],
        "still_needed": missing,
    }
    if as_json:
        print_json(shown)
    else:
        print_table(("approval", "verdict"), [(digest[:16], verdict) for digest, verdict in verdicts])
        note("The node starts the network." if not missing else f"{missing} more of the members must approve.")
    check_counted(verdicts)


@restart.command("accept-loss")
@click.argument("slot")
@click.option("--yes", is_flag=True, help="Do not ask.")
@network_option
@json_option
@click.pass_obj
def accept_loss(store: Store, slot: str, yes: bool, network: str | None, as_json: bool) -> None:
    """Have a node that waits for disks which are lost for good ask its members to do without them.

    What was acknowledged and stands on those disks alone is then gone. Nodes that can talk to one another choose the
    one whose disk reaches furthest; ask there. More than half of the members must approve, under either policy.
    """
    name, directory = store.host_directory(network)
    nodes = local_nodes(directory)
    waiting = choose_waiting(name, nodes, find_node(name, nodes, slot).slot, asks=False)
    missing = [one.slot or one.node[:16] for one in waiting.state.missing]
    if not yes:
        click.confirm(f"Ask the members to do without the disks of {', '.join(missing)}?", abort=True, err=True)
    ask_for_loss(waiting)
    shown = {"network": name, "node": slot, "missing": missing, "reaches_furthest": waiting.state.best}
    (print_json if as_json else print_fields)(shown if as_json else shown | {"missing": ", ".join(missing) or None})
    note(f"Then: coco node restart show --node {waiting.state.best or slot}")


def _print_waiting(network: str, waiting: Waiting) -> None:
    state, request = waiting.state, waiting.request
    fields: dict[str, object] = {"network": network, "node": waiting.node.slot, "waits for": state.waits_for}
    if request is not None:
        loss = "members are asked to do without the missing disks" if request.accept_loss else None
        fields |= {
            "request": request.digest().hex(),
            "request file": str(waiting.request_file),
            "after": f"{request.view}.{request.seqno}",
            "root": request.root,
            "new view": request.new_view,
            "loss": loss,
            "approved": f"{', '.join(state.approved) or 'nobody'} ({state.needed} needed)",
        }
    print_fields(fields | {"reaches furthest": state.best})
    rows = [(one.slot or one.node[:16], "here", f"{one.view}.{one.seqno}") for one in state.disks]
    rows += [(one.slot or one.node[:16], "missing", "-") for one in state.missing]
    print_table(("disk of", "state", "reaches"), rows)
    for digest, reason in state.refused:
        note(f"An approval does not count ({reason}): {digest[:16]}")
    if request is not None:
        note("Members sign: coco node restart approve REQUEST; then: coco node restart submit APPROVAL")
    elif state.missing:
        note(f"If those are lost for good: coco node restart accept-loss {state.best or waiting.node.slot}")


def _compare(asked: RestartRequest, file: Path, certificate: str | None) -> str:
    """Return the transaction of a receipt that the network would go on with; raises ReceiptAbove, CocoError."""
    from cli.receipt_check import check_proof
    from core.crypto.certificates import fingerprint
    from core.ledger.receipt import decode_json
    from core.types import TransactionId

    data = read_file(file)
    if certificate is None and data[:1] == b"{":
        document = decode_json(data)
        found = document.get("serviceCertificate") if isinstance(document, dict) else None
        certificate = found if isinstance(found, str) else None
    if certificate is None:
        raise NotFound(f"{file} does not hold the service's certificate", hint="Give --service-certificate FILE.")
    if fingerprint(certificate) != asked.service:
        raise ReceiptAbove(
            f"{file} is a receipt of another service than the request is for",
            hint="Do not approve before you know why: it may be another network under the same constitution.",
        )
    text = check_proof(data, certificate, None)["transaction"]
    if text is None:
        raise WrongUse(f"{file} does not say of which transaction it is", hint="Give another receipt.")
    held = TransactionId.parse(text)
    if held.seqno > asked.seqno or held.view > asked.view:
        raise ReceiptAbove(
            f"the network would start after {asked.view}.{asked.seqno}, without {held}, of which {file} is a receipt",
            hint="Do not approve: a disk that holds more must be found. To give it up, approve without this receipt.",
        )
    return str(held)


def _check_earlier(client: ClientStore, asked: RestartRequest, *, again: bool) -> _Approved:
    """Return what was approved of here before; raises WrongUse where approving of this as well could start two."""
    earlier = read_record(_file(client), _Approved) or _Approved()
    end = f"{asked.view}.{asked.seqno}"
    for one in earlier.approvals:
        if one["service"] == asked.service and one["digest"] != asked.digest().hex():
            if int(one["new_view"]) <= asked.view:
                continue  # That start has happened, and this one goes on from it.
            if not again:
                raise WrongUse(
                    f"a start by node {one['node'][:16]} after {one['after']} was approved of here, on {one['on']}; "
                    f"this one is by node {asked.node[:16]} after {end}",
                    hint="If both start, the network splits. Make sure that the other one did not, and then: --again",
                )
    return earlier


def _remember(client: ClientStore, earlier: _Approved, asked: RestartRequest) -> None:
    entry = {
        "digest": asked.digest().hex(),
        "service": asked.service,
        "node": asked.node,
        "after": f"{asked.view}.{asked.seqno}",
        "new_view": str(asked.new_view),
        "on": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }
    others = tuple(one for one in earlier.approvals if one["digest"] != entry["digest"])
    write_record(_file(client), _Approved(approvals=(*others, entry)))


def _file(client: ClientStore) -> Path:
    return client.directory / "restart-approvals.json"
