"""What a client makes of a node's evidence: the quote, under the pinned root, at the time of asking."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from core.errors import AuthenticationFailed

if TYPE_CHECKING:
    from core.governance.constitution import Constitution
    from enclave_sim.verify.verdict import Verdict

REPORT_DATA_BYTES = 64


def verify_service(
    service: Any, root_pem: bytes | None, *, at: datetime | None = None, constitution: Constitution | None = None
) -> Verdict:
    """Return the verdict on the quote in a service's information. root_pem: the pinned simulated root.

    Raises AuthenticationFailed: no quote, about another node, not genuine under this root, not acceptable (debug, TCB
    out of date), or not admitted by the constitution's manifests, when it is given. Without a pinned root only hardware
    counts.
    """
    from core.governance.manifests import MANAGER
    from enclave_sim.pki.pem import MalformedPem, parse_chain
    from enclave_sim.verify.collateral_file import parse_any_collateral
    from enclave_sim.verify.evidence import verify_evidence
    from enclave_sim.verify.policy import Policy, check_policy
    from enclave_sim.verify.trust import RootKind, simulated_root, trust_store

    try:
        quote = base64.b64decode(service["quote"], validate=True)
        node_id = bytes.fromhex(service["node_id"])
        collateral = msgspec.json.encode(service["collateral"])
    except (KeyError, TypeError, ValueError):
        raise AuthenticationFailed("the node shows no quote", hint="Is it of another version?") from None
    try:
        roots = () if root_pem is None else parse_chain(root_pem)
    except MalformedPem as error:
        raise AuthenticationFailed(f"the pinned root of the simulated platform is damaged: {error.message}") from None
    kinds: tuple[RootKind, ...] = ("sgx", "vsm")
    store = trust_store([simulated_root(kind, root) for root in roots for kind in kinds], accept_simulated=True)
    verdict = verify_evidence(quote, parse_any_collateral(collateral), at=at or datetime.now(UTC), trust_store=store)
    check_policy(verdict, Policy())
    if verdict.report_data != node_id.ljust(REPORT_DATA_BYTES, b"\0"):
        raise AuthenticationFailed("the node's quote is about another node", hint="Do not use this node.")
    if constitution is not None:
        constitution.check_admitted(verdict.claims(), MANAGER)
    return verdict


def describe_verdict(verdict: Verdict) -> dict[str, object]:
    """Return what a verdict says, as `coco node status` shows it."""
    return {
        "verdict": "accepted",
        "tee": verdict.tee,
        "simulated": verdict.simulated,
        "measurement": verdict.measurement.hex(),
        "signer": verdict.signer.hex(),
        "product": verdict.product_id,
        "security_version": verdict.security_version,
        "tcb_status": verdict.tcb_status.value,
        "platform": verdict.platform,
        "valid_until": f"{verdict.valid_until:%Y-%m-%d %H:%M:%S} UTC",
    }
