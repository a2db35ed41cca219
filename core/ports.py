"""What core needs from the outside, as small Protocol classes. core knows no TEE vendor and no operating system.

The Adapter and ConsensusEngine interfaces are core/adapter/interface.py and core/consensus/engine.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ReportClaims:
    """What a verified report or quote says about an enclave.

    measurement: 32 bytes (MRENCLAVE); signer: 32 bytes (MRSIGNER); report_data: 64 bytes chosen by the
    enclave; platform: hexadecimal id of the platform; tee: "sgx", "vsm", ...; debug: whether it may be inspected.
    product: which of its signer's products. Of evidence only, not of local reports: root: SHA-256 of the root
    certificate it leads to; tcb_status and platform_versions: how the platform is rated.
    """

    measurement: bytes
    signer: bytes
    security_version: int
    report_data: bytes
    platform: str
    tee: str
    debug: bool
    simulated: bool
    product: int = 0
    root: bytes = b""
    tcb_status: str = ""
    platform_versions: tuple[tuple[str, int], ...] = ()


class Attestor(Protocol):
    """The reports of this enclave's own platform."""

    async def own_measurement(self) -> bytes:
        """Return what this enclave itself measures (32 bytes)."""
        ...

    async def local_report(self, report_data: bytes, *, target: bytes) -> bytes:
        """Return a report on this enclave that only the enclave of measurement `target` on this platform can verify.

        report_data: 64 bytes; target: 32 bytes.
        """
        ...

    async def verify_local_report(self, report: bytes) -> ReportClaims:
        """Verify a report made on the same platform for this enclave; raises AuthenticationFailed."""
        ...

    async def quote(self, report_data: bytes) -> bytes:
        """Return evidence on this enclave that a remote verifier can check. report_data: 64 bytes."""
        ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a remote verifier checks. tag: the CBOR tag that names the format of `data`.

    endorsements: what the sender gives along (collateral), in the format that belongs to the tag; b"" for nothing.
    """

    tag: int
    data: bytes
    endorsements: bytes = b""


class EvidenceSource(Protocol):
    """Evidence on this enclave, for nodes elsewhere."""

    async def evidence(self, report_data: bytes) -> Evidence:
        """Return new evidence over report_data (64 bytes)."""
        ...


class EvidenceVerifier(Protocol):
    """Knows the roots, the collateral and the policy by which evidence of other platforms is believed."""

    def verify(self, evidence: Evidence, *, at: datetime) -> ReportClaims:
        """Verify at that time; raises an AuthenticationFailed, one class per reason."""
        ...


class Sealer(Protocol):
    """Encryption to this enclave's identity on this platform (MRENCLAVE or MRSIGNER policy)."""

    async def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Seal; context is authenticated and must be given again to unseal."""
        ...

    async def unseal(self, sealed: bytes, *, context: bytes) -> bytes:
        """Unseal; raises AuthenticationFailed when enclave, platform, context or bytes differ."""
        ...


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file of the node's data directory: its name relative to the directory, and its size in bytes."""

    name: str
    size_bytes: int


class Disk(Protocol):
    """The host's disk, reached by ocalls. Untrusted: whatever is read back is verified by the caller.

    Names are relative, of [a-z0-9_.-] segments joined by "/", at most two deep. Every call raises StorageFailed when
    the host reports failure; after that the node stops.
    """

    async def list_files(self, folder: str) -> Sequence[FileInfo]: ...

    async def read(self, name: str, offset: int, size_bytes: int) -> bytes:
        """Return up to size_bytes (at most limits.DISK_READ_BYTES_MAX) from offset; b"" at the end."""
        ...

    async def append(self, name: str, offset: int, data: bytes) -> None:
        """Append data, which must start at offset (the file's size), and return after fdatasync.

        A new file's directory is fsynced as well.
        """
        ...

    async def replace(self, name: str, data: bytes) -> None:
        """Replace the whole file atomically: write aside, fsync, rename, fsync the directory."""
        ...

    async def patch(self, name: str, offset: int, data: bytes) -> None:
        """Overwrite bytes (at most limits.DISK_PATCH_BYTES_MAX) that are there already, and return after fdatasync."""
        ...

    async def truncate(self, name: str, size_bytes: int) -> None:
        """Cut the file and fsync."""
        ...

    async def rename(self, old: str, new: str) -> None:
        """Rename and fsync the directory."""
        ...

    async def remove(self, name: str) -> None:
        """Remove the file and fsync the directory."""
        ...


class Transport(Protocol):
    """Carries whole messages, in order, between two processes (or two tasks of one)."""

    async def send(self, message: bytes) -> None:
        """Send one message; waits while the other end is slow. Raises ChannelClosed, LimitExceeded."""
        ...

    async def receive(self) -> bytes:
        """Return the next message. Raises ChannelClosed at the end.

        A frame longer than limits.MESSAGE_BYTES_MAX is skipped without being stored and raises LimitExceeded;
        the transport stays usable.
        """
        ...

    async def close(self) -> None: ...
