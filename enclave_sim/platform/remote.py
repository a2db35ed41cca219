"""The EvidenceSource of core's ports: quotes of this enclave's platform, with the collateral they verify with."""

from __future__ import annotations

from core.ports import Attestor, Evidence
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
