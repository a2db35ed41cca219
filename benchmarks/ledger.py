"""The ledger's own costs, as ratios within one run: sealing, replay against execution, a start from a snapshot.

    python -m benchmarks.ledger [--transactions N] [--accounts N] [--json]

Everything runs in this process, over a disk in a temporary directory. Times are processor time, which a busy machine
changes least; compare ratios of one run. A transaction is an Ethereum transfer to an account that was not there before;
it leaves three rows: account, transaction, receipt.

sealing     one transfer's entry: serialise its write set, encrypt, hash, frame, add to the Merkle tree.
execution   the executor's work on a transfer: run it, encode its write set, close blocks of up to 1,000.
replay      a start without a snapshot, manager's and executor's part together: read, verify, decrypt, decode, apply.
start       a start from a snapshot of --accounts accounts, both parts together: hash, decrypt, take the rows over. Of
            accounts alone, and with the transactions and receipts that made them. Compared with replaying that many
            transfers: their cost each, as measured, times their number.
memory      what the state of accounts alone takes in the executor, per account.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from benchmarks.ledger_work import Ethereum, Ledger, SnapshotFile, state_rows, temporary_ledger
from core.kv.write_set import WriteSet
from core.ledger.entry import EntrySealer
from core.ledger.merkle import MerkleFrontier
from core.node.messages import EntryDraft
from core.types import NO_CLAIMS, Seqno, View

ROUNDS = 5
GOALS = {
    "sealing_us": ("at most", 30.0),
    "replay_to_execution": ("at least", 5.0),
    "start_to_replay": ("under", 0.1),
}


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of one call."""
    gc.collect()
    before = time.process_time()
    work()
    return time.process_time() - before


def measure_sealing(ledger: Ledger, entries: list[EntryDraft]) -> float:
    """Return seconds per entry, of the best round."""
    sets = [WriteSet.decode(entry.public, entry.private) for entry in entries]
    key = ledger.keyring.find(View(1), Seqno(1))
    if key is None:
        raise LookupError("the one view has no key")

    def work() -> None:
        sealer, frontier = EntrySealer(key, Seqno(0)), MerkleFrontier()
        for seqno, writes in enumerate(sets, 1):
            public, private = writes.encode()
            frontier.append(sealer.seal(Seqno(seqno), public, private, NO_CLAIMS).leaf)

    return min(seconds(work) for _ in range(ROUNDS)) / len(sets)


async def measure_replay(ledger: Ledger) -> float:
    """Return seconds per entry, of the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        gc.collect()
        before = time.process_time()
        entries = await ledger.replay()
        best = min(best, (time.process_time() - before) / entries)
    return best


async def measure_start(snapshot: SnapshotFile) -> tuple[float, float]:
    """Return seconds of processor time, and bytes of memory that the state takes."""
    gc.collect()
    before = time.process_time()
    store = await snapshot.load()
    taken = time.process_time() - before
    del store
    gc.collect()
    tracemalloc.start()
    held = await snapshot.load()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del held
    return taken, size


async def run(transactions: int, accounts: int) -> dict[str, Any]:
    ethereum = await Ethereum.make()
    commands = ethereum.commands(transactions)
    first = len(ethereum.harness.entries)
    execution_s = seconds(lambda: ethereum.run(commands)) / transactions
    entries = [EntryDraft("ethereum", one.public, one.private, one.claims) for one in ethereum.harness.entries]
    per_transaction = len(entries[first:]) / transactions
    async with temporary_ledger() as ledger:
        sealing_s = measure_sealing(ledger, entries[first : first + 5_000])
        await ledger.write(entries)
        replay_s = await measure_replay(ledger)
        found: dict[str, Any] = {}
        for name, with_transactions in (("accounts", False), ("with_transactions", True)):
            rows = state_rows(accounts, with_transactions=with_transactions, sample=ethereum.harness.store)
            snapshot = await SnapshotFile.write(ledger, rows)
            taken, size = await measure_start(snapshot)
            found[name] = {
                "rows": snapshot.rows,
                "file_bytes_per_account": round(snapshot.size_bytes / accounts, 1),
                "start_s": round(taken, 3),
                "start_us_per_row": round(taken / snapshot.rows * 1e6, 3),
                "start_to_replay": round(taken / (accounts * per_transaction * replay_s), 4),
                "memory_bytes_per_account": round(size / accounts, 1),
            }
            await snapshot.remove()
    return {
        "transactions": transactions,
        "accounts": accounts,
        "sealing_us": round(sealing_s * 1e6, 2),
        "execution_us": round(execution_s * 1e6, 2),
        "replay_us_per_entry": round(replay_s * 1e6, 2),
        "replay_to_execution": round(execution_s / (replay_s * per_transaction), 2),
        "replay_of_as_many_transfers_s": round(accounts * per_transaction * replay_s, 1),
        "start": found,
        "start_to_replay": found["accounts"]["start_to_replay"],
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
    parser.add_argument("--transactions", type=int, default=20_000)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = asyncio.run(run(arguments.transactions, arguments.accounts))
    if arguments.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        print_table(found)


if __name__ == "__main__":
    main()
