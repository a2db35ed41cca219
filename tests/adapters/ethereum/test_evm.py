"""The setting `evm` end to end: what a network answers is the same, and who runs the bytecode is not."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.ethereum.compiler import computation
from adapters.ethereum.compiler.program import Program, ProgramCache
from tests.adapters.ethereum.rpc_support import RECIPIENT, SENDER, RpcNetwork, artifact

TIMES = 12
"""More often than a code runs before it is compiled."""


@pytest.fixture(autouse=True)
def _a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests had compiled is not there."""
    fresh = {fork: ProgramCache(computation.interpret) for fork in ("cancun", "prague")}
    monkeypatch.setattr("adapters.ethereum.evm.shared_programs", fresh.__getitem__)


class Compiled:
    """Counts the traces made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.traces = 0
        original = Program.compile

        def compile_(program: Program, *arguments: Any) -> Any:
            self.traces += 1
            return original(program, *arguments)

        monkeypatch.setattr(Program, "compile", compile_)


async def answers(**settings: Any) -> list[Any]:
    """Deploy a token, send some of it often, once too much; return all that the network answers."""
    network = await RpcNetwork(**settings).ready()
    name = f"{5:064x}{b'Token'.hex().ljust(64, '0')}"
    constructor = f"{96:064x}{160:064x}{10**6:064x}" + name * 2
    token = await network.deploy(SENDER, artifact("contracts/artifacts/Token.json")["bytecode"] + constructor)
    recipient = network.accounts[RECIPIENT].address[2:].lower()
    transfer = "0xa9059cbb" + recipient.rjust(64, "0")
    found: list[Any] = [token]
    for amount in [*range(1, TIMES), 10**7]:
        sent = await network.send(SENDER, to=token, data=f"{transfer}{amount:064x}", gas=100_000)
        found.append(await network.call("eth_getTransactionReceipt", sent))
    balance = {"to": token, "data": "0x70a08231" + recipient.rjust(64, "0")}
    for _ in range(TIMES):
        found.append(await network.call("eth_call", balance, "latest", caller=RECIPIENT))
    found.append(await network.call("eth_estimateGas", {"to": token, "data": f"{transfer}{1:064x}"}))
    found.append(await network.error("eth_call", {"to": token, "data": f"{transfer}{10**7:064x}"}, "latest"))
    found.append(await network.call("eth_createAccessList", balance, "latest", caller=RECIPIENT))
    assert found[-4] == f"0x{sum(range(1, TIMES)):064x}"
    return found


@pytest.mark.parametrize("fork", ["cancun", "prague"])
async def test_answers_are_the_same_and_only_one_compiles(fork: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Compiled(monkeypatch)
    interpreted = await answers(fork=fork, evm="interpreted")
    assert made.traces == 0
    by_default = await answers(fork=fork)
    assert made.traces > 0
    assert by_default == interpreted
    assert await answers(fork=fork, evm="compiled") == interpreted
