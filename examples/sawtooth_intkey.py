"""Count with Sawtooth's family intkey on a network of Coco.

    coco network create saw --adapter sawtooth --organisation alpha
    coco network start saw
    python examples/sawtooth_intkey.py saw alpha

The client signs as Sawtooth's SDKs do and speaks Sawtooth's REST API, under the network's own certificate and with the
organisation's token. An application that already has an SDK keeps it and goes through `coco proxy`: docs/sawtooth.md.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import sys
from typing import Any

import cbor2

from adapters.sawtooth.signatures import Signer
from cli.connection import connect
from cli.sawtooth_client import SawtoothClient, make_batch, make_transaction

FAMILY = ("intkey", "1.0")
NAMESPACE = hashlib.sha512(b"intkey").hexdigest()[:6]


def address_of(name: str) -> str:
    return NAMESPACE + hashlib.sha512(name.encode()).hexdigest()[-64:]


def intkey(signer: Signer, verb: str, name: str, value: int) -> Any:
    """Return a signed transaction that sets, increments or decrements a name."""
    payload = cbor2.dumps({"Verb": verb, "Name": name, "Value": value})
    return make_transaction(signer, FAMILY, payload, [address_of(name)])


def main(network: str, identity: str) -> None:
    name, signer = secrets.token_hex(4), Signer(secrets.token_bytes(32))
    with connect(network, identity) as connection:
        client = SawtoothClient(connection)

        # Two transactions in one batch: both are committed, or neither is.
        batch = make_batch(signer, [intkey(signer, "set", name, 40), intkey(signer, "inc", name, 2)])
        (status,) = client.submit([batch])
        print("the batch is", status["status"])
        stored = client.state(address_of(name))
        print("the name counts", cbor2.loads(stored or b"\xa0")[name])

        # A rule of the family refuses this one, and nothing of it is kept.
        (status,) = client.submit([make_batch(signer, [intkey(signer, "dec", name, 50)])])
        print("the next batch is", status["status"] + ":", status["invalid_transactions"][0]["message"])

        (receipt,) = client.get(f"/receipts?id={batch.transactions[0].header_signature}")["data"]
        (change,) = receipt["state_changes"]
        print("the first transaction wrote", base64.b64decode(change["value"]).hex(), "at", change["address"][:12])
        newest = next(client.entries("/blocks", limit=1))["header"]
        print("block", newest["block_num"], "has state root", newest["state_root_hash"])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
