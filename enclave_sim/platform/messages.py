"""Messages on the platform's two kinds of channel: with each enclave (instructions of the CPU), and with the host."""

from __future__ import annotations

from core.codec import Codec, Message
from enclave_sim.boundary.messages import Role
from enclave_sim.platform.machine import SealPolicy

# Enclave -> platform.


class MakeReport(Message, frozen=True, tag=1):
    """EREPORT. target: the measurement of the enclave that is to check it."""

    request: int
    report_data: bytes
    target: bytes


class VerifyReport(Message, frozen=True, tag=2):
    request: int
    report: bytes


class MakeQuote(Message, frozen=True, tag=3):
    request: int
    report_data: bytes


class GetKey(Message, frozen=True, tag=4):
    """EGETKEY. key_request: KEYREQUEST, 512 bytes."""

    request: int
    key_request: bytes


class GetPublished(Message, frozen=True, tag=5):
    """Ask for what the node publishes of its platform (evidence.py)."""

    request: int


class GetTee(Message, frozen=True, tag=6):
    """Ask what the machine is: "sgx" or "vsm"."""

    request: int


class SealData(Message, frozen=True, tag=7):
    """EnclaveSealData (VSM)."""

    request: int
    plaintext: bytes
    policy: SealPolicy

    def __repr__(self) -> str:
        return f"SealData(request={self.request}, plaintext=<{len(self.plaintext)} bytes>)"


class UnsealData(Message, frozen=True, tag=8):
    """EnclaveUnsealData (VSM)."""

    request: int
    sealed: bytes


# Platform -> enclave.


class Made(Message, frozen=True, tag=11):
    """A report, a quote, a key or what is published."""

    request: int
    data: bytes

    def __repr__(self) -> str:
        return f"Made(request={self.request}, data=<{len(self.data)} bytes>)"


class Verified(Message, frozen=True, tag=12):
    """core.ports.ReportClaims of a report that verified."""

    request: int
    measurement: bytes
    signer: bytes
    security_version: int
    report_data: bytes
    platform: str
    debug: bool
    tee: str
    product: int


class Denied(Message, frozen=True, tag=13):
    request: int
    reason: str
    hint: str


# Host -> platform.


class Measure(Message, frozen=True, tag=21):
    """Ask what a manager and a worker measure."""


class Launch(Message, frozen=True, tag=22):
    """Measure a role's files and start it. The descriptors are inherited by the platform, and given up to the enclave.

    enclave: a number of the host's choice. listen_fd, channels_fd: -1 for none. channels_fd: over which the host
    passes further channels. host_fd -1: host's channel and channels_fd were passed under the enclave's number.
    """

    enclave: int
    role: Role
    host_fd: int
    peer_fds: tuple[int, ...]
    listen_fd: int
    channels_fd: int = -1


class Kill(Message, frozen=True, tag=23):
    enclave: int


# Platform -> host.


class Measured(Message, frozen=True, tag=31):
    """signed_by: who signed the manager enclave, for the log."""

    manager: bytes
    worker: bytes
    platform: str
    tee: str
    signed_by: str


class Launched(Message, frozen=True, tag=32):
    enclave: int
    pid: int


class Exited(Message, frozen=True, tag=33):
    """status: the exit code, or minus the signal that killed it."""

    enclave: int
    status: int


class PlatformFailed(Message, frozen=True, tag=34):
    kind: str
    message: str
    hint: str
    exit_code: int


class PlatformRefused(Message, frozen=True, tag=35):
    """A message of the host was refused, and the platform goes on. count: refusals since the start."""

    reason: str
    count: int


class CodeRefused(Message, frozen=True, tag=37):
    """An enclave asked for code that is not what was measured, and was given none; it ends."""

    enclave: int
    reason: str


class PlatformNotice(Message, frozen=True, tag=36):
    """Something for the host's log."""

    text: str


ToCpu = MakeReport | VerifyReport | MakeQuote | GetKey | GetPublished | GetTee | SealData | UnsealData
TO_CPU: Codec[ToCpu] = Codec(ToCpu)
FROM_CPU: Codec[Made | Verified | Denied] = Codec(Made | Verified | Denied)
TO_PLATFORM: Codec[Measure | Launch | Kill] = Codec(Measure | Launch | Kill)
FromPlatform = Measured | Launched | Exited | PlatformFailed | PlatformRefused | PlatformNotice | CodeRefused
FROM_PLATFORM: Codec[FromPlatform] = Codec(FromPlatform)
