"""Options that several commands share, each spelled the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.connection import Connection, connect_client
from cli.errors import NotFound
from cli.store import ClientStore, Store
from cli.wallet import AccountFile, Wallet, known_password

ETHEREUM_PATH = "/ethereum/"
"""Where the commands about accounts and contracts speak, whatever the network's default adapter is."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def network_option(function: FunctionT) -> FunctionT:
    return click.option(
        "--network", "-n", envvar="COCO_NETWORK", help="Which network. Default: the current one, else the only one."
    )(function)


def identity_option(function: FunctionT) -> FunctionT:
    return click.option(
        "--identity", "-i", envvar="COCO_IDENTITY", help="As which organisation. Default: the current one."
    )(function)


def account_option(function: FunctionT) -> FunctionT:
    return click.option(
        "--account",
        "-a",
        "account_name",
        envvar="COCO_ACCOUNT",
        help="From which account. Default: the first one made.",
    )(function)


def password_file_option(function: FunctionT) -> FunctionT:
    return click.option(
        "--password-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A file with the account's password. Else COCO_PASSWORD, else a prompt.",
    )(function)


def json_option(function: FunctionT) -> FunctionT:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


def open_connection(client: ClientStore, identity: str | None) -> Connection:
    """Connect as the named identity, or as the network's default one; JSON-RPC goes to the Ethereum adapter."""
    connection = connect_client(client, client.identity(identity))
    connection.rpc_path = ETHEREUM_PATH
    return connection


def choose_account(client: ClientStore, name: str | None) -> AccountFile:
    """Return the named account, else the default one, else the only one; raises NotFound."""
    wallet = Wallet(client.accounts_directory, client.network)
    names = wallet.names()
    chosen = name or client.defaults().account or (names[0] if len(names) == 1 else None)
    if chosen is None:
        raise NotFound(
            f"no account on network {client.network} is chosen",
            hint=f"Give --account NAME ({', '.join(names)})." if names else "Make one: coco account new NAME",
        )
    return wallet.find(chosen)


def unlock(client: ClientStore, account: AccountFile, password_file: Path | None) -> Any:
    """Return the account ready to sign (eth_account's LocalAccount)."""
    return Wallet(client.accounts_directory, client.network).unlock(
        account.name, known_password(account, password_file)
    )


def current_store(context: click.Context) -> Store:
    store = context.find_object(Store)
    if store is None:
        raise NotFound("this command was started outside of coco")
    return store
