"""Getting the leader's log onto a quorum: the leader's part, the follower's part, and the commit index.

The leader counts what is on disks, its own included, and commits only by an entry of its own term. A follower
acknowledges what is on its disk; how much it has in memory travels along, so that a slow disk does not make the leader
send things twice. Nothing is sent while an append is merely due: `_flush` sends when messages are taken, so that
proposals made together travel together. Source: Raft, sections 5.3 and 5.4; Raft thesis, section 10.2; go.etcd.io/raft.
"""

from __future__ import annotations

from abc import abstractmethod

from core import limits
from core.consensus.engine import LogEntry, Role, SnapshotNeeded
from core.consensus.raft.log import entry_bytes
from core.consensus.raft.messages import (
    Append,
    AppendRejection,
    AppendResponse,
    Heartbeat,
    HeartbeatResponse,
    TimeoutNow,
    WireEntry,
    encode_message,
)
from core.consensus.raft.progress import FollowerState, Progress
from core.consensus.raft.state import RaftState
from core.errors import InvariantBroken, LimitExceeded, MalformedMessage
from core.types import NodeId, View

_EncodedAppend = tuple[tuple[int, int, int], bytes]


class Replication(RaftState):
    """See the module."""

    # Hooks of the layers above.

    @abstractmethod
    def _send_limit(self, node: NodeId) -> int:
        """Return the last index that node may be sent; a node that is being removed gets nothing past its removal."""

    @abstractmethod
    def _note_follower_commit(self, node: NodeId, commit: int) -> bool:
        """Note what a follower knows to be committed; returns False if there is no more to do for it."""

    @abstractmethod
    def _forget_departed(self, node: NodeId) -> None:
        """Stop telling a removed node that it is removed."""

    @abstractmethod
    def _reads_may_start(self) -> None:
        """Begin the reads that waited for the first commit of this term."""

    @abstractmethod
    def _read_round(self) -> int:
        """Return the number of the round of reads that a heartbeat of now confirms."""

    # The leader: sending.

    def _append_own(self, data: bytes, change: bytes = b"") -> int:
        """Append an entry of this term; returns its index. Raises LimitExceeded; the engine's own always fit."""
        size = len(data) + len(change)
        if size > limits.CONSENSUS_ENTRY_BYTES_MAX:
            raise LimitExceeded(f"an entry of {size} bytes; the bound is {limits.CONSENSUS_ENTRY_BYTES_MAX}")
        if data and self._uncommitted_bytes and self._uncommitted_bytes + size > self.settings.uncommitted_bytes_max:
            bound = self.settings.uncommitted_bytes_max
            raise LimitExceeded(f"{self._uncommitted_bytes} bytes wait to be committed; the bound is {bound}")
        index = self.log.last_index + 1
        self.log.append(LogEntry(index, self.term, data, change))
        self._uncommitted_bytes += size
        self._due = True
        return index

    def _flush(self) -> None:
        """Send every follower what it may be sent."""
        if not self._due or self.role is not Role.LEADER:
            return
        self._due = False
        encoded: _EncodedAppend | None = None
        for node, progress in list(self.progress.items()):
            if node == self.node:
                continue
            sent_any = False
            while not progress.is_paused():
                sent, encoded = self._send_append(node, progress, encoded, if_empty=False)
                sent_any = sent_any or sent
                if not sent:
                    break
            if not sent_any and (progress.nudged or progress.may_learn_commit(self._commit_for(node))):
                _, encoded = self._send_append(node, progress, encoded, if_empty=True)
            progress.nudged = False

    def _commit_for(self, node: NodeId) -> int:
        return min(self.log.commit, self._send_limit(node))

    def _send_append(
        self, node: NodeId, progress: Progress, encoded: _EncodedAppend | None, *, if_empty: bool
    ) -> tuple[bool, _EncodedAppend | None]:
        """Send one append; returns whether it was sent, and its encoding, which may do for the next follower too."""
        if progress.is_paused():
            return False, encoded
        previous = progress.next - 1
        previous_term = self.log.term_at(previous)
        if previous_term is None:
            self._ask_for_snapshot(node, progress)
            return False, encoded
        entries = []
        if progress.state is not FollowerState.REPLICATE or not progress.is_full():
            entries = list(
                self.log.entries_within(
                    progress.next,
                    self._send_limit(node),
                    self.settings.append_bytes_max,
                    limits.CONSENSUS_APPEND_ENTRIES_MAX,
                )
            )
        if not entries and not if_empty:
            return False, encoded
        commit = self._commit_for(node)
        key = (previous, len(entries), commit)
        if encoded is None or encoded[0] != key:
            wire = tuple(WireEntry(entry.term, entry.data, entry.change) for entry in entries)
            encoded = key, encode_message(Append(self.term, previous, previous_term, commit, wire))
        self._send_encoded(node, encoded[1])
        progress.sent(len(entries), sum(map(entry_bytes, entries)), commit)
        return True, encoded

    def _ask_for_snapshot(self, node: NodeId, progress: Progress) -> None:
        """Hand out that a follower needs a snapshot. A removed node, or one that is not heard, gets none."""
        if node not in self.configuration.members:
            self._forget_departed(node)
        elif progress.recent_active:
            progress.become_snapshot()
            self._snapshots_needed.append(SnapshotNeeded(node, self.log.snapshot_index))

    def _send_heartbeats(self) -> None:
        """Tell all that this node leads. None learns of a commit index past what its log is known to have."""
        for node, progress in self.progress.items():
            if node != self.node:
                commit = min(progress.match, self._commit_for(node))
                self._send(node, Heartbeat(self.term, commit, self._read_round()))
                progress.sent_commit = max(progress.sent_commit, commit)

    # The leader: answers.

    def _on_append_response(self, sender: NodeId, message: AppendResponse) -> None:
        progress = self.progress.get(sender)
        if progress is None or not self._note_follower_commit(sender, message.commit):
            return
        if max(message.index, message.received) > self.log.last_index:
            raise MalformedMessage(f"{sender[:16]} acknowledges entries that this leader does not have")
        progress.recent_active = True
        answers_probe = message.received >= progress.next - 1
        new = progress.acknowledged(message.index, message.received)
        if progress.state is FollowerState.PROBE:
            # An old acknowledgement says nothing about the probe: by it, what is compacted would be asked for.
            if new or answers_probe:
                progress.become_replicate()
        elif progress.state is FollowerState.SNAPSHOT:
            if progress.received + 1 >= self.log.first_index:
                progress.become_replicate()
        else:
            progress.free()
            progress.paused = progress.is_full()
        self._due = True
        if new:
            self._maybe_commit()
            if sender == self.transferring_to and progress.match == self.log.last_index:
                self._send(sender, TimeoutNow(self.term))

    def _on_append_rejection(self, sender: NodeId, message: AppendRejection) -> None:
        """Step back to where the logs may match: with the hint, at most once per term that differs."""
        progress = self.progress.get(sender)
        if progress is None:
            return
        progress.recent_active = True
        hint = message.hint_index
        if message.hint_term:
            hint, _ = self.log.last_index_of_term(message.hint_index, message.hint_term)
        if progress.rejected(message.index, hint):
            self._due = True

    def _on_heartbeat_response(self, sender: NodeId, message: HeartbeatResponse) -> None:
        progress = self.progress.get(sender)
        if progress is None or not self._note_follower_commit(sender, message.commit):
            return
        progress.recent_active = True
        progress.paused = False
        # What filled the window, or a probe, may be lost: an append, if only an empty one, finds out.
        limit = min(self.log.last_index, self._send_limit(sender))
        if progress.received < limit or progress.state is FollowerState.PROBE:
            progress.nudged = True
        self._due = True

    def _maybe_commit(self) -> bool:
        """Commit what is on a quorum's disks, if that is of this term; returns whether anything was."""
        index = self.agreed_index(self._matches(self.progress))
        if index <= self.log.commit or not self.may_commit(index):
            return False
        before = self.log.commit
        self.log.commit_to(index)
        self._uncommitted_bytes -= sum(map(entry_bytes, self.log.entries(before + 1, index)))
        self._due = True
        self._reads_may_start()
        return True

    # The follower.

    def _on_append(self, sender: NodeId, message: Append) -> None:
        previous, entries = message.previous_index, message.entries
        skipped = self.log.commit - previous
        if skipped > 0:
            # What is committed here is in the leader's log as well, and may be compacted here: look only behind it.
            if len(entries) < skipped:
                self._acknowledge(sender)
                return
            previous_term = entries[skipped - 1].term
            previous, entries = self.log.commit, entries[skipped:]
            if self.log.term_at(previous) != previous_term:
                raise InvariantBroken(f"{sender[:16]} leads without entry {previous}, which is committed here")
        else:
            previous_term = message.previous_term
        if self.log.term_at(previous) != previous_term:
            hint, hint_term = self.log.last_index_of_term(message.previous_index, message.previous_term)
            self._send(sender, AppendRejection(self.term, message.previous_index, hint, hint_term))
            return
        self.log.merge(
            [
                LogEntry(previous + place, View(wire.term), wire.data, wire.change)
                for place, wire in enumerate(entries, 1)
            ]
        )
        last = previous + len(entries)
        self.verified = max(self.verified, last)
        # Only what this message has verified may be committed by it; what follows may be another leader's.
        self.log.commit_to(min(message.commit, last))
        if not entries or self.log.stable >= last:
            self._acknowledge(sender)

    def _acknowledge(self, leader: NodeId) -> None:
        """Tell the leader how far its log is here, on disk and in memory. What is committed here is in its log too."""
        known = max(self.verified, self.log.commit)
        self._send(leader, AppendResponse(self.term, min(known, self.log.stable), known, self.log.commit))

    def _on_heartbeat(self, sender: NodeId, message: Heartbeat) -> None:
        self.log.commit_to(message.commit)
        self._send(sender, HeartbeatResponse(self.term, self.log.commit, message.round))
