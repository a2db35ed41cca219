"""A data directory that does not fit: each is refused at the start, with what to do, and left as it was."""

from __future__ import annotations

import pytest

from core.errors import (
    CocoError,
    IncompatibleData,
    LedgerDamaged,
)
from tests.support.fakes import FakeSealer
from tests.support.manager_bench import (
    Machine,
    kv_draft,
    make_config,
    make_constitution,
)


async def test_ledger_without_keys_and_keys_without_ledger_are_refused() -> None:
    machine = Machine()
    async with machine.node():
        pass
    for missing, what in (("sealed/", "sealed keys are missing"), ("ledger/", "is missing")):
        partial = Machine(machine.disk.copy(), machine.sealer)
        partial.disk.files = {name: data for name, data in machine.disk.files.items() if not name.startswith(missing)}
        with pytest.raises(IncompatibleData, match=what) as caught:
            await partial.refuse()
        assert caught.value.hint
        assert partial.disk.changes == 0


async def test_keys_of_another_platform_version_or_network_are_refused() -> None:
    machine = Machine()
    async with machine.node():
        pass
    sealed = machine.disk.files["sealed/keys"]
    other_version = machine.disk.copy()
    other_version.files["sealed/keys"] = sealed[:17] + b"\x01" + sealed[18:]
    flipped = machine.disk.copy()
    flipped.files["sealed/keys"] = sealed[:-1] + bytes([sealed[-1] ^ 1])
    not_keys = machine.disk.copy()
    not_keys.files["sealed/keys"] = b"hello"
    other_network = make_config(make_constitution("other").encode())
    for unfit, what in (
        (Machine(machine.disk.copy(), FakeSealer()), "another platform"),
        (Machine(other_version, machine.sealer), "version 1; this build reads version 2"),
        (Machine(flipped, machine.sealer), "damaged"),
        (Machine(not_keys, machine.sealer), "not a file of sealed keys"),
        (Machine(machine.disk.copy(), machine.sealer, config=other_network), "of network"),
    ):
        with pytest.raises(IncompatibleData, match=what) as caught:
            await unfit.refuse()
        assert caught.value.hint
        assert unfit.disk.changes == 0


async def test_constitution_that_does_not_parse_is_refused() -> None:
    for genesis in (b"", b"{}", make_constitution().encode().replace(b'"sealed"', b'"nobody"')):
        machine = Machine(config=make_config(genesis))
        with pytest.raises(CocoError):
            await machine.refuse()
        assert machine.disk.files == {}


async def test_keys_older_than_the_ledger_are_named_as_such() -> None:
    machine = Machine()
    async with machine.node():
        pass
    old = machine.disk.files["sealed/keys"]
    async with machine.node():
        pass
    machine.disk.files["sealed/keys"] = old
    machine.disk.changes = 0
    with pytest.raises(LedgerDamaged, match="older than the ledger"):
        await machine.refuse()
    assert machine.disk.changes == 0


async def test_ledger_rolled_back_behind_its_sealed_keys_is_refused() -> None:
    machine = Machine()
    async with machine.node() as node:
        await node.commit(kv_draft(b"a", b"1"))
    old = {name: data for name, data in machine.disk.files.items() if name.startswith("ledger/")}
    async with machine.node() as node:
        await node.commit(kv_draft(b"a", b"2"))
    machine.disk.files.update(old)
    machine.disk.changes = 0
    with pytest.raises(LedgerDamaged, match="held entry 7 when the node last started"):
        await machine.refuse()
    assert machine.disk.changes == 0
