"""What goes over a connection, and what became of it: the shapes that workloads and lanes share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Request(NamedTuple):
    """One HTTP request, complete as it is sent. keys: what its items are confirmed by; a request has 1 or more items.

    sender: whose order of requests matters (the nonces of one account); -1: nobody's.
    """

    wire: bytes
    keys: tuple[bytes, ...]
    sender: int = -1


class Verdict(NamedTuple):
    """What an answer says. accepted: keys to confirm later. errors: a short text for each item that failed."""

    accepted: Sequence[bytes]
    errors: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a look-up said of accepted keys. errors: a short text for each that is not confirmed."""

    confirmed: int
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go. headers: whole lines. ca_file: None for the system's authorities, or where there is no TLS."""

    host: str
    port: int
    tls: bool
    path: str
    headers: tuple[str, ...] = ()
    ca_file: str | None = None

    def wire(self, body: bytes, method: str = "POST", path: str | None = None, kind: str = "application/json") -> bytes:
        """Return a whole HTTP/1.1 request."""
        head = [
            f"{method} {self.path if path is None else path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            *self.headers,
            f"Content-Type: {kind}",
            f"Content-Length: {len(body)}\r\n\r\n",
        ]
        return "\r\n".join(head).encode() + body


def brief(text: str) -> str:
    """Return an error's kind: its text without what differs from request to request."""
    words = ["N" if word[:2] == "0x" or word.strip(".,:;()").isdecimal() else word for word in text.split()]
    return " ".join(words)[:120]
