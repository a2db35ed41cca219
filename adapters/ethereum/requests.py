"""What a gateway asks the executor: commands and queries, in compact form. Both ends are the worker enclave.

Hashes and addresses are bytes, 256-bit integers big-endian bytes (call_wire.py). A query is answered from committed
state alone, save the ones of LiveQuery, which need what only the executor has: its queue, secrets and filters.
"""

from __future__ import annotations

from typing import Literal

from adapters.ethereum.call_wire import WireCall, WireOverride
from core.adapter.interface import QueryClass
from core.codec import Codec, Message

LATEST = -1
"""The block number that stands for the newest committed block."""


class BlockAt(Message, frozen=True):
    """Names a block: by hash unless that is empty, else by number. pending: count what waits in the queue, too."""

    number: int = LATEST
    hash: bytes = b""
    pending: bool = False


# Commands.


class SendTransaction(Message, frozen=True, tag=1):
    """stored: the transaction with its sender (transactions.encode_stored). The rest is what the queue looks at."""

    stored: bytes
    sender: bytes
    nonce: int
    hash: bytes
    max_fee: bytes
    max_priority_fee: bytes


class Bind(Message, frozen=True, tag=2):
    """signer: the address that the signature over the message recovers to."""

    message: str
    signer: bytes


# Queries.


class BlockNumber(Message, frozen=True, tag=20):
    pass


class GetBlock(Message, frozen=True, tag=21):
    """full: with whole transactions instead of their hashes."""

    block: BlockAt
    full: bool


class GetBlockReceipts(Message, frozen=True, tag=22):
    block: BlockAt


class GetTransaction(Message, frozen=True, tag=23):
    hash: bytes


class GetReceipt(Message, frozen=True, tag=24):
    hash: bytes


class GetLogs(Message, frozen=True, tag=25):
    """block_hash: b"" for a range. addresses: none means any. topics: per position the alternatives, none means any."""

    first: int
    last: int
    block_hash: bytes
    addresses: tuple[bytes, ...]
    topics: tuple[tuple[bytes, ...], ...]


class GetNonce(Message, frozen=True, tag=26):
    address: bytes
    block: BlockAt


class GetBalance(Message, frozen=True, tag=27):
    address: bytes
    block: BlockAt


class GetCode(Message, frozen=True, tag=28):
    address: bytes
    block: BlockAt


class Call(Message, frozen=True, tag=29):
    call: WireCall
    block: BlockAt
    overrides: tuple[WireOverride, ...] = ()


class EstimateGas(Message, frozen=True, tag=30):
    call: WireCall
    block: BlockAt
    overrides: tuple[WireOverride, ...] = ()


class FeeHistory(Message, frozen=True, tag=31):
    count: int
    newest: BlockAt
    percentiles: tuple[float, ...] | None


class BindMessage(Message, frozen=True, tag=32):
    address: bytes


class BoundAddresses(Message, frozen=True, tag=33):
    pass


class GetBlockCount(Message, frozen=True, tag=34):
    """uncles: of those instead of transactions; there are none."""

    block: BlockAt
    uncles: bool = False


class GetTransactionAt(Message, frozen=True, tag=35):
    """index: as transactionIndex has it, over visible items. raw: the canonical encoding instead of the object."""

    block: BlockAt
    index: int
    raw: bool


class GetRawTransaction(Message, frozen=True, tag=36):
    hash: bytes


class GetStorage(Message, frozen=True, tag=37):
    address: bytes
    slot: bytes
    block: BlockAt


class CreateAccessList(Message, frozen=True, tag=38):
    call: WireCall
    block: BlockAt
    overrides: tuple[WireOverride, ...] = ()


FilterKind = Literal["heads", "headers", "logs", "pending", "pending_full"]
"""What a filter or subscription is about. heads: block hashes; headers: whole ones."""


class Criteria(Message, frozen=True):
    """What a filter or subscription wants. logs: which ones, else None."""

    kind: FilterKind
    logs: GetLogs | None = None


NOW = -1
"""In Follow: nothing yet, only where the chain is."""


class Follow(Message, frozen=True, tag=39):
    """Ask for what is new since a block number, for several filters at once: (criteria, block number or NOW) each."""

    items: tuple[tuple[Criteria, int], ...]


class InstallFilter(Message, frozen=True, tag=40):
    criteria: Criteria


class FilterState(Message, frozen=True, tag=41):
    """Ask for what a filter is about and how far it has been read; counts as a use of it."""

    id: str


class AdvanceFilter(Message, frozen=True, tag=42):
    """Move a filter from one block number to another; answers false when somebody else has moved it."""

    id: str
    before: int
    after: int


class UninstallFilter(Message, frozen=True, tag=43):
    id: str


class GetPool(Message, frozen=True, tag=44):
    """What waits in the queue of the caller's own. address: of this account only, b"" for all."""

    what: Literal["status", "content", "inspect"]
    address: bytes = b""


class FindEntry(Message, frozen=True, tag=45):
    """Ask for the seqno of the entry that a transaction made, where the caller may have its proof."""

    hash: bytes


Command = SendTransaction | Bind
BlockQuery = (
    BlockNumber
    | GetBlock
    | GetBlockReceipts
    | GetTransaction
    | GetReceipt
    | GetLogs
    | FeeHistory
    | GetBlockCount
    | GetTransactionAt
    | GetRawTransaction
    | Follow
    | BoundAddresses
)
SimulationQuery = Call | EstimateGas | CreateAccessList
ProofQuery = FindEntry
StateQuery = GetNonce | GetBalance | GetCode | GetStorage
FilterQuery = InstallFilter | FilterState | AdvanceFilter | UninstallFilter
LiveQuery = BindMessage | GetPool | FilterQuery
Query = BlockQuery | SimulationQuery | StateQuery | LiveQuery | ProofQuery

COMMANDS: Codec[Command] = Codec(Command)
QUERIES: Codec[Query] = Codec(Query)
CRITERIA: Codec[Criteria] = Codec(Criteria)
"""What a gateway holds of a filter or subscription between two queries."""


def query_class(query: Query) -> QueryClass:
    """Say what a query needs beside committed state."""
    if isinstance(query, LiveQuery) or (isinstance(query, GetNonce) and asks_for_queue(query)):
        return "live"
    return "simulation" if isinstance(query, SimulationQuery) else "lookup"


def needs_newest(query: Query) -> bool:
    """Say whether a query must see what was acknowledged before it: all but polls, and what only this node knows."""
    return not isinstance(query, Follow | FilterQuery | GetPool)


def asks_for_queue(query: GetNonce) -> bool:
    """Say whether the answer counts what waits in the queue, too."""
    return query.block.pending and query.block.number == LATEST and not query.block.hash
