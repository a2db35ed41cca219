"""The EvidenceSource of core's ports: quotes of this enclave's platform, with the collateral they verify with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from core.ports import Attestor, Evidence
from enclave_sim.verify.collateral_file import parse_any_collateral
from enclave_sim.verify.endorsements import encode_endorsements, tag_of
from enclave_sim.verify.evidence import AnyCollateral


class PlatformEvidence:
    """See the module. collateral: of this platform; its kind says the evidence's."""

    def __init__(self, attestor: Attestor, collateral: AnyCollateral) -> None:
        self._attestor = attestor
        self._tag = tag_of(collateral)
        self._endorsements = encode_endorsements(collateral)

    async def evidence(self, report_data: bytes) -> Evidence:
        return Evidence(self._tag, await self._attestor.quote(report_data), self._endorsements)


class PublishedEvidence:
    """The same of an enclave that reads its platform's collateral where it is published: it is renewed meanwhile.

    published: returns a JSON object with `collateral` (evidence.py).
    """

    def __init__(self, attestor: Attestor, published: Callable[[], Awaitable[bytes]]) -> None:
        self._attestor = attestor
        self._published = published

    async def evidence(self, report_data: bytes) -> Evidence:
        published = msgspec.json.decode(await self._published(), type=_Published)
        collateral = parse_any_collateral(bytes(published.collateral))
        return await PlatformEvidence(self._attestor, collateral).evidence(report_data)


class _Published(msgspec.Struct):
    collateral: msgspec.Raw
