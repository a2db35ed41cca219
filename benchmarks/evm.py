"""Bytecode compiled, interpreted by the adapter, and interpreted by py-evm as it comes: the same calls in one run.

    python -m benchmarks.evm [--json] [--only NAME]... [--seconds S]

A call is what a transaction does once it is valid: nonce, gas, the contract's code, refunds, on the same state each
time. Its time is processor time, the least of several rounds that take turns, so that a busy machine changes the ratios
little. A transaction is all that the executor does for one, from the decoded transaction to the committed write set.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_account.signers.local import LocalAccount

from adapters.deadline import Deadline
from adapters.ethereum.chain import INDEXED_TABLES
from adapters.ethereum.evm import make_state
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.genesis import write_genesis
from adapters.ethereum.keccak import keccak
from adapters.ethereum.settings import AllocatedAccount, Evm, Settings
from adapters.ethereum.state_transition import Invocation, Outcome, apply
from adapters.ethereum.transactions import decode_transaction
from adapters.ethereum.vm import BlockEnvironment
from benchmarks.worst_case import _plain_state
from core.adapter.interface import ANONYMOUS, ExecutionContext, ScopedTransaction
from core.kv.store import Store
from core.types import Seqno

ROOT = Path(__file__).resolve().parents[1]
CHAIN_ID = 1337
ALICE: LocalAccount = Account.from_key(b"\x01" * 32)
SENDER = bytes.fromhex(ALICE.address[2:])
RECEIVER = "0x" + "c0" * 20
LOOP_TIMES = 1_000
ROUNDS = 5
WARM_CALLS = 30
GAS = 10_000_000
GOALS = {
    "ERC-20 transfer": 15,
    "Uniswap-v2 swap": 15,
    "ERC-721 mint": 15,
    "SHA-3 loop": 5,
    "arithmetic loop": 8,
}
"""Times faster than py-evm."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A call that can be made again and again."""

    name: str
    to: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """Microseconds. ratio: of py-evm to compiled."""

    name: str
    gas_used: int
    py_evm_us: float
    interpreted_us: float
    compiled_us: float
    ratio: float
    goal: int
    transaction_interpreted_us: float
    transaction_compiled_us: float


class Network:
    """An executor over a key-value store in memory, with the contracts deployed."""

    def __init__(self, evm: Evm) -> None:
        funded = {SENDER: AllocatedAccount(balance=10**24)}
        self.settings = replace(Settings(CHAIN_ID, "prague", funded), evm=evm, transaction_gas_limit=GAS)
        self.store = Store({f"ethereum.{name}": length for name, length in INDEXED_TABLES.items()})
        self.executor = BlockExecutor(self.settings)
        self._nonce = 0
        transaction = self.begin()
        write_genesis(transaction, self.settings, self._context())
        self._commit(transaction)

    def begin(self) -> ScopedTransaction:
        return ScopedTransaction(self.store.begin(), "ethereum")

    def send(self, to: bytes | None, data: bytes) -> bytes | None:
        """Run a transaction; return the address of what it created."""
        return self.run(self.signed(to, data))

    def signed(self, to: bytes | None, data: bytes, gas: int = GAS) -> Any:
        fields: dict[str, Any] = {"nonce": self._nonce, "gas": gas, "value": 0, "chainId": CHAIN_ID, "data": data}
        fields.update({} if to is None else {"to": to}, maxFeePerGas=0, maxPriorityFeePerGas=0)
        self._nonce += 1
        return decode_transaction(bytes(ALICE.sign_transaction(fields).raw_transaction), self.settings)

    def run(self, signed: Any) -> bytes | None:
        transaction = self.begin()
        receipt = self.executor.execute(transaction, signed, self._context())
        if receipt.status != 1:
            raise RuntimeError("a transaction of the benchmark failed")
        self._commit(transaction)
        return receipt.contract_address

    def close(self) -> None:
        transaction = self.begin()
        self.executor.close(transaction, self._context())
        self._commit(transaction)

    def _commit(self, transaction: ScopedTransaction) -> None:
        self.store.commit(transaction.inner, Seqno(self.store.head + 1))

    def _context(self) -> ExecutionContext:
        return ExecutionContext(Seqno(self.store.head + 1), 1, 1_700_000_000, bytes(32), ANONYMOUS, bytes)


def call_data(signature: str, *values: Any) -> bytes:
    """Return a function's selector and arguments."""
    types = signature[signature.index("(") + 1 : -1]
    return keccak(signature.encode())[:4] + encode(types.split(",") if types else [], values)


def deploy(network: Network, path: str, types: tuple[str, ...] = (), values: tuple[Any, ...] = ()) -> bytes:
    code = json.loads((ROOT / path).read_text("utf-8"))["bytecode"]
    created = network.send(None, bytes.fromhex(code[2:]) + encode(types, values))
    if created is None:
        raise RuntimeError(f"{path} was not deployed")
    return created


def workloads(network: Network) -> Iterator[Workload]:
    """Deploy the contracts and yield the calls."""
    artifacts = "benchmarks/contracts/artifacts"
    token_arguments = (("string", "string", "uint256"), ("Token", "TKN", 10**30))
    tokens = [deploy(network, "examples/contracts/artifacts/Token.json", *token_arguments) for _ in range(2)]
    yield Workload("ERC-20 transfer", tokens[0], call_data("transfer(address,uint256)", RECEIVER, 1))
    pair = deploy(network, f"{artifacts}/Pair.json", ("address", "address"), (tokens[0], tokens[1]))
    router = deploy(network, f"{artifacts}/Router.json")
    for token in tokens:
        network.send(token, call_data("transfer(address,uint256)", pair, 10**24))
    network.send(pair, call_data("mint(address)", ALICE.address))
    network.send(tokens[0], call_data("approve(address,uint256)", router, 10**29))
    sell = call_data("sell(address,bool,uint256,uint256,address)", pair, True, 10**18, 1, ALICE.address)
    network.send(router, sell)
    yield Workload("Uniswap-v2 swap", router, sell)
    nft = deploy(network, f"{artifacts}/Nft.json")
    network.send(nft, call_data("mint(address)", ALICE.address))
    yield Workload("ERC-721 mint", nft, call_data("mint(address)", RECEIVER))
    loops = deploy(network, f"{artifacts}/Loops.json")
    yield Workload("SHA-3 loop", loops, call_data("hashes(uint256)", LOOP_TIMES))
    yield Workload("arithmetic loop", loops, call_data("arithmetic(uint256)", LOOP_TIMES))


class Caller:
    """Makes calls on one state, whose changes are dropped."""

    def __init__(self, network: Network, make: Callable[..., Any], evm: Evm) -> None:
        self._settings = replace(network.settings, evm=evm)
        self._transaction = network.begin()
        self._database = network.executor._database
        environment = BlockEnvironment(9, 1_700_000_100, bytes(20), 60_000_000, 0, bytes(32), lambda number: None)
        self._state = make(self._database, self._settings, environment, Deadline(3600))

    def call(self, workload: Workload) -> Outcome:
        self._database.begin(self._transaction)
        invocation = Invocation(SENDER, workload.to, 0, workload.data, GAS, 0, 0, 21_000)
        return apply(self._state, self._database, invocation, self._settings)

    def seconds(self, workload: Workload, count: int) -> float:
        began = time.process_time()
        for _ in range(count):
            self.call(workload)
        return (time.process_time() - began) / count


def measure_calls(callers: dict[str, Caller], workload: Workload, seconds: float) -> tuple[dict[str, float], int]:
    """Return seconds per call for each way, and the gas, which must be the same for all."""
    outcomes = {}
    for way, caller in callers.items():
        for _ in range(WARM_CALLS if way == "compiled" else 1):
            outcomes[way] = caller.call(workload)
    if len({(one.gas_used, one.output, one.logs) for one in outcomes.values()}) != 1:
        raise RuntimeError(f"{workload.name}: results differ")
    if any(one.error is not None for one in outcomes.values()):
        raise RuntimeError(f"{workload.name} failed")
    counts = {way: max(1, int(seconds / caller.seconds(workload, 1))) for way, caller in callers.items()}
    rounds = [{way: caller.seconds(workload, counts[way]) for way, caller in callers.items()} for _ in range(ROUNDS)]
    return {way: min(one[way] for one in rounds) for way in callers}, outcomes["compiled"].gas_used


def measure_transactions(networks: dict[str, Network], workload: Workload) -> dict[str, float]:
    """Return seconds per transaction for each network, at the least of some rounds."""
    count, gas = (3, GAS) if "loop" in workload.name else (100, 250_000)
    found = dict.fromkeys(networks, float("inf"))
    for _ in range(ROUNDS):
        for way, network in networks.items():
            network.close()
            # The same count for each: contracts deployed later stand at addresses that follow from the nonce.
            signed = [network.signed(workload.to, workload.data, gas) for _ in range(count)]
            began = time.process_time()
            for one in signed:
                network.run(one)
            found[way] = min(found[way], (time.process_time() - began) / count)
    return found


def results(only: list[str], seconds: float) -> Iterator[Result]:
    """Measure each workload."""
    networks = {way: Network(way) for way in ("interpreted", "compiled")}
    other = workloads(networks["interpreted"])
    for workload in workloads(networks["compiled"]):
        next(other)
        if only and not any(one in workload.name for one in only):
            continue
        network = networks["compiled"]
        callers = {
            "py-evm": Caller(network, _plain_state, "interpreted"),
            "interpreted": Caller(network, make_state, "interpreted"),
            "compiled": Caller(network, make_state, "compiled"),
        }
        calls, gas = measure_calls(callers, workload, seconds)
        transactions = measure_transactions(networks, workload)
        yield Result(
            name=workload.name,
            gas_used=gas,
            py_evm_us=round(calls["py-evm"] * 1e6, 1),
            interpreted_us=round(calls["interpreted"] * 1e6, 1),
            compiled_us=round(calls["compiled"] * 1e6, 1),
            ratio=round(calls["py-evm"] / calls["compiled"], 1),
            goal=GOALS[workload.name],
            transaction_interpreted_us=round(transactions["interpreted"] * 1e6, 1),
            transaction_compiled_us=round(transactions["compiled"] * 1e6, 1),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", action="append", default=[], help="workloads whose name contains this")
    parser.add_argument("--seconds", type=float, default=0.2, help="of processor time per round and way")
    arguments = parser.parse_args()
    found = []
    if not arguments.json:
        print("| call | gas | py-evm us | interpreted us | compiled us | py-evm / compiled | goal | transaction us |")
        print("|---|---|---|---|---|---|---|---|")
    for result in results(arguments.only, arguments.seconds):
        found.append(result)
        if not arguments.json:
            print(
                f"| {result.name} | {result.gas_used:,} | {result.py_evm_us} | {result.interpreted_us} | "
                f"{result.compiled_us} | {result.ratio} | {result.goal} | "
                f"{result.transaction_interpreted_us} -> {result.transaction_compiled_us} |",
                flush=True,
            )
    if arguments.json:
        json.dump({"results": [asdict(one) for one in found]}, sys.stdout, indent=2)
        print()


if __name__ == "__main__":
    main()
