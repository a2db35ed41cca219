"""The executor that benchmarks feed from memory: what it is given is executed, and what is wrong is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from benchmarks.pipeline_executor import ExecutorBench

SENDERS = 2


@pytest.fixture
async def bench() -> AsyncIterator[ExecutorBench]:
    made = await ExecutorBench.start(SENDERS, keeps_blocks=True)
    yield made
    await made.stop()


async def nonce(bench: ExecutorBench, sender: int) -> int:
    found = await bench.ask("eth_getTransactionCount", "0x" + bench.signers[sender].address.hex(), "latest")
    return int(found, 16)


async def test_transfers_are_executed(bench: ExecutorBench) -> None:
    before, blocks = await nonce(bench, 0), bench.block_count
    await bench.run(bench.transfers(6))
    assert await nonce(bench, 0) == before + 3
    assert bench.block_count > blocks


async def test_a_transfer_with_a_used_nonce_is_refused(bench: ExecutorBench) -> None:
    await bench.run(bench.transfers(SENDERS))
    bench.nonces = [0] * SENDERS
    with pytest.raises(RuntimeError, match=r"refused.*nonce"):
        await bench.run(bench.transfers(1))


async def test_another_replays_the_same_state() -> None:
    first = await ExecutorBench.start(SENDERS, keeps_blocks=True)
    await first.run(first.transfers(4))
    expected = await nonce(first, 0)
    second = await first.again(())
    try:
        assert await nonce(second, 0) == expected
    finally:
        await second.stop()
