"""`coco ledger show --decrypt` with the keys of some epochs only, one of which begins within a view."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.kv.write_set import Writes, encode_domain
from core.ledger.entry import EntrySealer
from core.ledger.epoch_records import EPOCHS, EpochRecord, EpochsSeen, epoch_row, read_epoch
from core.ledger.key_file import encode_key_file
from core.ledger.secrets import EntryKey, EpochSecret
from core.types import NodeId, Seqno, View
from tests.cli.runner import Coco

LEADER, VIEW = NodeId("ab" * 32), View(3)
FIRST = EpochSecret(1, Seqno(1), VIEW, LEADER, b"1" * 32)
SECOND = EpochSecret(2, Seqno(4), VIEW, LEADER, b"2" * 32)


def record_of(secret: EpochSecret) -> bytes:
    return encode_domain({EPOCHS: epoch_row(secret)})


def private(word: bytes) -> bytes:
    return encode_domain({"kv.data": {b"word": word}})


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Entries 1 to 3 of the first epoch, which records the second one, and entries 4 and 5 of that."""
    before = EntrySealer(EntryKey(FIRST.key, LEADER, VIEW), Seqno(0))
    after = EntrySealer(EntryKey(SECOND.key, LEADER, VIEW), Seqno(3))
    sealed = [
        before.seal(Seqno(1), record_of(FIRST), b""),
        before.seal(Seqno(2), record_of(SECOND), private(b"old")),
        before.seal(Seqno(3), encode_domain({}), private(b"last of the old")),
        after.seal(Seqno(4), encode_domain({}), private(b"new")),
        after.seal(Seqno(5), encode_domain({}), private(b"newer")),
    ]
    directory = tmp_path / "net" / "node0" / "disk" / "ledger"
    directory.mkdir(parents=True)
    (directory / "ledger_1").write_bytes(bytes(8) + b"".join(entry.data for entry in sealed))
    return directory


def keys(tmp_path: Path, *secrets: EpochSecret) -> str:
    path = tmp_path / "keys.json"
    path.write_bytes(encode_key_file(list(secrets)))
    return str(path)


def test_with_all_keys_everything_is_open(coco: Coco, ledger: Path, tmp_path: Path) -> None:
    shown = coco("ledger", "show", str(ledger), "--decrypt", keys(tmp_path, FIRST, SECOND), "--json").json
    assert [one["private_tables"] for one in shown["entries"][1:]] == [
        {"kv.data": {"word": word}} for word in ("old", "last of the old", "new", "newer")
    ]
    assert shown["missing_epochs"] == []


def test_an_epoch_without_a_key_stays_closed_and_the_rest_is_shown(coco: Coco, ledger: Path, tmp_path: Path) -> None:
    given = keys(tmp_path, FIRST)
    shown = coco("ledger", "show", str(ledger), "--decrypt", given, "--json").json
    assert [one["private_tables"] is None for one in shown["entries"]] == [False, False, False, True, True]
    assert shown["missing_epochs"] == [2]
    ran = coco("ledger", "show", str(ledger), "--decrypt", given)
    assert "word: last of the old" in ran.out
    assert "(no key)" in ran.out
    assert "2 entries stay closed" in ran.err
    assert "no key of epoch 2" in ran.err


def test_the_first_epoch_without_a_key_stays_closed(coco: Coco, ledger: Path, tmp_path: Path) -> None:
    shown = coco("ledger", "show", str(ledger), "--decrypt", keys(tmp_path, SECOND), "--json").json
    assert [one["private_tables"] is None for one in shown["entries"]] == [True, True, True, False, False]
    assert shown["missing_epochs"] == [1]


def test_a_wrong_key_is_an_error_all_the_same(coco: Coco, ledger: Path, tmp_path: Path) -> None:
    wrong = EpochSecret(2, SECOND.first_seqno, VIEW, LEADER, b"3" * 32)
    given = keys(tmp_path, FIRST, wrong)
    assert "does not open entry 4" in coco("ledger", "show", str(ledger), "--decrypt", given, code=1).err


@pytest.mark.parametrize(
    "writes",
    [
        {},
        {EPOCHS: {}},
        {EPOCHS: {b"1": None}},
        {EPOCHS: {b"0": b"{}"}},
        {EPOCHS: {b"1": b"{}"}},
        {EPOCHS: {b"01": epoch_row(FIRST)[b"1"]}},
        {EPOCHS: {b"9" * 19: epoch_row(FIRST)[b"1"]}},
        {EPOCHS: {**epoch_row(FIRST), **epoch_row(SECOND)}},
    ],
)
def test_what_is_no_record_of_an_epoch_counts_for_nothing(writes: Writes) -> None:
    assert read_epoch(writes) is None
    seen = EpochsSeen()
    seen.take(writes)
    assert seen.number(VIEW, Seqno(9)) == 0


def test_which_epoch_is_in_force() -> None:
    seen = EpochsSeen()
    seen.take({EPOCHS: epoch_row(FIRST)})
    seen.take({EPOCHS: epoch_row(SECOND)})
    assert read_epoch({EPOCHS: epoch_row(SECOND)}) == (2, EpochRecord(4, LEADER, VIEW))
    assert [seen.number(VIEW, Seqno(seqno)) for seqno in (1, 3, 4, 9)] == [1, 1, 2, 2]
    assert seen.number(View(2), Seqno(4)) == 0
    assert seen.number(View(4), Seqno(4)) == 2
