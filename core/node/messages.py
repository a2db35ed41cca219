"""Messages between a node's enclaves: gateway, executor and manager (readers: reader_messages.py).

Carried over paired AEAD channels.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from core.codec import Codec, Message

# Gateway -> executor.


class WireCaller(Message, frozen=True):
    """core.adapter.interface.Caller on the wire.

    token: the bearer token itself, for a node that forwards the command: the leader's manager verifies it again.
    """

    identity: str | None
    is_member: bool
    credential: Literal["certificate", "token", "none"]
    token: str = ""

    def __repr__(self) -> str:
        return f"WireCaller({self.identity!r}, {self.is_member}, {self.credential!r})"


class Submit(Message, frozen=True, tag=1):
    """Run a command; answered by Answer at commit. adapter "coco": a signed governance message."""

    ticket: int
    adapter: str
    payload: bytes
    caller: WireCaller


class Ask(Message, frozen=True, tag=2):
    """Run a query; answered by Answer at once. adapter "coco": node status and transaction status.

    after: a reader waits until it has applied this seqno: what the gateway has answered with before. fresh: the
    executor answers once its state is confirmed to hold whatever was acknowledged before (fresh_reads.py).
    """

    ticket: int
    adapter: str
    payload: bytes
    caller: WireCaller
    after: int = 0
    fresh: bool = False


class FromGateway(Message, frozen=True, tag=3):
    """A batch, in order of arrival. heard: it is not sole any more, after it was (ToGateway)."""

    items: tuple[Submit | Ask, ...]
    heard: bool = False


# Executor or reader -> gateway.


class Answer(Message, frozen=True, tag=11):
    """failure: "" for a reply of the adapter, else why there is none; "failed": a bug of the adapter, nothing was left;
    "not_leader": no leader is known, or it changed before the command ran: nothing was left, ask again. Of a query: no
    leader has confirmed in time how new the state here is.

    view and seqno: the transaction id of a committed command, 0 when there is none.
    """

    ticket: int
    reply: bytes
    failure: Literal["", "overloaded", "too_large", "unknown_outcome", "no_such_adapter", "failed", "not_leader"]
    view: int
    seqno: int


class ToGateway(Message, frozen=True, tag=12):
    """committed: the newest committed seqno that the sender answers from. Without items it only announces that.

    sole: whatever anybody is told of goes through this gateway, and will until it says that it has heard otherwise.
    """

    items: tuple[Answer, ...]
    committed: int = 0
    sole: bool = False


class FrontEnd(Message, frozen=True, tag=13):
    """What a gateway needs to serve; sent when the node is ready, and again when any of it changes.

    constitution: its canonical JSON. certificate_chain (PEM) and private_key (PEM): of the front end's TLS.
    default_adapter: what "/" speaks. service: public JSON for /node/network. session: as in FeedBegin. removed: why
    the node serves nothing any more, "" while it does.
    """

    constitution: bytes
    default_adapter: str
    certificate_chain: bytes
    private_key: bytes
    service: bytes
    session: bytes = b""
    removed: str = ""


class ReplayedEntry(Message, frozen=True):
    """A committed entry: its number and the encoded domains of its write set."""

    seqno: int
    public: bytes
    private: bytes


# Executor -> manager.


class EntryDraft(Message, frozen=True):
    """One entry of a proposed block. adapter "coco": private holds a signed governance message, public is empty."""

    adapter: str
    public: bytes
    private: bytes
    claims: bytes


class ProposeBlock(Message, frozen=True, tag=21):
    """Seal these entries as first_seqno and following, plus a signature entry. The manager checks view and seqno.

    time_s: the block's time, Unix seconds.
    """

    view: int
    first_seqno: int
    entries: tuple[EntryDraft, ...]
    time_s: int = 0


class CertificateRequest(Message, frozen=True, tag=22):
    """Ask for a front-end certificate for this key (SubjectPublicKeyInfo DER)."""

    public_key: bytes


class ReceiptRequest(Message, frozen=True, tag=23):
    """Ask for the receipt of a committed entry; answered by ReceiptMade with the same ticket."""

    ticket: int
    seqno: int


class SnapshotTable(Message, frozen=True, tag=61):
    """A table of the snapshot under way begins: so many bytes of rows follow. Public tables come first."""

    table: str
    rows_bytes: int


class SnapshotRows(Message, frozen=True, tag=62):
    """Whole rows of that table, encoded as in the file (core/ledger/snapshot_format.py)."""

    data: bytes


class SnapshotEnd(Message, frozen=True, tag=63):
    """That was all of the state at `seqno`."""

    seqno: int


# Manager -> executor.


class Replay(Message, frozen=True, tag=31):
    """Committed entries, in order, before Ready. Signature entries are left out."""

    entries: tuple[ReplayedEntry, ...]


class Ready(Message, frozen=True, tag=32):
    """The ledger is replayed and the new view has begun. last_seqno: of the newest entry (a signature).

    constitution: canonical JSON. service: public JSON about node and service. view_history: first seqno of each view.
    time_s: no block to come is older.
    """

    view: int
    last_seqno: int
    constitution: bytes
    service: bytes
    view_history: tuple[tuple[int, int], ...]
    time_s: int = 0


class GovernanceResult(Message, frozen=True):
    """What a governance entry of the block did. public: its encoded public domain. reason: "" when accepted."""

    seqno: int
    public: bytes
    reason: str


class BlockCommitted(Message, frozen=True, tag=33):
    """The oldest block in flight is committed; last_seqno is its signature entry's."""

    view: int
    last_seqno: int
    governance: tuple[GovernanceResult, ...]


class CertificateIssued(Message, frozen=True, tag=34):
    """The front-end certificate chain (PEM, leaf first). service: as in Ready, as it is now; "" for no change."""

    chain: bytes
    service: bytes = b""


class ReceiptMade(Message, frozen=True, tag=35):
    """An entry and its receipts. failure: why there is none: it is not committed, or the disk does not return it whole.

    receipt: CCF's JSON. cose: the COSE receipt, b"" for a signature entry, which has none. public, private, claims: the
    entry's own, as in EntryDraft; a signature entry's are left out.
    """

    ticket: int
    failure: Literal["", "not_committed", "unreadable", "overloaded"]
    receipt: bytes = b""
    cose: bytes = b""
    public: bytes = b""
    private: bytes = b""
    claims: bytes = b""
    is_signature: bool = False


class SnapshotBegin(Message, frozen=True, tag=71):
    """Send the adapters' tables as of this seqno, the newest committed one. Its state is to be kept meanwhile."""

    seqno: int


class SnapshotMore(Message, frozen=True, tag=72):
    """So many more slices (SnapshotTable, SnapshotRows) may be sent."""

    slices: int


class SnapshotWritten(Message, frozen=True, tag=73):
    """The snapshot is on disk: propose a block with its evidence (an EntryDraft of adapter "coco.snapshot")."""


class StateBegin(Message, frozen=True, tag=74):
    """Forget what came before. seqno: whose state follows as StateRows, then Replay goes on after it; 0: no state."""

    seqno: int


class StateRows(Message, frozen=True, tag=75):
    """Part of the rows of a table, encoded as in the file; the parts follow one another, cut anywhere."""

    table: str
    data: bytes


class LedgerNews(Message, frozen=True, tag=76):
    """What node status tells of the ledger: JSON."""

    status: bytes


# Several nodes. Manager -> executor, after Ready.


class Lead(Message, frozen=True, tag=81):
    """This node leads `view`: take commands, propose blocks from last_seqno + 1 on; all up to there is applied.

    last_seqno is in `view`: its first block, a signature alone, of which no BlockApplied need have told. alone: there
    is no other node, nor will there be one before SystemWork is sent. time_s: of that block.
    """

    view: int
    last_seqno: int
    alone: bool = False
    time_s: int = 0


class Follow(Message, frozen=True, tag=82):
    """Another node leads, or none is known (leader ""): go back to the last committed block, forward commands.

    Whatever was forwarded before, and is not answered, is lost to this executor, also when the same leader is named
    again: say so whenever the way to the leader was interrupted, and not otherwise.
    """

    leader: str


class BlockApplied(Message, frozen=True, tag=83):
    """A committed block that this node does not lead any more, or never did: apply it. view: in which it was sealed.

    entries: first_seqno and following, without the signature entry, which is last_seqno. time_s: the block's, or 0.
    """

    view: int
    first_seqno: int
    last_seqno: int
    entries: tuple[ReplayedEntry, ...]
    time_s: int = 0


class SystemWork(Message, frozen=True, tag=84):
    """The manager has something to record: propose a block with one entry of adapter "coco.system".

    Only to a leader, once for each block wanted; with the leadership, what is still to be proposed is forgotten.
    """


class CommandsForwarded(Message, frozen=True, tag=85):
    """To the leader's executor: commands that node `origin` forwards. Answered by ForwardAnswers."""

    origin: str
    items: tuple[Submit, ...]


class AnswersReturned(Message, frozen=True, tag=86):
    """To a follower's executor: the leader's answers to what it forwarded. They are given to the gateway once the
    state here reaches their seqno.
    """

    items: tuple[Answer, ...]


class ReadsConfirmed(Message, frozen=True, tag=90):
    """The end of a round. is_confirmed: whatever was committed anywhere when it began was sent here before this."""

    number: int
    is_confirmed: bool


# Executor -> manager.


class ConfirmReads(Message, frozen=True, tag=89):
    """Have the consensus confirm how far the ledger is committed now; answered by ReadsConfirmed. One at a time."""

    number: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]


class ForwardToLeader(Message, frozen=True, tag=87):
    """Of a follower: commands for the leader, with tickets of this executor.

    One that finds no leader may be dropped: the Follow or Lead that is on its way ends what was forwarded.
    """

    items: tuple[Submit, ...]


class ForwardAnswers(Message, frozen=True, tag=88):
    """Answers to what node `origin` forwarded; also after the leadership is lost. Of no use once that node is gone."""

    origin: str
    items: tuple[Answer, ...]


FROM_GATEWAY: Codec[FromGateway] = Codec(FromGateway)
TO_GATEWAY: Codec[ToGateway | FrontEnd] = Codec(ToGateway | FrontEnd)
ToManager = (
    ProposeBlock
    | CertificateRequest
    | ReceiptRequest
    | SnapshotTable
    | SnapshotRows
    | SnapshotEnd
    | ForwardToLeader
    | ForwardAnswers
    | ConfirmReads
)
FromManager = (
    Replay
    | Ready
    | BlockCommitted
    | CertificateIssued
    | ReceiptMade
    | SnapshotBegin
    | SnapshotMore
    | SnapshotWritten
    | StateBegin
    | StateRows
    | LedgerNews
    | Lead
    | Follow
    | BlockApplied
    | SystemWork
    | CommandsForwarded
    | AnswersReturned
    | ReadsConfirmed
)
TO_MANAGER: Codec[ToManager] = Codec(ToManager)
FROM_MANAGER: Codec[FromManager] = Codec(FromManager)
