"""A ledger that was damaged, torn or rearranged on the disk: what is refused, what is cut, and what is said."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core import limits
from core.errors import LedgerDamaged
from core.ledger.entry import OpenedEntry
from core.ledger.files import encode_positions
from core.ledger.replay import replay
from core.ledger.secrets import EntryKey, EpochSecret, Keyring
from core.ledger.verify import LedgerVerifier
from core.node.manager_keys import NodeSecrets, load_secrets
from core.node.manager_tables import WRITE_SETS
from tests.support.manager_bench import Machine, kv_draft, make_config
from tests.support.memory_disk import MemoryDisk

FIXED_BYTES = 44
"""Header, tag, nonce and public-domain length."""


async def make_ledger(starts: int = 2, blocks: int = 2, chunk_bytes_min: int = 5_000_000) -> Machine:
    machine = Machine(config=make_config(chunk_bytes_min=chunk_bytes_min))
    for _ in range(starts):
        async with machine.node() as node:
            for number in range(blocks):
                await node.commit(kv_draft(b"%d" % number, b"value", public=b"log"), kv_draft(b"k", b"w"))
    machine.disk.changes = 0
    return machine


async def ignore(block: Sequence[OpenedEntry]) -> None:
    del block


async def secrets_of(machine: Machine) -> NodeSecrets:
    secrets = await load_secrets(machine.disk, machine.sealer)
    assert secrets is not None
    return secrets


def verifier_of(secrets: NodeSecrets) -> LedgerVerifier:
    return LedgerVerifier(Keyring(secrets.epochs), WRITE_SETS, secrets.service_certificate)


async def test_every_flipped_byte_is_found_where_it_is() -> None:
    """Every byte of every header and every 29th byte elsewhere, one bit each, in a ledger of two starts."""
    machine = await make_ledger()
    secrets = await secrets_of(machine)
    flips = 0
    for seqno, (file, offset, size) in enumerate(await machine.record_bounds(), 1):
        within = [*range(min(FIXED_BYTES + 9, size)), *range(FIXED_BYTES, size, 29), size - 1]
        for position in within:
            data = bytearray(machine.disk.files[file])
            data[offset + position] ^= 1 << position % 8
            disk = MemoryDisk({**machine.disk.files, file: bytes(data)})
            with pytest.raises(LedgerDamaged) as caught:
                await replay(disk, verifier_of(secrets), ignore)
            assert (caught.value.file, caught.value.offset) == (file, offset)
            assert caught.value.entry in (seqno, None)
            assert "coco network destroy" in caught.value.hint
            flips += 1
    assert flips > 800


@pytest.mark.parametrize("bit", range(48))
async def test_flipped_length_of_any_entry_is_damage_not_a_torn_tail(bit: int) -> None:
    """Also of the last entry, whose length may then run past the end of the file."""
    machine = await make_ledger(starts=1, blocks=2)
    secrets = await secrets_of(machine)
    for file, offset, _ in await machine.record_bounds():
        data = bytearray(machine.disk.files[file])
        data[offset + 2 + bit // 8] ^= 1 << bit % 8
        with pytest.raises(LedgerDamaged) as caught:
            await replay(MemoryDisk({file: bytes(data)}), verifier_of(secrets), ignore)
        assert caught.value.offset == offset


async def test_damaged_ledger_stops_the_start_and_changes_nothing() -> None:
    machine = await make_ledger()
    file, offset, size = (await machine.record_bounds())[5]
    data = bytearray(machine.disk.files[file])
    data[offset + size // 2] ^= 1
    machine.disk.files[file] = bytes(data)
    before = dict(machine.disk.files)
    for _ in range(2):
        with pytest.raises(LedgerDamaged, match=f"{file}, byte {offset}, entry 6"):
            await machine.refuse()
    assert machine.disk.files == before
    assert machine.disk.changes == 0


async def test_torn_last_entry_is_cut_at_every_length_and_the_node_starts() -> None:
    machine = await make_ledger(starts=1, blocks=2)
    file, offset, size = (await machine.record_bounds())[-1]
    for kept in range(0, size, 7):
        torn = Machine(machine.disk.copy(), machine.sealer)
        torn.disk.files[file] = machine.disk.files[file][: offset + kept]
        async with torn.node() as node:
            assert node.ready is not None
            assert node.ready.last_seqno == 8
            assert node.state()["kv.data"] == {b"0": b"value", b"k": b"w"}
            await node.commit(kv_draft(b"new", b"1"))
        cuts = [line for line in torn.log if "none was acknowledged" in line]
        assert len(cuts) == 1
        assert f"2 whole entries and {kept} bytes" in cuts[0]
        async with torn.node() as node:
            assert node.state()["kv.data"] == {b"0": b"value", b"k": b"w", b"new": b"1"}


async def test_entries_after_the_last_signature_are_cut_at_every_boundary() -> None:
    machine = await make_ledger(starts=1, blocks=2)
    bounds = await machine.record_bounds()
    for file, offset, _ in bounds[3:]:
        cut = Machine(machine.disk.copy(), machine.sealer)
        cut.disk.files[file] = machine.disk.files[file][:offset]
        whole_blocks = sum(end <= offset for end in (bounds[5][1] + bounds[5][2], bounds[8][1] + bounds[8][2]))
        async with cut.node() as node:
            kept = {key for key in node.state().get("kv.data", {}) if key != b"k"}
        assert kept == {b"%d" % number for number in range(whole_blocks)}


async def test_cut_below_what_the_keys_remember_is_refused() -> None:
    machine = await make_ledger(starts=1, blocks=0)
    file, offset, _ = (await machine.record_bounds())[-1]
    machine.disk.files[file] = machine.disk.files[file][: offset + 9]
    with pytest.raises(LedgerDamaged, match="held entry 3"):
        await machine.refuse()
    assert machine.disk.changes == 0


@pytest.mark.parametrize("zeros", [1, 7, 8, 44, 4096, 3 * limits.DISK_READ_BYTES_MAX + 5])
@pytest.mark.parametrize("whole_blocks", [True, False])
async def test_zeros_after_the_last_record_are_a_torn_append(zeros: int, whole_blocks: bool) -> None:
    """Some file systems lengthen a file before they write it: a power loss then leaves zeros."""
    machine = await make_ledger(starts=1, blocks=2)
    file, offset, size = (await machine.record_bounds())[-1]
    end = offset + size if whole_blocks else offset
    machine.disk.files[file] = machine.disk.files[file][:end] + bytes(zeros)
    async with machine.node() as node:
        assert node.ready is not None
        assert node.ready.last_seqno == (11 if whole_blocks else 8)
        await node.commit(kv_draft(b"new", b"1"))
    (cut,) = [line for line in machine.log if "none was acknowledged" in line]
    assert f"{0 if whole_blocks else 2} whole entries and {zeros} bytes of a torn one followed, all of them zero" in cut
    async with machine.node() as node:
        assert node.state()["kv.data"][b"new"] == b"1"


@pytest.mark.parametrize("zeros", [8, 44, 4096, limits.DISK_READ_BYTES_MAX + 5])
async def test_zeros_before_anything_else_are_damage(zeros: int) -> None:
    machine = await make_ledger(starts=1, blocks=2)
    bounds = await machine.record_bounds()
    file, offset, size = bounds[-1]
    whole = machine.disk.files[file]
    middle = bounds[4][1]
    for data, place in (
        (whole + bytes(zeros) + b"\x01", offset + size),
        (whole + bytes(zeros) + whole[offset:], offset + size),
        (whole[:offset] + bytes(zeros) + whole[offset:], offset),
        (whole[:middle] + bytes(zeros) + whole[middle:], middle),
        (whole[:middle] + bytes(zeros) + whole[middle + zeros :], middle),
    ):
        if data.endswith(bytes(9)):
            continue  # As many zeros as there is ledger: nothing follows them.
        damaged = Machine(machine.disk.copy(), machine.sealer)
        damaged.disk.files[file] = data
        with pytest.raises(LedgerDamaged) as caught:
            await damaged.refuse()
        assert (caught.value.file, caught.value.offset) == (file, place)
        assert damaged.disk.changes == 0


async def test_zeros_in_place_of_what_a_start_has_seen_are_damage() -> None:
    machine = await make_ledger(starts=2, blocks=2)
    file, offset, _ = (await machine.record_bounds())[4]
    machine.disk.files[file] = machine.disk.files[file][:offset] + bytes(len(machine.disk.files[file]) - offset)
    with pytest.raises(LedgerDamaged, match="held entry"):
        await machine.refuse()
    assert machine.disk.changes == 0


async def test_zeros_at_the_end_of_a_closed_file_are_damage() -> None:
    machine = await make_ledger(starts=1, blocks=12, chunk_bytes_min=3_000)
    file = min(name for name in machine.disk.files if name.endswith(".committed"))
    machine.disk.files[file] += bytes(100)
    with pytest.raises(LedgerDamaged, match="not that of its entries") as caught:
        await machine.refuse()
    assert caught.value.file == file


async def test_missing_repeated_and_swapped_files_are_named() -> None:
    machine = await make_ledger(starts=1, blocks=12, chunk_bytes_min=3_000)
    names = sorted(
        (n for n in machine.disk.files if n.startswith("ledger/")), key=lambda n: int(n.split("_")[1].split("-")[0])
    )
    first, second, third = names[:3]
    files = machine.disk.files
    last_of_second = second.partition("-")[2].partition(".")[0]
    for changed, named, what in (
        ({first: None}, first, "missing"),
        ({second: None}, second, "missing"),
        ({second: files[third], third: files[second]}, second, "belongs here"),
        ({second: files[third]}, second, "belongs here"),
        ({first: files[first] + files[second]}, first, "not that of its entries"),
        ({second: files[second][:-1]}, second, "not that of its entries"),
        ({second: files[second][:-50]}, second, "ends within an entry"),
        ({second: files[second][:6]}, second, "does not say where its table begins"),
        ({second: b""}, second, "does not say where its table begins"),
        ({second: bytes(8) + files[second][8:]}, second, "does not say where its table begins"),
        ({second: (8).to_bytes(8, "little") + files[second][8:]}, second, "not that of its entries"),
        ({second: (80).to_bytes(8, "little") + files[second][8:]}, second, "runs into the file's table"),
        ({first.partition("-")[0]: files[first]}, first.partition("-")[0], "already holds"),
        ({f"ledger/ledger_{last_of_second}": b""}, f"ledger/ledger_{last_of_second}", "already holds"),
        ({second: None, second.partition("-")[0]: files[second]}, second.partition("-")[0], "later ones follow"),
    ):
        disk = machine.disk.copy()
        for name, data in changed.items():
            if data is None:
                del disk.files[name]
            else:
                disk.files[name] = data
        with pytest.raises(LedgerDamaged, match=what) as caught:
            await Machine(disk, machine.sealer, config=machine.config).refuse()
        assert caught.value.file == named
        assert disk.changes == 0


@pytest.mark.parametrize("table_at", [1, 7, 8, 9, 2**32, 2**63])
async def test_an_open_files_header_that_points_anywhere_is_damage_and_nothing_is_cut(table_at: int) -> None:
    machine = await make_ledger()
    (file,) = (name for name in machine.disk.files if name.startswith("ledger/"))
    machine.disk.files[file] = table_at.to_bytes(8, "little") + machine.disk.files[file][8:]
    with pytest.raises(LedgerDamaged):
        await machine.refuse()
    assert machine.disk.changes == 0


async def test_every_flipped_byte_of_headers_and_tables_is_found() -> None:
    machine = await make_ledger(starts=2, blocks=4, chunk_bytes_min=3_000)
    secrets = await secrets_of(machine)
    places = []
    for name, data in machine.disk.files.items():
        if name.startswith("ledger/"):
            places += [(name, place) for place in range(8)]
        if name.endswith(".committed"):
            places += [(name, place) for place in range(int.from_bytes(data[:8], "little"), len(data))]
    assert len(places) > 50
    for name, place in places:
        changed = bytearray(machine.disk.files[name])
        changed[place] ^= 1 << place % 8
        with pytest.raises(LedgerDamaged) as caught:
            await replay(MemoryDisk({**machine.disk.files, name: bytes(changed)}), verifier_of(secrets), ignore)
        assert caught.value.file == name


@pytest.mark.parametrize("zeros", [False, True])
async def test_a_closing_that_was_cut_short_is_told_from_damage(zeros: bool) -> None:
    """The table is there in part, or whole, or the header is there too: each time the node goes on."""
    machine = await make_ledger(starts=1, blocks=3, chunk_bytes_min=100_000)
    (file,) = (name for name in machine.disk.files if name.startswith("ledger/"))
    whole = machine.disk.files[file]
    table = encode_positions([offset for _, offset, _ in await machine.record_bounds()])
    cases = [whole + table[:kept] + bytes(len(table) - kept if zeros else 0) for kept in range(1, len(table) + 1)]
    cases.append(len(whole).to_bytes(8, "little") + whole[8:] + table)
    for data in cases:
        torn = Machine(MemoryDisk({**machine.disk.files, file: data}), machine.sealer, config=machine.config)
        async with torn.node() as node:
            assert node.state()["kv.data"][b"2"] == b"value"
            await node.commit(kv_draft(b"new", b"1"))
        async with torn.node() as node:
            assert node.state()["kv.data"][b"new"] == b"1"
    assert any(name.endswith(".committed") for name in torn.disk.files)
    other = Machine(MemoryDisk({**machine.disk.files, file: whole + table[:-1] + b"\x77"}), machine.sealer)
    with pytest.raises(LedgerDamaged):
        await other.refuse()


async def test_a_new_file_may_end_anywhere_in_its_header() -> None:
    machine = await make_ledger(starts=1, blocks=12, chunk_bytes_min=3_000)
    last = max(int(name.split("_")[1].split("-")[0]) for name in machine.disk.files if name.startswith("ledger/"))
    open_chunk = f"ledger/ledger_{last}"
    if open_chunk not in machine.disk.files:
        following = max(int(n.split("-")[1].split(".")[0]) for n in machine.disk.files if n.endswith(".committed")) + 1
        open_chunk = f"ledger/ledger_{following}"
    for size in range(9):
        torn = Machine(MemoryDisk({**machine.disk.files, open_chunk: bytes(size)}), machine.sealer)
        async with torn.node() as node:
            await node.commit(kv_draft(b"new", b"1"))
        async with torn.node() as node:
            assert node.state()["kv.data"][b"new"] == b"1"


async def test_other_files_in_the_folder_are_left_alone() -> None:
    machine = await make_ledger()
    machine.disk.files["ledger/notes.txt"] = b"mine"
    machine.disk.files["ledger/ledger_01-02.committed"] = b"not a chunk's name"
    async with machine.node() as node:
        assert node.state()["kv.data"][b"k"] == b"w"
    assert machine.disk.files["ledger/notes.txt"] == b"mine"


async def test_entries_of_another_view_or_network_do_not_fit() -> None:
    machine, other = await make_ledger(), await make_ledger()
    (file,) = (name for name in machine.disk.files if name.startswith("ledger/"))
    bounds = await machine.record_bounds()
    _, cut, _ = bounds[9]
    second_start = machine.disk.files[file][cut:]
    for data in (
        other.disk.files[file],
        machine.disk.files[file][:cut] + other.disk.files[file][cut:],
        machine.disk.files[file] + second_start,
        machine.disk.files[file][: bounds[5][1]] + machine.disk.files[file][bounds[6][1] :],
    ):
        swapped = Machine(machine.disk.copy(), machine.sealer)
        swapped.disk.files[file] = data
        with pytest.raises(LedgerDamaged):
            await swapped.refuse()
        assert swapped.disk.changes == 0


async def test_entries_of_a_replayed_view_are_not_mixed_in() -> None:
    """The host keeps the end of one history and lets the node write another: the two do not combine."""
    machine = await make_ledger(starts=1, blocks=1)
    (file,) = (name for name in machine.disk.files if name.startswith("ledger/"))
    short = len(machine.disk.files[file])
    async with machine.node() as node:
        await node.commit(kv_draft(b"a", b"one history"))
    kept = machine.disk.files[file][short:]
    fork = Machine(machine.disk.copy(), machine.sealer)
    fork.disk.files[file] = machine.disk.files[file][:short]
    with pytest.raises(LedgerDamaged, match="held entry"):
        await fork.refuse()
    async with machine.node() as node:
        await node.commit(kv_draft(b"a", b"another"))
    machine.disk.files[file] += kept
    with pytest.raises(LedgerDamaged):
        await machine.refuse()


async def test_signature_of_a_node_that_the_service_did_not_endorse_is_refused() -> None:
    """Even with every key of the ledger, another service's certificate does not make its signatures count."""
    machine, other = await make_ledger(), await make_ledger()
    secrets, foreign = await secrets_of(machine), await secrets_of(other)
    verifier = LedgerVerifier(Keyring(secrets.epochs), WRITE_SETS, foreign.service_certificate)
    with pytest.raises(LedgerDamaged, match="not issued under"):
        await replay(machine.disk, verifier, ignore)


async def test_old_epoch_keys_do_not_open_what_a_later_view_wrote() -> None:
    machine = await make_ledger()
    secrets = await secrets_of(machine)
    newer = secrets.epochs[1]
    swapped = EpochSecret(newer.epoch, newer.first_seqno, newer.first_view, newer.node, secrets.epochs[0].key)
    verifier = LedgerVerifier(Keyring((secrets.epochs[0], swapped)), WRITE_SETS, secrets.service_certificate)
    with pytest.raises(LedgerDamaged, match="not authentic"):
        await replay(machine.disk, verifier, ignore)
    old = Keyring(secrets.epochs[:1])
    assert old.find(newer.first_view, newer.first_seqno) is None
    assert isinstance(old.find(secrets.epochs[0].first_view, secrets.epochs[0].first_seqno), EntryKey)
