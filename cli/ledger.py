"""`coco ledger`: what can be read of a ledger on disk, without keys or with those an auditor was given."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.errors import WrongUse
from cli.files import read_file
from cli.ledger_disk import open_ledger
from cli.ledger_state import rebuild, state
from cli.ledger_verify import verify
from cli.options import json_option, network_option
from cli.output import note, print_json, print_table, progress
from cli.store import Store
from cli.values import readable_bytes

if TYPE_CHECKING:
    from core.ledger.reader import ReadableEntry, Tables, TornTail

LAST_DEFAULT = 20


@click.group()
def ledger() -> None:
    """Look at a ledger on this machine's disk, and verify it."""


ledger.add_command(verify)
ledger.add_command(state)
ledger.add_command(rebuild)


@ledger.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--from", "first", type=click.IntRange(1), help="From this entry on.")
@click.option("--to", "last_entry", type=click.IntRange(1), help="Up to this entry.")
@click.option(
    "--last", type=click.IntRange(0), help=f"How many; 0: all. Default: {LAST_DEFAULT}, or all of --from and --to."
)
@click.option("--table", "tables", multiple=True, help="Only entries that write this table, and only it. Repeatable.")
@click.option(
    "--decrypt",
    "keys",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A file of epoch keys (docs/auditing.md): shows private tables too, authenticated.",
)
@network_option
@json_option
@click.pass_obj
def show(
    store: Store,
    directory: Path | None,
    first: int | None,
    last_entry: int | None,
    last: int | None,
    tables: tuple[str, ...],
    keys: Path | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Show what a ledger's files say: places, sizes and public tables, with keys the private ones.

    DIRECTORY is a network's, a node's or a ledger's; by default that of the current network. Without keys nothing is
    verified: coco ledger verify does that.
    """
    from core.ledger.key_file import decode_key_file
    from core.ledger.reader import Span, TornTail, read_entries
    from core.ledger.secrets import Keyring
    from core.node.manager_tables import WRITE_SETS

    if first is not None and last_entry is not None and last_entry < first:
        raise WrongUse(f"--from {first} is after --to {last_entry}", hint="Give them the other way round.")
    disk = open_ledger(store, directory, network)
    keyring = Keyring(decode_key_file(read_file(keys))) if keys is not None else None
    ranged = first is not None or last_entry is not None
    kept = last if last is not None else (0 if ranged else LAST_DEFAULT)
    entries: deque[ReadableEntry] = deque(maxlen=kept or None)
    torn: TornTail | None = None
    count = 0
    closed = Counter[int]()

    async def collect() -> None:
        nonlocal torn, count
        async for entry in read_entries(disk, WRITE_SETS, Span(first or 1, last_entry), keyring):
            if isinstance(entry, TornTail):
                torn = entry
            elif not tables or any(name in tables for name in (*entry.public, *(entry.private or ()))):
                entries.append(entry)
                count += 1
                if entry.missing_epoch and entry.private_bytes:
                    closed[entry.missing_epoch] += 1

    with progress("reading the ledger"):
        asyncio.run(collect())
    if as_json:
        shown = [_to_json(entry, tables, with_private=keys is not None) for entry in entries]
        tail = {"file": torn.file, "offset": torn.offset, "size_bytes": torn.size_bytes} if torn else None
        missing = {"missing_epochs": sorted(closed)} if keys is not None else {}
        print_json({"entries": shown, "count": count, "torn": tail} | missing)
        return
    _print(list(entries), tables, decrypted=keys is not None)
    if len(entries) < count:
        note(f"The last {len(entries)} of {count} entries; --last 0 shows all.")
    for epoch, number in sorted(closed.items()):
        note(f"{number} entries stay closed: {keys} has no key of epoch {epoch}.")
    if torn is not None:
        note(f"{torn.size_bytes} bytes after the last whole entry belong to a write that has not finished.")


def _to_json(entry: ReadableEntry, only: Sequence[str], *, with_private: bool) -> dict[str, Any]:
    found = {
        "seqno": entry.seqno,
        "view": entry.view,
        "type": _type(entry),
        "claims": entry.claims.hex(),
        "file": entry.file,
        "offset": entry.offset,
        "size_bytes": entry.size_bytes,
        "private_bytes": entry.private_bytes,
        "public_tables": _tables(entry.public, only),
    }
    if with_private:
        found["private_tables"] = None if entry.private is None else _tables(entry.private, only)
    return found


def _print(entries: Sequence[ReadableEntry], only: Sequence[str], *, decrypted: bool) -> None:
    rows = []
    for entry in entries:
        names = [*entry.public, *(entry.private or ())]
        if decrypted and entry.private is None and entry.private_bytes:
            names.append("(no key)")
        row = (entry.seqno, entry.view, _type(entry), entry.size_bytes, entry.private_bytes, ", ".join(names) or "-")
        rows.append(row)
    print_table(("seqno", "view", "type", "bytes", "encrypted", "tables" if decrypted else "public tables"), rows)
    if only or decrypted:
        for entry in entries:
            for tables in (entry.public, entry.private or {}):
                for name, writes in _tables(tables, only).items():
                    click.echo(f"\n{entry.view}.{entry.seqno} {name}")
                    for key, value in writes.items():
                        click.echo(f"  {key}: {'(deleted)' if value is None else value}")


def _type(entry: ReadableEntry) -> str:
    return "signature" if entry.is_signature else "write set"


def _tables(tables: Tables, only: Sequence[str]) -> dict[str, dict[str, str | None]]:
    return {name: _readable(writes) for name, writes in tables.items() if not only or name in only}


def _readable(writes: Mapping[bytes, bytes | None]) -> dict[str, str | None]:
    return {readable_bytes(key): None if value is None else readable_bytes(value) for key, value in writes.items()}
