"""An enclave's end of the channel with its CPU: the Attestor port, and the source of sealing keys."""

from __future__ import annotations

import asyncio

from core.errors import AuthenticationFailed, ChannelClosed, MalformedMessage
from core.ports import ReportClaims, Transport
from enclave_sim.platform.cpu import TEE, SealPolicy
from enclave_sim.platform.messages import (
    FROM_CPU,
    TO_CPU,
    Denied,
    GetSealingKey,
    Made,
    MakeQuote,
    MakeReport,
    Verified,
    VerifyReport,
)
from enclave_sim.platform.sealing import KeySealer


class PlatformClient:
    """See the module. One request is under way at a time: instructions are quick, and answers need no matching."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = asyncio.Lock()
        self._next_request = 1

    async def local_report(self, report_data: bytes) -> bytes:
        return self._made(await self._ask(MakeReport(self._number(), report_data)))

    async def verify_local_report(self, report: bytes) -> ReportClaims:
        answer = await self._ask(VerifyReport(self._number(), report))
        if not isinstance(answer, Verified):
            raise MalformedMessage("the platform did not answer with claims")
        return ReportClaims(
            measurement=answer.measurement,
            signer=answer.signer,
            security_version=answer.security_version,
            report_data=answer.report_data,
            platform=answer.platform,
            tee=TEE,
            debug=answer.debug,
            simulated=True,
        )

    async def quote(self, report_data: bytes) -> bytes:
        return self._made(await self._ask(MakeQuote(self._number(), report_data)))

    async def sealing_key(self, policy: SealPolicy, security_version: int, key_id: bytes) -> bytes:
        """Return a key for this enclave; raises AuthenticationFailed when the platform denies it."""
        return self._made(await self._ask(GetSealingKey(self._number(), policy, security_version, key_id)))

    def sealer(self, policy: SealPolicy = "signer") -> KeySealer:
        return KeySealer(self.sealing_key, policy)

    def _number(self) -> int:
        self._next_request += 1
        return self._next_request

    def _made(self, answer: Made | Verified) -> bytes:
        if not isinstance(answer, Made):
            raise MalformedMessage("the platform did not answer with a report, quote or key")
        return answer.data

    async def _ask(self, request: MakeReport | VerifyReport | MakeQuote | GetSealingKey) -> Made | Verified:
        async with self._lock:
            try:
                await self._transport.send(TO_CPU.encode(request))
                answer = FROM_CPU.decode(await self._transport.receive())
                while answer.request not in (request.request, 0):  # Of a request that was cancelled.
                    answer = FROM_CPU.decode(await self._transport.receive())
            except ChannelClosed:
                raise ChannelClosed("the platform is gone") from None
        if isinstance(answer, Denied):
            raise AuthenticationFailed(f"the platform denied it: {answer.reason}", hint=answer.hint)
        return answer
