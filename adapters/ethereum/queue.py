"""The order in which Ethereum transactions run: by nonce for each sender, in turn between senders.

A transaction whose nonce is not yet due is held one second, at most 64 of one sender; one with the nonce of another
that waits replaces it when it offers 10 % more, as go-ethereum has it. One that is committed already is answered as it
was, so that whoever did not get the answer may send it again. Nonces are looked up in the head state, which
knows what has run and is not yet committed; the executor runs each command before it asks for the next. Other
commands (bindings) take a turn of their own.

Invariants: a command is in the queue once; a sender with a transaction that is due has a turn waiting; who may not
use a sender learns nothing about its nonces.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, assert_never

import msgspec

from adapters.ethereum.formatting import data
from adapters.ethereum.requests import COMMANDS, SendTransaction
from adapters.jsonrpc import SERVER_ERROR, RpcError, error_fragment, result_fragment
from core import limits
from core.adapter.interface import Caller, CommandRejected, Pending
from core.errors import MalformedMessage

GAP_MILLISECONDS_MAX = 1_000
GAPPED_PER_SENDER_MAX = 64
REPLACEMENT_PERCENT = 110

NONCE_TOO_LOW = "nonce too low"
NONCE_TOO_HIGH = "nonce too high"
ALREADY_KNOWN = "already known"
UNDERPRICED = "replacement transaction underpriced"
REPLACED = "transaction replaced by another with the same nonce"
POOL_FULL = "txpool is full"

Replied = list[tuple[Pending, bytes]]

Standing = Literal["", "run", "committed"]


class HeadState(Protocol):
    """What the queue asks of the head state."""

    def nonce(self, sender: bytes) -> int:
        """Return the next nonce of an account."""
        ...

    def check_sender(self, sender: bytes, caller: Caller) -> None:
        """Raise RpcError unless the caller may send as this account."""
        ...

    def standing(self, transaction_hash: bytes) -> Standing:
        """Return whether a transaction has run, and is committed."""
        ...


class _Waiting(msgspec.Struct, frozen=True, gc=False):
    pending: Pending
    hash: bytes
    max_fee: int
    max_priority_fee: int
    held_until_ms: int


@dataclass(slots=True)
class _Sender:
    """The waiting transactions of one sender, by nonce; [start, end) is known to be without gaps."""

    waiting: dict[int, _Waiting] = field(default_factory=dict)
    floor: int = 0
    """No waiting nonce is below it."""
    start: int = 0
    end: int = 0
    has_turn: bool = False

    def run_end(self, nonce: int) -> int:
        """Return the first nonce from `nonce` on that does not wait here."""
        if nonce not in self.waiting:
            return nonce
        if not self.start <= nonce < self.end:
            self.start = self.end = nonce
        while self.end in self.waiting:
            self.end += 1
        return self.end

    def forget_run(self) -> None:
        self.start = self.end = 0


class EthereumQueue:
    """A CommandQueue. state: opens the head state. Times are monotonic milliseconds."""

    def __init__(self, state: Callable[[], HeadState], *, total_max: int = limits.QUEUED_COMMANDS_MAX) -> None:
        self._state = state
        self._total_max = total_max
        self._senders: dict[bytes, _Sender] = {}
        self._turns: deque[bytes | Pending] = deque()
        self._deadlines: list[tuple[int, bytes]] = []
        self._late: Replied = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, pending: Pending, now_ms: int) -> Replied:
        """Take a command; returns the one it replaces, with its reply. Raises CommandRejected."""
        try:
            command = COMMANDS.decode(pending.payload)
        except MalformedMessage:
            raise CommandRejected(error_fragment(RpcError(SERVER_ERROR, "malformed command"))) from None
        try:
            if self._count >= self._total_max:
                raise RpcError(SERVER_ERROR, POOL_FULL)
            if not isinstance(command, SendTransaction):
                self._turns.append(pending)
                self._count += 1
                return []
            return self._push_transaction(pending, command, now_ms)
        except RpcError as error:
            raise CommandRejected(error_fragment(error)) from None

    def _push_transaction(self, pending: Pending, command: SendTransaction, now_ms: int) -> Replied:
        state = self._state()
        state.check_sender(command.sender, pending.caller)
        due = state.nonce(command.sender)
        if command.nonce < due:
            raise _overtaken(command.hash, state.standing(command.hash))
        sender = self._senders.get(command.sender) or _Sender()
        new = _Waiting(
            pending,
            command.hash,
            int.from_bytes(command.max_fee, "big"),
            int.from_bytes(command.max_priority_fee, "big"),
            now_ms + GAP_MILLISECONDS_MAX,
        )
        old = sender.waiting.get(command.nonce)
        if old is not None:
            _check_replacement(old, new)
            sender.waiting[command.nonce] = new
            self._schedule(command.sender, new.held_until_ms)
            return [(old.pending, _refusal(REPLACED))]
        end = sender.run_end(due)
        if command.nonce > end and len(sender.waiting) - (end - due) >= GAPPED_PER_SENDER_MAX:
            raise RpcError(SERVER_ERROR, NONCE_TOO_HIGH)
        self._senders[command.sender] = sender
        sender.floor = min(sender.floor, command.nonce) if sender.waiting else command.nonce
        sender.waiting[command.nonce] = new
        self._count += 1
        if due in sender.waiting:
            self._give_turn(command.sender, sender)
        if command.nonce > end:
            self._schedule(command.sender, new.held_until_ms)
        return []

    def pop(self) -> Pending | None:
        """Remove and return the next command that is due."""
        while self._turns:
            turn = self._turns.popleft()
            if isinstance(turn, Pending):
                self._count -= 1
                return turn
            sender = self._senders.get(turn)
            if sender is None:
                continue
            sender.has_turn = False
            due = self._state().nonce(turn)
            self._drop_below(sender, due)
            found = sender.waiting.pop(due, None)
            if found is not None:
                self._count -= 1
                sender.floor = due + 1
                if due + 1 in sender.waiting:
                    self._give_turn(turn, sender)
            elif sender.waiting:
                # What ran before did not use its nonce: those after it are held until their time is up.
                self._schedule(turn, min(one.held_until_ms for one in sender.waiting.values()))
            self._forget_if_empty(turn, sender)
            if found is not None:
                return found.pending
        return None

    def expire(self, now_ms: int) -> Replied:
        """Remove and return what was held too long or has been overtaken by the state, with replies."""
        expired, self._late = self._late, []
        due_senders = set()
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            due_senders.add(heapq.heappop(self._deadlines)[1])
        for address in sorted(due_senders):
            sender = self._senders.get(address)
            if sender is not None:
                expired += self._expire_sender(address, sender, now_ms)
        self._count -= len(expired)
        return expired

    def next_deadline_ms(self) -> int | None:
        """When `expire` has something to do, if ever."""
        if self._late:
            return 0
        return self._deadlines[0][0] if self._deadlines else None

    def next_nonce(self, sender: bytes) -> int:
        """Return the nonce after the head state's and all that wait without a gap: the pending nonce."""
        due = self._state().nonce(sender)
        found = self._senders.get(sender)
        return due if found is None else found.run_end(due)

    def waiting(self, address: bytes) -> list[tuple[int, bytes, bool]]:
        """Return a sender's waiting transactions by nonce: (nonce, stored encoding, whether none is missing before)."""
        found = self._senders.get(address)
        if found is None:
            return []
        due = self._state().nonce(address)
        end = found.run_end(due)
        answered = []
        for nonce in sorted(nonce for nonce in found.waiting if nonce >= due):
            command = COMMANDS.decode(found.waiting[nonce].pending.payload)
            if isinstance(command, SendTransaction):
                answered.append((nonce, command.stored, nonce < end))
        return answered

    def waits_for_another(self, identity: str | None) -> bool:
        """Say whether a command of somebody else is due. Looks at each sender once, so ask only when it matters."""
        for turn in self._turns:
            if isinstance(turn, Pending):
                first = turn
            else:
                sender = self._senders.get(turn)
                if sender is None or not sender.waiting:
                    continue
                first = next(iter(sender.waiting.values())).pending
            if first.caller.identity != identity:
                return True
        return False

    def _expire_sender(self, address: bytes, sender: _Sender, now_ms: int) -> Replied:
        due = self._state().nonce(address)
        self._drop_below(sender, due)
        expired, self._late = self._late, []
        end = sender.run_end(due)
        gapped = sorted(nonce for nonce in sender.waiting if nonce >= end)
        for nonce in gapped:
            if sender.waiting[nonce].held_until_ms <= now_ms:
                expired.append((sender.waiting.pop(nonce).pending, _refusal(NONCE_TOO_HIGH)))
        sender.forget_run()
        held = [sender.waiting[nonce].held_until_ms for nonce in gapped if nonce in sender.waiting]
        if held:
            self._schedule(address, min(held))
        if due in sender.waiting:
            self._give_turn(address, sender)
        self._forget_if_empty(address, sender)
        return expired

    def _drop_below(self, sender: _Sender, due: int) -> None:
        """Set aside, for `expire`, what the state has overtaken (an authorization of EIP-7702 uses a nonce, too)."""
        if due <= sender.floor:
            return
        for nonce in sorted(nonce for nonce in sender.waiting if nonce < due):
            self._late.append((sender.waiting.pop(nonce).pending, _refusal(NONCE_TOO_LOW)))
        sender.floor = due
        sender.forget_run()

    def _give_turn(self, address: bytes, sender: _Sender) -> None:
        if not sender.has_turn:
            sender.has_turn = True
            self._turns.append(address)

    def _forget_if_empty(self, address: bytes, sender: _Sender) -> None:
        if not sender.waiting and not sender.has_turn:
            self._senders.pop(address, None)

    def _schedule(self, address: bytes, at_ms: int) -> None:
        heapq.heappush(self._deadlines, (at_ms, address))


def _overtaken(transaction_hash: bytes, standing: Standing) -> Exception:
    """Return what ends a transaction whose nonce is used: by itself, then it is answered as it was, or by another."""
    match standing:
        case "committed":
            return CommandRejected(result_fragment(data(transaction_hash)))
        case "run":
            return RpcError(SERVER_ERROR, ALREADY_KNOWN)
        case "":
            return RpcError(SERVER_ERROR, NONCE_TOO_LOW)
        case _:
            assert_never(standing)


def _check_replacement(old: _Waiting, new: _Waiting) -> None:
    """Raise RpcError unless `new` may take the place of `old`: 10 % more of both fees, and more at all."""
    if new.hash == old.hash:
        raise RpcError(SERVER_ERROR, ALREADY_KNOWN)
    for before, offered in ((old.max_fee, new.max_fee), (old.max_priority_fee, new.max_priority_fee)):
        if offered <= before or offered < before * REPLACEMENT_PERCENT // 100:
            raise RpcError(SERVER_ERROR, UNDERPRICED)


def _refusal(text: str) -> bytes:
    return error_fragment(RpcError(SERVER_ERROR, text))
