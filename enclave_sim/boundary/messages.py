"""What host and enclave say to each other. Host to enclave: ecalls and the results of ocalls; back: ocalls.

Everything from the host is untrusted, and an enclave's text is untrusted to a careful host as well: both sides bound
and check what they read. Log lines and failures hold no payloads.
"""

from __future__ import annotations

from typing import Literal

from core import limits
from core.codec import Codec, Message
from core.errors import CocoError
from core.node.config import ExecutorConfig, GatewayConfig, ManagerConfig, ReaderConfig

Role = Literal["manager", "executor", "gateway", "reader"]
LOG_LINE_CHARACTERS_MAX = 2 * limits.KIBIBYTE
FAILURE_CHARACTERS_MAX = 8 * limits.KIBIBYTE

# Host -> enclave: start and stop. isolation_required: end rather than run with less (enclave_sim/isolation).


class StartManager(Message, frozen=True, tag=1):
    config: ManagerConfig
    isolation_required: bool = False


class StartExecutor(Message, frozen=True, tag=2):
    config: ExecutorConfig
    isolation_required: bool = False


class StartGateway(Message, frozen=True, tag=3):
    config: GatewayConfig
    isolation_required: bool = False


class StartReader(Message, frozen=True, tag=5):
    config: ReaderConfig
    isolation_required: bool = False


class Stop(Message, frozen=True, tag=4):
    """Finish what is under way, then end."""


class TakeSnapshot(Message, frozen=True, tag=6):
    """To the manager: write a snapshot now, unless one is being written."""


# Host -> enclave: results of disk ocalls. request: as in the ocall.


class DiskDone(Message, frozen=True, tag=11):
    request: int


class DiskData(Message, frozen=True, tag=12):
    request: int
    data: bytes


class DiskFiles(Message, frozen=True, tag=13):
    """files: (name, size in bytes)."""

    request: int
    files: tuple[tuple[str, int], ...]


class DiskFailed(Message, frozen=True, tag=14):
    request: int
    message: str
    hint: str


class DialFailed(Message, frozen=True, tag=15):
    """To the manager: nobody was reached. A connection that was made is passed as a descriptor (descriptors.py)."""

    request: int
    reason: str


class GiveTicket(Message, frozen=True, tag=16):
    """To a manager that waits for one: what the authorization's file holds now."""

    data: bytes


# Enclave -> host: disk ocalls, served in order.


class DiskList(Message, frozen=True, tag=21):
    request: int
    folder: str


class DiskRead(Message, frozen=True, tag=22):
    request: int
    name: str
    offset: int
    size_bytes: int


class DiskAppend(Message, frozen=True, tag=23):
    request: int
    name: str
    offset: int
    data: bytes


class DiskReplace(Message, frozen=True, tag=24):
    request: int
    name: str
    data: bytes


class DiskTruncate(Message, frozen=True, tag=25):
    request: int
    name: str
    size_bytes: int


class DiskRename(Message, frozen=True, tag=26):
    request: int
    old: str
    new: str


class DiskPatch(Message, frozen=True, tag=27):
    request: int
    name: str
    offset: int
    data: bytes


class DiskRemove(Message, frozen=True, tag=28):
    request: int
    name: str


# Enclave -> host: connections, made side by side.


class Dial(Message, frozen=True, tag=29):
    """From the manager: connect to HOST:PORT."""

    request: int
    address: str


# Enclave -> host: news.


class LogLine(Message, frozen=True, tag=31):
    text: str


class Running(Message, frozen=True, tag=32):
    """The role serves. From gateways: public JSON about node and service, and the front end's certificates (PEM)."""

    role: Role
    service: bytes
    certificate_chain: bytes


class Isolated(Message, frozen=True, tag=36):
    """What the process has given up after its start, and, with the reason, what it could not."""

    holds: tuple[str, ...]
    missing: tuple[str, ...]


class Stopped(Message, frozen=True, tag=35):
    """A gateway has stopped; its process, and with it its channel to the executor, stays until the host ends it."""


class Failed(Message, frozen=True, tag=33):
    """The enclave ends with this error. kind: the error's class; exit_code: what the process exits with."""

    kind: str
    message: str
    hint: str
    exit_code: int


class TicketWanted(Message, frozen=True, tag=37):
    """The manager waits for a ticket: show this to whoever signs it."""

    request: bytes


class TicketAnswered(Message, frozen=True, tag=38):
    """Why the ticket that was given last does not count; reason "": it does."""

    reason: str
    message: str
    hint: str


class Refused(Message, frozen=True, tag=34):
    """A message of the host was refused, and the enclave goes on. count: refusals since the start."""

    reason: str
    count: int


DiskResult = DiskDone | DiskData | DiskFiles | DiskFailed
DiskCall = DiskList | DiskRead | DiskAppend | DiskReplace | DiskPatch | DiskTruncate | DiskRename | DiskRemove
Start = StartManager | StartExecutor | StartGateway | StartReader

TO_ENCLAVE: Codec[Start | Stop | TakeSnapshot | DiskResult | DialFailed | GiveTicket] = Codec(
    StartManager
    | StartExecutor
    | StartGateway
    | StartReader
    | Stop
    | TakeSnapshot
    | DiskDone
    | DiskData
    | DiskFiles
    | DiskFailed
    | DialFailed
    | GiveTicket
)
TO_HOST: Codec[
    DiskCall | Dial | LogLine | Running | Isolated | Stopped | Failed | Refused | TicketWanted | TicketAnswered
] = Codec(
    DiskList
    | DiskRead
    | DiskAppend
    | DiskReplace
    | DiskPatch
    | DiskTruncate
    | DiskRename
    | DiskRemove
    | Dial
    | LogLine
    | Running
    | Isolated
    | Stopped
    | Failed
    | Refused
    | TicketWanted
    | TicketAnswered
)


class ReportedFailure(CocoError):
    """An error that another process reported. kind: the class it had there; exit_code as it had it."""

    def __init__(self, message: str, *, kind: str, exit_code: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.exit_code = exit_code


def printable(text: str, characters_max: int) -> str:
    """Return the text on one line, without control characters, cut to a length."""
    line = "".join(character if character.isprintable() else " " for character in text[:characters_max])
    return line if len(text) <= characters_max else line + "..."
