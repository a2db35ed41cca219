"""EELS in the oracle environment, as a process of its own; cases are sent ahead so that it works beside the others."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.fuzz.case import CHAIN_ID, Case, ancestor_hash
from tests.fuzz.results import Result

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-oracle" / "bin" / "python"
SERVER = ROOT / "tests" / "oracle" / "server.py"
BLOCK_GAS_LIMIT = 60_000_000


def is_available() -> bool:
    """Say whether `make oracle` was run."""
    return PYTHON.is_file()


class Eels:
    """At most one case is under way: `send` it, do something else, then `receive`."""

    def __init__(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        self._process = subprocess.Popen(
            [str(PYTHON), "-I", str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __enter__(self) -> Eels:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()

    def send(self, case: Case, raws: list[bytes]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(_request(case, raws)) + "\n")
        self._process.stdin.flush()

    def receive(self) -> list[Result]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the EELS process ended with status {self._process.wait()}")
        return [_result(item) for item in json.loads(line)]

    def run(self, case: Case, raws: list[bytes]) -> list[Result]:
        self.send(case, raws)
        return self.receive()


def _request(case: Case, raws: list[bytes]) -> dict[str, Any]:
    return {
        "fork": case.fork,
        "chain_id": CHAIN_ID,
        "block_gas_limit": BLOCK_GAS_LIMIT,
        "number": case.number,
        "timestamp": case.timestamp,
        "base_fee": case.base_fee,
        "coinbase": case.coinbase.hex(),
        "prevrandao": case.prevrandao.hex(),
        "block_hashes": [ancestor_hash(number).hex() for number in range(max(0, case.number - 256), case.number)],
        "accounts": {
            address.hex(): [account.nonce, account.balance, account.code.hex(), dict(account.storage)]
            for address, account in case.accounts.items()
        },
        "transactions": [raw.hex() for raw in raws],
    }


def _result(item: dict[str, Any]) -> Result:
    state = {
        bytes.fromhex(address): (
            nonce,
            balance,
            bytes.fromhex(code_hash),
            {int(slot): value for slot, value in storage.items()},
        )
        for address, (nonce, balance, code_hash, storage) in item.get("state", {}).items()
    }
    if "crash" in item:
        return Result(crash=item["crash"])
    if "refused" in item:
        return Result(refused=item["refused"], state=state)
    return Result(
        success=item["success"],
        gas_used=item["gas_used"],
        output=bytes.fromhex(item["output"]),
        logs=tuple(
            (bytes.fromhex(address), tuple(map(bytes.fromhex, topics)), bytes.fromhex(data))
            for address, topics, data in item["logs"]
        ),
        error=item["error"],
        state=state,
    )
