"""A node judges itself by the constitution's manifests before anything of it is written or served.

What others would see is what is judged: a quote of its own, verified as theirs are. The worker is judged by the report
it paired with, the adapters by the digests that the platform measured with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from core.errors import AuthenticationFailed, IncompatibleData
from core.governance.constitution import Constitution
from core.governance.manifests import MANAGER, WORKER, TeeEntry, check_adapter, check_code
from core.ports import Attestor, ReportClaims

REPORT_DATA_BYTES = 64


Published = Callable[[], Awaitable[bytes]]
"""Returns the platform's public words: a JSON object (which code runs, collateral)."""


async def nothing_published() -> bytes:
    """Say nothing in public about the platform."""
    return b"{}"


class VerifyEvidence(Protocol):
    """Verifies evidence with its collateral (a file's bytes) under the roots that a TEE manifest names.

    Raises AuthenticationFailed. at: has a time zone.
    """

    def __call__(
        self, evidence: bytes, collateral: bytes, *, at: datetime, tee_manifest: Sequence[TeeEntry]
    ) -> ReportClaims: ...


async def check_own_admission(
    constitution: Constitution,
    *,
    attestor: Attestor,
    worker: ReportClaims,
    published: Mapping[str, Any],
    verify: VerifyEvidence,
    at: datetime,
) -> None:
    """Raise a ManifestRefused, or another AuthenticationFailed, unless this node may run under the constitution.

    worker: as it paired. published: the platform's public words, with its collateral and the digests of the code.
    """
    if not constitution.tee_manifest or not constitution.code_manifest:
        raise IncompatibleData(
            "the constitution's TEE manifest or code manifest is empty: it admits no node",
            hint="Create the network with coco network create, which fills both.",
        )
    report_data = secrets.token_bytes(REPORT_DATA_BYTES)
    evidence = await attestor.quote(report_data)
    collateral = msgspec.json.encode(published.get("collateral"))
    claims = verify(evidence, collateral, at=at, tee_manifest=constitution.tee_manifest)
    if claims.report_data != report_data:
        raise AuthenticationFailed("the platform's evidence is about something else", hint="Restart the node.")
    constitution.check_admitted(claims, MANAGER)
    check_code(worker, WORKER, constitution.code_manifest)
    digests = _adapter_digests(published)
    for name in sorted(constitution.adapters):
        check_adapter(worker, digests.get(name, ""), name, constitution.code_manifest)


def _adapter_digests(published: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of the adapters' files by name; none where the platform measures nothing."""
    adapters = published.get("code", {}).get(WORKER, {}).get("adapters", [])
    return {str(one["name"]): str(one["sha256"]) for one in adapters}
