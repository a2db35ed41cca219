"""The CPU's end of the channel with one enclave: who asks is known from the channel, never from the message."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from core.errors import AuthenticationFailed, ChannelClosed, LimitExceeded, MalformedMessage
from core.ports import ReportClaims, Transport
from enclave_sim.platform.cpu import EnclaveIdentity
from enclave_sim.platform.machine import Machine
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
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.keyrequest import parse_key_request


async def serve_enclave(
    cpu: Machine, identity: EnclaveIdentity, transport: Transport, public: Callable[[], bytes] = lambda: b"{}"
) -> None:
    """Answer one enclave's requests until its channel closes. A malformed one is denied under request number 0.

    public: returns what the node publishes of its platform (JSON; evidence.py).
    """
    while True:
        try:
            request = TO_CPU.decode(await transport.receive())
            answer = _answer(cpu, identity, request, public)
        except (MalformedMessage, LimitExceeded) as error:
            answer = Denied(0, error.message, error.hint)
        except ChannelClosed:
            return
        try:
            await transport.send(FROM_CPU.encode(answer))
        except ChannelClosed:
            return


def _answer(
    cpu: Machine, identity: EnclaveIdentity, request: ToCpu, public: Callable[[], bytes]
) -> Made | Verified | Denied:
    try:
        match request:
            case MakeReport(number, report_data, target):
                return Made(number, cpu.report(identity, report_data, target))
            case MakeQuote(number, report_data):
                return Made(number, cpu.quote(identity, report_data))
            case GetKey(number, key_request):
                return Made(number, cpu.key(identity, parse_key_request(key_request)))
            case GetPublished(number):
                return Made(number, public())
            case GetTee(number):
                return Made(number, cpu.tee.encode())
            case SealData(number, plaintext, policy):
                return Made(number, cpu.seal(identity, plaintext, policy))
            case UnsealData(number, sealed):
                return Made(number, cpu.unseal(identity, sealed))
            case VerifyReport(number, report):
                return _verified(number, cpu.verify_report(identity, report))
            case _:
                assert_never(request)
    except (AuthenticationFailed, MalformedStructure) as error:
        return Denied(request.request, error.message, error.hint)
    except ValueError as error:
        return Denied(request.request, str(error), "")


def _verified(number: int, claims: ReportClaims) -> Verified:
    return Verified(
        number,
        claims.measurement,
        claims.signer,
        claims.security_version,
        claims.report_data,
        claims.platform,
        claims.debug,
        claims.tee,
        claims.product,
    )
