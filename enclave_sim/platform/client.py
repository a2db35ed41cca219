"""An enclave's end of the channel with its CPU: the Attestor port, and the source of sealing keys."""

from __future__ import annotations

import asyncio

from core.errors import AuthenticationFailed, ChannelClosed, MalformedMessage
from core.ports import ReportClaims, Transport
from enclave_sim.platform.cpu import TEE
from enclave_sim.platform.messages import (
    FROM_CPU,
    TO_CPU,
    Denied,
    GetKey,
    GetPublished,
    Made,
    MakeQuote,
    MakeReport,
    Verified,
    VerifyReport,
)
from enclave_sim.platform.sealing import KeySealer, SealPolicy
from enclave_sim.sgx.keyrequest import KeyRequest
from enclave_sim.sgx.report import ReportBody, parse_report

_NOBODY = bytes(32)
"""As a report's target: it is read here only, and no enclave can check it."""


class PlatformClient:
    """See the module. One request is under way at a time: instructions are quick, and answers need no matching."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = asyncio.Lock()
        self._next_request = 1

    async def own_measurement(self) -> bytes:
        return (await self._own_report()).mrenclave

    async def local_report(self, report_data: bytes, *, target: bytes) -> bytes:
        return self._made(await self._ask(MakeReport(self._number(), report_data, target)))

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

    async def key(self, request: KeyRequest) -> bytes:
        """Return a key for this enclave (EGETKEY); raises AuthenticationFailed when the platform denies it."""
        return self._made(await self._ask(GetKey(self._number(), request.encode())))

    async def published(self) -> bytes:
        """Return the JSON that names all code of this node and holds its collateral (evidence.py)."""
        return self._made(await self._ask(GetPublished(self._number())))

    def sealer(self, policy: SealPolicy = "signer") -> KeySealer:
        return KeySealer(self.key, self._versions, policy)

    async def _versions(self) -> tuple[int, bytes]:
        body = await self._own_report()
        return body.isvsvn, body.cpusvn

    async def _own_report(self) -> ReportBody:
        return parse_report(await self.local_report(bytes(64), target=_NOBODY)).body

    def _number(self) -> int:
        self._next_request += 1
        return self._next_request

    def _made(self, answer: Made | Verified) -> bytes:
        if not isinstance(answer, Made):
            raise MalformedMessage("the platform did not answer with a report, quote or key")
        return answer.data

    async def _ask(self, request: MakeReport | VerifyReport | MakeQuote | GetKey | GetPublished) -> Made | Verified:
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
