"""The secrets of the simulated machine: 32 random bytes each, in files of their own (DIR/node0/platform).

`fuses` are the processor's; a real one's never leave the chip. `authority` is the secret of the simulated provisioning
authority, which on hardware is Intel's and never on the machine.
"""

from __future__ import annotations

import os
from pathlib import Path

from core.errors import IncompatibleData, MalformedMessage, StorageFailed
from core.node.manager_keys import FILE as SEALED_KEYS_FILE
from core.node.manager_keys import NEW_NETWORK_HINT
from enclave_sim.pki.authority import SimulatedAuthority
from enclave_sim.pki.pem import parse_chain
from enclave_sim.platform.cpu import AUTHORITY_VALIDITY
from enclave_sim.platform.secret_file import create_secret, load_secret
from enclave_sim.sgx.cpu import FUSES_BYTES
from enclave_sim.vsm.guardian import SimulatedHostGuardian

AUTHORITY_FILE = "authority"
ROOT_FILE = "root.pem"


def load_or_create_fuses(path: Path, sealed_keys: Path | None = None) -> bytes:
    """Return the fuses, made once. sealed_keys: a file that is sealed under them, once it exists.

    Raises IncompatibleData for a damaged file, and for a missing one when there is something to open with it;
    StorageFailed when the disk fails.
    """
    try:
        try:
            return _load(path)
        except FileNotFoundError:
            if sealed_keys is not None and _exists(sealed_keys):
                raise IncompatibleData(
                    f"the simulated CPU's fuses {path} are missing, and {sealed_keys} was sealed under them",
                    hint="Restore the fuses file from a back-up of this node (mode 600) and start again; nothing was "
                    f"changed. {NEW_NETWORK_HINT}",
                ) from None
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return create_secret(path, os.urandom(FUSES_BYTES))
    except OSError as error:
        raise StorageFailed(
            f"the simulated machine's secret {path} cannot be kept: {error.strerror}",
            hint="Check permissions and free space of the node's directory.",
        ) from None


def load_or_create_authority(fuses: Path) -> bytes:
    """Return the secret of the simulated authority of the machine whose fuses are at that path, made once.

    A new one certifies under another root, which the constitution does not name and clients refuse. So none is made
    where evidence was issued under an old one, and one that is not the old one is refused: IncompatibleData, as for a
    damaged file. Raises StorageFailed when the disk fails.
    """
    path = fuses.with_name(AUTHORITY_FILE)
    issued = evidence_beside(fuses) / ROOT_FILE
    if not _exists(issued):
        return load_or_create_fuses(path)
    if not _exists(path):
        raise IncompatibleData(
            f"the secret {path} of the simulated authority is missing, and evidence was issued under it ({issued})",
            hint="Restore the file from a back-up of this node (mode 600) and start again; nothing was changed. With a "
            f"new one, no client and no constitution would know this machine. {NEW_NETWORK_HINT}",
        )
    secret = load_or_create_fuses(path)
    if not _is_root_of(issued, secret):
        raise IncompatibleData(
            f"evidence of this node was issued under another root ({issued}) than that of its authority {path}",
            hint=f"Restore the authority's file from a back-up of this node. {NEW_NETWORK_HINT}",
        )
    return secret


def evidence_beside(fuses: Path) -> Path:
    """Return where a node (host_config.NodePaths) whose fuses are at `fuses` keeps its evidence."""
    return fuses.parents[1] / "evidence"


def _is_root_of(issued: Path, secret: bytes) -> bool:
    """Say whether the root in that file is one of this authority's: of its processors, or of its host guardian."""
    try:
        [root] = parse_chain(issued.read_bytes())
    except (OSError, MalformedMessage, ValueError):
        return False
    known = (SimulatedAuthority(secret, AUTHORITY_VALIDITY), SimulatedHostGuardian(secret, AUTHORITY_VALIDITY))
    return any(root == one.root_certificate for one in known)


def sealed_keys_beside(path: Path) -> Path:
    """Return where a node (host_config.NodePaths) whose fuses are at `path` keeps what its manager has sealed."""
    return path.parents[1] / "disk" / SEALED_KEYS_FILE


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _load(path: Path) -> bytes:
    def check(fuses: bytes) -> None:
        if len(fuses) != FUSES_BYTES:
            raise IncompatibleData(
                f"the simulated machine's secret {path} holds {len(fuses)} bytes; expected {FUSES_BYTES}",
                hint="Restore the file from a copy. Without it the node's sealed data cannot be opened.",
            )

    return load_secret(path, FUSES_BYTES, check)
