"""Sends notes (notes_processor.py) by REST. Runs in the SDK's environment.

Arguments: the URLs of REST and of the validator, a name, and the notes to add to it, each in a batch of its own.
Prints a JSON document of what became of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys

from intkey_client import Application
from notes_processor import NAMESPACE
from sawtooth_sdk.protobuf import batch_pb2


def main() -> None:
    application = Application(sys.argv[1], sys.argv[2])
    used = NAMESPACE + hashlib.sha512(sys.argv[3].encode()).hexdigest()[:64]
    try:
        statuses = []
        for note in sys.argv[4:]:
            batch = application.sign("notes", note.encode(), used)
            submitted = application.post(batch_pb2.BatchList(batches=[batch]).SerializeToString())
            found = application.get(submitted["link"] + "&wait=40")["data"][0]
            statuses.append([found["status"], *(one["message"] for one in found["invalid_transactions"])])
        receipt = application.get(f"{application.rest}/receipts?id={batch.transactions[0].header_signature}")
        receipts = receipt.get("data", [{"events": [], "data": []}])
        state = application.get(f"{application.rest}/state/{used}").get("data", "")
        seen = {
            "statuses": statuses,
            "text": base64.b64decode(state).decode(),
            "events": [event["event_type"] for event in receipts[0]["events"]],
            "receipt": [base64.b64decode(one).decode() for one in receipts[0]["data"]],
        }
        print(json.dumps(seen))
    finally:
        application.stream.close()


if __name__ == "__main__":
    main()
