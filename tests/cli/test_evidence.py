"""A client believes a node only with a quote about that node, under the pinned root, now."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.evidence import verify_service
from cli.pins import PinDiffers, pin_root
from cli.store import ClientStore
from core.errors import AuthenticationFailed, CocoError
from core.governance.constitution import CONSTITUTION_VERSION, Constitution, Identity
from core.governance.manifests import CodeNotListed, SimulatedNotAdmitted, TeeEntry
from enclave_sim.pki.pem import encode_chain
from enclave_sim.platform.memory import MemoryPlatform
from enclave_sim.platform.vsm import SimulatedVsm
from enclave_sim.verify.collateral_file import write_any_collateral
from tests.support.manifests import admitting

PLATFORM = MemoryPlatform(bytes(32))
NODE = bytes(range(32))
ROOT = encode_chain((PLATFORM.cpu.root_certificate,))
NOW = datetime.now(UTC)


def service(**changes: Any) -> dict[str, Any]:
    quote = PLATFORM.cpu.quote(PLATFORM.identity("manager"), NODE + bytes(32))
    collateral = json.loads(PLATFORM.cpu.collateral(NOW).to_json())
    return {"quote": base64.b64encode(quote).decode(), "node_id": NODE.hex(), "collateral": collateral} | changes


def test_a_genuine_quote_under_the_pinned_root() -> None:
    verdict = verify_service(service(), ROOT)
    assert verdict.measurement == PLATFORM.measurement("manager")
    assert verdict.simulated


def test_a_debug_enclave_is_refused() -> None:
    debug = PLATFORM.cpu.quote(replace(PLATFORM.identity("manager"), debug=True), NODE + bytes(32))
    with pytest.raises(AuthenticationFailed, match="debug"):
        verify_service(service(quote=base64.b64encode(debug).decode()), ROOT)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"node_id": bytes(32).hex()}, "about another node"),
        ({"node_id": 7}, "shows no quote"),
        ({"quote": "!"}, "shows no quote"),
        ({"quote": ""}, "cut short"),
        ({"collateral": {}}, "collateral"),
        ({"collateral": None}, "collateral"),
    ],
)
def test_any_other_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CocoError, match=reason):
        verify_service(service(**changes), ROOT)


@pytest.mark.parametrize("missing", ["quote", "node_id", "collateral"])
def test_a_service_without_evidence_is_refused(missing: str) -> None:
    shown = service()
    del shown[missing]
    with pytest.raises(AuthenticationFailed, match="shows no quote"):
        verify_service(shown, ROOT)


def test_another_root_no_root_and_another_time_are_refused() -> None:
    other = encode_chain((MemoryPlatform(b"o" * 32).cpu.root_certificate,))
    for root in (other, None):
        with pytest.raises(AuthenticationFailed, match="trusted root"):
            verify_service(service(), root)
    with pytest.raises(AuthenticationFailed, match="damaged"):
        verify_service(service(), b"-----")
    with pytest.raises(AuthenticationFailed, match="held until"):
        verify_service(service(), ROOT, at=NOW + timedelta(days=400))


def test_the_constitution_must_admit_the_node() -> None:
    root = hashlib.sha256(PLATFORM.cpu.root_certificate).digest()

    def constitution(**changes: Any) -> Constitution:
        manifests = admitting("kv", roots=(root,)) | changes
        return Constitution(CONSTITUTION_VERSION, "n", (Identity("a", "member", ""),), {"kv": {}}, "kv", **manifests)

    assert verify_service(service(), ROOT, constitution=constitution()).root_digest == root
    hardware = (TeeEntry("sgx", (root.hex(),)),)
    with pytest.raises(SimulatedNotAdmitted):
        verify_service(service(), ROOT, constitution=constitution(tee_manifest=hardware))
    with pytest.raises(CodeNotListed):
        verify_service(service(), ROOT, constitution=constitution(code_manifest=()))


def test_a_vsm_nodes_evidence_under_its_guardians_root() -> None:
    machine = SimulatedVsm(bytes(32), bytes(32))
    quote = machine.quote(PLATFORM.identity("manager"), NODE + bytes(32))
    collateral = json.loads(write_any_collateral(machine.collateral(NOW)))
    shown = service(quote=base64.b64encode(quote).decode(), collateral=collateral)
    assert verify_service(shown, encode_chain((machine.root_certificate,))).tee == "vsm"
    with pytest.raises(AuthenticationFailed, match="trusted root"):
        verify_service(shown, ROOT)


def test_the_root_is_pinned_once(tmp_path: Path) -> None:
    client, shown = ClientStore(tmp_path / "clients" / "demo", "demo"), tmp_path / "root.pem"
    pin_root(client, shown)
    assert client.pinned_root() is None
    shown.write_bytes(ROOT)
    pin_root(client, shown)
    pin_root(client, shown)
    assert client.pinned_root() == ROOT
    shown.write_bytes(encode_chain((MemoryPlatform(b"o" * 32).cpu.root_certificate,)))
    with pytest.raises(PinDiffers, match="another simulated machine"):
        pin_root(client, shown)
