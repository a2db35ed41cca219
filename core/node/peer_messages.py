"""Messages between the managers of two nodes, over an attested channel, and what carries them (`PeerNetwork`).

Every message stands in an envelope: `number` 0 is one way; a request has a number of its sender's, and its reply the
same. Whoever sends is who the channel's certificate says: no message names its sender.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal, Protocol

import msgspec

from core import limits
from core.codec import Codec, Message
from core.crypto.keys import PublicKey
from core.errors import CocoError
from core.ports import ReportClaims
from core.types import NodeId

Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
NodeIdText = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class ConsensusMessage(Message, frozen=True, tag=1):
    """A message of the consensus engine, opaque here. One way; may be lost."""

    payload: bytes


class ForwardedCaller(Message, frozen=True):
    """Who gave a command to the node that forwards it. token: the bearer token itself, "" for a certificate.

    The leader verifies a token again; an identity that rests on a certificate alone is the forwarding node's word.
    """

    identity: str | None
    is_member: bool
    credential: Literal["certificate", "token", "none"]
    token: str = ""

    def __repr__(self) -> str:
        return f"ForwardedCaller({self.identity!r}, {self.is_member}, {self.credential!r})"


class ForwardedCommand(Message, frozen=True):
    """ticket: of the node that forwards. adapter "coco": a signed governance message."""

    ticket: Number
    adapter: str
    payload: bytes
    caller: ForwardedCaller


class ForwardCommands(Message, frozen=True, tag=2):
    """Follower to leader, one way: run these in order. Each ticket is answered once, or the leader's end is noticed."""

    commands: tuple[ForwardedCommand, ...]


class ForwardedAnswer(Message, frozen=True):
    """core.node.messages.Answer of a forwarded command."""

    ticket: Number
    reply: bytes
    failure: Literal["", "overloaded", "too_large", "unknown_outcome", "no_such_adapter", "failed", "not_leader"]
    view: Number
    seqno: Number


class AnswerForwarded(Message, frozen=True, tag=3):
    """Leader to follower, one way."""

    answers: tuple[ForwardedAnswer, ...]


class LedgerPart(Message, frozen=True):
    """What is committed of one file. first: its first seqno, by which it is fetched whatever its name is by then.

    last: of a closed chunk, 0 of the open one. size_bytes: up to the end of what is committed; a closed one's, all.
    """

    first: Number
    last: Number
    size_bytes: Number


class CatchUp(Message, frozen=True, tag=4):
    """Leader to a node that lacks what the leader's engine no longer holds, one way: fetch the ledger up to `seqno`.

    reference: the engine's snapshot (ConsensusEngine.restore), which stands for the ledger up to seqno, in `view`.
    snapshots: files of snapshots at or before seqno whose evidence is committed: (name, size in bytes).
    """

    reference: bytes
    seqno: Number
    view: Number
    parts: tuple[LedgerPart, ...]
    snapshots: tuple[tuple[str, int], ...] = ()


class FetchLedger(Message, frozen=True, tag=5):
    """Request a piece of the chunk that begins with entry `first`; answered by Fetched."""

    first: Number
    offset: Number
    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=limits.DISK_READ_BYTES_MAX)]


class FetchSnapshot(Message, frozen=True, tag=6):
    """Request a piece of a snapshot's file; answered by Fetched."""

    name: str
    offset: Number
    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=limits.DISK_READ_BYTES_MAX)]


class Fetched(Message, frozen=True, tag=7):
    """failure: "" or why there is nothing."""

    data: bytes
    failure: Literal["", "no_such_file", "not_committed", "unreadable"] = ""


class CaughtUp(Message, frozen=True, tag=8):
    """Follower to leader, one way: how the fetching that CatchUp asked for ended."""

    seqno: Number
    delivered: bool


class DiskShown(Message, frozen=True):
    """What a node's own disk holds, told while no network runs (core/consensus/restart.py). configuration: encoded.

    granted: to whom it is granted, "" for nobody.
    """

    node: NodeIdText
    view: Number
    seqno: Number
    configuration: bytes
    granted: str = ""


class NodeEvidence(Message, frozen=True):
    """Evidence over a node's key (core/node/node_evidence.py). collateral: as in a file of it."""

    quote: bytes
    collateral: bytes


NO_EVIDENCE = NodeEvidence(b"", b"")


class JoinRequest(Message, frozen=True, tag=9):
    """A node that is not registered yet asks to be: only in a channel whose both ends gave evidence (mode JOIN).

    authorization: the member's signed ticket or delegation (core/governance/joining.py). address: HOST:PORT at which
    the other nodes reach this one. disk: of a node that took part before and found no network that runs; whoever takes
    part in one ignores it. asks_grant: whether the network is to start from that disk. accepts_loss: whether it is to,
    though too few disks are left, once the members agree. evidence: over the node's key, for the ledger.
    """

    authorization: bytes
    address: str
    disk: DiskShown | None = None
    asks_grant: bool = False
    evidence: NodeEvidence = NO_EVIDENCE
    accepts_loss: bool = False


class EpochKey(Message, frozen=True):
    """core.ledger.secrets.EpochSecret on the wire."""

    epoch: Number
    first_seqno: Number
    first_view: Number
    node: str
    key: bytes


class MemberNode(Message, frozen=True):
    """A registered node. public_key: SubjectPublicKeyInfo DER."""

    node: str
    public_key: bytes
    address: str


class JoinAccepted(Message, frozen=True, tag=10):
    """Answer to a JoinRequest once the joiner's record is committed. Keys are PKCS#8 DER; certificates are PEM.

    node_certificate: of the node that answers, endorsed by the service; the joiner checks it against the service
    certificate that its ticket names before it believes anything else in here. certificate: the joiner's own.
    constitution: canonical JSON of the genesis constitution. nodes: all that are registered, the joiner included.
    """

    node_certificate: str
    service_certificate: str
    service_key: bytes
    front_end_certificate: str
    front_end_key: bytes
    epochs: tuple[EpochKey, ...]
    constitution: bytes
    certificate: str
    slot: str
    nodes: tuple[MemberNode, ...]


class JoinDenied(Message, frozen=True, tag=11):
    """reason: the class of the refusal (core/governance/joining.py). retry_seconds: 0: not before something changes.

    leader: HOST:PORT of the node to ask instead, "" otherwise. disk: of a node that waits itself for a network to
    start. is_granted: whether its disk is granted to the one that asked; stands_back: whether it stands back for it.
    """

    reason: str
    message: str
    hint: str
    retry_seconds: Number
    leader: str = ""
    disk: DiskShown | None = None
    is_granted: bool = False
    stands_back: bool = False


class Removed(Message, frozen=True, tag=12):
    """Leader to a node that a committed entry (seqno, in `view` or before) has taken out: one way, the last message on
    the channel. addresses: HOST:PORT of other nodes.
    """

    node: NodeIdText
    view: Number
    seqno: Number
    addresses: tuple[Annotated[str, msgspec.Meta(max_length=limits.PEER_ADDRESS_BYTES_MAX)], ...]


Body = (
    ConsensusMessage
    | ForwardCommands
    | AnswerForwarded
    | CatchUp
    | FetchLedger
    | FetchSnapshot
    | Fetched
    | CaughtUp
    | JoinRequest
    | JoinAccepted
    | JoinDenied
    | Removed
)


class Envelope(Message, frozen=True, tag=100):
    """See the module. body: one of the messages above, encoded."""

    number: Number
    is_reply: bool
    body: bytes


BODY: Codec[Body] = Codec(Body)
ENVELOPE: Codec[Envelope] = Codec(Envelope)


NO_FAREWELLS: Mapping[NodeId, Removed] = MappingProxyType({})


class PeerUnreachable(CocoError):
    """There is no channel to this node, or it ended before it answered."""


@dataclass(frozen=True, slots=True)
class PeerNode:
    """A node of the register: how its channel is authenticated, and HOST:PORT where it listens."""

    public_key: PublicKey
    address: str


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message that came in. claims: of a node that is not registered (mode JOIN); None for a registered one.

    answer: sends the reply on the same channel; None for a message that asked for none.
    """

    sender: NodeId
    public_key: PublicKey
    claims: ReportClaims | None
    message: Body
    answer: Callable[[Body], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True)
class Introduction:
    """What an unregistered node got: who answered, with its evidence verified, and the answer."""

    node: NodeId
    public_key: PublicKey
    claims: ReportClaims
    answer: JoinAccepted | JoinDenied


class PeerNetwork(Protocol):
    """Channels to the other nodes' managers. Everything it queues is bounded; what has no room is dropped or refused.

    Only registered nodes (`update`) get and send anything but JoinRequest. Channels are made, and made again, by
    themselves for as long as a node is registered.
    """

    def update(
        self, nodes: Mapping[NodeId, PeerNode], removed: Set[NodeId], farewells: Mapping[NodeId, Removed] = NO_FAREWELLS
    ) -> None:
        """Take the register as the ledger has it now (this node may be in it). Channels of others end at once.

        farewells: what is said to some of them before, if it can be said at once; nothing else is.
        """
        ...

    def send(self, to: NodeId, message: Body) -> bool:
        """Queue a one-way message; False when it was dropped: there is no channel, or no room."""
        ...

    async def request(self, to: NodeId, message: Body, *, seconds_max: float) -> Body:
        """Send a request and return its reply. Raises PeerUnreachable, also after seconds_max."""
        ...

    async def introduce(self, address: str, request: JoinRequest, *, seconds_max: float) -> Introduction:
        """As a node that is not registered, ask the node at HOST:PORT. Raises PeerUnreachable, AuthenticationFailed.

        The other side's evidence has been verified under the TEE manifest; what it is worth, the caller decides.
        """
        ...

    async def receive(self) -> Inbound:
        """Return the next message that came in."""
        ...

    def connected(self) -> Set[NodeId]:
        """Return the registered nodes to which there is an open channel now."""
        ...

    def generation(self, node: NodeId) -> int:
        """Return the number of the open channel to a node, 0 when there is none. Each channel has one of its own.

        What was sent while another number stood here may be lost, and answers to it.
        """
        ...

    async def close(self) -> None: ...
