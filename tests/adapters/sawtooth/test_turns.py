"""Which batches wait for which when they run outside the enclave."""

from __future__ import annotations

import asyncio

import pytest

from adapters.sawtooth.turns import Turns

A, B = "aaaaaa" + "0" * 64, "aaaaaa" + "1" * 64
OTHER = "bbbbbb" + "0" * 64


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
        (([], ["aa"]), ([OTHER], [OTHER]), True),
        (([], [""]), ([OTHER], []), True),
        ((["aaaaaa"], ["aaaaaa"]), (["aaaa"], []), True),
        (([OTHER, A], []), ([], [B, A]), True),
        (([], ["aaaaaa11"]), ([A], []), True),
        (([], ["aaaaaa11"]), (["aaaaaa22"], []), True),
        (([], ["aaaaaa"]), (["bbbbbb"], ["bbbbbb"]), False),
        (([], []), ([""], [""]), False),
    ],
)
async def test_what_meets(one: tuple[list[str], list[str]], other: tuple[list[str], list[str]], meets: bool) -> None:
    for first, second in ((one, other), (other, one)):
        turns = Turns()
        async with turns.turn(*first):
            waiting = asyncio.create_task(enter(turns, *second))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert waiting.done() is not meets
        await asyncio.wait_for(waiting, 10)
        assert turns.is_empty()


async def enter(turns: Turns, inputs: list[str], outputs: list[str]) -> None:
    async with turns.turn(inputs, outputs):
        pass


async def test_those_that_meet_have_their_turns_in_order() -> None:
    turns, began = Turns(), list[str]()
    may_end = {name: asyncio.Event() for name in "abcd"}

    async def batch(name: str, *addresses: str) -> None:
        async with turns.turn(addresses, addresses):
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
    assert turns.is_empty()
