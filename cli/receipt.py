"""`coco receipt`: proofs of transactions, to be shown to outsiders, who verify them without the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import orjson

from cli.connection import Connection, refusal
from cli.errors import NotFound, OutcomeUnknown, WrongUse
from cli.options import identity_option, json_option, network_option, open_connection
from cli.output import note, print_fields, print_json
from cli.store import Store
from core import limits
from core.errors import LimitExceeded, StorageFailed

_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_IDENTIFIER = re.compile(r"[0-9]{1,18}\.[0-9]{1,18}")
_CERTIFICATE_OPTION = click.Path(path_type=Path, dir_okay=False)


@click.group()
def receipt() -> None:
    """Prove transactions to outsiders, and verify such proofs."""


@receipt.command()
@click.argument("transaction_id", metavar="TX")
@click.option("--cose", is_flag=True, help="As COSE instead of JSON: smaller, and without its claims. Needs --output.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@network_option
@identity_option
@json_option
@click.pass_obj
def get(
    store: Store,
    transaction_id: str,
    cose: bool,
    output: Path | None,
    network: str | None,
    identity: str | None,
    as_json: bool,
) -> None:
    """Get the proof of a committed transaction: its receipt, what that claims, and the service's certificate.

    TX is an Ethereum transaction's hash, or the ledger's own id (view.seqno, such as 2.17). Without --output the proof
    is printed, as JSON. Exits with 10 when there is none that this identity may have.
    """
    if cose and output is None:
        raise WrongUse("a COSE receipt is not text", hint="Give --output FILE.")
    if not _HASH.fullmatch(transaction_id) and not _IDENTIFIER.fullmatch(transaction_id):
        raise WrongUse(
            f"{transaction_id[:80]!r} is no transaction",
            hint="Give a hash (0x and 64 hexadecimal digits) or an id of the ledger, such as 2.17.",
        )
    client = store.client(network)
    with open_connection(client, identity) as connection:
        proof = _proof(connection, transaction_id, client.network)
        found = str(proof["transactionId"])
        data = _get(connection, found, "cose", client.network) if cose else _pretty(proof)
    if output is None:
        print_json(proof)
        return
    _write(output, data)
    shown = {"transaction": found, "file": str(output), "form": "cose" if cose else "json", "bytes": len(data)}
    print_json(shown) if as_json else print_fields(shown)


@receipt.command()
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="The file to write.")
@network_option
@identity_option
@click.pass_obj
def certificate(store: Store, output: Path | None, network: str | None, identity: str | None) -> None:
    """Show the certificate of the network's service, which receipts are verified with (PEM)."""
    client = store.client(network)
    with open_connection(client, identity) as connection:
        found = str(connection.get("/node/network").get("service_certificate", ""))
    if output is None:
        click.echo(found, nl=False)
    else:
        _write(output, found.encode())


@receipt.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--service-cert", required=True, type=_CERTIFICATE_OPTION, help="The service's certificate (PEM).")
@click.option(
    "--claims", help="What the entry must claim: bytes (0x...), or a file with transactionHash and receipt (JSON)."
)
@json_option
def verify(file: Path, service_cert: Path, claims: str | None, as_json: bool) -> None:
    """Verify a proof or receipt offline, and show what it proves. Exits with 1, and the reason, when it proves nothing.

    FILE: as `coco receipt get` writes it, CCF's JSON, or a COSE receipt. Take the service's certificate from where you
    trust it, not from who shows the proof. Without --claims those that stand in the proof are verified.
    """
    from cli.receipt_check import check_proof

    trusted = _read(service_cert).decode("utf-8", "replace")
    claimed = None if claims is None else _claims_option(claims)
    proven = check_proof(_read(file), trusted, claimed)
    print_json({"verified": True, **proven}) if as_json else print_fields({"verified": True, **proven})
    if not proven["claims_verified"]:
        note("Nothing is known of what the entry claims: it is only proven to be committed. See --claims.")


def _proof(connection: Connection, transaction_id: str, network: str) -> dict[str, Any]:
    if not _HASH.fullmatch(transaction_id):
        found = orjson.loads(_get(connection, transaction_id, "proof", network))
    else:
        found = connection.rpc("coco_getTransactionReceiptProof", transaction_id)
    if not isinstance(found, dict) or "transactionId" not in found:
        raise _unknown(network, transaction_id)
    return found


def _get(connection: Connection, transaction_id: str, form: str, network: str) -> bytes:
    path = f"/node/receipt?transaction_id={transaction_id}&format={form}"
    status, body = connection.request("GET", path)
    if status in (202, 404):
        raise _unknown(network, transaction_id)
    if status != 200:
        raise refusal(status, body, f"{connection.url}{path}")
    return body


def _unknown(network: str, transaction_id: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"network {network} has no proof of transaction {transaction_id} that this identity may have",
        transaction=transaction_id,
        hint="Proofs are for who sees all of a transaction: give --identity of a party. "
        "If it was sent just now, it may not be committed yet.",
    )


def _claims_option(text: str) -> bytes | dict[str, Any]:
    """Return the claims' bytes, or their JSON."""
    if text.startswith("0x"):
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            raise WrongUse("the claims are not hexadecimal", hint="Give 0x and pairs of digits, or a file.") from None
    try:
        found = orjson.loads(_read(Path(text)))
    except orjson.JSONDecodeError:
        raise WrongUse(f"{text} is not JSON", hint="It holds transactionHash and receipt.") from None
    if not isinstance(found, dict):
        raise WrongUse(f"{text} holds no claims", hint="It holds transactionHash and receipt.")
    return found


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limits.RECEIPT_BYTES_MAX + 1)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}", hint="Give the name of a file.") from error
    if len(data) > limits.RECEIPT_BYTES_MAX:
        raise LimitExceeded(f"{path} is larger than {limits.RECEIPT_BYTES_MAX} bytes", hint="It is no receipt.")
    return data


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise StorageFailed(f"{path} cannot be written: {error.strerror}", hint="Choose another file.") from error


def _pretty(document: dict[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
