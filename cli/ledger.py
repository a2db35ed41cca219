"""`coco ledger`: what a host can read of its own ledger, which is all that its disk gives away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from pathlib import Path

import click

from cli.errors import NotFound
from cli.options import json_option, network_option
from cli.output import note, print_json, print_table, progress
from cli.store import Store

LAST_DEFAULT = 20


@click.group()
def ledger() -> None:
    """Look at a ledger on this machine's disk."""


@ledger.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--last", type=click.IntRange(0), default=LAST_DEFAULT, show_default=True, help="How many; 0: all.")
@network_option
@json_option
@click.pass_obj
def show(store: Store, directory: Path | None, last: int, network: str | None, as_json: bool) -> None:
    """Show what a host can read of its own ledger without keys: places, sizes and public tables.

    DIRECTORY is a network's or a node's; by default that of the current network. Nothing is verified.
    """
    from cli.ledger_reader import ReadableEntry, ReadOnlyDisk, TornTail, find_disk, read_entries

    where = directory if directory is not None else store.host_directory(network)[1]
    disk = find_disk(where)
    if disk is None:
        raise NotFound(
            f"there is no ledger in {where}",
            hint="A network has one once it was started: coco network start. Or name its directory.",
        )
    entries: deque[ReadableEntry] = deque(maxlen=last or None)
    torn: TornTail | None = None
    count = 0

    async def collect() -> None:
        nonlocal torn, count
        async for entry in read_entries(ReadOnlyDisk(disk)):
            if isinstance(entry, TornTail):
                torn = entry
            else:
                entries.append(entry)
                count += 1

    with progress("reading the ledger"):
        asyncio.run(collect())
    if as_json:
        shown = [
            {
                "seqno": entry.seqno,
                "view": entry.view,
                "type": entry.type,
                "file": entry.file,
                "offset": entry.offset,
                "size_bytes": entry.size_bytes,
                "private_bytes": entry.private_bytes,
                "public_tables": {name: _readable(writes) for name, writes in entry.tables.items()},
            }
            for entry in entries
        ]
        tail = {"file": torn.file, "offset": torn.offset, "size_bytes": torn.size_bytes} if torn else None
        print_json({"entries": shown, "count": count, "torn": tail})
        return
    rows = [
        (entry.seqno, entry.view, entry.type, entry.size_bytes, entry.private_bytes, ", ".join(entry.tables) or "-")
        for entry in entries
    ]
    print_table(("seqno", "view", "type", "bytes", "encrypted", "public tables"), rows)
    if len(entries) < count:
        note(f"The last {len(entries)} of {count} entries; --last 0 shows all.")
    if torn is not None:
        note(f"{torn.size_bytes} bytes after the last whole entry belong to a write that has not finished.")


def _readable(writes: Mapping[bytes, bytes | None]) -> dict[str, str | None]:
    return {_text(key): None if value is None else _text(value) for key, value in writes.items()}


def _text(data: bytes) -> str:
    """Show bytes as text where they are text, else as hexadecimal."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "0x" + data.hex()
    return text if all(character.isprintable() or character in "\n\t" for character in text) else "0x" + data.hex()
