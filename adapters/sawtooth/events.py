"""Events of blocks: block-commit, state-delta, and what families add; and which of them a subscription takes.

Sources: the validator's journal/event_extractors.py and server/events/subscription.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from adapters.sawtooth import records
from adapters.sawtooth.addresses import ADDRESS_BYTES
from adapters.sawtooth.linear_regex import BadPattern, Budget, LinearRegex, TooCostly
from adapters.sawtooth.paging import Refused
from adapters.sawtooth.records import StoredBlock
from adapters.sawtooth.scope import Scope
from adapters.sawtooth.wire.messages import MESSAGES, EventsGetStatus, FilterType, parse
from core import limits

BLOCK_COMMIT = "sawtooth/block-commit"
STATE_DELTA = "sawtooth/state-delta"
SUBSCRIPTIONS_MAX = 100
FILTERS_MAX = 20
BLOCKS_MAX = 100
"""What one request may name."""
EVENTS_BYTES_MAX = limits.QUERY_REPLY_BYTES_MAX - limits.MEBIBYTE
"""An answer that would be longer is none; ask for fewer blocks."""

_Event = MESSAGES["Event"]
_Response = MESSAGES["ClientEventsGetResponse"]


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter. wants_all: every attribute of this key must match, not one. pattern: None for plain text."""

    key: str
    text: str
    wants_all: bool
    pattern: LinearRegex | None

    def admits(self, event: Any, budget: Budget) -> bool:
        """Say whether an event passes. Raises TooCostly."""
        found = (self._matches(one.value, budget) for one in event.attributes if one.key == self.key)
        return all(found) if self.wants_all else any(found)

    def _matches(self, value: str, budget: Budget) -> bool:
        return self.text == value if self.pattern is None else self.pattern.search(value, budget)


@dataclass(frozen=True, slots=True)
class Subscription:
    """An event type, and filters that all must admit an event."""

    event_type: str
    filters: tuple[Filter, ...]

    def admits(self, event: Any, budget: Budget) -> bool:
        """Say whether it takes an event. Raises TooCostly."""
        return event.event_type == self.event_type and all(one.admits(event, budget) for one in self.filters)


def parse_subscriptions(messages: Iterable[Any]) -> tuple[Subscription, ...]:
    """Parse EventSubscription messages. Raises BadPattern, also for an unknown kind of filter or too many."""
    subscriptions = tuple(
        Subscription(one.event_type, tuple(_filter(filter_) for filter_ in one.filters)) for one in messages
    )
    if len(subscriptions) > SUBSCRIPTIONS_MAX or any(len(one.filters) > FILTERS_MAX for one in subscriptions):
        raise BadPattern(f"more than {SUBSCRIPTIONS_MAX} subscriptions, or {FILTERS_MAX} filters of one")
    return subscriptions


def _filter(message: Any) -> Filter:
    try:
        kind = FilterType(message.filter_type)
    except ValueError:
        raise BadPattern(f"Unknown filter type: {message.filter_type}") from None
    is_pattern = kind in (FilterType.REGEX_ANY, FilterType.REGEX_ALL)
    wants_all = kind in (FilterType.SIMPLE_ALL, FilterType.REGEX_ALL)
    pattern = LinearRegex(message.match_string) if is_pattern else None
    return Filter(message.key, message.match_string, wants_all, pattern)


def get_events(scope: Scope, request: Any) -> Any:
    """Answer a ClientEventsGetRequest."""
    try:
        subscriptions = parse_subscriptions(request.subscriptions)
    except BadPattern:
        raise Refused(EventsGetStatus.INVALID_FILTER) from None
    if len(request.block_ids) > BLOCKS_MAX:
        raise Refused(EventsGetStatus.UNKNOWN_BLOCK)
    blocks = [records.block_by_id(scope.transaction, one) for one in request.block_ids]
    response, budget, left = _Response(status=EventsGetStatus.OK), Budget(), EVENTS_BYTES_MAX
    try:
        for block in blocks:
            if block is None:
                raise Refused(EventsGetStatus.UNKNOWN_BLOCK)
            events = events_of(scope, block, subscriptions, budget)
            left -= sum(event.ByteSize() for event in events)
            if left < 0:
                raise Refused(EventsGetStatus.INTERNAL_ERROR)
            response.events.extend(events)
    except TooCostly:
        raise Refused(EventsGetStatus.INTERNAL_ERROR) from None
    return response


def events_of(scope: Scope, block: StoredBlock, subscriptions: tuple[Subscription, ...], budget: Budget) -> list[Any]:
    """Return the events of a block that subscriptions take and the caller may see. Raises TooCostly."""
    wanted = {one.event_type for one in subscriptions}
    found = [_block_commit(block)] if BLOCK_COMMIT in wanted else []
    if wanted - {BLOCK_COMMIT}:
        changes: list[Any] = []
        for sees_all, receipt in _receipts(scope, block):
            if sees_all:
                found.extend(one for one in receipt.events if one.event_type in wanted)
            changes.extend(one for one in receipt.state_changes if sees_all or _sees(scope, one.address))
        if STATE_DELTA in wanted:
            found.append(_state_delta(changes))
    return [event for event in found if any(one.admits(event, budget) for one in subscriptions)]


def _sees(scope: Scope, address: str) -> bool:
    return len(address) == 2 * ADDRESS_BYTES and scope.sight.sees_address(bytes.fromhex(address))


def _receipts(scope: Scope, block: StoredBlock) -> Iterator[tuple[bool, Any]]:
    """Yield the receipts of a block's transactions, and whether the caller sees all of each."""
    table = scope.transaction.table("receipts")
    for key in scope.block_batch_keys(block):
        outcome = records.outcome(scope.transaction, key)
        if outcome is None:
            continue
        sees_batch = scope.sight.sees_batch(outcome)
        for transaction in parse("Batch", scope.batch_data(key)).transactions:
            data = table.get(bytes.fromhex(transaction.header_signature))
            if data is not None:
                yield sees_batch or scope.sees_header(outcome, transaction.header), parse("TransactionReceipt", data)


def _block_commit(block: StoredBlock) -> Any:
    previous = parse("BlockHeader", block.header).previous_block_id
    event = _Event(event_type=BLOCK_COMMIT)
    for key, value in (
        ("block_id", block.id),
        ("block_num", str(block.number)),
        ("state_root_hash", block.root.hex()),
        ("previous_block_id", previous),
    ):
        event.attributes.add(key=key, value=value)
    return event


def _state_delta(changes: list[Any]) -> Any:
    """Return the event with the last change of each address, the newest first."""
    last: dict[str, Any] = {}
    for change in reversed(changes):
        last.setdefault(change.address, change)
    data = MESSAGES["StateChangeList"](state_changes=last.values()).SerializeToString()
    event = _Event(event_type=STATE_DELTA, data=data)
    for address in last:
        event.attributes.add(key="address", value=address)
    return event
