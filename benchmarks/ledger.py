"""The ledger's own costs, as ratios within one run: sealing, replay against execution, a start from a snapshot.

    python -m benchmarks.ledger [--accounts N] [--json]

N transfers are signed, executed, sealed into a ledger on disk, replayed and put into snapshots: nothing is scaled up.
Each is an Ethereum transfer to an account that was not there before. It all runs in this process, over a disk in a
temporary directory. Times are processor time, which a busy machine changes least; compare ratios of one run. A million
take half an hour and more; it says on standard error what it is at.

sealing     one transfer's entry: serialise its write set, encrypt, hash, frame, add to the Merkle tree.
execution   the executor's work on a transfer: run it, encode its write set, close blocks of up to 1,000.
replay      a start without a snapshot, manager's and executor's part together: read, verify, decrypt, decode, apply.
start       a start from a snapshot, both parts together: hash, decrypt, take the rows over. Of the accounts alone, and
            of the whole state: with the transactions, blocks and receipts that made them. Compared with the replay.
memory      what that state takes in the executor, per account.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from benchmarks.ledger_work import VIEW, Ethereum, Ledger, SnapshotFile, temporary_ledger
from core.errors import InvariantBroken
from core.kv.store import Store
from core.kv.write_set import WriteSet
from core.ledger.entry import EntrySealer
from core.ledger.merkle import MerkleFrontier
from core.node.messages import EntryDraft
from core.types import NO_CLAIMS, Seqno

ROUNDS = 3
SEALED_ENTRIES = 5_000
BATCH = 10_000
ACCOUNTS = "ethereum.accounts"
GOALS = {
    "sealing_us": ("at most", 30.0),
    "replay_to_execution": ("at least", 5.0),
    "start_to_replay": ("under", 0.1),
}


def tell(what: str) -> None:
    """Say on standard error what is going on."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {what}\n")
    sys.stderr.flush()


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


def measure_sealing(ledger: Ledger, entries: list[EntryDraft]) -> float:
    """Return seconds per entry, of the best round."""
    sets = [WriteSet.decode(entry.public, entry.private) for entry in entries]
    key = ledger.head.keyring.find(VIEW, Seqno(1))
    if key is None:
        raise LookupError("the one view has no key")

    def work() -> None:
        sealer, frontier = EntrySealer(key, Seqno(0)), MerkleFrontier()
        for seqno, writes in enumerate(sets, 1):
            public, private = writes.encode()
            frontier.append(sealer.seal(Seqno(seqno), public, private, NO_CLAIMS).leaf)

    return min(seconds(work) for _ in range(ROUNDS)) / len(sets)


async def execute(ethereum: Ethereum, ledger: Ledger, accounts: int) -> tuple[float, list[EntryDraft]]:
    """Make the accounts, one transfer each, and the ledger; returns the seconds of execution, and some entries."""
    sample: list[EntryDraft] = []
    execution_s = 0.0
    await ledger.write(ethereum.take_entries())
    for first in range(0, accounts, BATCH):
        commands = ethereum.commands(first, min(BATCH, accounts - first))
        execution_s += seconds(lambda commands=commands: ethereum.run(commands))  # type: ignore[misc]
        entries = ethereum.take_entries()
        sample += entries[: SEALED_ENTRIES - len(sample)]
        await ledger.write(entries)
        tell(f"{first + len(commands)} transfers executed and written")
    return execution_s, sample


async def measure_start(start: Callable[[], Awaitable[Store]]) -> tuple[float, Store]:
    """Return the processor time of a start, the best of some, and what it gave."""
    best, store = float("inf"), Store()
    for _ in range(ROUNDS):
        store = Store()
        gc.collect()
        before = time.process_time()
        store = await start()
        best = min(best, time.process_time() - before)
        tell(f"started: {best:.3f} s at best")
    return best, store


def values_of(store: Store, name: str) -> dict[bytes, bytes | None]:
    """Return what stands in a table, without versions: those of the harness count its own signatures."""
    return {key: value for key, (_, value) in store.table(name).current.items()}


async def measure_memory(start: Callable[[], Awaitable[Store]]) -> int:
    """Return the bytes that the state takes after a start."""
    gc.collect()
    tracemalloc.start()
    store = await start()
    gc.collect()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del store
    return size


async def run(accounts: int) -> dict[str, Any]:
    ethereum = await Ethereum.make()
    async with temporary_ledger() as ledger:
        execution_s, sample = await execute(ethereum, ledger, accounts)
        sealing_s = measure_sealing(ledger, sample)
        tell("replaying")
        replay_s, store = await measure_start(ledger.replay)
        tables = ethereum.harness.store.table_names()
        if any(values_of(store, name) != values_of(ethereum.harness.store, name) for name in tables):
            raise InvariantBroken("the replay did not give the state that was executed")
        del ethereum
        found: dict[str, Any] = {}
        for state, its_tables in (("accounts", [ACCOUNTS]), ("with_history", tables)):
            tell(f"a snapshot: {state}")
            found[state] = await measure_snapshot(ledger, store, its_tables, replay_s, accounts)
    return {
        "accounts": accounts,
        "entries": ledger.head.seqno,
        "sealing_us": round(sealing_s * 1e6, 2),
        "execution_us": round(execution_s / accounts * 1e6, 2),
        "replay_s": round(replay_s, 2),
        "replay_us_per_entry": round(replay_s / ledger.head.seqno * 1e6, 2),
        "replay_to_execution": round(execution_s / replay_s, 2),
        "start": found,
        "start_to_replay": found["accounts"]["start_to_replay"],
    }


async def measure_snapshot(
    ledger: Ledger, store: Store, tables: Sequence[str], replay_s: float, accounts: int
) -> dict[str, Any]:
    """Write a snapshot of some tables of a state, and start from it."""
    snapshot = await SnapshotFile.write(ledger, store, tables)
    taken, started = await measure_start(snapshot.load)
    if any(started.table(name).current != store.table(name).current for name in tables):
        raise InvariantBroken("the start did not give the state that the snapshot was made of")
    del started
    size = await measure_memory(snapshot.load)
    await snapshot.remove()
    return {
        "rows": snapshot.rows,
        "file_bytes_per_account": round(snapshot.size_bytes / accounts, 1),
        "start_s": round(taken, 3),
        "start_us_per_row": round(taken / snapshot.rows * 1e6, 3),
        "start_to_replay": round(taken / replay_s, 4),
        "memory_bytes_per_account": round(size / accounts, 1),
    }


def print_table(found: dict[str, Any]) -> None:
    """Print the figures, each goal with what was found."""
    for name, value in found.items():
        if isinstance(value, dict):
            for state, row in value.items():
                figures = ", ".join(f"{key} {figure}" for key, figure in row.items())
                sys.stdout.write(f"{name} ({state}): {figures}\n")
        else:
            relation, goal = GOALS.get(name, ("", None))
            aim = f"   (goal: {relation} {goal})" if goal is not None else ""
            sys.stdout.write(f"{name:32} {value}{aim}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = asyncio.run(run(arguments.accounts))
    if arguments.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        print_table(found)


if __name__ == "__main__":
    main()
