"""Which batches wait for which when they run outside the enclave."""

from __future__ import annotations

import asyncio

import pytest

from adapters.sawtooth.turns import PREFIXES_MAX, Footprint, Turns

A, B = "aaaaaa" + "0" * 64, "aaaaaa" + "1" * 64
OTHER = "bbbbbb" + "0" * 64
MANY = [f"cccccc{number:064x}" for number in range(PREFIXES_MAX + 1)]


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        (([A], [A]), ([A], [A]), True),
        (([A], [A]), ([B], [B]), False),
        (([A], []), ([A], []), False),
        (([A], [OTHER]), ([A], [B]), False),
        (([A], [B]), ([B], []), True),
        (([], [A]), (["aaaaaa"], []), True),
        (([], ["aa"]), ([B], []), True),
        (([], ["aa"]), ([OTHER], [OTHER]), False),
        (([], [""]), ([OTHER], []), True),
        ((["aaaaaa"], ["aaaaaa"]), (["aaaa"], []), True),
        ((MANY, []), ([], [OTHER]), True),
        ((MANY[:9], []), ([], [OTHER]), False),
    ],
)
def test_what_meets(one: tuple[list[str], list[str]], other: tuple[list[str], list[str]], meets: bool) -> None:
    these, those = Footprint.of(*one), Footprint.of(*other)
    assert (these.meets(those), those.meets(these)) == (meets, meets)


async def test_those_that_meet_have_their_turns_in_order() -> None:
    turns, began = Turns(), list[str]()
    may_end = {name: asyncio.Event() for name in "abcd"}

    async def batch(name: str, *addresses: str) -> None:
        async with turns.turn(Footprint.of(addresses, addresses)):
            began.append(name)
            await may_end[name].wait()

    tasks = {
        name: asyncio.create_task(batch(name, *addresses))
        for name, addresses in {"a": (A,), "b": (A, B), "c": (OTHER,), "d": (B,)}.items()
    }
    await asyncio.sleep(0.01)
    assert began == ["a", "c"]
    tasks["b"].cancel()  # who gives up its turn holds up nobody
    await asyncio.wait({tasks["b"]})
    await asyncio.sleep(0.01)
    assert began == ["a", "c", "d"]
    for event in may_end.values():
        event.set()
    await asyncio.gather(tasks["a"], tasks["c"], tasks["d"])
