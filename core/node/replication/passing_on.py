"""Commands that a follower passes on to the leader, and the answers to them: the managers' part (forwarding.py has the
executors').

The leader verifies who gave a command again: a token by its digest; an identity that rests on a TLS session alone is
the passing node's word, but it must exist, in that role. What does not hold is answered as an adapter's name that
nobody knows, so that it tells nothing.

Invariant: whatever waits here for room in a channel is bounded; what has none is answered, or its loss told (Follow).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from core import limits
from core.errors import AuthenticationFailed
from core.governance.constitution import Constitution
from core.node.authentication import Authenticator
from core.node.messages import (
    Answer,
    AnswersReturned,
    CommandsForwarded,
    ForwardAnswers,
    ForwardToLeader,
    FromManager,
    Submit,
    WireCaller,
)
from core.node.peer_messages import (
    AnswerForwarded,
    ForwardCommands,
    ForwardedAnswer,
    ForwardedCaller,
    ForwardedCommand,
    PeerNetwork,
)
from core.node.replication.leadership import Leadership
from core.types import NodeId

Tell = Callable[[FromManager], Awaitable[None]]


class PassingOn:
    """See the module. constitution: as it is now."""

    def __init__(
        self,
        leadership: Leadership,
        peers: PeerNetwork,
        constitution: Callable[[], Constitution],
        tell: Tell,
        log: Callable[[str], None],
    ) -> None:
        self._leadership = leadership
        self._peers = peers
        self._constitution = constitution
        self._tell = tell
        self._log = log
        self._authenticator: tuple[Constitution, Authenticator] | None = None
        self._waiting: deque[tuple[NodeId, AnswerForwarded]] = deque()
        self._waiting_bytes = 0
        self._channel: tuple[NodeId, int] | None = None
        self.forged = 0
        """Commands of other nodes whose caller was not as the constitution has it."""

    # The follower.

    def to_leader(self, message: ForwardToLeader) -> None:
        """Send commands to the leader; where there is no way to it, the executor learns that by Follow."""
        leader = self._leadership.leader
        if leader is None or leader == self._leadership.node:
            return  # The Follow or Lead that is on its way ends what was passed on.
        self._notice_interruption()
        commands = tuple(
            ForwardedCommand(item.ticket, item.adapter, item.payload, _to_peer(item.caller)) for item in message.items
        )
        if not self._peers.send(leader, ForwardCommands(commands)):
            self._leadership.leader_unreachable()

    async def answered(self, sender: NodeId, message: AnswerForwarded) -> None:
        """Take the leader's answers; who answered is not asked: a ticket is answered once, by whoever had it."""
        del sender
        answers = tuple(Answer(one.ticket, one.reply, one.failure, one.view, one.seqno) for one in message.answers)
        await self._tell(AnswersReturned(answers))

    # The leader.

    async def commands(self, sender: NodeId, message: ForwardCommands) -> None:
        """Take commands that another node passes on."""
        if not self._leadership.leads:
            self._refuse(sender, message.commands, "not_leader")
            return
        good, forged = list[Submit](), list[ForwardedCommand]()
        for command in message.commands:
            caller = self._verify(command.caller)
            if caller is None:
                forged.append(command)
            else:
                good.append(Submit(command.ticket, command.adapter, command.payload, caller))
        if forged:
            self.forged += len(forged)
            self._log(f"node {sender[:16]} passed on {len(forged)} commands of callers that are not so")
            self._refuse(sender, forged, "no_such_adapter")
        if good:
            await self._tell(CommandsForwarded(sender, tuple(good)))

    def answers(self, message: ForwardAnswers) -> None:
        """Send answers back to the node that passed the commands on."""
        answers = tuple(
            ForwardedAnswer(one.ticket, one.reply, one.failure, one.view, one.seqno) for one in message.items
        )
        self._send(NodeId(message.origin), AnswerForwarded(answers))

    def _refuse(self, sender: NodeId, commands: Sequence[ForwardedCommand], failure: str) -> None:
        answers = tuple(
            ForwardedAnswer(one.ticket, b"", "not_leader" if failure == "not_leader" else "no_such_adapter", 0, 0)
            for one in commands
        )
        self._send(sender, AnswerForwarded(answers))

    def _verify(self, caller: ForwardedCaller) -> WireCaller | None:
        """Return a caller that is as the constitution has it, None for any other."""
        constitution = self._constitution()
        if caller.credential == "none":
            anonymous = caller.identity is None and not caller.is_member and not caller.token
            return WireCaller(None, False, "none") if anonymous else None
        found = next((one for one in constitution.identities if one.name == caller.identity), None)
        if found is None or (found.role == "member") != caller.is_member:
            return None
        if caller.credential == "token":
            if self._authenticator is None or self._authenticator[0] is not constitution:
                self._authenticator = constitution, Authenticator(constitution)
            try:
                if self._authenticator[1].verify_token(caller.token).name != found.name:
                    return None
            except AuthenticationFailed:
                return None
        elif caller.token:
            return None
        return WireCaller(found.name, found.role == "member", caller.credential)

    # Both.

    def _send(self, to: NodeId, message: AnswerForwarded) -> None:
        if self._waiting or not self._peers.send(to, message):
            size = sum(len(one.reply) + 64 for one in message.answers)
            if to in self._peers.connected() and self._waiting_bytes + size <= limits.OUTBOX_BYTES_MAX:
                self._waiting.append((to, message))
                self._waiting_bytes += size

    def tick(self) -> None:
        """Send what had no room; notice that the way to the leader was interrupted."""
        connected = self._peers.connected()
        while self._waiting:
            to, message = self._waiting[0]
            if to in connected and not self._peers.send(to, message):
                break
            self._waiting.popleft()
            self._waiting_bytes -= sum(len(one.reply) + 64 for one in message.answers)
        self._notice_interruption()

    def _notice_interruption(self) -> None:
        """Tell the executor if the channel to the leader is another than before: what was on its way may be lost."""
        leader, before = self._leadership.leader, self._channel
        follows = leader is not None and leader != self._leadership.node
        self._channel = (leader, self._peers.generation(leader)) if leader is not None and follows else None
        if before is not None and before[1] and before != self._channel and before[0] == leader:
            self._leadership.leader_unreachable()


def _to_peer(caller: WireCaller) -> ForwardedCaller:
    return ForwardedCaller(caller.identity, caller.is_member, caller.credential, caller.token)
