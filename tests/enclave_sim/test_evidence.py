"""A running node's evidence: verifiers that others wrote accept it, and it binds the files beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dcap_qvl
import msgspec
import pytest

from core.errors import AuthenticationFailed
from enclave_sim.host_config import HostConfig, NodePaths
from enclave_sim.pki.pem import parse_chain
from enclave_sim.platform.measurement import measure_node
from enclave_sim.verify.collateral_file import parse_any_collateral
from enclave_sim.verify.errors import UnknownRoot
from enclave_sim.verify.evidence import verify_evidence
from enclave_sim.verify.trust import simulated_root, trust_store


def test_a_nodes_evidence(make_network: Callable[..., Path], run_process: Callable[[Path], object]) -> None:
    directory = make_network(HostConfig(sealing="enclave", readers=0))
    host = run_process(directory)
    status = host.wait_running()  # type: ignore[attr-defined]
    folder = NodePaths(directory).evidence
    quote, collateral = (folder / "quote").read_bytes(), (folder / "collateral.json").read_bytes()
    [root] = parse_chain((folder / "root.pem").read_bytes())

    # What others parse out of the live node's quote is the hash of the file: sha256sum manager.sgxs.
    parsed = dcap_qvl.parse_quote(quote)
    assert bytes(parsed.report.mr_enclave) == hashlib.sha256((folder / "manager.sgxs").read_bytes()).digest()
    assert bytes(parsed.report.report_data) == bytes.fromhex(status.service["node_id"]).ljust(64, b"\0")
    theirs, now = dcap_qvl.QuoteCollateralV3.from_json(collateral.decode()), datetime.now(UTC)
    assert dcap_qvl.verify_with_root_ca(quote, theirs, root, int(now.timestamp())).status == "UpToDate"
    with pytest.raises(ValueError):
        dcap_qvl.verify(quote, theirs, int(now.timestamp()))

    # Our verifier agrees, under this root and no other.
    ours = parse_any_collateral(collateral)
    store = trust_store([simulated_root("sgx", root)], accept_simulated=True)
    verdict = verify_evidence(quote, ours, at=now, trust_store=store)
    assert verdict.measurement == bytes(parsed.report.mr_enclave)
    with pytest.raises(UnknownRoot):
        verify_evidence(quote, ours, at=now, trust_store=trust_store(accept_simulated=True))
    with pytest.raises(AuthenticationFailed):
        verify_evidence(quote, ours, at=now + timedelta(days=400), trust_store=store)

    # The node says the same of itself, and names all its code.
    manager, worker = measure_node()
    assert base64.b64decode(status.service["quote"]) == quote
    assert verdict.measurement == manager.mrenclave
    assert hashlib.sha256((folder / "worker.sgxs").read_bytes()).digest() == worker.mrenclave
    code = msgspec.json.decode((folder / "code.json").read_bytes())
    assert status.service["code"] == code
    assert code["worker"]["measurement"] == worker.mrenclave.hex()
    assert "ethereum" in [adapter["name"] for adapter in code["worker"]["adapters"]]

    # No secret of the machine is in what it shows, and its secrets are the owner's alone.
    secrets = [file.read_bytes() for file in (directory / "node0" / "platform").iterdir()]
    assert len(secrets) == 3
    assert not any(secret in file.read_bytes() for secret in secrets for file in folder.iterdir())
    sealed = (directory / "node0" / "disk" / "sealed" / "keys").read_bytes()
    assert b"COCOSEAL\x02\x01" in sealed[:64]
