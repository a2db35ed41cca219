"""`coco adapter`: which ledger protocols are installed here and live on a network, and which is the default."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import click
import msgspec

from cli.connection import Connection
from cli.errors import NotFound, Unreachable, WrongUse
from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import note, print_fields, print_json, print_table
from cli.signing import Signer
from cli.store import CurrentNetwork, Store
from core.errors import CocoError


@click.group()
def adapter() -> None:
    """Choose among the ledger protocols that run on Coco."""


@adapter.command("list")
@network_option
@identity_option
@json_option
@click.pass_obj
def list_(store: Store, network: str | None, identity: str | None, as_json: bool) -> None:
    """List the adapters that are installed here, and those live on the network; * marks the default one."""
    from cli.genesis import installed_adapters

    installed = installed_adapters()
    live, default = _live(store, network, identity)
    entries = [
        {
            "adapter": name,
            "installed": name in installed,
            "live": None if live is None else name in live,
            "default": name == default,
            "package": _package(installed.get(name)),
        }
        for name in sorted({*installed, *(live or ())})
    ]
    if as_json:
        print_json(entries)
        return
    words = {True: "live", False: "not live", None: "unknown"}
    rows = [
        (
            "*" if entry["default"] else "",
            entry["adapter"],
            entry["package"] or "not installed here",
            words[entry["live"]],
        )
        for entry in entries
    ]
    print_table(("", "adapter", "package", "on the network"), rows)
    if live is None:
        note("No network answers, so what is live there is not known.")


@adapter.command()
@click.argument("name")
@network_option
@identity_option
@json_option
@click.pass_obj
def info(store: Store, name: str, network: str | None, identity: str | None, as_json: bool) -> None:
    """Describe an adapter: what it is, its version, its package, its mount point."""
    from cli.genesis import installed_adapters

    live, default = _live(store, network, identity)
    point = installed_adapters().get(name)
    if point is None and name not in (live or ()):
        raise NotFound(f"there is no adapter {name}", hint="coco adapter list shows those there are.")
    shown: dict[str, Any] = {
        "adapter": name,
        "package": _package(point),
        "live": None if live is None else name in live,
        "default": name == default,
        "mount": f"/{name}/",
    }
    if point is not None:
        try:
            described = point.load().info
        except (ImportError, AttributeError) as error:
            raise CocoError(f"adapter {name} cannot be loaded: {error}", hint="Install its package again.") from error
        shown |= {"version": described.version, "description": described.description, "class": point.value}
    print_json(shown) if as_json else print_fields(shown)


@adapter.command()
@click.argument("name")
@network_option
@identity_option
@json_option
@click.pass_obj
def use(store: Store, name: str, network: str | None, identity: str | None, as_json: bool) -> None:
    """Make an adapter the default: what the network's "/" and this command line speak.

    On a network this is an administrative action, signed by a member's key. Without any network it is remembered
    for the networks to come.
    """
    from cli.genesis import installed_adapters

    if network is None and not store.client_networks():
        if name not in installed_adapters():
            known = ", ".join(installed_adapters()) or "none"
            raise NotFound(f"there is no adapter {name} installed here", hint=f"Installed: {known}.")
        store.set_current(CurrentNetwork(network=store.current().network, adapter=name))
        _say(as_json, {"adapter": name, "network": None}, f"New networks will speak {name} by default.")
        return
    client = store.client(network)
    actor = client.identity(identity)
    with open_connection(client, actor.name) as connection:
        live, default = live_adapters(connection)
        if name not in live:
            raise WrongUse(f"adapter {name} is not live on {client.network}", hint=f"Live: {', '.join(live)}.")
        if name != default:
            from core.governance.messages import set_default_adapter

            Signer.of(client, actor.name).propose(connection, [set_default_adapter(name)])
    try:
        client.set_defaults(msgspec.structs.replace(client.defaults(), adapter=name))
    finally:
        # The network has decided, whatever this machine's disk says.
        _say(as_json, {"adapter": name, "network": client.network}, f"{client.network} speaks {name} by default.")


def live_adapters(connection: Connection) -> tuple[list[str], str]:
    """Return the names of the live adapters and of the default one."""
    service = connection.get("/node/network")
    adapters, default = service.get("adapters"), service.get("default_adapter")
    if not isinstance(adapters, list | dict) or not isinstance(default, str):
        raise CocoError("the node does not say which adapters are live", hint="Is it of another version?")
    names = [entry["name"] if isinstance(entry, dict) else str(entry) for entry in adapters]
    return sorted(names), default


def _live(store: Store, network: str | None, identity: str | None) -> tuple[list[str] | None, str | None]:
    """As live_adapters, or (None, the local default) when there is no network or it does not answer."""
    if network is None and not store.client_networks():
        return None, store.current().adapter
    client = store.client(network)
    try:
        with open_connection(client, identity) as connection:
            return live_adapters(connection)
    except Unreachable:
        return None, client.defaults().adapter


def _package(point: EntryPoint | None) -> str | None:
    if point is None:
        return None
    distribution = point.dist
    return f"{distribution.name} {distribution.version}" if distribution is not None else point.value


def _say(as_json: bool, document: dict[str, object], text: str) -> None:
    if as_json:
        print_json(document)
    else:
        click.echo(text)
