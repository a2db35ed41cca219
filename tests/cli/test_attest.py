"""`coco attest`: real and simulated evidence, shown and verified, with reasons and exit codes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from core.governance.constitution import CONSTITUTION_VERSION, Constitution, Identity
from core.governance.manifests import CodeEntry, TeeEntry
from tests.cli.runner import Coco
from tests.support.attestation import DEBUG_ENCLAVE, ENCLAVE, VECTORS, VECTORS_MISSING, Platform

AT = "1750420000"
STATUS = "ConfigurationAndSWHardeningNeeded"
real_evidence = pytest.mark.skipif(not VECTORS.is_dir(), reason=VECTORS_MISSING)
SGX, TDX = (str(VECTORS / name) for name in ("sgx_quote", "tdx_quote"))
SIMULATED_AT = "2026-01-11"


@pytest.fixture
def simulated(tmp_path: Path) -> Path:
    """A simulated quote with its collateral beside it, and the root in root.der."""
    platform = Platform()
    (tmp_path / "quote").write_bytes(platform.quote())
    (tmp_path / "debug").write_bytes(platform.quote(DEBUG_ENCLAVE))
    for name in ("quote", "debug"):
        (tmp_path / f"{name}_collateral.json").write_bytes(platform.collateral().to_json())
    (tmp_path / "root.der").write_bytes(platform.authority.root_certificate)
    return tmp_path


@real_evidence
def test_show(coco: Coco, tmp_path: Path) -> None:
    sgx = coco("attest", "show", SGX)
    assert "SGX quote, version 3" in sgx.out
    assert "33d8736db756ed4997e04ba358d27833188f1932ff7b1d156904d3f560452fbb" in sgx.out
    assert "Intel SGX PCK Certificate < Intel SGX PCK Processor CA < Intel SGX Root CA" in sgx.out
    assert "Nothing was verified" in sgx.err
    tdx = coco("attest", "show", TDX)
    assert "TDX quote, version 4" in tdx.out
    assert "70 zero bytes" in tdx.err
    assert coco("attest", "show", SGX, "--json").json["FMSPC"] == "00A067110000"
    text = tmp_path / "quote.hex"
    text.write_text("0x" + Path(SGX).read_bytes().hex() + "\n")
    assert coco("attest", "show", str(text)).out == sgx.out


@real_evidence
def test_verify_real_evidence(coco: Coco) -> None:
    ran = coco("attest", "verify", SGX, "--at", AT, code=1)
    assert "genuine, not acceptable" in ran.out
    assert f"tcb-status-refused: the TCB status is {STATUS}" in ran.out
    accepted = coco("attest", "verify", SGX, "--at", AT, "--accept-status", STATUS, "--json").json
    assert (accepted["verdict"], accepted["TCB status"], accepted["reasons"]) == ("accepted", STATUS, [])
    assert "accepted" in coco("attest", "verify", TDX, "--at", "2025-06-20T11:46:40Z").out


@pytest.mark.parametrize(("at", "reason"), [("2025-06-01", "not-yet-valid"), ("2025-08-01T00:00:00+02:00", "expired")])
@real_evidence
def test_verify_at_another_time(coco: Coco, at: str, reason: str) -> None:
    ran = coco("attest", "verify", TDX, "--at", at, "--json", code=1)
    assert ran.json["verdict"] == "refused"
    assert [one["reason"] for one in ran.json["reasons"]] == [reason]
    assert "is refused" in ran.err
    coco("attest", "verify", TDX, code=1)


@real_evidence
def test_verify_simulated_evidence(coco: Coco, simulated: Path) -> None:
    quote, root = str(simulated / "quote"), str(simulated / "root.der")
    ran = coco("attest", "verify", quote, "--at", SIMULATED_AT, "--root", root, "--json")
    assert (ran.json["verdict"], ran.json["simulated"]) == ("accepted", True)
    ran = coco("attest", "verify", quote, "--at", SIMULATED_AT, "--json", code=1)
    assert ran.json["reasons"][0]["reason"] == "unknown-root"
    ran = coco("attest", "verify", SGX, "--at", AT, "--root", root, "--json", code=1)
    assert ran.json["reasons"][0]["reason"] == "unknown-root"


def test_the_policy(coco: Coco, simulated: Path) -> None:
    base = ("--at", SIMULATED_AT, "--root", str(simulated / "root.der"))
    ran = coco("attest", "verify", str(simulated / "debug"), *base, "--json", code=1)
    assert [one["reason"] for one in ran.json["reasons"]] == ["debug-enclave"]
    coco("attest", "verify", str(simulated / "debug"), *base, "--allow-debug")
    quote = str(simulated / "quote")
    coco("attest", "verify", quote, *base, "--measurement", ENCLAVE.mrenclave.hex(), "--signer", ENCLAVE.mrsigner.hex())
    ran = coco("attest", "verify", quote, *base, "--measurement", "00", "--signer", "00", "--json", code=1)
    assert [one["reason"] for one in ran.json["reasons"]] == ["measurement-not-allowed", "signer-not-allowed"]


@real_evidence
def test_users_mistakes(coco: Coco, simulated: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a quote")
    (tmp_path / "alone").write_bytes((simulated / "quote").read_bytes())
    coco("attest", "show", str(tmp_path / "text"), code=1)
    coco("attest", "show", str(tmp_path / "missing"), code=2)
    assert "--collateral" in coco("attest", "verify", str(tmp_path / "alone"), code=2).err
    coco("attest", "verify", SGX, "--at", "yesterday", code=2)
    coco("attest", "verify", SGX, "--at", "9" * 40, code=2)
    coco("attest", "verify", SGX, "--measurement", "xyz", code=2)
    coco("attest", "verify", SGX, "--root", str(tmp_path / "missing"), code=2)
    (tmp_path / "bad.pem").write_text("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n")
    coco("attest", "verify", SGX, "--root", str(tmp_path / "bad.pem"), code=2)
    ran = coco("attest", "verify", SGX, "--collateral", str(tmp_path / "text"), "--json", code=1)
    assert ran.json["reasons"][0]["reason"] == "malformed-collateral"
    (tmp_path / "large").write_bytes(bytes(1 << 21))
    coco("attest", "show", str(tmp_path / "large"), code=2)


def test_verify_under_a_constitution(coco: Coco, simulated: Path) -> None:
    """Its TEE manifest names the roots, its code manifest the code; each refusal has its reason."""
    root = hashlib.sha256((simulated / "root.der").read_bytes()).hexdigest()

    def verify(name: str = "quote", code: int = 0, **tee: object) -> list[str]:
        entry = TeeEntry("sgx", (root,), **{"simulated": True} | tee)  # type: ignore[arg-type]
        manager = CodeEntry("manager", (ENCLAVE.mrenclave.hex(),))
        constitution = Constitution(
            CONSTITUTION_VERSION, "n", (Identity("a", "member", ""),), {"kv": {}}, "kv",
            tee_manifest=(entry,), code_manifest=(manager, CodeEntry("kv", ("0" * 64,))),
        )  # fmt: skip
        file = simulated / "genesis.json"
        file.write_bytes(constitution.encode())
        ran = coco(
            *("attest", "verify", str(simulated / name), "--constitution", str(file)),
            *("--at", SIMULATED_AT, "--json"),
            code=code,
        )
        assert (ran.json["verdict"] == "accepted") is (code == 0)
        return [one["reason"] for one in ran.json["reasons"]]

    assert verify() == []
    assert verify(code=1, simulated=False) == ["simulated-not-admitted"]
    assert verify(code=1, tcb_statuses=("OutOfDate",)) == ["tcb-status-not-admitted"]
    assert verify("debug", code=1) == ["debug-enclave"]
    (simulated / "old.json").write_text('{"version": 1}')
    quote = str(simulated / "quote")
    coco("attest", "verify", quote, "--constitution", str(simulated / "old.json"), code=6)
    coco("attest", "verify", quote, "--constitution", str(simulated / "missing"), code=2)
    both = ("--constitution", str(simulated / "genesis.json"), "--root", str(simulated / "root.der"))
    assert "exclude each other" in coco("attest", "verify", quote, *both, code=2).err


def test_the_collateral_that_nodes_write_is_found(coco: Coco, simulated: Path) -> None:
    (simulated / "quote_collateral.json").rename(simulated / "collateral.json")
    base = ("--at", SIMULATED_AT, "--root", str(simulated / "root.der"))
    coco("attest", "verify", str(simulated / "quote"), *base)
    (simulated / "collateral.json").unlink()
    assert "quote_collateral.json" in coco("attest", "verify", str(simulated / "quote"), *base, code=2).err
