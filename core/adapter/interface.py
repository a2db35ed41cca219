"""What a ledger protocol implements to run on Coco, and what it may touch. DESIGN section 9.

An adapter's class is loaded twice, by entry point `coco.adapters`: in each gateway, where only `routes` is used, and in
the executor, where commands run. It gets no disk, no sockets and no keys. Everything it keeps lives in its own tables,
so that followers can apply write sets without running anything.

Life of a command: a route handler (gateway) parses and checks the request, makes a payload and awaits
`backend.submit(payload, caller)`; the executor hands the payload to `execute`, inside a key-value transaction of its
own; what it wrote becomes one ledger entry; the reply reaches the handler once the entry is committed (on disk with
fdatasync, and replicated). A query runs on the last committed state, at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, Protocol

import msgspec

from core import limits
from core.errors import CocoError
from core.kv.transaction import TableHandle, Transaction
from core.types import NO_CLAIMS, Digest, Seqno, TransactionId


class Caller(msgspec.Struct, frozen=True, gc=False):
    """The verified identity behind a request. identity None: no credential was shown."""

    identity: str | None
    is_member: bool = False
    credential: Literal["certificate", "token", "none"] = "none"


ANONYMOUS = Caller(None)


class CommandRejected(Exception):
    """Raised by an adapter before or in `execute`: nothing is written, no entry is made, `reply` is the answer."""

    def __init__(self, reply: bytes) -> None:
        super().__init__("command rejected")
        self.reply = reply


class BlockFull(Exception):
    """Raised by `execute` when the command does not fit in the open block: it closes and the command runs again."""


class Overloaded(CocoError):
    """The node's queues are full, or this caller's share of them is. Try again later."""


class OutcomeUnknown(CocoError):
    """The node cannot say whether the command committed. `transaction_id`, where known, can be asked about later."""

    def __init__(self, message: str, *, transaction_id: TransactionId | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.transaction_id = transaction_id


@lru_cache(maxsize=limits.TABLES_MAX)
def scoped_name(adapter: str, table: str) -> str:
    """Return the full name of an adapter's table."""
    if table.startswith("public:"):
        return f"public:{adapter}.{table[7:]}"
    return f"{adapter}.{table}"


class CommandFailed(CocoError):
    """The adapter failed on this command or query (a bug of its own); nothing was written."""


class ScopedTransaction:
    """A key-value transaction confined to one adapter's tables.

    `table("x")` is `<adapter>.x`, encrypted in the ledger; `table("public:x")` is `public:<adapter>.x`, in the clear.
    """

    __slots__ = ("_adapter", "inner")

    def __init__(self, inner: Transaction, adapter: str) -> None:
        self.inner = inner
        self._adapter = adapter

    def table(self, name: str) -> TableHandle:
        """Return the handle of one of the adapter's tables."""
        return self.inner.table(scoped_name(self._adapter, name))

    def checkpoint(self) -> int:
        return self.inner.checkpoint()

    def revert(self, mark: int) -> None:
        self.inner.revert(mark)


class ExecutionContext(msgspec.Struct, frozen=True):
    """What a command or a block's close may know beside the tables.

    seqno: of the entry being made. block: Coco's block number, which counts core blocks since this start of the node.
    time_s: the block's time, Unix seconds, never decreasing, the same for all commands of a block.
    entropy: 32 enclave-random bytes, the same for all commands of a block.
    random: returns that many fresh enclave-random bytes; results may be non-deterministic, since one node executes.
    """

    seqno: Seqno
    block: int
    time_s: int
    entropy: bytes
    caller: Caller
    random: Callable[[int], bytes]


class Executed(msgspec.Struct, frozen=True, gc=False):
    """The result of a command that leaves a ledger entry. claims: what a receipt of this entry will prove."""

    reply: bytes
    claims: Digest = NO_CLAIMS


@dataclass(frozen=True, slots=True)
class QueryContext:
    """What a query may know: the committed sequence number it runs at, and older states by `at`.

    transaction: on the committed state; its writes are discarded. at(seqno) raises SnapshotGone when it is not kept.
    """

    transaction: ScopedTransaction
    seqno: Seqno
    time_s: int
    caller: Caller
    at: Callable[[Seqno], ScopedTransaction]


@dataclass(frozen=True, slots=True)
class WrittenEntry:
    """A committed entry of an adapter. tables: what it wrote, by the names given to `table`; None is a deletion."""

    seqno: Seqno
    tables: Mapping[str, Mapping[bytes, bytes | None]]
    claims: Digest


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What a receipt tells a caller. claims: what its claims digest was made of, in JSON; None: nothing to tell."""

    claims: Mapping[str, str] | None = None


class Pending(msgspec.Struct, frozen=True, gc=False):
    """A command that waits to run. ticket is unique in the executor."""

    ticket: int
    payload: bytes
    caller: Caller


class CommandQueue(Protocol):
    """The order in which an adapter's commands run, and what is held back. Times are monotonic milliseconds."""

    def push(self, pending: Pending, now_ms: int) -> list[tuple[Pending, bytes]]:
        """Take a command; returns commands it displaced, with their replies. Raises CommandRejected."""
        ...

    def pop(self) -> Pending | None:
        """Remove and return the next command that is ready."""
        ...

    def expire(self, now_ms: int) -> list[tuple[Pending, bytes]]:
        """Remove and return commands held too long, with their replies."""
        ...

    def next_deadline_ms(self) -> int | None:
        """When `expire` has something to do, if ever."""
        ...

    def __len__(self) -> int: ...


class Outcome(msgspec.Struct, frozen=True):
    """A committed (or rejected) command's reply. transaction_id is None when it left no entry."""

    reply: bytes
    transaction_id: TransactionId | None


TransactionStatus = Literal["Unknown", "Pending", "Committed", "Invalid"]
"""Where a transaction id stands, as CCF has it. Invalid: nothing of it was written, nor ever will be."""


class Backend(Protocol):
    """The executor, as a route handler reaches it from a gateway."""

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        """Run a command and return at commit. Raises Overloaded, OutcomeUnknown, LimitExceeded, CommandFailed."""
        ...

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        """Run a query on committed state: all that was acknowledged before, on any node (see Adapter.needs_newest).

        Raises Overloaded, also when no leader confirms what is newest; OutcomeUnknown, LimitExceeded, CommandFailed.
        """
        ...

    async def receipt(self, seqno: Seqno, caller: Caller) -> bytes | None:
        """Return the proof of a committed entry, None when there is none that the caller may have (see `disclose`).

        It is JSON: transactionId, receipt (as CCF has it), claims (as disclosed), serviceCertificate.
        Raises Overloaded, OutcomeUnknown, CommandFailed.
        """
        ...

    async def status(self, identifier: TransactionId, caller: Caller) -> TransactionStatus:
        """Return where a transaction id stands, as this node knows it. Raises Overloaded, OutcomeUnknown."""
        ...

    async def committed_after(self, seqno: int) -> int:
        """Wait until something newer than seqno is committed; returns the newest committed sequence number.

        Returns at once when that is so already: the value returned is what to ask with next. A query asked after it
        returned sees at least that state. Raises OutcomeUnknown when the executor is gone.
        """
        ...


class Request(msgspec.Struct, frozen=True):
    """An HTTP request after TLS and authentication. path is relative to the adapter's mount ("/" is its root).

    parameters: the `{name}` segments of the route. query: the query string, first value of each name. Header names
    are lower-case. The Authorization header is withheld. mount: what stood before path, "/<name>" or "".
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    caller: Caller
    mount: str = ""


class Response(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


Handler = Callable[[Request, Backend], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """path: segments, of which `{name}` matches one segment. anonymous: served without an identity."""

    method: str
    path: str
    handler: Handler
    anonymous: bool = False


QueryClass = Literal["live", "lookup", "simulation"]


class WebSocket(Protocol):
    """One open WebSocket connection, in the gateway. One task receives; any task may send."""

    caller: Caller

    async def receive(self) -> str | bytes | None:
        """Return the next message, text or binary; None once the connection is closed."""
        ...

    async def send(self, message: str | bytes) -> None:
        """Send one message, waiting while the client is slow to take it. Raises ChannelClosed."""
        ...


@dataclass(frozen=True, slots=True)
class WebSocketRoute:
    """A path that takes WebSocket connections, which end when the handler returns. No identity, no connection.

    path: as a Route's. subprotocols: those the handler speaks, in its order of preference; none: any client.
    """

    path: str
    handler: Callable[[WebSocket, Backend], Awaitable[None]]
    subprotocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdapterInfo:
    """name: of [a-z][a-z0-9_]{0,31}, the prefix of its tables and its mount point. Both go into the code manifest."""

    name: str
    version: str
    description: str
    indexed_tables: Mapping[str, int] = field(default_factory=dict)
    """Tables scanned by a key prefix of that many bytes (names as given to `table`)."""


class Adapter(ABC):
    """One ledger protocol. See the module for its life cycle. Only `info`, `routes` and `execute` must be given."""

    info: AdapterInfo

    def __init__(self, settings: Mapping[str, Any], network: str) -> None:
        """settings: this adapter's part of the constitution; raises CocoError when they are wrong."""
        self.settings = settings
        self.network = network

    # In a gateway.

    @abstractmethod
    def routes(self) -> Sequence[Route]:
        """The protocol's own end points, served under /<name>/ and, for the default adapter, under /."""

    def web_sockets(self) -> Sequence[WebSocketRoute]:
        """The end points that speak WebSocket, mounted as `routes` are."""
        return ()

    def query_class(self, payload: bytes) -> QueryClass:
        """Say what a query needs, so that reads never stop writes; stateless.

        lookup: committed state, soon. simulation: committed state, and perhaps seconds of computing. Both may go to a
        process of their own. live: what only the executor has: the queue, and whatever is held outside the tables.
        """
        del payload
        return "lookup"

    def needs_newest(self, payload: bytes) -> bool:
        """Say whether a query must see whatever was acknowledged before it came, on any node; stateless.

        False is for what this node alone knows, and for what waits for news anyway. That something lies in the past is
        no reason: "not found" may be out of date, too. The constitution may do without it for all queries (`reads`).
        """
        del payload
        return True

    # In the executor.

    def genesis(self, transaction: ScopedTransaction, context: ExecutionContext) -> None:
        """Write the adapter's first state; called once in the life of a network."""
        del transaction, context

    def reset(self, transaction: ScopedTransaction) -> None:
        """Forget everything held outside the tables: called after start and after a rollback."""
        del transaction

    def make_queue(self, read: Callable[[], ScopedTransaction]) -> CommandQueue | None:
        """Return a queue of the adapter's own, or None for first in, first out. read: opens the head state."""
        del read
        return None

    @abstractmethod
    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        """Run one command. It may hold several protocol transactions, all in one entry or (CommandRejected) none.

        Raises CommandRejected or BlockFull, after which nothing it wrote remains; state it holds outside the tables
        must then be as before the call.
        """

    def close_block(self, transaction: ScopedTransaction, context: ExecutionContext) -> Digest:
        """Write what ends a block (a header, receipts), as an entry of its own; returns the claims digest.

        Called only when the block holds at least one of this adapter's commands.
        """
        del transaction, context
        return NO_CLAIMS

    def query(self, payload: bytes, context: QueryContext) -> bytes:
        """Answer a query. Visibility is decided here, from context.caller."""
        raise CommandRejected(b"")

    def disclose(self, entry: WrittenEntry, context: QueryContext) -> Disclosure | None:
        """Say whether the caller may have an entry's receipt, and what its claims digest was made of; None: it may not.

        For who may not, there is no such entry. By default nobody may.
        """
        del entry, context
        return None

    def retained_from(self, transaction: ScopedTransaction) -> Seqno | None:
        """Oldest sequence number whose state this adapter's queries still ask for; None: the newest is enough."""
        del transaction
        return None

    def committed(self, seqno: Seqno) -> None:
        """Learn that every entry up to seqno is committed."""
        del seqno
