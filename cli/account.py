"""`coco account`: Ethereum accounts of this machine, and binding them to an organisation's identity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from cli.connection import Connection
from cli.errors import WrongUse
from cli.files import Record, read_private, read_record, write_record
from cli.options import (
    identity_option,
    json_option,
    network_option,
    open_connection,
    password_file_option,
    unlock,
)
from cli.output import note, print_fields, print_json, print_table, progress
from cli.store import ClientStore, Store
from cli.wallet import AccountFile, Wallet, new_password, parse_keystore
from core.errors import AuthenticationFailed

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

NO_PASSWORD_NOTE = "An account without a password: whoever reads its file can sign as it. For local development only."  # noqa: S105


class Bindings(Record, frozen=True, kw_only=True):
    """What `account bind` has done from this machine: addresses to identities."""

    bound: dict[str, str] = {}  # noqa: RUF012 - msgspec copies the default.


def no_password_option(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--no-password", is_flag=True, help="Encrypt with the empty password: for local development only."
    )(function)


@click.group()
def account() -> None:
    """Make Ethereum accounts, and bind them to an identity."""


@account.command()
@click.argument("name")
@network_option
@password_file_option
@no_password_option
@json_option
@click.pass_obj
def new(
    store: Store, name: str, network: str | None, password_file: Path | None, no_password: bool, as_json: bool
) -> None:
    """Make an account and keep its key encrypted on this machine.

    The network does not know it until it is bound to an identity: coco account bind NAME.
    """
    client = store.client(network)
    made = make_account(client, name, new_password(password_file, no_password))
    _show(client, made, as_json)
    if not made.protected:
        note(NO_PASSWORD_NOTE)
    if not as_json:
        note(f"Next: coco account bind {name}")


def make_account(client: ClientStore, name: str, password: str, private_key: bytes | None = None) -> AccountFile:
    """Make (or import) an account; the first one becomes the network's default."""
    wallet = Wallet(client.accounts_directory, client.network)
    with progress("encrypting the key"):
        key = os.urandom(32) if private_key is None else private_key
        made = wallet.add(name, key, password)
    defaults = client.defaults()
    if defaults.account is None:
        client.set_defaults(msgspec.structs.replace(defaults, account=name))
    return made


@account.command("list")
@network_option
@json_option
@click.pass_obj
def list_(store: Store, network: str | None, as_json: bool) -> None:
    """List this machine's accounts, and the identities they were bound to from here."""
    client = store.client(network)
    bound = bindings(client).bound
    accounts = Wallet(client.accounts_directory, client.network).all()
    if as_json:
        print_json([_described(entry, bound) for entry in accounts])
    elif accounts:
        rows = [(entry.name, entry.address, bound.get(entry.address, "-")) for entry in accounts]
        print_table(("name", "address", "bound to"), rows)
    else:
        note(f"No accounts on network {client.network}. Make one: coco account new NAME")


@account.command()
@click.argument("name")
@network_option
@json_option
@click.pass_obj
def show(store: Store, name: str, network: str | None, as_json: bool) -> None:
    """Show an account's address, its keystore file and its binding; never its key."""
    client = store.client(network)
    _show(client, Wallet(client.accounts_directory, client.network).find(name), as_json)


@account.command("import")
@click.argument("name")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with the private key in hexadecimal, or a keystore file. Else a prompt.",
)
@network_option
@password_file_option
@no_password_option
@json_option
@click.pass_obj
def import_(
    store: Store,
    name: str,
    key_file: Path | None,
    network: str | None,
    password_file: Path | None,
    no_password: bool,
    as_json: bool,
) -> None:
    """Keep an existing private key as an account.

    The key comes from a file or a prompt, never from the command line, where other users could read it.
    """
    client = store.client(network)
    key = _key_to_import(key_file)
    made = make_account(client, name, new_password(password_file, no_password), key)
    _show(client, made, as_json)
    if not made.protected:
        note(NO_PASSWORD_NOTE)


@account.command()
@click.argument("name")
@network_option
@identity_option
@password_file_option
@json_option
@click.pass_obj
def bind(
    store: Store, name: str, network: str | None, identity: str | None, password_file: Path | None, as_json: bool
) -> None:
    """Prove to the network that an account belongs to an identity.

    The account signs a message of the network (EIP-4361). Until then its transactions are refused.
    """
    client = store.client(network)
    entry = Wallet(client.accounts_directory, client.network).find(name)
    chosen = client.identity(identity)
    with open_connection(client, chosen.name) as connection:
        bind_account(connection, unlock(client, entry, password_file))
    try:
        known = bindings(client)
        write_record(client.directory / "bindings.json", Bindings(bound=known.bound | {entry.address: chosen.name}))
    finally:
        # The network knows it, whatever this machine's disk says.
        if as_json:
            print_json(_described(entry, {entry.address: chosen.name}))
        else:
            click.echo(f"{entry.address} ({name}) is bound to {chosen.name} on {client.network}.")


def bind_account(connection: Connection, account: LocalAccount) -> None:
    """Sign the network's message with the account, and send it back; raises Refused, AuthenticationFailed."""
    from eth_account.messages import encode_defunct

    message = str(connection.rpc("coco_bindMessage", account.address))
    check_bind_message(message, account.address)
    signature = account.sign_message(encode_defunct(text=message)).signature
    connection.rpc("coco_bind", message, "0x" + bytes(signature).hex())


def check_bind_message(message: str, address: str) -> None:
    """Sign nothing but what binds this address on Coco: a hostile node could ask for a log-in somewhere else.

    Raises AuthenticationFailed. Source of the form: EIP-4361; adapters/ethereum/binding.py.
    """
    lines = message.split("\n")
    domain, _, rest = lines[0].partition(" ")
    expected = (
        len(lines) > 5
        and rest == "wants you to sign in with your Ethereum account:"
        and lines[1] == address
        and lines[3].startswith("Bind this address to the identity ")
        and lines[5] == f"URI: coco://{domain}"
    )
    if not expected:
        raise AuthenticationFailed(
            f"the node asked for a signature under something else: {message[:200]!r}",
            hint="Nothing was signed. Is it a Coco node of this version?",
        )


def bindings(client: ClientStore) -> Bindings:
    return read_record(client.directory / "bindings.json", Bindings) or Bindings()


def _key_to_import(key_file: Path | None) -> bytes:
    if key_file is None:
        return _hex_key(str(click.prompt("Private key", hide_input=True, err=True)))
    data = read_private(key_file)
    if data is None:
        raise WrongUse(f"there is no file {key_file}")
    if not data.lstrip().startswith(b"{"):
        return _hex_key(data.decode("ascii", "replace"))
    document = parse_keystore(data, key_file)
    password = str(
        click.prompt(f"Password of {key_file.name}", hide_input=True, err=True, default="", show_default=False)
    )
    return _decrypt(document, password, key_file)


def _decrypt(document: dict[str, object], password: str, path: Path) -> bytes:
    from eth_account import Account

    try:
        return bytes(Account.decrypt(document, password))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WrongUse(f"{path} cannot be decrypted: {error}", hint="Is it the right password?") from None


def _hex_key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip().removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise WrongUse("that is no private key", hint="It is 32 bytes, as 64 hexadecimal digits.")
    return key


def _described(entry: AccountFile, bound: dict[str, str]) -> dict[str, object]:
    return {
        "name": entry.name,
        "address": entry.address,
        "identity": bound.get(entry.address),
        "password": entry.protected,
        "keystore": str(entry.path),
    }


def _show(client: ClientStore, entry: AccountFile, as_json: bool) -> None:
    described = _described(entry, bindings(client).bound)
    if as_json:
        print_json(described)
    else:
        print_fields(described | {"password": "yes" if entry.protected else "none"})
