"""One open channel to another node's manager: messages, requests and their replies, signs of life.

What the other side may send is decided here, and the first thing that is against it ends the channel (errors.py).
Numbers of requests rise on each side; a reply counts only for a request that waits for it, and only once. Who gives up
waiting keeps the number: its reply may still come, and counts among the requests in flight until then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from core import limits
from core.errors import AuthenticationFailed, ChannelClosed, InvariantBroken, LimitExceeded, MalformedMessage
from core.node.attested_tls.peer import Peer
from core.node.attested_tls.transport import AttestedTransport
from core.node.peer_messages import BODY, ENVELOPE, Body, Envelope, Inbound, JoinRequest, PeerUnreachable
from core.node.peers.errors import (
    PeerMessageMalformed,
    PeerMessageMisplaced,
    PeerMessageTooLong,
    PeerSilent,
    ReplyUnasked,
    RequestRepeated,
    RequestsExceeded,
)
from core.node.peers.inbox import Source
from core.node.peers.kinds import ONE_WAY, REPLIES, IsOrdered, Lane, belongs, fits, lane_of
from core.node.peers.packets import Assembler, encode_greeting, encode_whole, verify_greeting
from core.node.peers.send_queue import SendQueue
from core.node.peers.timing import PeerTiming


class PeerChannel:
    """See the module. `run` it; everything else may be called meanwhile, and after its end does nothing or says so.

    source: where to put what comes in; None: nothing may but replies.
    """

    def __init__(
        self,
        transport: AttestedTransport,
        *,
        source: Source | None,
        timing: PeerTiming,
        is_ordered: IsOrdered,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.opened_s = loop.time()
        self._transport = transport
        self._source = source
        self._timing = timing
        self._is_ordered = is_ordered
        self._queue = SendQueue(loop.time)
        self._assembler = Assembler()
        self._is_over = False
        self._last_asked = 0
        self._waiting: dict[int, tuple[type[Body], asyncio.Future[Body]]] = {}
        self._given_up: dict[int, type[Body]] = {}
        self._last_heard = 0
        self._unanswered: dict[int, type[Body]] = {}
        self._is_listening = False
        self._was_heard = False
        self._has_sent = False
        self._has_greeted = False
        self._ending: asyncio.Future[None] = loop.create_future()

    @property
    def peer(self) -> Peer:
        return self._transport.peer

    @property
    def dropped(self) -> int:
        """Messages that had no room, or waited too long."""
        return self._queue.dropped

    async def run(self) -> AuthenticationFailed | ChannelClosed:
        """Serve the channel until it ends; return why. Cancelled: ends it at once."""
        work = (self._send(), self._receive(), self._watch(), self._until_ended())
        tasks = [asyncio.create_task(one) for one in work]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._is_over = True
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            self._forget_requests()
            await self._close(results)
        return _reason(results)

    def end(self, reason: AuthenticationFailed) -> None:
        """End the channel for this reason, with a word to the other side that it is the end."""
        if not self._ending.done():
            self._ending.set_exception(reason)
            self._ending.exception()  # It counts as told, though `run` may never come to it.

    def say_farewell(self, message: Body, reason: AuthenticationFailed) -> None:
        """Send one short message, whatever else waits, and end the channel: nothing more is sent or delivered."""
        if not self._is_over and self._has_greeted:
            packet = encode_whole(lane_of(message, self._is_ordered), _one_way(message))
            self._transport.send_last(packet, reason)
        self.revoke(reason)

    def revoke(self, reason: AuthenticationFailed) -> None:
        """End the channel at once; nothing more is sent or delivered."""
        self._is_over = True
        self._transport.revoke(reason)
        self.end(reason)

    def send(self, message: Body) -> bool:
        """Queue a one-way message; False when there is no room, or the channel is over.

        Raises LimitExceeded for one that is above the bound of its kind, which whoever makes it must keep.
        """
        if type(message) not in ONE_WAY:
            raise InvariantBroken(f"{type(message).__name__} is not sent one way")
        return not self._is_over and self._put(Envelope(0, False, BODY.encode(message)), message)

    async def request(self, message: Body, *, seconds_max: float) -> Body:
        """Send a request, return its reply. Raises PeerUnreachable."""
        if type(message) not in REPLIES:
            raise InvariantBroken(f"{type(message).__name__} is not a request")
        if self._is_over:
            raise PeerUnreachable("the channel to the node has ended")
        if len(self._waiting) + len(self._given_up) >= limits.PEER_REQUESTS_MAX:
            raise PeerUnreachable("the node has not answered the requests before")
        number = self._last_asked + 1
        if not self._put(Envelope(number, False, BODY.encode(message)), message):
            raise PeerUnreachable("too much waits to be sent to the node")
        self._last_asked = number
        reply: asyncio.Future[Body] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (type(message), reply)
        try:
            async with asyncio.timeout(seconds_max):
                return await reply
        except TimeoutError:
            raise PeerUnreachable(f"the node did not answer within {seconds_max:.1f} s") from None
        finally:
            if self._waiting.pop(number, None) is not None:
                self._given_up[number] = type(message)

    async def _send(self) -> None:
        await self._transport.send(encode_greeting())
        self._has_greeted = True
        while True:
            packet = await self._queue.next_packet()
            self._has_sent = True
            await self._transport.send(packet)

    async def _receive(self) -> None:
        self._is_listening = True
        verify_greeting(await self._receive_frame())
        while True:
            packet = await self._receive_frame()
            for lane, data in self._assembler.feed(packet):
                inbound = self._take(lane, data)
                if inbound is None:
                    continue
                if self._source is None:
                    raise PeerMessageMisplaced("a message to a node that only asks")
                # While this waits, the other side's silence is our own doing.
                self._is_listening = False
                await self._source.put(inbound, len(data))
                self._is_listening = True

    async def _receive_frame(self) -> bytes:
        try:
            frame = await self._transport.receive()
        except LimitExceeded as error:
            raise PeerMessageTooLong(error.message) from None
        self._was_heard = True
        return frame

    async def _watch(self) -> None:
        """Send signs of life, and miss the other side's. Counts steps, not time: a stall of our own is no silence."""
        silent = 0
        while True:
            await asyncio.sleep(self._timing.keep_alive)
            if not self._has_sent:
                self._queue.wake()
            self._has_sent = False
            silent = 0 if self._was_heard or not self._is_listening else silent + 1
            self._was_heard = False
            if silent >= self._timing.silent_max:
                raise PeerSilent(f"nothing came for {silent * self._timing.keep_alive:.1f} s")

    async def _until_ended(self) -> None:
        await self._ending

    def _take(self, lane: Lane, data: bytes) -> Inbound | None:
        """Return what a message is for the manager; None for a reply, which goes to who asked."""
        try:
            envelope = ENVELOPE.decode(data)
            message = BODY.decode(envelope.body)
        except (MalformedMessage, LimitExceeded) as error:
            raise PeerMessageMalformed(error.message) from None
        name = type(message).__name__
        if not fits(message, lane) or not belongs(message, self.peer.mode):
            raise PeerMessageMisplaced(f"{name} in lane {lane.name.lower()} of mode {self.peer.mode.name.lower()}")
        if envelope.is_reply:
            self._take_reply(envelope.number, message)
            return None
        if envelope.number == 0:
            if type(message) not in ONE_WAY:
                raise PeerMessageMisplaced(f"{name} without a number")
            return self._inbound(message, None)
        return self._inbound(message, self._take_request(envelope.number, message, len(data)))

    def _take_reply(self, number: int, message: Body) -> None:
        asked = self._waiting[number][0] if number in self._waiting else self._given_up.get(number)
        if asked is None or type(message) not in REPLIES[asked]:
            raise ReplyUnasked(f"{type(message).__name__} as the reply to request {number}")
        if number in self._waiting:
            _, reply = self._waiting.pop(number)
            if not reply.done():
                reply.set_result(message)
        else:
            del self._given_up[number]

    def _take_request(self, number: int, message: Body, size_bytes: int) -> Callable[[Body], Awaitable[None]]:
        if type(message) not in REPLIES:
            raise PeerMessageMisplaced(f"{type(message).__name__} with a number")
        if number <= self._last_heard:
            raise RequestRepeated(f"request {number} after request {self._last_heard}")
        is_join = isinstance(message, JoinRequest)
        if is_join and size_bytes > limits.PEER_JOIN_REQUEST_BYTES_MAX:
            raise PeerMessageTooLong(f"a request to join of {size_bytes} bytes")
        if len(self._unanswered) >= limits.PEER_REQUESTS_MAX or (is_join and self._last_heard):
            raise RequestsExceeded(f"request {number} while {len(self._unanswered)} wait for their replies")
        self._last_heard = number
        self._unanswered[number] = type(message)
        return partial(self._answer, number)

    async def _answer(self, number: int, message: Body) -> None:
        """Send the reply; does nothing when the channel is over."""
        if self._is_over:
            return
        asked = self._unanswered.pop(number, None)
        if asked is None or type(message) not in REPLIES[asked]:
            raise InvariantBroken(f"{type(message).__name__} does not answer request {number}")
        if not self._put(Envelope(number, True, BODY.encode(message)), message):
            self.end(RequestsExceeded("no room for the reply: the other side does not take what it asked for"))

    def _inbound(self, message: Body, answer: Callable[[Body], Awaitable[None]] | None) -> Inbound:
        peer = self.peer
        return Inbound(peer.node_id, peer.public_key, peer.claims, message, answer)

    def _put(self, envelope: Envelope, message: Body) -> bool:
        return self._queue.put(lane_of(message, self._is_ordered), ENVELOPE.encode(envelope))

    def _forget_requests(self) -> None:
        for _, reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(PeerUnreachable("the channel to the node ended before it answered"))
                reply.exception()  # Who asked may have been cancelled meanwhile.
        self._waiting.clear()

    async def _close(self, results: list[BaseException | None]) -> None:
        """Say that this is the end, save to one that is dead."""
        if isinstance(_reason(results), PeerSilent):
            self._transport.revoke(PeerSilent("the other side is silent"))
        else:
            await self._transport.close()


def _one_way(message: Body) -> bytes:
    return ENVELOPE.encode(Envelope(0, False, BODY.encode(message)))


def _reason(results: list[BaseException | None]) -> AuthenticationFailed | ChannelClosed:
    """Return why the channel ended; raises what is no such reason: a defect."""
    reasons: list[AuthenticationFailed | ChannelClosed] = []
    for result in results:
        match result:
            case None | asyncio.CancelledError():
                pass
            case AuthenticationFailed() | ChannelClosed():
                reasons.append(result)
            case _:
                raise result
    for reason in reasons:
        if isinstance(reason, AuthenticationFailed):
            return reason
        if isinstance(reason.__cause__, AuthenticationFailed):
            return reason.__cause__
    return reasons[0] if reasons else ChannelClosed("the channel was closed")
