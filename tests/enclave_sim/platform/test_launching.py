"""Who an enclave is at launch: an operator's SIGSTRUCT must fit it; otherwise the machine's development key signs."""

from __future__ import annotations

import stat
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from core.errors import IncompatibleData, OlderThanSealed, StorageFailed
from enclave_sim.platform.cpu import NO_SIGNER, EnclaveKind
from enclave_sim.platform.launching import (
    DEVELOPMENT_KEY_FILE,
    development_signer,
    development_sigstruct,
    launch_identities,
    load_or_create_signing_key,
)
from enclave_sim.platform.memory import MemoryPlatform
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.sigstruct import generate_signing_key, mrsigner_of, parse_sigstruct, sign_enclave
from tests.support.manifests import SigningKey

DAY = date(2026, 1, 31)
MEASURED: dict[EnclaveKind, bytes] = {"manager": b"m" * 32, "worker": b"w" * 32}
VENDOR = generate_signing_key()
VENDOR_SIGNER = mrsigner_of(VENDOR.public_key().public_numbers().n)


@pytest.fixture(scope="module")
def development() -> SigningKey:
    return SigningKey.make()


@pytest.fixture
def fuses(tmp_path: Path, development: SigningKey) -> Path:
    """Where a machine has its fuses; its development key is there already."""
    path = tmp_path / "platform" / DEVELOPMENT_KEY_FILE
    path.parent.mkdir()
    path.write_bytes(development.pem)
    path.chmod(0o600)
    return path.with_name("fuses")


def write(file: Path, kind: EnclaveKind = "manager", **changes: object) -> Path:
    signed = parse_sigstruct(development_sigstruct(kind, MEASURED[kind], VENDOR, DAY))
    identity = replace(signed.identity, **changes)  # type: ignore[arg-type]
    file.write_bytes(sign_enclave(identity, VENDOR).encode())
    return file


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mrenclave": b"x" * 32}, "SGX_INVALID_MEASUREMENT"),
        ({"attributes": Attributes(AttributeFlag.MODE64BIT | AttributeFlag.DEBUG, 0xE7)}, "debug enclave"),
        ({"isvprodid": 2}, "product 2; the manager enclave is product 1"),
    ],
)
def test_a_sigstruct_that_does_not_fit_is_refused(
    fuses: Path, tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    file = write(tmp_path / "manager.sigstruct", **changes)
    with pytest.raises(IncompatibleData, match=reason) as caught:
        launch_identities(MEASURED, {"manager": file}, fuses, DAY)
    assert str(file) in caught.value.message
    assert "the manager enclave is not launched" in caught.value.message


def test_a_sigstruct_that_is_forged_cut_or_missing_is_refused(fuses: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "manager.sigstruct")
    good = file.read_bytes()
    for data, reason in (
        (good[:516] + bytes([good[516] ^ 1]) + good[517:], "SGX_INVALID_SIG"),
        (good[:-1], "1807 bytes"),
        (good + b"\0", "1809 bytes"),
        (b"", "0 bytes"),
    ):
        file.write_bytes(data)
        with pytest.raises(IncompatibleData, match=reason):
            launch_identities(MEASURED, {"manager": file}, fuses, DAY)
    with pytest.raises(IncompatibleData, match="cannot be read"):
        launch_identities(MEASURED, {"manager": tmp_path / "missing"}, fuses, DAY)


def test_an_operators_sigstruct_says_who_it_is(fuses: Path, tmp_path: Path, development: SigningKey) -> None:
    file = write(tmp_path / "manager.sigstruct", isvsvn=7)
    identities, signers = launch_identities(MEASURED, {"manager": file}, fuses, DAY)
    manager, worker = identities["manager"], identities["worker"]
    assert (manager.signer, manager.security_version, manager.debug) == (VENDOR_SIGNER, 7, False)
    assert worker.signer == development.mrsigner
    assert str(signers["manager"]) == VENDOR_SIGNER.hex()
    assert str(signers["worker"]) == f"{development.mrsigner.hex()} (development)"


async def test_an_older_signed_version_does_not_open_what_a_newer_one_sealed(fuses: Path, tmp_path: Path) -> None:
    platform = MemoryPlatform(bytes(32))
    identities = [
        launch_identities(MEASURED, {"manager": write(tmp_path / "card", isvsvn=version)}, fuses, DAY)[0]["manager"]
        for version in (2, 3)
    ]
    older, newer = (platform.sealer_of(one) for one in identities)
    assert await newer.unseal(await older.seal(b"s", context=b"c"), context=b"c") == b"s"
    with pytest.raises(OlderThanSealed) as caught:
        await older.unseal(await newer.seal(b"s", context=b"c"), context=b"c")
    assert (caught.value.own, caught.value.sealed) == (2, 3)


def test_the_development_key_is_made_once_and_private(tmp_path: Path) -> None:
    fuses = tmp_path / "platform" / "fuses"
    key = load_or_create_signing_key(fuses)
    file = fuses.with_name(DEVELOPMENT_KEY_FILE)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert b"(development)" in file.read_bytes()
    assert development_signer(fuses) == mrsigner_of(key.public_key().public_numbers().n) != NO_SIGNER
    file.chmod(0o644)
    with pytest.raises(IncompatibleData, match="chmod 600"):
        load_or_create_signing_key(fuses)


def test_a_damaged_development_key_is_refused_and_kept(fuses: Path, tmp_path: Path) -> None:
    file = fuses.with_name(DEVELOPMENT_KEY_FILE)
    small = rsa.generate_private_key(3, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for data in (b"", b"no key", file.read_bytes()[:500], small):
        file.write_bytes(data)
        with pytest.raises(IncompatibleData, match="is damaged"):
            load_or_create_signing_key(fuses)
        assert file.read_bytes() == data
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageFailed):
        load_or_create_signing_key(fuses)
