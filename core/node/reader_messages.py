"""Messages from the executor to a reader: FeedBegin, the state at the horizon as FeedRows, then FeedEntries for good.

Carried over paired AEAD channels.
"""

from __future__ import annotations

from core.codec import Codec, Message
from core.node.messages import ReplayedEntry


class FeedBegin(Message, frozen=True, tag=41):
    """session: 32 secret bytes by which gateways and readers of one executor know each other. horizon: a seqno.

    constitution: its canonical JSON.
    """

    constitution: bytes
    session: bytes
    horizon: int


class FeedRows(Message, frozen=True, tag=42):
    """Rows of one table as of the horizon: (key, version, value)."""

    table: str
    rows: tuple[tuple[bytes, int, bytes], ...]


class FeedEntries(Message, frozen=True, tag=43):
    """Committed entries that follow on `after` and end at `last` (a signature, which is left out).

    is_current: the reader may answer from now on; false for older ones that are caught up with. time_s: Unix seconds.
    """

    after: int
    entries: tuple[ReplayedEntry, ...]
    last: int
    is_current: bool
    time_s: int


TO_READER: Codec[FeedBegin | FeedRows | FeedEntries] = Codec(FeedBegin | FeedRows | FeedEntries)
