"""`coco sawtooth`: keys, batches, state, blocks and settings of the Sawtooth adapter, over the pinned connection.

Sawtooth's own commands (`sawtooth`, `intkey`, `xo`) serve as well, through `coco proxy`.
"""

from __future__ import annotations

import base64
import getpass
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.connection import connect_client
from cli.errors import NotFound, Reverted, WrongUse
from cli.files import read_file, write_private
from cli.options import identity_option, json_option, network_option
from cli.output import note, print_fields, print_json, print_table
from cli.store import Store

if TYPE_CHECKING:
    from cli.sawtooth_client import SawtoothClient

BATCHES_AT_ONCE = 100
SETTINGS_PREFIX = "000000"
_ADDRESS = re.compile("[0-9a-f]{70}")
_SHOWN = 40
"""Bytes of data that a table shows."""


@click.group()
def sawtooth() -> None:
    """Speak to the Sawtooth adapter: keys, batches, state, blocks, settings."""


@sawtooth.command()
@click.argument("name", required=False)
@click.option(
    "--key-dir", type=click.Path(path_type=Path, file_okay=False), help="Where. Default: ~/.sawtooth/keys, Sawtooth's."
)
@click.option("--force", is_flag=True, help="Replace a key that is there.")
@json_option
def keygen(name: str | None, key_dir: Path | None, force: bool, as_json: bool) -> None:
    """Make a key pair as Sawtooth's own command does, by default named as the user."""
    import secrets

    from adapters.sawtooth.signatures import Signer

    name = name or getpass.getuser()
    if "/" in name or name.startswith("."):
        raise WrongUse(f"{name[:80]!r} is no name of a key", hint="It becomes a file's name.")
    directory = key_dir or Path.home() / ".sawtooth" / "keys"
    private, public = directory / f"{name}.priv", directory / f"{name}.pub"
    if not force and (private.exists() or public.exists()):
        raise WrongUse(f"there is a key {name} in {directory} already", hint="Name another, or give --force.")
    secret = secrets.token_bytes(32)
    key = Signer(secret).public_key
    write_private(private, secret.hex().encode() + b"\n")
    write_private(public, key.encode() + b"\n")
    shown = {"name": name, "public_key": key, "private_key_file": str(private), "public_key_file": str(public)}
    print_json(shown) if as_json else print_fields(shown)


@sawtooth.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--wait", type=click.IntRange(0, 55), default=30, show_default=True, help="Seconds, for what is held.")
@network_option
@identity_option
@json_option
@click.pass_obj
def submit(store: Store, file: Path, wait: int, network: str | None, identity: str | None, as_json: bool) -> None:
    """Send the batches of a file: a BatchList, as `intkey create_batch` and others write it."""
    from adapters.sawtooth.wire.messages import MalformedMessage, parse

    try:
        batches = list(parse("BatchList", read_file(file)).batches)
    except MalformedMessage:
        batches = []
    if not batches:
        raise WrongUse(f"{file} holds no batches", hint="It is a serialised BatchList.")
    found: list[dict[str, Any]] = []
    with _client(store, network, identity) as client:
        for first in range(0, len(batches), BATCHES_AT_ONCE):
            found += client.submit(batches[first : first + BATCHES_AT_ONCE], wait)
    if as_json:
        print_json(found)
    else:
        print_table(("batch", "status", "why"), [(one["id"], one["status"], _why(one)) for one in found])
    invalid = [one for one in found if one["status"] != "COMMITTED"]
    if invalid:
        raise Reverted(f"{len(invalid)} of {len(found)} batches are not committed", transaction_hash=invalid[0]["id"])


@sawtooth.command()
@click.argument("address", default="")
@click.option("--limit", type=click.IntRange(1), help="How many entries at most.")
@network_option
@identity_option
@json_option
@click.pass_obj
def state(
    store: Store, address: str, limit: int | None, network: str | None, identity: str | None, as_json: bool
) -> None:
    """List the state below an address prefix, or show what stands at a whole address of 70 digits."""
    if _ADDRESS.fullmatch(address):
        with _client(store, network, identity) as client:
            data = client.state(address)
        if data is None:
            raise NotFound(f"nothing stands at {address}", hint="Or this identity may not see it.")
        shown = {"address": address, "data": base64.b64encode(data).decode()}
        print_json(shown) if as_json else click.echo(_readable(data))
        return
    with _client(store, network, identity) as client:
        entries = list(client.entries("/state", limit, address=address))
    if as_json:
        print_json(entries)
    else:
        rows = [(one["address"], _readable(base64.b64decode(one["data"]))) for one in entries]
        print_table(("address", "data"), rows)


@sawtooth.command()
@click.argument("block_id", required=False)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many blocks at most.")
@network_option
@identity_option
@json_option
@click.pass_obj
def block(
    store: Store, block_id: str | None, limit: int, network: str | None, identity: str | None, as_json: bool
) -> None:
    """List the newest blocks, or show one."""
    with _client(store, network, identity) as client:
        found = None if block_id is None else client.get(f"/blocks/{block_id}")["data"]
        blocks = [] if found is not None else list(client.entries("/blocks", limit))
    if found is not None:
        print_json(found) if as_json else print_fields({"id": found["header_signature"]} | found["header"])
        return
    if as_json:
        print_json(blocks)
        return
    rows = [
        (
            one["header"]["block_num"],
            one["header_signature"],
            len(one["header"]["batch_ids"]),
            one["header"]["state_root_hash"],
        )
        for one in blocks
    ]
    print_table(("number", "block", "batches", "state root"), rows)


@sawtooth.command()
@network_option
@identity_option
@json_option
@click.pass_obj
def settings(store: Store, network: str | None, identity: str | None, as_json: bool) -> None:
    """List the settings on the chain, which the settings family keeps."""
    from adapters.sawtooth.wire.messages import parse

    found: dict[str, str] = {}
    with _client(store, network, identity) as client:
        entries = list(client.entries("/state", address=SETTINGS_PREFIX))
    for entry in entries:
        for one in parse("Setting", base64.b64decode(entry["data"])).entries:
            found[one.key] = one.value
    if as_json:
        print_json(found)
    elif found:
        print_fields(dict(sorted(found.items())))
    else:
        note("No settings are on the chain, or none that this identity may read.")


@contextmanager
def _client(store: Store, network: str | None, identity: str | None) -> Iterator[SawtoothClient]:
    from cli.sawtooth_client import SawtoothClient

    client = store.client(network)
    with connect_client(client, client.identity(identity)) as connection:
        yield SawtoothClient(connection)


def _why(status: dict[str, Any]) -> str:
    return "; ".join(one.get("message", "") for one in status.get("invalid_transactions", ()))


def _readable(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    shown = text if text.isprintable() and "\ufffd" not in text else "0x" + data.hex()
    return shown if len(shown) <= 2 * _SHOWN else shown[: 2 * _SHOWN] + "..."
