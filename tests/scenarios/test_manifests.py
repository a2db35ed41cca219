"""Networks whose constitution says which machines and which code may run: what it does not name does not start."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from core.governance.constitution import Constitution
from core.governance.manifests import TeeEntry, TeeNotAdmitted
from enclave_sim.host_config import NodePaths
from enclave_sim.pki.pem import parse_chain
from enclave_sim.platform.cpu import SimulatedCpu
from enclave_sim.sgx.sigstruct import generate_signing_key, mrsigner_of
from enclave_sim.verify.collateral_file import parse_any_collateral
from enclave_sim.verify.errors import UnknownRoot
from enclave_sim.verify.evidence import verify_evidence
from enclave_sim.verify.manifest import verify_admitted
from enclave_sim.verify.roots import INTEL_SGX_ROOT
from enclave_sim.verify.trust import simulated_root, trust_store
from tests.scenarios.conftest import Network

MakeNetwork = Callable[..., Network]
NOT_ADMITTED = 6


def refused_start(network: Network, reason: str) -> None:
    """The start fails with its reason and writes nothing of the node's own."""
    disk = NodePaths(network.host_directory).disk
    before = {file: file.read_bytes() for file in disk.rglob("*") if file.is_file()}
    done = network.coco("network", "start", network.name, check=False)
    assert (done.returncode, reason in done.stderr) == (NOT_ADMITTED, True), done.stderr
    assert {file: file.read_bytes() for file in disk.rglob("*") if file.is_file()} == before


def test_a_vsm_network_serves_restarts_and_shows_evidence(make_network: MakeNetwork) -> None:
    network = make_network("vsm", "--platform", "vsm")
    paths, now = NodePaths(network.host_directory), datetime.now(UTC)
    assert network.connect("org1").rpc("eth_blockNumber") == "0x0"
    network.coco("network", "stop", "vsm")

    authority = paths.fuses.with_name("authority")
    kept = authority.read_bytes()
    authority.unlink()
    refused_start(network, "evidence was issued under it")
    authority.write_bytes(kept)
    authority.chmod(0o600)

    network.coco("network", "start", "vsm")
    status = json.loads(network.coco("node", "status", "--network", "vsm", "--json").stdout)
    assert status["service"]["view"] == 2  # It unsealed what it sealed before.
    assert (status["evidence"]["tee"], status["evidence"]["admitted_by_constitution"]) == ("vsm", True)

    genesis, quote = str(paths.genesis), str(paths.evidence / "quote")
    assert "VBS enclave report" in network.coco("attest", "show", quote).stdout
    assert "accepted" in network.coco("attest", "verify", quote, "--constitution", genesis).stdout
    network.coco("attest", "verify", quote, "--root", str(paths.evidence / "root.pem"))

    constitution = Constitution.decode(paths.genesis.read_bytes())
    evidence = (paths.evidence / "quote").read_bytes()
    collateral = parse_any_collateral((paths.evidence / "collateral.json").read_bytes())
    [root] = parse_chain((paths.evidence / "root.pem").read_bytes())
    assert verify_admitted(evidence, collateral, constitution, at=now).tee == "vsm"
    sgx_root = SimulatedCpu(bytes(32), kept).root_certificate
    for other in (simulated_root("vsm", sgx_root), simulated_root("sgx", root)):
        with pytest.raises(UnknownRoot):
            verify_evidence(evidence, collateral, at=now, trust_store=trust_store([other], accept_simulated=True))
    sgx_only = (TeeEntry("sgx", constitution.tee_manifest[0].roots, simulated=True),)
    with pytest.raises(TeeNotAdmitted):
        verify_admitted(evidence, collateral, msgspec.structs.replace(constitution, tee_manifest=sgx_only), at=now)


def test_a_node_that_is_not_admitted_does_not_start(make_network: MakeNetwork, tmp_path: Path) -> None:
    hardware, other_code = tmp_path / "tee.json", tmp_path / "code.json"
    hardware.write_text(json.dumps([{"tee": "sgx", "roots": [INTEL_SGX_ROOT.hex()]}]))
    names = ("manager", "worker", "ethereum")
    other_code.write_text(json.dumps([{"name": name, "measurements": ["0" * 64]} for name in names]))

    network = make_network("hardware", "--tee-manifest", str(hardware), start=False)
    refused_start(network, "this node's evidence is simulated, and the constitution admits hardware only")
    network = make_network("code", "--code-manifest", str(other_code), start=False)
    refused_start(network, "which the constitution does not approve")
    network = make_network("moved", "--platform", "sgx", start=False)
    config = NodePaths(network.host_directory).network
    config.write_text(json.dumps({**json.loads(config.read_text()), "platform": "vsm"}))
    refused_start(network, "this node runs on vsm; the constitution admits sgx")


def test_code_that_an_operator_signed(make_network: MakeNetwork, tmp_path: Path) -> None:
    key = generate_signing_key()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    signer = mrsigner_of(key.public_key().public_numbers().n).hex()
    products = {"manager": 1, "worker": 2, "ethereum": None}
    entries = [{"name": name, "signer": signer, "product": product} for name, product in products.items()]
    (tmp_path / "code.json").write_text(json.dumps(entries))

    network = make_network("signed", "--code-manifest", str(tmp_path / "code.json"), start=False)
    refused_start(network, "which the constitution does not name")  # Signed by the machine's own key.
    network.coco("enclave", "measure", "--out", str(tmp_path))
    for kind in ("manager", "worker"):
        network.coco("enclave", "sign", str(tmp_path / f"{kind}.sgxs"), "--key", str(tmp_path / "key.pem"))
    config = NodePaths(network.host_directory).network
    written = json.loads(config.read_text())
    cards = {kind: str(tmp_path / f"{kind}.sigstruct") for kind in ("manager", "worker")}
    config.write_text(json.dumps({**written, "sigstruct": {"manager": cards["worker"], "worker": cards["manager"]}}))
    refused_start(network, "SGX_INVALID_MEASUREMENT")
    config.write_text(json.dumps({**written, "sigstruct": cards}))
    network.coco("network", "start", "signed")
    status = json.loads(network.coco("node", "status", "--network", "signed", "--json").stdout)
    assert status["evidence"]["signer"] == signer
    assert status["service"]["signers"]["manager"] == {"signer": signer, "development": False}
