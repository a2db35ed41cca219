"""The benchmark of the ledger: its table, and that a state which came back wrong gives no figures."""

from __future__ import annotations

import pytest

from benchmarks.ledger import print_table, run
from benchmarks.ledger_work import Ledger, SnapshotFile, temporary_ledger
from core.errors import InvariantBroken
from core.kv.store import Store
from core.node.messages import EntryDraft
from core.types import NO_CLAIMS


async def test_the_table_has_every_figure_and_goal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(await run(1))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [
        "accounts",
        "entries",
        "sealing_us",
        "execution_us",
        "replay_s",
        "replay_us_per_entry",
        "replay_to_execution",
        "start",
        "start",
        "start_to_replay",
    ]
    assert sum("(goal: " in line for line in lines) == 3


@pytest.mark.parametrize(
    ("where", "method", "what"),
    [(Ledger, "replay", "replay"), (SnapshotFile, "load", "start")],
    ids=["replay", "start"],
)
async def test_what_gives_another_state_is_no_figure(
    monkeypatch: pytest.MonkeyPatch, where: type, method: str, what: str
) -> None:
    async def nothing(its: object) -> Store:
        del its
        return Store()

    monkeypatch.setattr(where, method, nothing)
    with pytest.raises(InvariantBroken, match=f"{what} did not give the state"):
        await run(2)


async def test_it_writes_only_what_a_worker_may_write() -> None:
    async with temporary_ledger() as ledger:
        with pytest.raises(InvariantBroken, match="not live"):
            await ledger.write([EntryDraft("other", b"", b"", NO_CLAIMS)])
