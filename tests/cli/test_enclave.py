"""`coco enclave`: measure, sign, inspect."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from enclave_sim.sgx.sgxs import EnclaveImage, Page, write_sgxs
from enclave_sim.sgx.sigstruct import generate_signing_key, parse_sigstruct
from tests.cli.runner import Coco


def write_key(file: Path, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> Path:
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return file


def test_measure_sign_and_inspect(coco: Coco, tmp_path: Path) -> None:
    shown = coco("enclave", "measure", "--out", str(tmp_path / "out"), "--json").json
    worker = tmp_path / "out" / "worker.sgxs"
    assert shown["worker"]["measurement"] == hashlib.sha256(worker.read_bytes()).hexdigest()
    assert shown["manager"]["measurement"] in coco("enclave", "measure").out

    image = coco("enclave", "inspect", str(worker), "--json").json
    assert (image["MRENCLAVE"], image["enclave"]) == (shown["worker"]["measurement"], "worker")
    assert "adapter ethereum" in coco("enclave", "inspect", str(worker)).out

    key = write_key(tmp_path / "key.pem", generate_signing_key())
    signed = coco("enclave", "sign", str(worker), "--key", str(key), "--date", "2026-01-31", "--json").json
    assert (signed["MRENCLAVE"], signed["product"], signed["date"]) == (image["MRENCLAVE"], 2, "2026-01-31")
    card = tmp_path / "out" / "worker.sigstruct"
    assert parse_sigstruct(card.read_bytes()).mrsigner.hex() == signed["MRSIGNER"]
    assert coco("enclave", "inspect", str(card), "--json").json["MRSIGNER"] == signed["MRSIGNER"]

    changed = bytearray(card.read_bytes())
    changed[960] ^= 1
    card.write_bytes(changed)
    assert "does not verify" in coco("enclave", "inspect", str(card), code=1).err
    assert "is no date" in coco("enclave", "sign", str(worker), "--key", str(key), "--date", "soon", code=2).err


def test_what_is_no_image_or_key_is_told(coco: Coco, tmp_path: Path) -> None:
    file = tmp_path / "foreign.sgxs"
    file.write_bytes(b"".join(write_sgxs(EnclaveImage(8192, 1, (Page(0, 0x201, bytes(4096)),)))))
    assert "not an image of Coco's" in coco("enclave", "inspect", str(file)).out
    key = write_key(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    assert "not an image" in coco("enclave", "sign", str(file), "--key", str(key), code=1).err
    file.write_bytes(b"nothing")
    assert "SGXS" in coco("enclave", "inspect", str(file), code=1).err
    coco("enclave", "inspect", str(tmp_path / "missing"), code=2)


@pytest.mark.parametrize("kind", ["exponent", "curve", "text"])
def test_only_rsa_3072_with_exponent_3_signs(coco: Coco, tmp_path: Path, kind: str) -> None:
    coco("enclave", "measure", "--out", str(tmp_path))
    file = tmp_path / "key.pem"
    if kind == "exponent":
        write_key(file, rsa.generate_private_key(65537, 3072))
    elif kind == "curve":
        write_key(file, ec.generate_private_key(ec.SECP256R1()))
    else:
        file.write_text("no key")
    assert (
        "openssl genrsa -3 3072"
        in coco("enclave", "sign", str(tmp_path / "manager.sgxs"), "--key", str(file), code=2).err
    )
