"""`coco network`: create, start, stop and destroy the networks this machine hosts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from cli.account import NO_PASSWORD_NOTE, make_account, no_password_option
from cli.errors import NotFound, WrongUse
from cli.local_nodes import local_nodes
from cli.manifests import chosen_manifests, make_manifests, manifest_options
from cli.network_run import running_pid, start, status, stop
from cli.options import json_option, password_file_option
from cli.output import note, print_fields, print_json, print_table
from cli.plan_nodes import NODES_MAX, default_members, plan_nodes
from cli.store import CurrentNetwork, Store, check_name
from cli.values import format_ether, parse_integer
from cli.wallet import AccountFile, funded_password
from core.errors import CocoError

DEFAULT_PORT = 8443
DEFAULT_CHAIN_ID = 20170
SAWTOOTH_NAMESPACES = {
    "settings": "000000",
    "identity": "00001d",
    "block_info": "00b10c",
    "intkey": "1cf126",
    "smallbank": "332514",
    "xo": "5b7349",
}
"""Of the built-in families. Everybody reads them, save what `--setting sawtooth.namespaces` says of one."""
NAMES = ("localhost", "127.0.0.1", "::1")


class NetworkRunning(CocoError):
    """The network runs, and what was asked for needs it stopped."""


@click.group()
def network() -> None:
    """Create and run the networks that this machine hosts."""


for _command in (start, stop, status):
    network.add_command(_command)


@network.command()
@click.argument("name")
@click.option(
    "--organisation",
    "-o",
    multiple=True,
    metavar="NAME",
    help="A member (votes); repeatable. Default: org1, ...",
)
@click.option("--participant", "-p", multiple=True, metavar="NAME", help="One who transacts only; repeatable.")
@click.option("--adapter", "-d", multiple=True, metavar="NAME", help="A live adapter; the first is the default one.")
@click.option("--setting", multiple=True, metavar="ADAPTER.NAME=VALUE", help="A setting of an adapter; repeatable.")
@click.option("--chain-id", type=click.IntRange(1, 2**53 - 1), default=DEFAULT_CHAIN_ID, show_default=True)
@click.option("--fork", type=click.Choice(["prague", "cancun"]), default="prague", show_default=True)
@click.option("--policy", type=click.Choice(["members", "public", "private"]), default="members", show_default=True)
@click.option("--base-fee", metavar="GWEI", default="0", show_default=True, help="0: gas is free.")
@click.option("--fund", multiple=True, metavar="NAME=ETHER", help="Make an account that owns this much; repeatable.")
@click.option("--block-gas", default="60_000_000", show_default=True, help="Gas limit of a block.")
@click.option("--transaction-gas", default="16_777_216", show_default=True, help="Gas limit of a transaction.")
@click.option(
    "--reads",
    type=click.Choice(["linearizable", "session"]),
    default="linearizable",
    show_default=True,
    help="What a read of another client's newest writes promises.",
)
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=1, show_default=True, help="Nodes of this machine.")
@click.option("--port", type=click.IntRange(0, 65_535), default=DEFAULT_PORT, show_default=True, help="0: a free one.")
@click.option("--address", default="127.0.0.1", show_default=True, help="The address the nodes listen on.")
@click.option("--peer-address", default="", metavar="HOST:PORT", help="Where nodes of other machines reach this one.")
@click.option("--host-name", multiple=True, metavar="NAME", help="A name or address clients reach it by; repeatable.")
@click.option(
    "--restart",
    type=click.Choice(["sealed", "members"]),
    help="Whether members must approve when the network was lost and starts again: coco node restart. Default: members "
    "for several organisations with --peer-address, else sealed.",
)
@click.option("--restart-members", type=click.IntRange(1), metavar="N", help="How many. Default: more than half.")
@manifest_options
@password_file_option
@no_password_option
@json_option
@click.pass_obj
def create(store: Store, /, name: str, as_json: bool, **options: Any) -> None:
    """Make a network: its organisations' keys and tokens, and its constitution.

    \b
    coco network create demo
    coco network create trade -o manufacturer -o carrier -o retailer --fund alice=100 --no-password
    coco network create trio --nodes 3 -o manufacturer -o carrier -o retailer

    With several nodes, each is an organisation's, in turns; the first takes --port, the next one the port after it.
    """
    from cli.genesis import check_adapters, make_constitution, make_organisations, write_network

    directory, client_directory = store.network_directory(name), store.home / "clients" / name
    if directory.exists() or client_directory.exists():
        raise WrongUse(
            f"there is a network {name} already",
            hint=f"Choose another name, or remove it first: coco network destroy {name}",
        )
    funded = [_fund(text) for text in options["fund"]]
    configs = plan_nodes(options, certificate_names(options["address"], options["host_name"]))
    members = options["organisation"] or default_members(options["nodes"])
    password = funded_password(options["password_file"], options["no_password"])
    try:
        organisations = make_organisations(members, options["participant"])
        client = store.new_client(name)
        accounts = {account: make_account(client, account, password) for account, _ in funded}
        balances = {accounts[account].address: wei for account, wei in funded}
        adapters = _adapters(options, store.current().adapter, balances)
        check_adapters(name, adapters)
        manifests = make_manifests(directory, adapters, **chosen_manifests(options, len(members)))
        policy = _restart_policy(options, len(members)) | {"reads": options["reads"]}
        constitution = make_constitution(name, organisations, adapters, next(iter(adapters)), manifests, **policy)
        write_network(store, constitution, organisations, configs)
    except BaseException:
        # Nothing of a network that could not be made stays behind: no half of it can be started.
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(client_directory, ignore_errors=True)
        raise
    previous = store.current().network
    _make_current(store, name)
    shown = {
        "network": name,
        "constitution": constitution.digest().hex(),
        "host_directory": str(directory),
        "client_directory": str(client_directory),
        "members": list(members),
        "participants": list(options["participant"]),
        "adapters": list(adapters),
        "nodes": [config.slot for config in configs],
        "restart": constitution.restart,
        **manifests.describe(),
        "accounts": _shown_accounts(accounts, funded),
    }
    if as_json:
        print_json(shown)
    else:
        _show_created(shown, accounts, funded)
    no_password = NO_PASSWORD_NOTE if funded and not password else ""
    for text in filter(None, (manifests.warning(), no_password, _no_longer(previous, name))):
        note(text)


def _no_longer(previous: str | None, name: str) -> str:
    """Say which network is not the current one any more, "" for none."""
    if previous in (None, name):
        return ""
    return f"{name} is now the current network, no longer {previous}: coco network use {previous}"


def _shown_accounts(accounts: dict[str, AccountFile], funded: list[tuple[str, int]]) -> list[dict[str, str]]:
    return [{"name": account, "address": accounts[account].address, "balance": str(wei)} for account, wei in funded]


def _show_created(shown: dict[str, Any], accounts: dict[str, AccountFile], funded: list[tuple[str, int]]) -> None:
    lists = {key: ", ".join(shown[key]) or None for key in ("members", "participants", "adapters", "nodes")}
    names = ("network", "constitution", "host_directory", "client_directory", "admits_platforms", "admits_code")
    print_fields({key: shown[key] for key in names} | {"restart": shown["restart"]} | lists)
    for account, wei in funded:
        click.echo(f"account {account}: {accounts[account].address}, {format_ether(wei)}")
    note(f"Next: coco network start {shown['network']}")


def _restart_policy(options: dict[str, Any], members: int) -> dict[str, Any]:
    """Return the constitution's `restart` and `restart_members`. DESIGN section 5."""
    spreads = bool(options["peer_address"]) and members > 1
    chosen = options["restart"] or ("members" if spreads or options["restart_members"] else "sealed")
    if options["restart_members"] and chosen != "members":
        raise WrongUse("--restart-members is for --restart members", hint="Leave one of the two out.")
    return {"restart": chosen, "restart_members": options["restart_members"]}


def certificate_names(address: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the front-end certificate: those given, the address listened on, and this machine's.

    The first is what clients are told when the node listens on every address.
    """
    wildcard = address in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound.
    return tuple(dict.fromkeys([*names, *(() if wildcard else (address,)), *NAMES]))


def _fund(text: str) -> tuple[str, int]:
    account, equals, amount = text.partition("=")
    if not equals:
        raise WrongUse(f"not NAME=ETHER: {text[:80]!r}", hint="Write --fund alice=100.")
    wei = parse_integer(amount, unit="ether")
    if not 0 <= wei < 2**200:
        raise WrongUse(f"{amount} is no balance", hint="Write an amount of ether, such as 100 or 0.5.")
    return check_name("an account", account), wei


def _adapters(options: dict[str, Any], preferred: str | None, balances: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return the settings of each adapter, the default one first. preferred: what `adapter use` chose."""
    from cli.genesis import parse_setting

    adapters: dict[str, dict[str, Any]] = {
        name: {} for name in options["adapter"] or (preferred or "ethereum", "ethereum")
    }
    if "ethereum" in adapters:
        adapters["ethereum"] = ethereum_settings(options, balances)
    elif balances:
        raise WrongUse("--fund needs the adapter ethereum", hint="Add --adapter ethereum.")
    if "sawtooth" in adapters:
        adapters["sawtooth"]["namespaces"] = {name: {"read": ["*"]} for name in SAWTOOTH_NAMESPACES.values()}
    for text in options["setting"]:
        adapter, setting, value = parse_setting(text)
        if adapter not in adapters:
            raise WrongUse(f"the setting {text[:80]} is for an adapter that is not live", hint=f"Add -d {adapter}.")
        if (adapter, setting) == ("sawtooth", "namespaces") and isinstance(value, dict):
            value = adapters[adapter][setting] | value
        adapters[adapter][setting] = value
    return adapters


def ethereum_settings(options: dict[str, Any], balances: dict[str, int]) -> dict[str, Any]:
    """Return the Ethereum adapter's part of the constitution."""
    base_fee = parse_integer(options["base_fee"], unit="gwei")
    if not 0 <= base_fee < 2**64:
        raise WrongUse(f"{options['base_fee']} is no base fee", hint="Write an amount of gwei; 0 makes gas free.")
    return {
        "chain_id": options["chain_id"],
        "fork": options["fork"],
        "policy": options["policy"],
        "base_fee_wei": base_fee,
        "block_gas_limit": parse_integer(options["block_gas"]),
        "transaction_gas_limit": parse_integer(options["transaction_gas"]),
        "alloc": {address: {"balance": hex(wei)} for address, wei in balances.items()},
    }


@network.command("list")
@json_option
@click.pass_obj
def list_(store: Store, as_json: bool) -> None:
    """List the networks this machine hosts or is a client of; * marks the current one."""
    hosted, known = store.networks(), store.client_networks()
    current = store.current().network
    entries = [
        {
            "network": name,
            "hosted": name in hosted,
            "client": name in known,
            "current": name == current,
            "running": name in hosted and _running_pid(store.network_directory(name)) is not None,
            "url": store.client(name).url() if name in known else None,
        }
        for name in sorted({*hosted, *known})
    ]
    if as_json:
        print_json(entries)
    elif entries:
        rows = [
            (
                "*" if entry["current"] else "",
                entry["network"],
                ("running" if entry["running"] else "stopped") if entry["hosted"] else "elsewhere",
                entry["url"] or "-",
            )
            for entry in entries
        ]
        print_table(("", "network", "state", "url"), rows)
    else:
        note("No networks. Make one: coco network create demo")


@network.command()
@click.argument("name")
@click.pass_obj
def use(store: Store, name: str) -> None:
    """Make a network the current one, which is meant when none is named."""
    known = sorted({*store.networks(), *store.client_networks()})
    if name not in known:
        raise NotFound(
            f"there is no network {name[:64]} under {store.home}", hint=f"Known: {', '.join(known) or 'none'}."
        )
    _make_current(store, name)
    click.echo(f"{name} is the current network.")


def _make_current(store: Store, name: str) -> None:
    store.set_current(CurrentNetwork(network=name, adapter=store.current().adapter))


@network.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def destroy(store: Store, name: str, yes: bool) -> None:
    """Remove a network: its ledger, and this machine's identities, accounts and contracts of it.

    There is no way back. A running network is refused.
    """
    known = {*store.networks(), *store.client_networks()}
    if name not in known and not store.network_directory(name).exists():
        raise NotFound(f"there is no network {name} under {store.home}", hint=f"Known: {', '.join(sorted(known))}.")
    if _running_pid(store.network_directory(name)) is not None:
        raise NetworkRunning(f"network {name} is running", hint=f"Stop it first: coco network stop {name}")
    if not yes:
        click.confirm(f"Remove network {name}, its ledger, keys and accounts for good?", abort=True, err=True)
    store.remove(name)
    click.echo(f"Network {name} is removed.")


def _running_pid(directory: Path) -> int | None:
    """Return the process id of one of a network's nodes that runs here, None when none does."""
    return next((pid for node in local_nodes(directory) if (pid := running_pid(node)) is not None), None)
