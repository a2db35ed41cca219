"""How scenarios name nodes and print messages."""

from __future__ import annotations

from core.consensus.raft.messages import (
    Append,
    AppendRejection,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    ReadRequest,
    ReadResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    decode_message,
)
from core.types import NodeId


def node_id(number: int) -> NodeId:
    return NodeId(f"{number}".ljust(64, "0") if number else "0" * 64)


NAMES: dict[NodeId, str] = {node_id(number): str(number) for number in range(1, 10)}


def describe_message(payload: bytes) -> str:
    """Return a message in a line."""
    message = decode_message(payload)
    text = f"term {message.term}"
    match message:
        case VoteRequest():
            kind = "pre-vote?" if message.pre else "vote?"
            return f"{kind} {text} log {message.last_term}@{message.last_index}" + (
                " transfer" if message.transfer else ""
            )
        case VoteResponse():
            given = "granted" if message.granted else "refused"
            known = f" knows {message.commit_term}@{message.commit}" if message.commit else ""
            return f"{'pre-vote' if message.pre else 'vote'} {given} {text}{known}"
        case Append():
            first = message.previous_index + 1
            entries = " ".join(f"{first + place}/{entry.term}" for place, entry in enumerate(message.entries))
            before = f"after {message.previous_term}@{message.previous_index}"
            return f"append {text} {before} commit {message.commit} [{entries}]"
        case AppendResponse():
            received = f" received {message.received}" if message.received != message.index else ""
            return f"appended {text} to {message.index}{received} commit {message.commit}"
        case AppendRejection():
            return f"rejected {text} at {message.index} hint {message.hint_term}@{message.hint_index}"
        case Heartbeat():
            return f"heartbeat {text} commit {message.commit}" + (f" round {message.round}" if message.round else "")
        case HeartbeatResponse():
            return f"alive {text} commit {message.commit}" + (f" round {message.round}" if message.round else "")
        case TimeoutNow():
            return f"stand now {text}"
        case ReadRequest():
            return f"read? {text} number {message.number}"
        case ReadResponse():
            return f"read {text} number {message.number} at {message.index}"
