"""Reads beside writes: `eth_call` of balanceOf, and receipts, per second, while ERC-20 transfers are sent.

    python benchmarks/reads.py [--transactions N] [--readers 0|1|2] [--slow] [--json]

Starts a network of its own. WRITERS connections send transfers until N are confirmed, READERS connections ask without
a pause all the while, half of them calls and half receipts. --slow: one more client asks for calls that run into their
gas or time limit, one after another: what one user's heavy query costs everybody else. 0 readers is the executor alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.load_client import Connection, send_all
from benchmarks.rpc import CHAIN_ID, deploy_token, lanes_of, recipient, sign, transfer_data
from benchmarks.temporary_network import TemporaryNetwork, accounts, temporary_network

WRITERS = 16
READERS = 16
BALANCE_OF = "70a08231"
LOOP = "0x5b5a195a190a505f56"
"""Raises large numbers to large powers until the gas is out: slow also when compiled."""
"""JUMPDEST, PUSH1 0, JUMP: runs until its gas is used up."""


@dataclass(slots=True)
class Asked:
    """What one kind of reader got. latencies in milliseconds."""

    latencies_ms: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def row(self) -> dict[str, float]:
        ordered = sorted(self.latencies_ms) or [0.0]
        return {
            "per_second": round(len(self.latencies_ms) / self.seconds, 1) if self.seconds else 0.0,
            "p50_ms": round(ordered[len(ordered) // 2], 1),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)], 1),
            "max_ms": round(ordered[-1], 1),
        }


async def open_connection(network: TemporaryNetwork) -> Connection:
    return await Connection(network.connection.url, str(network.connection.ca_file), network.headers).open()


async def ask_until(done: asyncio.Event, ask: Callable[[], Awaitable[object]], into: Asked) -> None:
    """Ask again and again until done."""
    began = time.perf_counter()
    while not done.is_set():
        start = time.perf_counter()
        await ask()
        into.latencies_ms.append((time.perf_counter() - start) * 1000)
    into.seconds = time.perf_counter() - began


async def measure(network: TemporaryNetwork, count: int, *, slow: bool) -> dict[str, object]:
    """Run writers and readers together."""
    senders = accounts(WRITERS)
    for account in senders:
        network.bind(account)
    token = deploy_token(network, 0)
    writers = [await open_connection(network) for _ in senders]
    fund = [
        sign(network.treasury, number + 1, token, data=transfer_data(account.address, 10**18), gas=120_000)
        for number, account in enumerate(senders)
    ]
    funded = await send_all(writers[:1], [fund])
    if funded.confirmed != len(fund):
        raise RuntimeError(f"funding failed: {funded.errors}")
    lanes = lanes_of(senders, count, lambda a, n, i: sign(a, n, token, data=transfer_data(recipient(i), 1), gas=90_000))
    call = {"from": senders[0].address, "to": token, "data": f"0x{BALANCE_OF}{senders[0].address[2:].rjust(64, '0')}"}
    connections = [await open_connection(network) for _ in range(READERS + 1)]
    calls, receipts, slow_calls, done = Asked(), Asked(), Asked(), asyncio.Event()
    # One client's latency each says more than a queue of our own making.
    tasks = [
        asyncio.create_task(ask_until(done, lambda one=one: one.call("eth_call", call, "latest"), calls))  # type: ignore[misc]
        for one in connections[: READERS // 2]
    ]
    tasks += [
        asyncio.create_task(
            ask_until(done, lambda one=one: one.call("eth_getTransactionReceipt", fund[0][1]), receipts)  # type: ignore[misc]
        )
        for one in connections[READERS // 2 : READERS]
    ]
    if slow:
        heavy = {"from": senders[0].address, "data": LOOP, "gas": hex(16_000_000)}

        async def ask_heavy() -> None:
            with suppress(RuntimeError):
                await connections[-1].call("eth_call", heavy, "latest")

        tasks.append(asyncio.create_task(ask_until(done, ask_heavy, slow_calls)))
    result = await send_all(writers, lanes)
    done.set()
    await asyncio.gather(*tasks)
    for connection in (*writers, *connections):
        connection.close()
    rows: dict[str, object] = {
        "ERC-20 transfers": {
            "per_second": round(result.confirmed_per_second, 1),
            "p50_ms": round(result.percentile_ms(0.5), 1),
            "p99_ms": round(result.percentile_ms(0.99), 1),
            "max_ms": round(result.percentile_ms(1.0), 1),
        },
        "eth_call balanceOf": calls.row(),
        "receipts": receipts.row(),
    }
    return {**rows, "slow eth_call": slow_calls.row()} if slow else rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=2_000)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with temporary_network("--chain-id", str(CHAIN_ID), readers=arguments.readers) as network:
        rows = asyncio.run(measure(network, arguments.transactions, slow=arguments.slow))
    if arguments.json:
        print(json.dumps({"readers": arguments.readers, "rows": rows}, indent=2))
        return
    print(f"readers: {arguments.readers}")
    for name, row in rows.items():
        print(f"{name:<20}", row)


if __name__ == "__main__":
    main()
