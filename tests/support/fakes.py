"""A Sealer and an Attestor without a platform, and a clock that stands still."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import AuthenticationFailed
from core.governance.manifests import TeeEntry
from core.ports import ReportClaims


class FakeSealer:
    """Seals to a key of its own: another FakeSealer is another enclave or platform."""

    def __init__(self) -> None:
        self._cipher = AESGCM(secrets.token_bytes(32))

    async def seal(self, plaintext: bytes, *, context: bytes) -> bytes:
        nonce = secrets.token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, plaintext, context)

    async def unseal(self, sealed: bytes, *, context: bytes) -> bytes:
        try:
            return self._cipher.decrypt(sealed[:12], sealed[12:], context)
        except (InvalidTag, ValueError):
            raise AuthenticationFailed("sealed by another enclave, or damaged") from None


@dataclass(slots=True)
class FakeAttestor:
    """Reports are measurement and report data in the clear: anyone can forge one."""

    measurement: bytes = bytes(32)
    quoted: list[bytes] = field(default_factory=list)

    async def own_measurement(self) -> bytes:
        return self.measurement

    async def local_report(self, report_data: bytes, *, target: bytes) -> bytes:
        return self.measurement + report_data

    async def verify_local_report(self, report: bytes) -> ReportClaims:
        if len(report) != 96:
            raise AuthenticationFailed("not a report")
        return ReportClaims(report[:32], bytes(32), 1, report[32:], "fake", "fake", debug=False, simulated=True)

    async def quote(self, report_data: bytes) -> bytes:
        self.quoted.append(report_data)
        return b"fake quote over " + report_data


@dataclass(slots=True)
class FakeVerify:
    """Takes FakeAttestor's quotes for a manager's on a simulated SGX machine. changes: other claims of theirs."""

    changes: dict[str, Any] = field(default_factory=dict)
    at: datetime | None = None

    def __call__(
        self, evidence: bytes, collateral: bytes, *, at: datetime, tee_manifest: Sequence[TeeEntry]
    ) -> ReportClaims:
        self.at = at
        prefix, _, report_data = evidence.partition(b"fake quote over ")
        if prefix:
            raise AuthenticationFailed("not a quote")
        claims = ReportClaims(
            measurement=bytes(32),
            signer=bytes(32),
            security_version=1,
            report_data=report_data,
            platform="fake",
            tee="sgx",
            debug=False,
            simulated=True,
            product=1,
            root=bytes(32),
            tcb_status="UpToDate",
        )
        return replace(claims, **self.changes)


@dataclass(slots=True)
class FakeClock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now
