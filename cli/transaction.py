"""`coco transaction`: what became of a transaction."""

from __future__ import annotations

import re
from typing import Any

import click

from cli.connection import Connection
from cli.errors import OutcomeUnknown, WrongUse
from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import print_fields, print_json
from cli.store import Store

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_IDENTIFIER = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}")


@click.group()
def transaction() -> None:
    """Ask what became of a transaction."""


@transaction.command()
@click.argument("transaction_id", metavar="HASH")
@network_option
@identity_option
@json_option
@click.pass_obj
def show(store: Store, transaction_id: str, network: str | None, identity: str | None, as_json: bool) -> None:
    """Show whether a transaction is committed, and how it ended.

    HASH is an Ethereum transaction's hash, or the ledger's own id of a command (view.seqno, such as 2.17). Exits with
    10 when nothing is known of it: it was not committed so far, or this identity may not see it.
    """
    by_hash = _HASH.fullmatch(transaction_id) is not None
    if not by_hash and not _IDENTIFIER.fullmatch(transaction_id):
        raise WrongUse(
            f"{transaction_id[:80]!r} is no transaction",
            hint="Give a hash (0x and 64 hexadecimal digits) or an id of the ledger, such as 2.17.",
        )
    client = store.client(network)
    with open_connection(client, identity) as connection:
        shown = _by_hash(connection, transaction_id) if by_hash else _by_identifier(connection, transaction_id)
    if shown is None:
        raise OutcomeUnknown(
            f"network {client.network} knows no transaction {transaction_id} that this identity may see",
            transaction=transaction_id,
            hint="If it was sent just now, ask again; if it stays unknown, it was not committed and can be sent again "
            "with the same nonce. Else give --identity of the one who sent it.",
        )
    print_json(shown) if as_json else print_fields(shown)


def _by_hash(connection: Connection, transaction_hash: str) -> dict[str, Any] | None:
    receipt = connection.rpc("eth_getTransactionReceipt", transaction_hash)
    if not isinstance(receipt, dict):
        return None
    return {
        "transaction": transaction_hash.lower(),
        "state": "committed",
        "outcome": "succeeded" if receipt.get("status") == "0x1" else "reverted",
        "block": int(receipt["blockNumber"], 16),
        "gas_used": int(receipt["gasUsed"], 16),
        "from": receipt.get("from"),
        "to": receipt.get("to"),
        "contract_address": receipt.get("contractAddress"),
        "logs": len(receipt.get("logs", [])),
    }


def _by_identifier(connection: Connection, identifier: str) -> dict[str, Any] | None:
    answer = connection.get(f"/node/tx/{identifier}")
    state = str(answer.get("status", "")).lower() if isinstance(answer, dict) else ""
    return None if state in ("", "unknown") else {"transaction": identifier, "state": state}
