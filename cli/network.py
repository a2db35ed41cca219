"""`coco network`: create, start, stop and destroy the networks this machine hosts."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.account import NO_PASSWORD_NOTE, make_account, no_password_option
from cli.errors import NotFound, WrongUse
from cli.manifests import chosen_manifests, make_manifests, manifest_options
from cli.options import json_option, password_file_option
from cli.output import note, print_fields, print_json, print_table, progress
from cli.pins import pin, pin_root
from cli.store import ClientStore, CurrentNetwork, Store, check_name
from cli.values import format_ether, parse_integer
from cli.wallet import AccountFile, funded_password
from core.errors import CocoError

if TYPE_CHECKING:
    from enclave_sim.status import Status

DEFAULT_PORT = 8443
DEFAULT_CHAIN_ID = 20170
DEFAULT_MEMBER = "org1"
NOT_RUNNING = 3
NAMES = ("localhost", "127.0.0.1", "::1")
CONNECT_NOTE = """
Connect with web3.py:
  from web3 import Web3
  token = open("{token}").read().strip()
  options = {{"headers": {{"Authorization": "Bearer " + token}}, "verify": "{ca}"}}
  w3 = Web3(Web3.HTTPProvider("{url}", request_kwargs=options))
For tools that cannot send a token or pin a certificate: coco proxy"""

HOST_ONLY_NOTE = """
This machine is no client of network {name}: nothing was pinned here. Clients keep a copy of {ca}
in their own clients/{name}/front-end-ca.pem, of {root}
in clients/{name}/platform-root.pem, and the url in clients/{name}/url."""


class NetworkRunning(CocoError):
    """The network runs, and what was asked for needs it stopped."""


@click.group()
def network() -> None:
    """Create and run the networks that this machine hosts."""


@network.command()
@click.argument("name")
@click.option(
    "--organisation", "-o", multiple=True, metavar="NAME", help="A member (votes); repeatable. Default: org1."
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
@click.option("--port", type=click.IntRange(0, 65_535), default=DEFAULT_PORT, show_default=True, help="0: a free one.")
@click.option("--address", default="127.0.0.1", show_default=True, help="The address the node listens on.")
@click.option("--host-name", multiple=True, metavar="NAME", help="A name or address clients reach it by; repeatable.")
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
    """
    from cli.genesis import check_adapters, make_constitution, make_organisations, write_network
    from enclave_sim.host_config import HostConfig

    directory = store.network_directory(name)
    client_directory = store.home / "clients" / name
    if directory.exists() or client_directory.exists():
        raise WrongUse(
            f"there is a network {name} already",
            hint=f"Choose another name, or remove it first: coco network destroy {name}",
        )
    funded = [_fund(text) for text in options["fund"]]
    names = certificate_names(options["address"], options["host_name"])
    config = HostConfig(address=options["address"], port=options["port"], names=names, platform=options["platform"])
    config.check()
    password = funded_password(options["password_file"], options["no_password"])
    try:
        organisations = make_organisations(options["organisation"] or (DEFAULT_MEMBER,), options["participant"])
        client = store.new_client(name)
        accounts = {account: make_account(client, account, password) for account, _ in funded}
        balances = {accounts[account].address: wei for account, wei in funded}
        adapters = _adapters(options, store.current().adapter, balances)
        check_adapters(name, adapters)
        manifests = make_manifests(directory, adapters, **chosen_manifests(options))
        constitution = make_constitution(name, organisations, adapters, next(iter(adapters)), manifests)
        write_network(store, constitution, organisations, config)
    except BaseException:
        # Nothing of a network that could not be made stays behind: no half of it can be started.
        shutil.rmtree(directory, ignore_errors=True)
        shutil.rmtree(client_directory, ignore_errors=True)
        raise
    previous = store.current()
    store.set_current(CurrentNetwork(network=name, adapter=previous.adapter))
    shown = {
        "network": name,
        "constitution": constitution.digest().hex(),
        "host_directory": str(directory),
        "client_directory": str(client_directory),
        "members": [entry.name for entry in organisations if entry.role == "member"],
        "participants": [entry.name for entry in organisations if entry.role == "participant"],
        "adapters": list(adapters),
        **manifests.describe(),
        "accounts": [
            {"name": account, "address": accounts[account].address, "balance": str(wei)} for account, wei in funded
        ],
    }
    if as_json:
        print_json(shown)
    else:
        _show_created(shown, accounts, funded)
    for text in (manifests.warning(), NO_PASSWORD_NOTE if funded and not password else ""):
        if text:
            note(text)
    if previous.network not in (None, name):
        note(f"{name} is now the current network, no longer {previous.network}: coco network use {previous.network}")


def _show_created(shown: dict[str, Any], accounts: dict[str, AccountFile], funded: list[tuple[str, int]]) -> None:
    lists = {key: ", ".join(shown[key]) or None for key in ("members", "participants", "adapters")}
    names = ("network", "constitution", "host_directory", "client_directory", "admits_platforms", "admits_code")
    print_fields({key: shown[key] for key in names} | lists)
    for account, wei in funded:
        click.echo(f"account {account}: {accounts[account].address}, {format_ether(wei)}")
    note(f"Next: coco network start {shown['network']}")


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
    for text in options["setting"]:
        adapter, setting, value = parse_setting(text)
        if adapter not in adapters:
            raise WrongUse(f"the setting {text[:80]} is for an adapter that is not live", hint=f"Add -d {adapter}.")
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
    store.set_current(CurrentNetwork(network=name, adapter=store.current().adapter))
    click.echo(f"{name} is the current network.")


@network.command()
@click.argument("name", required=False)
@click.option("--foreground", is_flag=True, help="Stay, print the host's log, and stop with Ctrl-C.")
@json_option
@click.pass_obj
def start(store: Store, name: str | None, foreground: bool, as_json: bool) -> None:
    """Start a network's node and print how to connect."""
    chosen, directory = store.host_directory(name)
    run = _run_in_foreground if foreground else _run_in_background
    run(store, chosen, directory, as_json)


@network.command()
@click.argument("name", required=False)
@click.pass_obj
def stop(store: Store, name: str | None) -> None:
    """Stop a network's node. Everything it has acknowledged is on disk."""
    chosen, directory = store.host_directory(name)
    if _running_pid(directory) is None:
        note(f"Network {chosen} is not running.")
        return
    from enclave_sim.host import stop as stop_host

    with progress(f"stopping network {chosen}"):
        stop_host(directory)
    click.echo(f"Network {chosen} is stopped.")


@network.command()
@click.argument("name", required=False)
@json_option
@click.pass_obj
def status(store: Store, name: str | None, as_json: bool) -> None:
    """Show whether a network's node runs on this machine; exits with 3 when it does not."""
    from enclave_sim.status import read_status

    chosen, directory = store.host_directory(name)
    pid, found = _running_pid(directory), read_status(directory)
    state = "stopped" if pid is None else "starting" if found is None else "running"
    shown: dict[str, Any] = {"network": chosen, "state": state, "host_directory": str(directory), "pid": pid}
    if found is not None:
        shown |= {"url": found.url, "started_at": found.started_at, "processes": found.pids}
        shown |= {"less_isolation": found.less_isolation}
    if as_json:
        print_json(shown)
    else:
        processes = ", ".join(f"{role} {number}" for role, number in shown.get("processes", {}).items())
        print_fields(shown | {"processes": processes or None, "less_isolation": None})
        _warn_of_less_isolation(found)
    if found is None:
        raise click.exceptions.Exit(NOT_RUNNING)


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


def _warn_of_less_isolation(found: Status | None) -> None:
    """Say for whom the kernel lacks what keeps an enclave's process in."""
    missing: dict[str, list[str]] = {}
    for process, reasons in (found.less_isolation if found is not None else {}).items():
        for reason in reasons:
            missing.setdefault(reason, []).append(process)
    for reason, processes in missing.items():
        note(f"WARNING: less isolation of {', '.join(processes)}: {reason}. See docs/operating.md#isolation.")


def _running_pid(directory: Path) -> int | None:
    from enclave_sim.status import running_pid

    return running_pid(directory)


def _run_in_foreground(store: Store, name: str, directory: Path, as_json: bool) -> None:
    import asyncio

    from enclave_sim.host import run_host

    note(f"Starting network {name}; Ctrl-C stops it.")
    asyncio.run(run_host(directory, foreground=True, on_running=lambda found: _started(store, name, found, as_json)))


def _run_in_background(store: Store, name: str, directory: Path, as_json: bool) -> None:
    from enclave_sim.host import start_detached
    from enclave_sim.host import stop as stop_host

    with progress(f"starting network {name}") as tell:
        found = start_detached(directory, on_progress=tell)
    try:
        _started(store, name, found, as_json)
    except CocoError:
        stop_host(directory)
        raise


def _started(store: Store, name: str, found: Status, as_json: bool) -> None:
    """Pin the front-end CA, remember the address, and say how to connect.

    A machine that is no client of the network pins nothing, and says what its clients need.
    """
    from enclave_sim.host_config import NodePaths

    paths = NodePaths(store.network_directory(name))
    client = store.client(name) if store.is_client(name) else None
    if client is not None:
        pin(client, paths.front_end_ca)
        pin_root(client, paths.evidence / "root.pem")
        client.set_url(found.url)
    certificate = paths.front_end_ca if client is None else client.ca_file
    identities = [] if client is None else client.identities()
    shown = {"network": name, "url": found.url, "certificate": str(certificate), "log": str(paths.log)}
    _warn_of_less_isolation(found)
    if as_json:
        print_json(shown | {"identities": identities, "less_isolation": found.less_isolation})
        return
    print_fields(shown | {"identities": ", ".join(identities) or None})
    if client is None:
        note(HOST_ONLY_NOTE.format(name=name, ca=certificate, root=paths.evidence / "root.pem"))
    else:
        note(CONNECT_NOTE.format(url=found.url, ca=certificate, token=_token_file(client)))


def _token_file(client: ClientStore) -> Path:
    """Return where the token of the default identity is, of any when none is chosen."""
    chosen = client.defaults().identity or next(iter(client.identities()), "IDENTITY")
    return client.directory / "identities" / chosen / "token"
