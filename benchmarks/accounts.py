"""What a large state costs: execution with a million accounts against a thousand, and memory for each.

    python -m benchmarks.accounts [--accounts 1000000] [--against 1000] [--rounds 9] [--transfers 2000] [--json]
    python -m benchmarks.accounts --memory [--accounts 1000000] [--json]

The first runs ERC-20 transfers in two executors in this process (pipeline_executor.py), in turns: one's state has so
many accounts and as many holders of the token, the other's has few; both are replayed from a ledger's write sets.
Recipients are holders, drawn at random. Processor time; ratio: the large one's throughput divided by the small one's,
of the medians. The rest of a node does not look at the state, save for readers, which hold it once more, and snapshots
(docs/snapshots.md). The second loads accounts, and slots of one contract, into the executor's tables, each in a process
of its own, and prints how the resident memory grows.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from adapters.ethereum.chain import INDEXED_TABLES
from adapters.ethereum.keccak import EMPTY_CODE_HASH, keccak
from adapters.ethereum.records import AccountRecord, encode_account, encode_integer
from benchmarks.pipeline_executor import ExecutorBench
from core.adapter.interface import scoped_name
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.node.messages import ReplayedEntry
from core.types import Seqno

ROWS_PER_ENTRY = 1_000
WARM_UP = 5_000
"""Transfers after which the states that were replayed are forgotten (128 blocks)."""
GARBAGE_THRESHOLD = 10_000
"""As enclave_sim/enclave_main.py has it."""
STEPS = (1_000, 10_000, 100_000, 250_000, 500_000, 750_000, 1_000_000)
_SEED = 7


def holder(number: int) -> bytes:
    """Return an address."""
    return keccak(b"holder %d" % number)[:20]


def account_rows(count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield accounts that own some ether and have sent a few transactions."""
    for number in range(count):
        yield holder(number), encode_account(AccountRecord(number % 9 + 1, 10**18 + number, EMPTY_CODE_HASH))


def slot_rows(contract: bytes, count: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the balances of an ERC-20 of OpenZeppelin, whose mapping stands at slot 0."""
    for number in range(count):
        slot = keccak(holder(number).rjust(32, b"\0") + bytes(32))
        yield contract + slot, encode_integer(10**18 + number)


def entries(table: str, rows: Iterator[tuple[bytes, bytes]]) -> Iterator[ReplayedEntry]:
    """Yield rows as ledger entries; their numbers are given later."""
    name = scoped_name("ethereum", table)
    batch: dict[bytes, bytes | None] = {}
    for key, value in rows:
        batch[key] = value
        if len(batch) == ROWS_PER_ENTRY:
            yield ReplayedEntry(0, *WriteSet({name: batch}).encode())
            batch = {}
    if batch:
        yield ReplayedEntry(0, *WriteSet({name: batch}).encode())


async def grown(count: int) -> ExecutorBench:
    """Return an executor whose state has so many accounts and holders."""
    base = await ExecutorBench.start(keeps_blocks=True)

    def more() -> Iterator[ReplayedEntry]:
        yield from entries("accounts", account_rows(count))
        yield from entries("storage", slot_rows(base.token, count))

    return await base.again(more())


async def throughput(sizes: tuple[int, int], rounds: int, transfers: int) -> dict[str, Any]:
    """Run the rounds; returns microseconds for a transfer by size."""
    benches = {size: await grown(size) for size in sizes}
    drawn = random.Random(_SEED)

    def some(size: int, count: int) -> list[bytes]:
        return benches[size].transfers(count, to=[holder(drawn.randrange(size)) for _ in range(count)])

    for size in sizes:
        await benches[size].run(some(size, WARM_UP))
    gc.set_threshold(GARBAGE_THRESHOLD)
    times: dict[int, list[float]] = {size: [] for size in sizes}
    for number in range(rounds):
        for size in sizes if number % 2 == 0 else reversed(sizes):
            payloads = some(size, transfers)
            began = time.process_time()
            await benches[size].run(payloads)
            times[size].append((time.process_time() - began) / transfers * 1e6)
    for bench in benches.values():
        await bench.stop()
    rows = {
        str(size): {"us": round(statistics.median(found), 1), "lowest": round(min(found), 1)}
        for size, found in times.items()
    }
    small, large = (statistics.median(times[size]) for size in sorted(sizes))
    return {"transfer_us": rows, "ratio": round(small / large, 3)}


def resident_bytes() -> int:
    """Return what of this process is in memory now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell the memory of a process")


def curve(kind: str, count: int) -> list[tuple[int, float]]:
    """Load rows into a store; returns (rows, bytes for each of them so far)."""
    store = Store({scoped_name("ethereum", name): length for name, length in INDEXED_TABLES.items()})
    table, rows = (
        ("accounts", account_rows(count)) if kind == "account" else ("storage", slot_rows(b"\x11" * 20, count))
    )
    steps = sorted({step for step in STEPS if step <= count} | {count})
    gc.collect()
    before, loaded, found = resident_bytes(), 0, []
    for entry in entries(table, rows):
        writes = WriteSet.decode(entry.public, entry.private)
        loaded += sum(len(changes) for changes in writes.tables.values())
        store.apply(Seqno(store.head + 1), writes)
        store.compact(store.head)
        if steps and loaded >= steps[0]:
            gc.collect()
            found.append((loaded, round((resident_bytes() - before) / loaded, 1)))
            steps.pop(0)
    return found


def in_a_process(work: Callable[..., Any], *arguments: object) -> Any:
    """Run in a new process, whose memory nothing else has touched."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--against", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--transfers", type=int, default=2_000)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.memory:
        made: dict[str, Any] = {kind: in_a_process(curve, kind, arguments.accounts) for kind in ("account", "slot")}
    else:
        sizes = (arguments.against, arguments.accounts)
        made = asyncio.run(throughput(sizes, arguments.rounds, arguments.transfers))
    if arguments.json:
        print(json.dumps(made, indent=2))
    elif arguments.memory:
        print(f"{'rows':>10}{'bytes/account':>15}{'bytes/slot':>12}")
        for (rows, account), (_, slot) in zip(made["account"], made["slot"], strict=True):
            print(f"{rows:>10,}{account:>15,.0f}{slot:>12,.0f}")
    else:
        for size, row in made["transfer_us"].items():
            print(f"{int(size):>10,} accounts: {row['us']:.0f} us for a transfer (lowest {row['lowest']:.0f})")
        print(f"ratio {made['ratio']:.2f}")


if __name__ == "__main__":
    main()
