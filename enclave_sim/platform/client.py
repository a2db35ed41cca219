"""An enclave's end of the channel with its CPU: the Attestor port, and the source of sealing keys."""

from __future__ import annotations

import asyncio

from core.errors import AuthenticationFailed, ChannelClosed, MalformedMessage
from core.ports import ReportClaims, Transport
from enclave_sim.platform.machine import SealPolicy
from enclave_sim.platform.messages import (
    FROM_CPU,
    TO_CPU,
    Denied,
    GetKey,
    GetPublished,
    GetTee,
    Made,
    MakeQuote,
    MakeReport,
    SealData,
    ToCpu,
    UnsealData,
    Verified,
    VerifyReport,
)
from enclave_sim.platform.sealing import KeySealer, VbsSealer
from enclave_sim.sgx.keyrequest import KeyRequest
from enclave_sim.sgx.report import ReportBody, parse_report
from enclave_sim.vsm.report import VbsIdentity, parse_package

VSM = "vsm"
_NOBODY = bytes(32)
"""As a report's target: it is read here only, and no enclave can check it."""


class PlatformClient:
    """See the module. One request is under way at a time: instructions are quick, and answers need no matching."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = asyncio.Lock()
        self._next_request = 1
        self._tee = ""

    async def tee(self) -> str:
        """Return what the machine is: "sgx" or "vsm"."""
        if not self._tee:
            self._tee = self._made(await self._ask(GetTee(self._number()))).decode()
        return self._tee

    async def own_measurement(self) -> bytes:
        if await self.tee() == VSM:
            return (await self._vbs_identity()).unique_id
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
            tee=answer.tee,
            debug=answer.debug,
            simulated=True,
            product=answer.product,
        )

    async def quote(self, report_data: bytes) -> bytes:
        return self._made(await self._ask(MakeQuote(self._number(), report_data)))

    async def key(self, request: KeyRequest) -> bytes:
        """Return a key for this enclave (EGETKEY); raises AuthenticationFailed when the platform denies it."""
        return self._made(await self._ask(GetKey(self._number(), request.encode())))

    async def published(self) -> bytes:
        """Return the JSON that names all code of this node and holds its collateral (evidence.py)."""
        return self._made(await self._ask(GetPublished(self._number())))

    def sealer(self, policy: SealPolicy = "signer") -> PlatformSealer:
        return PlatformSealer(self, policy)

    async def own_sealer(self, policy: SealPolicy) -> KeySealer | VbsSealer:
        """Return the sealer of this kind of machine."""
        if await self.tee() == VSM:
            return VbsSealer(self._seal, self._unseal, self._vbs_identity, policy)
        return KeySealer(self.key, self._versions, policy)

    async def _seal(self, plaintext: bytes, policy: SealPolicy) -> bytes:
        return self._made(await self._ask(SealData(self._number(), plaintext, policy)))

    async def _unseal(self, sealed: bytes) -> bytes:
        return self._made(await self._ask(UnsealData(self._number(), sealed)))

    async def _vbs_identity(self) -> VbsIdentity:
        return parse_package(await self.local_report(bytes(64), target=_NOBODY)).identity

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

    async def _ask(self, request: ToCpu) -> Made | Verified:
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


class PlatformSealer:
    """The Sealer port on whatever the machine is, which is asked when something is sealed or unsealed."""

    def __init__(self, client: PlatformClient, policy: SealPolicy) -> None:
        self._client = client
        self._policy: SealPolicy = policy

    async def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        return await (await self._client.own_sealer(self._policy)).seal(plaintext, context=context)

    async def unseal(self, sealed: bytes, *, context: bytes) -> bytes:
        return await (await self._client.own_sealer(self._policy)).unseal(sealed, context=context)
