"""The CPU's end of the channel with one enclave: who asks is known from the channel, never from the message."""

from __future__ import annotations

from typing import assert_never

from core.errors import AuthenticationFailed, ChannelClosed, CocoError, LimitExceeded, MalformedMessage
from core.ports import Transport
from enclave_sim.platform.cpu import EnclaveIdentity, SimulatedCpu
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


async def serve_enclave(cpu: SimulatedCpu, identity: EnclaveIdentity, transport: Transport) -> None:
    """Answer one enclave's requests until its channel closes. A malformed one is denied under request number 0."""
    while True:
        try:
            request = TO_CPU.decode(await transport.receive())
            answer = _answer(cpu, identity, request)
        except (MalformedMessage, LimitExceeded) as error:
            answer = Denied(0, error.message, error.hint)
        except ChannelClosed:
            return
        try:
            await transport.send(FROM_CPU.encode(answer))
        except ChannelClosed:
            return


def _answer(
    cpu: SimulatedCpu, identity: EnclaveIdentity, request: MakeReport | VerifyReport | MakeQuote | GetSealingKey
) -> Made | Verified | Denied:
    try:
        match request:
            case MakeReport(number, report_data):
                return Made(number, cpu.report(identity, report_data))
            case MakeQuote(number, report_data):
                return Made(number, cpu.quote(identity, report_data))
            case GetSealingKey(number, policy, security_version, key_id):
                return Made(number, cpu.sealing_key(identity, policy, security_version, key_id))
            case VerifyReport(number, report):
                return _verified(cpu, number, report)
            case _:
                assert_never(request)
    except AuthenticationFailed as error:
        return Denied(request.request, error.message, error.hint)
    except ValueError as error:
        return Denied(request.request, str(error), "")


def _verified(cpu: SimulatedCpu, number: int, report: bytes) -> Verified:
    claims = cpu.verify_report(report)
    if not claims.simulated:
        raise CocoError("a simulated platform verifies simulated reports only")
    return Verified(
        number,
        claims.measurement,
        claims.signer,
        claims.security_version,
        claims.report_data,
        claims.platform,
        claims.debug,
    )
