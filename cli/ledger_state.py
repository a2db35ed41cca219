"""`coco ledger state` and `coco ledger rebuild`: the state at any entry, made again from the ledger."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from cli.files import read_file
from cli.ledger_disk import open_ledger
from cli.options import json_option, network_option
from cli.output import print_fields, print_json, progress
from cli.store import Store
from cli.values import readable_bytes


def _certificate(path: Path | None) -> str | None:
    return read_file(path).decode("ascii", "replace") if path is not None else None


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--at", type=click.IntRange(1), required=True, help="As of this entry.")
@click.option("--table", "tables", multiple=True, help="Only this table. Repeatable.")
@click.option(
    "--service-cert",
    "service_certificate",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The service's certificate (PEM) as you know it. Default: what the ledger itself says.",
)
@network_option
@json_option
@click.pass_obj
def state(
    store: Store,
    directory: Path | None,
    at: int,
    tables: tuple[str, ...],
    service_certificate: Path | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Show the public tables as they were at an entry, after verifying the ledger up to the signature over it."""
    from core.node.ledger_state import public_state
    from core.types import Seqno

    disk = open_ledger(store, directory, network)
    with progress("verifying the ledger"):
        found = asyncio.run(public_state(disk, Seqno(at), _certificate(service_certificate)))
    shown = {
        name: {
            readable_bytes(key): {"value": readable_bytes(value), "version": version}
            for key, (version, value) in sorted(rows.items())
        }
        for name, rows in sorted(found.items())
        if rows and (not tables or name in tables)
    }
    if as_json:
        print_json({"at": at, "tables": shown})
        return
    for name, rows in shown.items():
        click.echo(name)
        for key, row in rows.items():
            click.echo(f"  {key} (entry {row['version']}): {row['value']}")


@click.command()
@click.argument("directory", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--keys",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    required=True,
    help="A file of epoch keys (docs/auditing.md), of every epoch from the first on.",
)
@click.option("--at", type=click.IntRange(1), help="As of this entry. Default: the last signature.")
@click.option(
    "--service-cert",
    "service_certificate",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The service's certificate (PEM) as you know it. Default: what the ledger itself says.",
)
@network_option
@json_option
@click.pass_obj
def rebuild(
    store: Store,
    directory: Path | None,
    keys: Path,
    at: int | None,
    service_certificate: Path | None,
    network: str | None,
    as_json: bool,
) -> None:
    """Make the whole state again from the ledger and its keys, and print the state's digest.

    Every entry is authenticated and decrypted. A node with this state computes the same digest (docs/auditing.md); each
    snapshot that the ledger has evidence of must have been of the state that is made here.
    """
    from core.ledger.key_file import decode_key_file
    from core.ledger.state_digest import StateDigest
    from core.node.ledger_state import rebuild as rebuild_state
    from core.node.ledger_state import rows_of, snapshot_digests
    from core.types import Seqno

    disk = open_ledger(store, directory, network)
    secrets = decode_key_file(read_file(keys))
    snapshots = asyncio.run(snapshot_digests(disk))
    with progress("rebuilding the state") as tell:
        found = asyncio.run(
            rebuild_state(
                disk,
                secrets,
                Seqno(at) if at is not None else None,
                service_certificate=_certificate(service_certificate),
                progress=lambda seqno: tell(f"{seqno:,} entries"),
                snapshots=snapshots,
            )
        )
        digest = StateDigest()
        for row in rows_of(found):
            digest.add(*row)
        rows = digest.rows
        compared = sum(1 for seqno in snapshots if seqno <= found.head)
        said = {
            "at": found.head,
            "rows": rows,
            "state_digest": digest.finish().hex(),
            "snapshots_compared": compared,
        }
    if as_json:
        print_json(said)
    else:
        print_fields(said)
