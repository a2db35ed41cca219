"""What a machine shows of a node: written whole, and collateral made anew while the node runs."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from core.errors import StorageFailed
from enclave_sim.platform.cpu import COLLATERAL_DAYS, EnclaveIdentity, SimulatedCpu
from enclave_sim.platform.evidence import CHECK_SECONDS, Evidence, NodeCode
from enclave_sim.platform.launching import SignedBy
from enclave_sim.platform.machine import Machine
from enclave_sim.platform.measurement import measure_files
from enclave_sim.platform.vsm import SimulatedVsm
from enclave_sim.verify.collateral_file import parse_any_collateral
from enclave_sim.verify.errors import Expired
from enclave_sim.verify.evidence import verify_evidence
from enclave_sim.verify.trust import RootKind, simulated_root, trust_store

START = datetime(2026, 3, 1, tzinfo=UTC)
CODE = NodeCode(
    measure_files("manager", {}, {}), measure_files("worker", {}, {}), {"manager": SignedBy(b"s" * 32, True)}
)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def evidence(tmp_path: Path, clock: Clock) -> Evidence:
    made = Evidence(SimulatedCpu(bytes(32), bytes(32)), tmp_path / "evidence", CODE, clock)
    made.write()
    return made


@pytest.mark.parametrize("machine", [SimulatedCpu(bytes(32), bytes(32)), SimulatedVsm(bytes(32), bytes(32))])
def test_renewed_collateral_serves_the_same_evidence(tmp_path: Path, clock: Clock, machine: Machine) -> None:
    folder, kind = tmp_path / "evidence", machine.tee
    evidence = Evidence(machine, folder, CODE, clock)
    evidence.write()
    old = (folder / "collateral.json").read_bytes()
    quote = machine.quote(EnclaveIdentity(bytes(32), "manager"), bytes(64))
    clock.now += timedelta(days=COLLATERAL_DAYS)
    store = trust_store([simulated_root(root_kind(kind), machine.root_certificate)], accept_simulated=True)
    with pytest.raises(Expired):
        verify_evidence(quote, parse_any_collateral(old), at=clock.now, trust_store=store)
    evidence.renew()
    new = (folder / "collateral.json").read_bytes()
    verdict = verify_evidence(quote, parse_any_collateral(new), at=clock.now, trust_store=store)
    assert verdict.valid_until > clock.now + timedelta(days=COLLATERAL_DAYS - 2)
    assert msgspec.json.decode(evidence.published())["collateral"] == msgspec.json.decode(new)
    assert sorted(file.name for file in folder.iterdir()) == [
        "code.json", "collateral.json", "manager.sgxs", "root.pem", "worker.sgxs",
    ]  # fmt: skip


def root_kind(tee: str) -> RootKind:
    return "vsm" if tee == "vsm" else "sgx"


def test_it_is_due_when_less_than_a_third_is_left(evidence: Evidence, clock: Clock) -> None:
    for days, due in ((0, False), (COLLATERAL_DAYS * 2 // 3, False), (COLLATERAL_DAYS * 2 // 3 + 1, True), (-2, True)):
        clock.now = START + timedelta(days=days)
        assert evidence.is_due() is due, days


async def test_the_timer_renews_once_and_tries_again_after_a_failure(
    evidence: Evidence, clock: Clock, tmp_path: Path
) -> None:
    folder, told, slept = tmp_path / "evidence", list[str](), list[float]()
    first = (folder / "collateral.json").read_bytes()

    async def tell(text: str) -> None:
        told.append(text)

    async def sleep(seconds: float) -> None:
        """Five checks: not due, due while the disk fails, due again, not due, the end."""
        slept.append(seconds)
        match len(slept):
            case 2:
                clock.now += timedelta(days=300)
                (folder / "collateral.json.new").mkdir()
            case 3:
                assert (folder / "collateral.json").read_bytes() == first
                (folder / "collateral.json.new").rmdir()
            case 5:
                raise asyncio.CancelledError
            case _:
                pass

    with pytest.raises(asyncio.CancelledError):
        await evidence.run(tell, sleep)
    assert slept == [CHECK_SECONDS] * 5
    assert [text.split(":")[0] for text in told] == [
        "the collateral is not renewed",
        f"the collateral is renewed; it holds for {COLLATERAL_DAYS} days",
    ]
    assert (folder / "collateral.json").read_bytes() != first


def test_a_disk_that_fails_is_told(evidence: Evidence, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageFailed, match="evidence cannot be written"):
        Evidence(SimulatedCpu(bytes(32), bytes(32)), tmp_path / "file" / "x", CODE).write()


def test_who_signed_is_published(evidence: Evidence) -> None:
    shown = msgspec.json.decode(evidence.published())
    assert shown["signers"] == {"manager": {"signer": (b"s" * 32).hex(), "development": True}}
    assert shown["code"]["manager"]["measurement"] == CODE.manager.mrenclave.hex()
