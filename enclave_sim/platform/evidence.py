"""What a node shows of its platform: files for verifiers (DIR/node0/evidence), and a part of the service's information.

The files: root.pem and collateral.json, with which the node's quote verifies; manager.sgxs and worker.sgxs, whose
SHA-256 are the measurements; code.json, the digests behind them. The host adds `quote` once the node runs. All of it
is public, and none of it needs to be believed: the quote binds it.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from core.errors import StorageFailed
from enclave_sim.pki.collateral import Collateral
from enclave_sim.pki.pem import encode_chain
from enclave_sim.platform.measurement import Measured, code_manifest

ROOT_FILE = "root.pem"
COLLATERAL_FILE = "collateral.json"
CODE_FILE = "code.json"
QUOTE_FILE = "quote"


def evidence_beside(fuses: Path) -> Path:
    """Return where a node (host_config.NodePaths) whose fuses are at `fuses` keeps its evidence."""
    return fuses.parents[1] / "evidence"


def published(manager: Measured, worker: Measured, collateral: Collateral) -> bytes:
    """Return the JSON that the node adds to its service's information: `code` and `collateral`."""
    return msgspec.json.encode(
        {"code": msgspec.Raw(code_manifest(manager, worker)), "collateral": msgspec.Raw(collateral.to_json())}
    )


def write_evidence(folder: Path, root: bytes, collateral: Collateral, manager: Measured, worker: Measured) -> None:
    """Write all files but the quote; raises StorageFailed. root: DER."""
    files = {
        ROOT_FILE: encode_chain((root,)),
        COLLATERAL_FILE: collateral.to_json(),
        CODE_FILE: msgspec.json.format(code_manifest(manager, worker), indent=2),
        "manager.sgxs": manager.sgxs,
        "worker.sgxs": worker.sgxs,
    }
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / QUOTE_FILE).unlink(missing_ok=True)
        for name, data in files.items():
            aside = folder / f"{name}.new"
            aside.write_bytes(data)
            aside.replace(folder / name)
    except OSError as error:
        raise StorageFailed(
            f"the node's evidence cannot be written to {folder}: {error.strerror}",
            hint="Check permissions and free space of the node's directory.",
        ) from None
