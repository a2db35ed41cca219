"""The judge itself: what it accepts, and a history for each thing that it must reject."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from tests.torture.checker import Violation, check_history
from tests.torture.history import Ledger, Operation, Place, Read, Write, load_history, save_history

NODES = ("node1", "node2", "node3")


def write(value: int, before: int, started: float, ended: float, **fields: object) -> Write:
    told: dict[str, object] = {
        "client": 1, "node": "node1", "session": 1, "key": 7, "transaction": f"0x{value:02x}",
        "outcome": "acknowledged", "claims": f"claims-{value}", **fields,
    }  # fmt: skip
    return msgspec.convert(
        {"type": "write", "value": value, "before": before, "started": started, "ended": ended, **told}, Write
    )


def read(value: int, started: float, ended: float, *, client: int = 1, node: str = "node1", session: int = 1) -> Read:
    return Read(client=client, node=node, session=session, key=7, value=value, started=started, ended=ended)


def ledgers(*claims: str, view: int = 2) -> list[Ledger]:
    """Three ledgers that hold these claims from entry 11 on, each with an entry of a signature behind it."""
    at = tuple((one, Place(view, 11 + 2 * number)) for number, one in enumerate(claims))
    leaves = tuple(f"leaf-{number}" for number in range(10 + 2 * len(claims)))
    return [Ledger(node, at, leaves) for node in NODES]


def kinds(operations: list[Operation], held: list[Ledger]) -> list[str]:
    return [one.kind for one in check_history(operations, held)]


HISTORY: list[Operation] = [
    write(1, 0, 0.0, 1.0),
    write(2, 1, 1.5, 2.0, client=2, node="node2"),
    read(1, 1.1, 1.4),
    read(2, 2.1, 2.2, client=2, node="node2"),
    write(3, 2, 1.8, 3.0, client=3, node="node3"),
]
HELD = ("claims-1", "claims-2", "claims-3")


def test_a_sound_history_is_accepted() -> None:
    assert check_history(HISTORY, ledgers(*HELD)) == []


def test_writes_at_the_same_time_may_stand_in_either_order() -> None:
    one, other = write(1, 2, 0.0, 5.0), write(2, 0, 1.0, 4.0, client=2)
    assert kinds([one, other], ledgers("claims-2", "claims-1")) == []
    assert kinds([replace_write(one, before=0), replace_write(other, before=1)], ledgers("claims-1", "claims-2")) == []


def test_an_acknowledged_write_in_no_ledger_is_lost() -> None:
    assert kinds(HISTORY, ledgers("claims-1", "claims-2")) == ["lost"] * 3


def test_an_acknowledged_write_that_one_node_lacks_is_lost() -> None:
    held = ledgers(*HELD)
    held[1] = replace(held[1], claims=held[1].claims[:2], leaves=held[1].leaves[:14])
    [violation] = check_history(HISTORY, held)
    assert violation == Violation("lost", "write 0x03 of client 3 at node3 is not in the ledger of node2")


def test_a_write_that_stands_twice_is_noticed() -> None:
    assert kinds(HISTORY, ledgers(*HELD, "claims-1")) == ["twice"] * 3


def test_a_write_at_another_place_on_another_node_is_noticed() -> None:
    held = ledgers(*HELD)
    held[2] = replace(held[2], claims=[(one, Place(3, at.seqno)) for one, at in held[2].claims])
    assert kinds(HISTORY, held) == ["moved"] * 3


def test_ledgers_with_other_entries_diverge() -> None:
    held = ledgers(*HELD)
    held[1] = replace(held[1], leaves=(*held[1].leaves[:5], "another", *held[1].leaves[6:]))
    [violation] = check_history(HISTORY, held)
    assert violation.kind == "diverged"
    assert "entry 6" in violation.what


def test_a_ledger_that_is_behind_agrees_as_far_as_it_goes() -> None:
    held = ledgers("claims-1")
    held[0] = replace(held[0], leaves=held[0].leaves[:-1])
    assert kinds([HISTORY[0]], held) == []


def test_a_refused_write_that_is_committed_is_noticed() -> None:
    refused = write(4, 3, 4.0, 5.0, outcome="refused", found=True)
    assert kinds([*HISTORY, refused], ledgers(*HELD, "claims-4")) == ["refused"]
    assert kinds([*HISTORY, write(4, 0, 4.0, 5.0, outcome="refused", claims="")], ledgers(*HELD)) == []


def test_an_answer_that_the_replay_does_not_give_is_noticed() -> None:
    stale = replace_write(HISTORY[1], before=0)  # As if the first write had not been.
    [violation] = check_history([HISTORY[0], stale, *HISTORY[2:]], ledgers(*HELD))
    assert violation.kind == "answer"
    assert "was told 0, and the register held 1" in violation.what


def test_an_order_against_real_time_is_noticed() -> None:
    first, second = write(1, 2, 0.0, 1.0), write(2, 0, 1.5, 2.0)
    [violation] = check_history([first, second], ledgers("claims-2", "claims-1"))
    assert violation.kind == "order"


def test_an_order_against_real_time_is_noticed_over_others_between() -> None:
    first, second = write(1, 3, 0.0, 1.0), write(2, 0, 5.0, 9.0)
    between = write(3, 2, 0.5, 9.0, client=3)
    assert kinds([first, second, between], ledgers("claims-2", "claims-3", "claims-1")) == ["order"]


def test_a_write_of_unknown_outcome_may_take_effect_late_or_never() -> None:
    unknown = write(1, 2, 0.0, 1.0, outcome="unknown", found=True)
    assert kinds([unknown, write(2, 0, 3.0, 4.0)], ledgers("claims-2", "claims-1")) == []
    never = write(1, 0, 0.0, 1.0, outcome="unknown", claims="")
    assert kinds([never, write(2, 0, 3.0, 4.0)], ledgers("claims-2")) == []


def test_a_write_of_unknown_outcome_does_not_take_effect_before_it_began() -> None:
    unknown = write(1, 0, 5.0, 6.0, outcome="unknown", found=True)
    assert kinds([unknown, write(2, 1, 3.0, 4.0)], ledgers("claims-1", "claims-2")) == ["order"]


def test_the_answer_of_one_that_was_found_counts() -> None:
    unknown = write(1, 5, 0.0, 1.0, outcome="unknown", found=True)
    assert kinds([unknown], ledgers("claims-1")) == ["answer"]


@pytest.mark.parametrize(
    ("reads", "wrong"),
    [
        ([read(0, 0.0, 0.5)], []),
        ([read(1, 0.5, 0.6)], []),  # Committed, and the answer on its way.
        ([read(0, 0.9, 1.2, client=9)], []),  # Began before the answer.
        ([read(0, 1.1, 1.2)], ["stale"]),  # Its own write is missing.
        ([read(0, 1.1, 1.2, client=9, node="node2", session=2)], ["stale"]),  # So is another's, on another node.
        ([read(2, 0.5, 0.6)], ["read"]),  # Not written yet.
        ([read(99, 2.0, 2.1)], ["read"]),  # Never written.
        ([read(1, 1.9, 2.5, client=9), read(2, 1.9, 2.1, client=8)], []),  # At the same time, each may come first.
        ([read(2, 1.6, 1.7, client=9), read(1, 1.8, 1.9, client=9)], ["stale"]),  # Goes back.
        ([read(2, 1.6, 1.7, client=9), read(1, 1.8, 1.9, client=8)], ["stale"]),  # The same, of two clients.
        ([read(2, 2.5, 2.6, client=9), read(2, 2.7, 2.8, client=9)], []),
    ],
)
def test_reads_see_what_anybody_was_told_before(reads: list[Read], wrong: list[str]) -> None:
    assert kinds([*HISTORY[:2], *reads], ledgers("claims-1", "claims-2")) == wrong


def test_a_read_of_one_register_tells_of_the_others() -> None:
    other = write(5, 0, 0.0, 9.0, client=2, key=8, outcome="unknown", found=True)
    told = Read(client=3, node="node1", session=1, key=8, value=5, started=1.0, ended=2.0)
    unanswered = replace_write(HISTORY[0], ended=9.0)
    held = ledgers("claims-1", "claims-5")
    assert kinds([unanswered, other, told, read(0, 2.5, 2.6, client=4)], held) == ["stale"]
    assert kinds([unanswered, other, told, read(0, 1.5, 2.6, client=4)], held) == []


def test_a_read_of_a_write_that_was_refused_is_noticed() -> None:
    refused = write(4, 0, 4.0, 5.0, outcome="refused", claims="")
    assert kinds([*HISTORY, refused, read(4, 6.0, 6.1)], ledgers(*HELD)) == ["read"]


def test_histories_come_back_from_their_file(tmp_path: Path) -> None:
    save_history(tmp_path / "history", HISTORY)
    assert load_history(tmp_path / "history") == HISTORY
    (tmp_path / "history").write_bytes(b'{"type":"write"}\n')
    with pytest.raises(msgspec.ValidationError):
        load_history(tmp_path / "history")


def replace_write(operation: Operation, **fields: object) -> Write:
    assert isinstance(operation, Write)
    return msgspec.structs.replace(operation, **fields)
