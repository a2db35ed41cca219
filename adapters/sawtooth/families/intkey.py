"""The family intkey: names with a whole number each. Source: Sawtooth's intkey specification, version 1.0."""

from __future__ import annotations

import hashlib
from typing import Any

import cbor2

from adapters.sawtooth.addresses import family_namespace
from adapters.sawtooth.sdk.context import Context, Transaction
from adapters.sawtooth.sdk.exceptions import InternalError, InvalidTransaction
from adapters.sawtooth.sdk.handler import TransactionHandler

NAMESPACE = family_namespace("intkey")
NAME_CHARACTERS_MAX = 20
VALUE_MAX = 2**32 - 1


def intkey_address(name: str) -> str:
    """Return where a name's number is kept: the last 64 digits of its SHA-512."""
    return NAMESPACE + hashlib.sha512(name.encode()).hexdigest()[-64:]


class IntkeyHandler(TransactionHandler):
    """Payload: CBOR of {"Verb": "set", "inc" or "dec", "Name": text, "Value": number}."""

    family_name = "intkey"
    family_versions = ("1.0",)
    namespaces = (NAMESPACE,)

    def apply(self, transaction: Transaction, context: Context) -> None:
        """Run a transaction."""
        verb, name, value = _payload(transaction.payload)
        address = intkey_address(name)
        names = _names(context, address)
        current = names.get(name)
        if verb == "set":
            if current is not None:
                raise InvalidTransaction(f'Verb is "set", but already exists: Name: {name}, Value {current}')
        else:
            if current is None:
                raise InvalidTransaction(f'Verb is "{verb}" but name "{name}" not in state')
            value = current + value if verb == "inc" else current - value
            if value > VALUE_MAX:
                raise InvalidTransaction(f'Verb is "inc", but result would be greater than {VALUE_MAX}')
            if value < 0:
                raise InvalidTransaction('Verb is "dec", but result would be less than 0')
        names[name] = value
        context.set_state({address: cbor2.dumps(names)})


def _payload(payload: bytes) -> tuple[str, str, int]:
    try:
        content: Any = cbor2.loads(payload)
    except (cbor2.CBORDecodeError, ValueError, OverflowError, MemoryError, RecursionError):
        raise InvalidTransaction("Invalid payload serialization") from None
    if not isinstance(content, dict):
        raise InvalidTransaction("Invalid payload serialization")
    for field in ("Verb", "Name", "Value"):
        if field not in content:
            raise InvalidTransaction(f"{field} is required")
    verb, name, value = content["Verb"], content["Name"], content["Value"]
    if verb not in ("set", "inc", "dec"):
        raise InvalidTransaction('Verb must be "set", "inc", or "dec"')
    if not isinstance(name, str) or len(name) > NAME_CHARACTERS_MAX:
        raise InvalidTransaction(f"Name must be a string of no more than {NAME_CHARACTERS_MAX} characters")
    if type(value) is not int or not 0 <= value <= VALUE_MAX:
        raise InvalidTransaction(f"Value must be an integer no less than 0 and no greater than {VALUE_MAX}")
    return verb, name, value


def _names(context: Context, address: str) -> dict[str, int]:
    entries = context.get_state([address])
    if not entries:
        return {}
    try:
        names = cbor2.loads(entries[0].data)
    except (cbor2.CBORDecodeError, ValueError):
        names = None
    if not isinstance(names, dict):
        raise InternalError("Failed to load state data")
    return names
