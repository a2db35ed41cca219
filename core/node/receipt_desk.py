"""Receipts, in the executor: asks the manager for them, and decides who may have them and what they prove.

An entry of an adapter is its adapter's to disclose (`Adapter.disclose`). What holds nothing but public tables anybody
with an identity may have: the system's own entries, governance among them, and signatures. What a caller may not have
does not exist for it.

Invariants: every query is answered once; at most limits.RECEIPTS_IN_FLIGHT_MAX are with the manager, the others wait
here, a queue per identity, in turn.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Literal, assert_never

import msgspec

from core import limits
from core.adapter.interface import Caller, Disclosure, Overloaded
from core.errors import InvariantBroken, MalformedMessage
from core.kv.write_set import PUBLIC_PREFIX, WriteSet
from core.node.fair_queue import FairQueue, Quota
from core.node.gateway_link import GatewayLink
from core.node.messages import TO_MANAGER, Answer, Ask, ReceiptMade, ReceiptRequest
from core.node.receipt_answer import RECEIPT_ANSWER, ReceiptAnswer
from core.ports import Transport
from core.types import Digest, Seqno, TransactionId

Form = Literal["ccf", "proof", "cose"]
"""ccf: the receipt as CCF has it. proof: with its claims and the service's certificate. cose: as COSE."""

Disclose = Callable[[str, Seqno, WriteSet, Digest, Caller], Disclosure | None]
"""Asks the adapter of this name."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    link: GatewayLink
    ask: Ask
    target: TransactionId
    form: Form


class ReceiptDesk:
    """See the module. First `open`."""

    def __init__(self, manager: Transport, log: Callable[[str], None]) -> None:
        self._manager = manager
        self._log = log
        self._disclose: Disclose | None = None
        self._service_certificate = ""
        self._tickets = count(1)
        self._waiting: FairQueue[_Wanted] = FairQueue(
            total_max=limits.QUEUED_RECEIPTS_MAX,
            per_identity_max=limits.QUEUED_RECEIPTS_PER_CALLER_MAX,
            quota=Quota(seconds_max=math.inf),
        )
        self._in_flight: dict[int, _Wanted] = {}
        self._something = asyncio.Event()

    def open(self, disclose: Disclose, service: bytes) -> None:
        """Begin. disclose: returns None for an adapter that is not live. service: public JSON, as in Ready."""
        self._disclose = disclose
        self._service_certificate = str(msgspec.json.decode(service).get("service_certificate", ""))

    def want(self, link: GatewayLink, ask: Ask, target: TransactionId, form: Form) -> None:
        """Take a query for the receipt of a committed entry."""
        now_s = asyncio.get_running_loop().time()
        try:
            self._waiting.push(ask.caller.identity, _Wanted(link, ask, target, form), after=Seqno(0), now_s=now_s)
        except Overloaded:
            link.answer(Answer(ask.ticket, b"", "overloaded", 0, 0))
            return
        self._something.set()

    async def run(self) -> None:
        """Ask the manager, until cancelled. Raises ChannelClosed."""
        while True:
            await self._something.wait()
            self._something.clear()
            while len(self._in_flight) < limits.RECEIPTS_IN_FLIGHT_MAX:
                waiting = self._waiting.pop(Seqno(0), asyncio.get_running_loop().time())
                if waiting is None:
                    break
                ticket = next(self._tickets)
                self._in_flight[ticket] = waiting.item
                await self._manager.send(TO_MANAGER.encode(ReceiptRequest(ticket, waiting.item.target.seqno)))

    def made(self, made: ReceiptMade) -> None:
        """Take the manager's answer; raises InvariantBroken for one that nothing was asked for."""
        wanted = self._in_flight.pop(made.ticket, None)
        if wanted is None:
            raise InvariantBroken("the manager made a receipt that was not asked for")
        self._something.set()
        try:
            answer = self._answer(wanted, made)
        except InvariantBroken:
            raise
        except Exception as error:  # noqa: BLE001 - the node loop: adapters are other people's code
            self._log(f"an adapter failed to disclose an entry ({type(error).__name__})")
            answer = Answer(wanted.ask.ticket, b"", "failed", 0, 0)
        wanted.link.answer(answer)

    def refuse_all(self) -> None:
        """Answer everything that waits, at a stop."""
        waiting = [one.item for one in self._waiting.drain()]
        in_flight, self._in_flight = self._in_flight, {}
        for wanted in (*waiting, *in_flight.values()):
            wanted.link.answer(Answer(wanted.ask.ticket, b"", "overloaded", 0, 0))

    def _answer(self, wanted: _Wanted, made: ReceiptMade) -> Answer:
        ticket = wanted.ask.ticket
        match made.failure:
            case "":
                return receipt_answer(ticket, self._judge(wanted, made))
            case "overloaded":
                return Answer(ticket, b"", "overloaded", 0, 0)
            case "unreadable":
                return receipt_answer(ticket, ReceiptAnswer("unreadable"))
            case "not_committed":
                raise InvariantBroken(f"the manager does not know that entry {wanted.target.seqno} is committed")
            case _:
                assert_never(made.failure)

    def _judge(self, wanted: _Wanted, made: ReceiptMade) -> ReceiptAnswer:
        """Return the receipt, or that there is none for this caller."""
        caller = Caller(wanted.ask.caller.identity, wanted.ask.caller.is_member, wanted.ask.caller.credential)
        disclosure = None if caller.identity is None else self._disclosure(wanted, made, caller)
        if disclosure is None:
            return ReceiptAnswer("none")
        match wanted.form:
            case "ccf":
                return ReceiptAnswer("made", made.receipt)
            case "cose":
                return ReceiptAnswer("made", made.cose) if made.cose else ReceiptAnswer("no_such_form")
            case "proof":
                return ReceiptAnswer("made", self._proof(wanted, made, disclosure))
            case _:
                assert_never(wanted.form)

    def _disclosure(self, wanted: _Wanted, made: ReceiptMade, caller: Caller) -> Disclosure | None:
        if made.is_signature:
            return Disclosure()
        try:
            writes = WriteSet.decode(made.public, made.private)
        except MalformedMessage as error:
            raise InvariantBroken(f"entry {wanted.target} is malformed: {error.message}") from error
        if not writes:
            return None
        # All tables of an entry are of one adapter, or the system's: the manager has seen to that.
        adapter = next(iter(writes.tables)).removeprefix(PUBLIC_PREFIX).partition(".")[0]
        found = None
        if self._disclose is not None:
            found = self._disclose(adapter, wanted.target.seqno, writes, Digest(made.claims), caller)
        if found is None and all(name.startswith(PUBLIC_PREFIX) for name in writes.tables):
            return Disclosure()
        return found

    def _proof(self, wanted: _Wanted, made: ReceiptMade, disclosure: Disclosure) -> bytes:
        return msgspec.json.encode(
            {
                "transactionId": str(wanted.target),
                "receipt": msgspec.Raw(made.receipt),
                "claims": disclosure.claims,
                "serviceCertificate": self._service_certificate,
            }
        )


def receipt_answer(ticket: int, answer: ReceiptAnswer) -> Answer:
    """Return the answer to a query for a receipt."""
    if len(answer.body) > limits.RECEIPT_BYTES_MAX - limits.KIBIBYTE:
        return Answer(ticket, b"", "too_large", 0, 0)
    return Answer(ticket, RECEIPT_ANSWER.encode(answer), "", 0, 0)
