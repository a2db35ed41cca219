"""A node that the constitution's manifests do not admit does not start, says why, and writes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from core.errors import AuthenticationFailed, CocoError, IncompatibleData
from core.governance.constitution import Constitution
from core.governance.manifests import (
    CodeEntry,
    CodeNotListed,
    DebugNotAdmitted,
    MeasurementNotAdmitted,
    ProductNotAdmitted,
    RootNotAdmitted,
    SecurityVersionNotAdmitted,
    SignerNotAdmitted,
    SimulatedNotAdmitted,
    TcbStatusNotAdmitted,
    TeeEntry,
    TeeNotAdmitted,
)
from core.node.admission import check_own_admission
from tests.support.fakes import FakeAttestor, FakeVerify
from tests.support.manager_bench import Machine, make_config, make_constitution
from tests.support.manifests import FAKE_WORKER

HARDWARE = TeeEntry("sgx", ("0" * 64,))


def machine_under(**changes: Any) -> Machine:
    constitution = msgspec.structs.replace(make_constitution(), **changes)
    return Machine(config=make_config(constitution.encode()))


async def refuses(machine: Machine, refusal: type[CocoError]) -> CocoError:
    with pytest.raises(refusal) as caught:
        await machine.refuse()
    assert type(caught.value) is refusal
    assert caught.value.exit_code == 6
    assert (machine.disk.files, machine.disk.changes) == ({}, 0)
    return caught.value


async def test_hardware_only() -> None:
    error = await refuses(machine_under(tee_manifest=(HARDWARE,)), SimulatedNotAdmitted)
    assert error.message == "this node's evidence is simulated, and the constitution admits hardware only"


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"tee": "vsm"}, TeeNotAdmitted),
        ({"root": b"r" * 32}, RootNotAdmitted),
        ({"tcb_status": "OutOfDate"}, TcbStatusNotAdmitted),
        ({"debug": True}, DebugNotAdmitted),
        ({"signer": b"s" * 32}, SignerNotAdmitted),
        ({"product": 2}, ProductNotAdmitted),
        ({"security_version": 0}, SecurityVersionNotAdmitted),
    ],
)
async def test_its_own_evidence_is_judged(changes: dict[str, Any], refusal: type[CocoError]) -> None:
    await refuses(Machine(verify=FakeVerify(changes)), refusal)


async def test_its_worker_is_judged() -> None:
    await refuses(Machine(worker=replace(FAKE_WORKER, signer=b"s" * 32)), SignerNotAdmitted)
    await refuses(Machine(worker=replace(FAKE_WORKER, product=1)), ProductNotAdmitted)
    manager_only = tuple(entry for entry in make_constitution().code_manifest if entry.name != "worker")
    await refuses(machine_under(code_manifest=manager_only), CodeNotListed)


@pytest.mark.parametrize("empty", ["tee_manifest", "code_manifest"])
async def test_an_empty_manifest_admits_no_node(empty: str) -> None:
    error = await refuses(machine_under(**{empty: ()}), IncompatibleData)
    assert "admits no node" in error.message


async def test_a_node_that_ran_is_judged_again() -> None:
    machine = Machine()
    async with machine.node():
        pass
    before = dict(machine.disk.files)
    machine.verify.changes = {"tcb_status": "OutOfDate"}
    with pytest.raises(TcbStatusNotAdmitted):
        await machine.refuse()
    assert machine.disk.files == before
    machine.verify.changes = {}
    async with machine.node() as node:
        assert node.ready is not None
        assert node.ready.view == 2
    assert machine.verify.at == datetime.fromtimestamp(machine.clock.now, UTC)


async def check(published: dict[str, Any], constitution: Constitution, verify: Any = None) -> None:
    await check_own_admission(
        constitution,
        attestor=FakeAttestor(),
        worker=FAKE_WORKER,
        published=published,
        verify=verify or FakeVerify(),
        at=datetime(2026, 1, 1, tzinfo=UTC),
    )


async def test_adapters_are_judged_by_their_files() -> None:
    listed = {"kv": "a" * 64, "ethereum": "b" * 64}
    entries = tuple(CodeEntry(name, (digest,)) for name, digest in listed.items())
    others = tuple(entry for entry in make_constitution().code_manifest if entry.name in ("manager", "worker"))
    constitution = msgspec.structs.replace(make_constitution(), code_manifest=(*others, *entries))

    def published(**digests: str) -> dict[str, Any]:
        return {"code": {"worker": {"adapters": [{"name": name, "sha256": one} for name, one in digests.items()]}}}

    await check(published(**listed), constitution)
    for shown in (published(**listed | {"kv": "c" * 64}), published(kv="a" * 64), published(), {}):
        with pytest.raises(MeasurementNotAdmitted):
            await check(shown, constitution)


async def test_evidence_about_something_else_is_refused() -> None:
    def verify(evidence: bytes, *_: object, **__: object) -> Any:
        return replace(FakeVerify()(evidence, b"", at=datetime.now(UTC), tee_manifest=()), report_data=bytes(64))

    with pytest.raises(AuthenticationFailed, match="about something else"):
        await check({}, make_constitution(), verify)
