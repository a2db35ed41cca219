"""A transaction family as Sawtooth's documentation shows one, run by the SDK's own TransactionProcessor.

It keeps a text per address, to which a transaction's payload is added. Runs in the SDK's environment. Arguments: the
URL of the validator; "stall" to stop for ever in the middle of the first transaction. Prints what it does, a line each.
"""

from __future__ import annotations

import hashlib
import sys
import time

import asyncio_of_its_time

asyncio_of_its_time.install()

from sawtooth_sdk.processor.core import TransactionProcessor  # noqa: E402
from sawtooth_sdk.processor.exceptions import InvalidTransaction  # noqa: E402
from sawtooth_sdk.processor.handler import TransactionHandler  # noqa: E402

NAMESPACE = hashlib.sha512(b"notes").hexdigest()[:6]
FORBIDDEN = b"forbidden"


class NotesHandler(TransactionHandler):
    def __init__(self, stall: bool) -> None:
        self.stall = stall

    @property
    def family_name(self) -> str:
        return "notes"

    @property
    def family_versions(self) -> list[str]:
        return ["1.0"]

    @property
    def namespaces(self) -> list[str]:
        return [NAMESPACE]

    def apply(self, transaction: object, context: object) -> None:
        address = transaction.header.outputs[0]
        if transaction.payload == FORBIDDEN:
            raise InvalidTransaction("that may not be noted")
        found = context.get_state([address])
        before = found[0].data if found else b""
        if self.stall:
            context.set_state({address: b"half"})
            print("stalled", flush=True)
            time.sleep(600)
        context.set_state({address: before + transaction.payload})
        context.add_event("notes/added", [("address", address)], transaction.payload)
        context.add_receipt_data(b"noted")
        print("applied", flush=True)


def main() -> None:
    processor = TransactionProcessor(url=sys.argv[1])
    processor.add_handler(NotesHandler("stall" in sys.argv[2:]))
    print("started", flush=True)
    processor.start()
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
