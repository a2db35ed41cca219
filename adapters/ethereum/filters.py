"""Filters that clients poll: what each is about, whose it is, and how far it has been read.

They live in the executor, so that any gateway can be asked; the chain itself is read elsewhere (follow.py). An id is
random and good for the identity that made it: to others it is one that does not exist. A filter that is not used for
five minutes is forgotten, and so are all when the node restarts: tools then make new ones.

Invariants: at most FILTERS_PER_IDENTITY_MAX of one identity and FILTERS_MAX in all; when all are taken, the identity
that holds the most loses its oldest, so that nobody can keep others from having filters.
"""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from adapters.ethereum.requests import Criteria, GetLogs
from adapters.jsonrpc import SERVER_ERROR, RpcError

FILTERS_MAX = 4_096
FILTERS_PER_IDENTITY_MAX = 256
IDLE_SECONDS_MAX = 300
CRITERIA_MAX = 256
"""Addresses and topics that a filter or a subscription may name; more can be asked for by eth_getLogs only."""


def random_id() -> str:
    """Return an id, as go-ethereum makes them: 128 random bits, the first of them set."""
    return hex(secrets.randbits(128) | 1 << 127)


def filter_not_found() -> RpcError:
    return RpcError(SERVER_ERROR, "filter not found")


def check_criteria(logs: GetLogs) -> None:
    """Raise RpcError when a filter that is to be kept names too much."""
    if len(logs.addresses) + sum(map(len, logs.topics)) > CRITERIA_MAX:
        raise RpcError(SERVER_ERROR, f"a filter may name at most {CRITERIA_MAX} addresses and topics")


@dataclass(slots=True)
class Filter:
    """position: the number of the newest block that was told."""

    identity: str
    criteria: Criteria
    position: int
    expires_s: int


class FilterBook:
    """All filters of the node, the least recently used first. Times are Unix seconds."""

    def __init__(self, new_id: Callable[[], str] = random_id) -> None:
        self._new_id = new_id
        self._filters: OrderedDict[str, Filter] = OrderedDict()

    def __len__(self) -> int:
        return len(self._filters)

    def install(self, identity: str, criteria: Criteria, position: int, now_s: int) -> str:
        """Make a filter of what comes after a block; returns its id. Raises RpcError for too many."""
        self._expire(now_s)
        held = Counter(one.identity for one in self._filters.values())
        if held[identity] >= FILTERS_PER_IDENTITY_MAX:
            raise RpcError(SERVER_ERROR, f"too many filters: an identity may have {FILTERS_PER_IDENTITY_MAX}")
        if len(self._filters) >= FILTERS_MAX:
            most = held.most_common(1)[0][0]
            del self._filters[next(key for key, one in self._filters.items() if one.identity == most)]
        made = self._new_id()
        self._filters[made] = Filter(identity, criteria, position, now_s + IDLE_SECONDS_MAX)
        return made

    def use(self, identity: str, filter_id: str, now_s: int) -> Filter:
        """Return a filter, and keep it alive; raises RpcError unless it is the identity's."""
        self._expire(now_s)
        found = self._filters.get(filter_id)
        if found is None or found.identity != identity:
            raise filter_not_found()
        found.expires_s = now_s + IDLE_SECONDS_MAX
        self._filters.move_to_end(filter_id)
        return found

    def advance(self, identity: str, filter_id: str, before: int, after: int, now_s: int) -> bool:
        """Say that a filter was read up to a block; False when it does not stand where it was read from."""
        found = self.use(identity, filter_id, now_s)
        if found.position != before or after < before:
            return False
        found.position = after
        return True

    def uninstall(self, identity: str, filter_id: str, now_s: int) -> bool:
        """Forget a filter; False when the identity has none of this id."""
        self._expire(now_s)
        found = self._filters.get(filter_id)
        if found is None or found.identity != identity:
            return False
        del self._filters[filter_id]
        return True

    def _expire(self, now_s: int) -> None:
        while self._filters:
            oldest = next(iter(self._filters))
            if self._filters[oldest].expires_s > now_s:
                return
            del self._filters[oldest]
