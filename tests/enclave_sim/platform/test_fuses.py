"""The fuses file: made once, private, and never guessed at when it is damaged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from core.errors import IncompatibleData, StorageFailed
from core.node import manager_keys
from enclave_sim.host_config import NodePaths
from enclave_sim.pki.pem import encode_chain
from enclave_sim.platform.cpu import SimulatedCpu
from enclave_sim.platform.fuses import (
    AUTHORITY_FILE,
    evidence_beside,
    load_or_create_authority,
    load_or_create_fuses,
    sealed_keys_beside,
)
from enclave_sim.platform.vsm import SimulatedVsm


def test_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "platform" / "fuses"
    fuses = load_or_create_fuses(path)
    assert len(fuses) == 32
    assert load_or_create_fuses(path) == fuses
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["fuses"]


def test_two_platforms_differ(tmp_path: Path) -> None:
    assert load_or_create_fuses(tmp_path / "a") != load_or_create_fuses(tmp_path / "b")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_damaged_file_is_refused_and_kept(tmp_path: Path, size: int) -> None:
    path = tmp_path / "fuses"
    path.write_bytes(bytes(size))
    path.chmod(0o600)
    with pytest.raises(IncompatibleData):
        load_or_create_fuses(path)
    assert path.stat().st_size == size


def test_a_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fuses"
    load_or_create_fuses(path)
    path.chmod(0o644)
    with pytest.raises(IncompatibleData, match="chmod 600"):
        load_or_create_fuses(path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    load_or_create_fuses(tmp_path / "real")
    (tmp_path / "fuses").symlink_to(tmp_path / "real")
    with pytest.raises(StorageFailed):
        load_or_create_fuses(tmp_path / "fuses")


def test_no_new_fuses_beside_what_the_old_ones_sealed(tmp_path: Path) -> None:
    """New ones could not open it, and would hide that a file is to be restored."""
    path = tmp_path / "platform" / "fuses"
    sealed = tmp_path / "disk" / "sealed" / "keys"
    sealed.parent.mkdir(parents=True)
    sealed.write_bytes(b"sealed")
    with pytest.raises(IncompatibleData, match="are missing") as caught:
        load_or_create_fuses(path, sealed_keys=sealed)
    assert str(path) in caught.value.message
    assert str(sealed) in caught.value.message
    assert "Restore" in caught.value.hint
    assert "coco network destroy" in caught.value.hint
    assert not path.parent.exists()


def test_fuses_that_are_there_open_what_they_sealed(tmp_path: Path) -> None:
    path, sealed = tmp_path / "platform" / "fuses", tmp_path / "keys"
    fuses = load_or_create_fuses(path, sealed_keys=sealed)
    sealed.write_bytes(b"sealed")
    assert load_or_create_fuses(path, sealed_keys=sealed) == fuses


def test_where_a_node_keeps_what_its_fuses_seal() -> None:
    """The platform is told where its fuses are, and finds the rest of the node's directory from there."""
    paths = NodePaths(Path("/network"))
    assert sealed_keys_beside(paths.fuses) == paths.disk / manager_keys.FILE


def issue(fuses: Path, root: bytes) -> Path:
    """Lay down the root under which evidence was issued."""
    issued = evidence_beside(fuses) / "root.pem"
    issued.parent.mkdir()
    issued.write_bytes(root)
    return issued


def test_no_new_authority_where_evidence_was_issued_under_an_old_one(tmp_path: Path) -> None:
    fuses = tmp_path / "node0" / "platform" / "fuses"
    secret = load_or_create_authority(fuses)
    issued = issue(fuses, encode_chain((SimulatedCpu(bytes(32), secret).root_certificate,)))
    file = fuses.with_name(AUTHORITY_FILE)
    file.unlink()
    with pytest.raises(IncompatibleData, match="is missing") as caught:
        load_or_create_authority(fuses)
    assert str(file) in caught.value.message
    assert str(issued) in caught.value.message
    assert "Restore" in caught.value.hint
    assert not file.exists()


def test_an_authority_that_is_not_the_old_one_is_refused_and_kept(tmp_path: Path) -> None:
    fuses = tmp_path / "node0" / "platform" / "fuses"
    secret = load_or_create_authority(fuses)
    issued = issue(
        fuses, encode_chain((SimulatedCpu(bytes(32), b"another authority's secret......").root_certificate,))
    )
    for root in (issued.read_bytes(), b"", b"damaged"):
        issued.write_bytes(root)
        with pytest.raises(IncompatibleData, match="under another root"):
            load_or_create_authority(fuses)
    assert fuses.with_name(AUTHORITY_FILE).read_bytes() == secret


def test_an_authority_is_the_old_one_for_both_kinds_of_machine(tmp_path: Path) -> None:
    fuses = tmp_path / "node0" / "platform" / "fuses"
    secret = load_or_create_authority(fuses)
    issued = issue(fuses, b"")
    for machine in (SimulatedCpu(bytes(32), secret), SimulatedVsm(bytes(32), secret)):
        issued.write_bytes(encode_chain((machine.root_certificate,)))
        assert load_or_create_authority(fuses) == secret
