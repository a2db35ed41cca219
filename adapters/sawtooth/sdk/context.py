"""The state as one transaction may use it, and what it leaves. Source: sawtooth_sdk.processor.context.

Rules: the validator's context manager. An address is read that begins with one of the header's inputs, and written
that begins with one of its outputs; all others, and what is no address, raise AuthorizationException. So does an
address in a namespace that the constitution does not let the transaction's submitter use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from adapters.sawtooth.addresses import NAMESPACE_BYTES, is_address
from adapters.sawtooth.sdk.exceptions import AuthorizationException, InternalError
from adapters.sawtooth.wire.messages import MESSAGES
from core import limits
from core.kv.transaction import TableHandle

EVENT_BYTES_MAX = limits.MEBIBYTE
"""What the events and receipt data of one transaction may come to."""

_Event = MESSAGES["Event"]


class StateEntry(NamedTuple):
    """An address in hexadecimal digits, and what the state has there."""

    address: str
    data: bytes


class Transaction(NamedTuple):
    """What a family is given to run: a TpProcessRequest, as far as families read it."""

    header: Any
    payload: bytes
    signature: str
    context_id: str = ""
    header_bytes: bytes = b""


class Context:
    """See the module. changes: what was set (None: deleted), by address; the table has it once `write` was called.

    usable: the namespaces that the submitter may use; None: all of them.
    """

    __slots__ = ("_inputs", "_outputs", "_state", "_usable", "_used", "changes", "events", "receipt_data")

    def __init__(
        self,
        state: TableHandle,
        inputs: Iterable[str],
        outputs: Iterable[str],
        usable: Collection[bytes] | None = None,
    ) -> None:
        self._state = state
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._usable = usable
        self._used = 0
        self.changes: dict[bytes, bytes | None] = {}
        self.events: list[Any] = []
        self.receipt_data: list[bytes] = []

    def get_state(self, addresses: Iterable[str], timeout: float | None = None) -> list[StateEntry]:
        """Return the entries that have data. Raises AuthorizationException."""
        del timeout
        addresses = list(addresses)
        found = []
        for key in self._keys(addresses, self._inputs, "get"):
            data = self.changes[key] if key in self.changes else self._state.get(key)
            if data:
                found.append(StateEntry(key.hex(), data))
        return found

    def set_state(self, entries: Mapping[str, bytes], timeout: float | None = None) -> list[str]:
        """Set addresses to data; returns the addresses. Raises AuthorizationException, with nothing set."""
        del timeout
        addresses = list(entries)
        keys = self._keys(addresses, self._outputs, "set")
        for key, data in zip(keys, entries.values(), strict=True):
            if not isinstance(data, bytes):
                raise TypeError("the data at an address is bytes")
            self.changes[key] = data
        return addresses

    def delete_state(self, addresses: Iterable[str], timeout: float | None = None) -> list[str]:
        """Delete addresses; returns them. Raises AuthorizationException, with nothing deleted."""
        del timeout
        addresses = list(addresses)
        for key in self._keys(addresses, self._outputs, "delete"):
            self.changes[key] = None
        return addresses

    def add_receipt_data(self, data: bytes, timeout: float | None = None) -> None:
        """Add bytes to the transaction's receipt."""
        del timeout
        self._use(len(data))
        self.receipt_data.append(bytes(data))

    def add_event(
        self,
        event_type: str,
        attributes: Iterable[tuple[str, str]] | None = None,
        data: bytes | None = None,
        timeout: float | None = None,
    ) -> None:
        """Add an event to the transaction's receipt. attributes: what subscribers filter by."""
        del timeout
        event = _Event(event_type=event_type, data=data)
        for key, value in attributes or ():
            event.attributes.add(key=key, value=value)
        self._use(event.ByteSize())
        self.events.append(event)

    def write(self) -> None:
        """Write what was changed into the table."""
        for key, data in self.changes.items():
            if data is None:
                self._state.delete(key)
            else:
                self._state.put(key, data)

    def _keys(self, addresses: list[str], allowed: tuple[str, ...], verb: str) -> list[bytes]:
        for address in addresses:
            if not isinstance(address, str) or is_address(address) is None or not address.startswith(allowed):
                raise AuthorizationException(f"Tried to {verb} unauthorized address: {addresses}")
        keys = [bytes.fromhex(address) for address in addresses]
        if self._usable is not None:
            for key in keys:
                if key[:NAMESPACE_BYTES] not in self._usable:
                    raise AuthorizationException(
                        f"The constitution does not let the submitter use the namespace {key[:NAMESPACE_BYTES].hex()}"
                    )
        return keys

    def _use(self, size_bytes: int) -> None:
        self._used += size_bytes
        if self._used > EVENT_BYTES_MAX:
            raise InternalError(f"events and receipt data of more than {EVENT_BYTES_MAX} bytes")
