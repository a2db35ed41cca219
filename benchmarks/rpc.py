"""Confirmed transactions per second through the whole node: TLS, signatures, encryption, fdatasync.

    python benchmarks/rpc.py [--transactions N] [--connections C] [--readers N] [--json]

Starts a network of its own (real processes), sends pre-signed value transfers and then ERC-20 transfers over C
connections, one request in flight on each, no batching, and reads every receipt. An answer to eth_sendRawTransaction
means that the transaction is on disk. For a figure that travels between machines, the same transactions are also run by
the executor alone (py-evm over the key-value store, one core, nothing else): `share` is the node's rate over that one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import rlp
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address as checksum
from eth_utils.crypto import keccak
from web3 import Web3

from benchmarks.interpreter import executor_per_second
from benchmarks.load_client import Connection, Result, send_all
from benchmarks.temporary_network import TemporaryNetwork, accounts, temporary_network

TOKEN = Path(__file__).resolve().parent.parent / "examples" / "contracts" / "artifacts" / "Token.json"
CHAIN_ID = 20_170_810
TRANSFER_SELECTOR = "a9059cbb"
SAMPLE = 500


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    result: Result
    alone_per_second: float


def sign(account: LocalAccount, nonce: int, to: str, *, value: int = 0, data: str = "0x", gas: int) -> tuple[str, str]:
    """Return (raw transaction, hash) of a free type-2 transaction."""
    fields: dict[str, Any] = {
        "chainId": CHAIN_ID, "nonce": nonce, "to": to, "value": value, "data": data, "gas": gas,
        "maxFeePerGas": 0, "maxPriorityFeePerGas": 0, "type": 2,
    }  # fmt: skip
    signed = account.sign_transaction(fields)
    return "0x" + bytes(signed.raw_transaction).hex(), "0x" + bytes(signed.hash).hex()


def deploy_token(network: TemporaryNetwork, nonce: int) -> str:
    """Deploy the OpenZeppelin token from the treasury; returns its address."""
    web3 = network.connection.web3()
    artifact = json.loads(TOKEN.read_text())
    factory = web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    transaction = factory.constructor("Bench", "BEN", 10**30).build_transaction(
        {"from": network.treasury.address, "nonce": nonce, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
    )
    signed = network.treasury.sign_transaction(transaction)
    receipt = web3.eth.wait_for_transaction_receipt(web3.eth.send_raw_transaction(signed.raw_transaction))
    return str(receipt["contractAddress"])


def lanes_of(senders: list[LocalAccount], count: int, make: Any) -> list[list[tuple[str, str]]]:
    """Sign `count` transactions, one lane a sender. make(account, lane's number, total number) signs one."""
    return [
        [make(account, number, lane + number * len(senders)) for number in range(-(-count // len(senders)))]
        for lane, account in enumerate(senders)
    ]


def recipient(number: int) -> str:
    return f"0x{0xC0C0_0000_0000_0000 + number:040x}"


def transfer_data(to: str, amount: int) -> str:
    return f"0x{TRANSFER_SELECTOR}{to[2:].lower().rjust(64, '0')}{amount:064x}"


async def run(network: TemporaryNetwork, count: int, connections: int) -> list[Row]:
    """Prepare senders and lanes, then measure both loads."""
    senders = accounts(connections)
    for account in senders:
        network.bind(account)
    token = deploy_token(network, 0)
    nonce = 1
    fund: list[tuple[str, str]] = []
    for account in senders:
        fund.append(sign(network.treasury, nonce, account.address, value=10**18, gas=21_000))
        data = transfer_data(account.address, 10**18)
        fund.append(sign(network.treasury, nonce + 1, token, data=data, gas=120_000))
        nonce += 2
    open_connections = [
        await Connection(network.connection.url, str(network.connection.ca_file), network.headers).open()
        for _ in senders
    ]
    funded = await send_all(open_connections[:1], [fund])
    if funded.confirmed != len(fund):
        raise RuntimeError(f"funding failed: {funded.errors}")

    plain = lanes_of(senders, count, lambda a, n, i: sign(a, n, checksum(recipient(i)), value=1, gas=21_000))
    offset = len(plain[0])
    tokens = lanes_of(
        senders, count, lambda a, n, i: sign(a, offset + n, token, data=transfer_data(recipient(i), 1), gas=90_000)
    )
    results = [await send_all(open_connections, lanes) for lanes in (plain, tokens)]
    for connection in open_connections:
        connection.close()
    return [
        Row("transfers", results[0], alone_per_second(network.treasury, erc20=False)),
        Row("ERC-20 transfers", results[1], alone_per_second(network.treasury, erc20=True)),
    ]


def alone_per_second(account: LocalAccount, *, erc20: bool) -> float:
    """Rate of the executor alone on the same kind of transaction."""
    if not erc20:
        return executor_per_second(
            CHAIN_ID, account, [], lambda a, n: sign(a, n, checksum(recipient(n)), value=1, gas=21_000), SAMPLE
        )
    artifact = json.loads(TOKEN.read_text())
    arguments = Web3().eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"]).constructor("B", "B", 10**30)
    creation, _ = sign(account, 0, "", data=str(arguments.data_in_transaction), gas=3_000_000)
    token = checksum("0x" + keccak(rlp.encode([bytes.fromhex(account.address[2:]), 0]))[12:].hex())
    return executor_per_second(
        CHAIN_ID, account, [creation], lambda a, n: sign(a, n, token, data=transfer_data(recipient(n), 1), gas=90_000),
        SAMPLE,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transactions", type=int, default=4_000)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--readers", type=int, default=None)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    began = time.time()
    with temporary_network("--chain-id", str(CHAIN_ID), readers=arguments.readers) as network:
        rows = asyncio.run(run(network, arguments.transactions, arguments.connections))
    report = [
        {
            "load": row.name,
            "connections": arguments.connections,
            "sent": row.result.sent,
            "confirmed": row.result.confirmed,
            "confirmed_per_second": round(row.result.confirmed_per_second, 1),
            "p50_ms": round(row.result.percentile_ms(0.50), 1),
            "p99_ms": round(row.result.percentile_ms(0.99), 1),
            "executor_alone_per_second": round(row.alone_per_second, 1),
            "share": round(row.result.confirmed_per_second / row.alone_per_second, 3),
            "errors": dict(row.result.errors),
        }
        for row in rows
    ]
    if arguments.json:
        print(json.dumps({"rows": report, "seconds": round(time.time() - began, 1)}, indent=2))
        return
    print(f"{'load':<18}{'confirmed/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'executor alone/s':>18}{'share':>8}")
    for row in report:
        print(
            f"{row['load']:<18}{row['confirmed_per_second']:>12}{row['p50_ms']:>9}{row['p99_ms']:>9}"
            f"{row['executor_alone_per_second']:>18}{row['share']:>8}"
        )
        if row["confirmed"] != row["sent"]:
            print(f"  {row['confirmed']} of {row['sent']} confirmed: {row['errors']}")


if __name__ == "__main__":
    main()
