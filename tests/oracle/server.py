"""EELS, the executable specification, behind pipes: a case a line in, its results a line out (JSON).

Runs with the interpreter of the oracle environment (`make oracle`) and imports nothing of the project. Whatever
process_transaction raises as EthereumException is a refusal; any other exception is EELS's own and reported as a crash.
One thing is not EELS's: the point evaluation precompile fails, as it does on a network without blobs.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from typing import Any

from ethereum.crypto.hash import keccak256
from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp
from ethereum_rlp.exceptions import RLPException
from ethereum_types.bytes import Bytes, Bytes32
from ethereum_types.numeric import U64, U256, Uint

RECURSION_LIMIT = 20_000
"""EELS calls itself some ten frames deep per call of the EVM."""


POINT_EVALUATION = bytes(19) + b"\x0a"


def _refuse(error: type[Exception]) -> Callable[[Any], None]:
    def refuse(evm: Any) -> None:
        raise error

    return refuse


class Fork:
    """One fork's modules, with hooks on what a transaction's result is made from."""

    def __init__(self, name: str) -> None:
        package = f"ethereum.forks.{name}"
        self.fork: Any = importlib.import_module(f"{package}.fork")
        self.state: Any = importlib.import_module(f"{package}.state")
        self.trie: Any = importlib.import_module(f"{package}.trie")
        self.types: Any = importlib.import_module(f"{package}.fork_types")
        self.transactions: Any = importlib.import_module(f"{package}.transactions")
        self.vm: Any = importlib.import_module(f"{package}.vm")
        interpreter: Any = importlib.import_module(f"{package}.vm.interpreter")
        mapping: Any = importlib.import_module(f"{package}.vm.precompiled_contracts.mapping")
        exceptions: Any = importlib.import_module(f"{package}.vm.exceptions")
        mapping.PRE_COMPILED_CONTRACTS[self.types.Address(POINT_EVALUATION)] = _refuse(exceptions.ExceptionalHalt)
        self.output = b""
        self.error: Any = None
        # The outermost message ends last, so that its output is the one that stays.
        interpreter.process_message = self._observed(interpreter.process_message)
        interpreter.process_create_message = self._observed(interpreter.process_create_message)
        self.fork.make_receipt = self._observed_receipt(self.fork.make_receipt)

    def _observed(self, process: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def observed(message: Any) -> Any:
            evm = process(message)
            self.output = bytes(evm.output)
            return evm

        return observed

    def _observed_receipt(self, make_receipt: Callable[..., Any]) -> Callable[..., Any]:
        def observed(transaction: Any, error: Any, *others: Any) -> Any:
            self.error = error
            return make_receipt(transaction, error, *others)

        return observed

    def run(self, case: dict[str, Any]) -> list[dict[str, Any]]:
        state = self._state(case["accounts"])
        environment = self._environment(case, state)
        opened, results, output = False, [], self.vm.BlockOutput()
        for place, raw in enumerate(case["transactions"]):
            before = None if opened else self._copy(state)
            if not opened:
                self._open(environment)
            result = self._apply(environment, output, bytes.fromhex(raw), place)
            if "gas_used" in result:
                opened = True
            elif before is not None:
                state._main_trie, state._storage_tries = before
            result["state"] = self._dump(state)
            results.append(result)
            if "crash" in result:
                break
        return results

    def _state(self, accounts: dict[str, Any]) -> Any:
        state = self.state.State()
        for text, (nonce, balance, code, storage) in accounts.items():
            if not (nonce or balance or code or storage):
                # There has been no empty account in any state since EIP-161.
                continue
            address = self.types.Address(bytes.fromhex(text))
            account = self.types.Account(nonce=Uint(nonce), balance=U256(balance), code=Bytes(bytes.fromhex(code)))
            self.state.set_account(state, address, account)
            for slot, value in storage.items():
                self.state.set_storage(state, address, Bytes32(int(slot).to_bytes(32, "big")), U256(value))
        return state

    def _environment(self, case: dict[str, Any], state: Any) -> Any:
        return self.vm.BlockEnvironment(
            chain_id=U64(case["chain_id"]),
            state=state,
            block_gas_limit=Uint(case["block_gas_limit"]),
            block_hashes=[Bytes32(bytes.fromhex(text)) for text in case["block_hashes"]],
            coinbase=self.types.Address(bytes.fromhex(case["coinbase"])),
            number=Uint(case["number"]),
            base_fee_per_gas=Uint(case["base_fee"]),
            time=U256(case["timestamp"]),
            prev_randao=Bytes32(bytes.fromhex(case["prevrandao"])),
            excess_blob_gas=U64(0),
            parent_beacon_block_root=Bytes32(bytes(32)),
        )

    def _open(self, environment: Any) -> None:
        """Call the system contracts that the case has, as apply_body does."""
        calls = [(self.fork.BEACON_ROOTS_ADDRESS, environment.parent_beacon_block_root)]
        if hasattr(self.fork, "HISTORY_STORAGE_ADDRESS"):
            calls.append((self.fork.HISTORY_STORAGE_ADDRESS, environment.block_hashes[-1]))
        system_call = getattr(self.fork, "process_unchecked_system_transaction", None)
        for address, data in calls:
            if self.state.get_account(environment.state, address).code:
                system_call(environment, address, data)

    def _apply(self, environment: Any, output: Any, raw: bytes, place: int) -> dict[str, Any]:
        self.output = b""
        used, logs = int(output.block_gas_used), len(output.block_logs)
        try:
            if raw[0] >= 0xC0:
                transaction = rlp.decode_to(self.transactions.LegacyTransaction, raw)
            else:
                transaction = self.transactions.decode_transaction(Bytes(raw))
            self.fork.process_transaction(environment, output, transaction, Uint(place))
        except (EthereumException, RLPException) as error:
            return {"refused": f"{type(error).__name__}: {error}"}
        except Exception as error:  # noqa: BLE001 - told apart from a refusal, and reported
            return {"crash": f"{type(error).__name__}: {error}"}
        error = self.error
        return {
            "gas_used": int(output.block_gas_used) - used,
            "success": error is None,
            "error": "" if error is None else f"{type(error).__name__}: {error}",
            "output": self.output.hex(),
            "logs": [
                [log.address.hex(), [topic.hex() for topic in log.topics], bytes(log.data).hex()]
                for log in output.block_logs[logs:]
            ],
        }

    def _copy(self, state: Any) -> tuple[Any, Any]:
        copy = self.trie.copy_trie
        return copy(state._main_trie), {key: copy(trie) for key, trie in state._storage_tries.items()}

    def _dump(self, state: Any) -> dict[str, Any]:
        dumped = {}
        for address, account in state._main_trie._data.items():
            trie = state._storage_tries.get(address)
            slots = {} if trie is None else trie._data
            storage = {str(int.from_bytes(slot, "big")): int(value) for slot, value in slots.items()}
            if account.nonce or account.balance or account.code or storage:
                code_hash = keccak256(account.code).hex()
                dumped[address.hex()] = [int(account.nonce), int(account.balance), code_hash, storage]
        return dumped


def main() -> None:
    sys.setrecursionlimit(RECURSION_LIMIT)
    forks = {name: Fork(name) for name in ("cancun", "prague")}
    for line in sys.stdin:
        case = json.loads(line)
        sys.stdout.write(json.dumps(forks[case["fork"]].run(case)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
