"""What the code of a call is told of accounts that its caller does not see: nothing; contracts work all the same."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.ethereum import chain
from tests.adapters.ethereum.rpc_support import COMPETITOR, SENDER, RpcNetwork, account, artifact, initcode
from tests.adapters.ethereum.test_visibility import WEB3, checker

RETURN_WORD = "5f5260205ff3"
SELF_BALANCE = "47" + RETURN_WORD
READ_BALANCE = "5f3531" + RETURN_WORD
"""Runtime: BALANCE of the address in the call data."""
READ_HASH = "5f353f" + RETURN_WORD
PAY = "5f5f5f5f6020355f355af1" + RETURN_WORD
"""Runtime: sends the second word in wei to the address in the first."""
MULTICALL = "0xcA11bde05977b3631167028862bE2a173976CA11"
FUNDED = 10**21
EMPTY_HASH = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
ZERO = "0x" + "00" * 32


def word(value: str | int) -> str:
    return value[2:].lower().rjust(64, "0") if isinstance(value, str) else f"{value:064x}"


def read_of(instruction: str, address: str) -> dict[str, Any]:
    """Return a call whose own code reads an account."""
    return {"data": "0x73" + address[2:] + instruction + RETURN_WORD}


def number(answer: str) -> int:
    return int(answer, 16)


@pytest.fixture(params=["members", "private"])
async def network(request: pytest.FixtureRequest) -> RpcNetwork:
    return await RpcNetwork(policy=request.param).ready()


async def test_the_callers_code_reads_no_foreign_balance(network: RpcNetwork) -> None:
    victim = network.accounts[SENDER].address
    assert number(await network.call("eth_call", read_of("31", victim), caller=COMPETITOR)) == 0
    assert number(await network.call("eth_call", read_of("31", victim))) == FUNDED
    own = network.accounts[COMPETITOR].address
    assert number(await network.call("eth_call", read_of("31", own), caller=COMPETITOR)) == FUNDED


async def test_an_unseen_account_does_not_exist(network: RpcNetwork) -> None:
    victim, nobody = network.accounts[SENDER].address, account(77).address
    for instruction in ("31", "3b", "3f"):
        answers = [
            await network.call("eth_call", read_of(instruction, one), caller=COMPETITOR) for one in (victim, nobody)
        ]
        assert answers == [ZERO, ZERO]
    estimates = [
        await network.call(
            "eth_estimateGas",
            {"to": await network.deploy(COMPETITOR, initcode(PAY)), "value": "0x1", "data": "0x" + word(one) + word(1)},
            caller=COMPETITOR,
        )
        for one in (victim, nobody)
    ]
    assert estimates[0] == estimates[1]


async def test_deployed_code_reads_no_foreign_balance_either(network: RpcNetwork) -> None:
    victim = network.accounts[SENDER].address
    reader = await network.deploy(COMPETITOR, initcode(READ_BALANCE))
    assert number(await network.call("eth_call", {"to": reader, "data": "0x" + word(victim)}, caller=COMPETITOR)) == 0
    multicall = WEB3.eth.contract(
        abi=[
            {
                "type": "function",
                "name": "getEthBalance",
                "inputs": [{"name": "a", "type": "address"}],
                "outputs": [{"name": "", "type": "uint256"}],
                "stateMutability": "view",
            }
        ]
    )
    call = {"to": MULTICALL, "data": multicall.encode_abi("getEthBalance", [victim])}
    assert number(await network.call("eth_call", call, caller=COMPETITOR)) == 0
    assert number(await network.call("eth_call", call)) == FUNDED


async def test_a_contract_has_its_own_balance(network: RpcNetwork) -> None:
    vault = await network.deploy(SENDER, initcode(SELF_BALANCE))
    await network.send(SENDER, to=vault, value=55)
    assert number(await network.call("eth_call", {"to": vault}, caller=COMPETITOR)) == 55
    own_code = await network.deploy(SENDER, initcode("3031" + RETURN_WORD))
    await network.send(SENDER, to=own_code, value=66)
    assert number(await network.call("eth_call", {"to": own_code}, caller=COMPETITOR)) == 66
    # Others' code reads what it received in this call, and not what it had.
    assert number(await network.call("eth_call", read_of("31", vault), caller=COMPETITOR)) == 0
    pay_and_read = "5f5f5f5f6007" + f"73{vault[2:]}5af150" + f"73{vault[2:]}31" + RETURN_WORD
    call = {"data": "0x" + pay_and_read, "value": "0x9"}
    assert number(await network.call("eth_call", call, caller=COMPETITOR)) == 7


async def test_a_contract_pays_in_an_estimate_as_in_the_transaction(network: RpcNetwork) -> None:
    vault = await network.deploy(SENDER, initcode(PAY))
    await network.send(SENDER, to=vault, value=100)
    to = account(9).address
    call = {"to": vault, "data": "0x" + word(to) + word(40)}
    assert number(await network.call("eth_call", call, caller=COMPETITOR)) == 1
    gas = number(await network.call("eth_estimateGas", call, caller=COMPETITOR))
    await network.send(COMPETITOR, to=vault, data=call["data"], gas=gas)
    state = network.harness.transaction()
    assert chain.account(state, bytes.fromhex(to[2:])).balance == 40


async def test_a_transaction_reads_what_is_true() -> None:
    """The EVM is exact where it writes: hiding ends with what is on the record."""
    network = await RpcNetwork().ready()
    store = await network.deploy(COMPETITOR, initcode("5f35315f5260205fa000"))
    sent = await network.send(COMPETITOR, to=store, data="0x" + word(network.accounts[SENDER].address))
    (log,) = (await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR))["logs"]
    assert int(log["data"], 16) == FUNDED


async def test_a_public_network_hides_nothing() -> None:
    network = await RpcNetwork(policy="public").ready()
    victim = network.accounts[SENDER].address
    assert number(await network.call("eth_call", read_of("31", victim), caller=COMPETITOR)) == FUNDED
    assert await network.call("eth_call", read_of("3f", victim), caller=COMPETITOR) == EMPTY_HASH


async def test_the_callers_code_reads_no_hidden_code() -> None:
    network = await RpcNetwork(policy="private").ready()
    secret = await network.deploy(SENDER, initcode("60426000f3" + "5b" * 40))
    copy = {"data": "0x60205f5f73" + secret[2:] + "3c60205ff3"}
    assert await network.call("eth_call", copy, caller=COMPETITOR) == ZERO
    assert await network.call("eth_call", copy) == "0x60426000f3" + "5b" * 27
    assert await network.call("eth_call", read_of("3f", secret), caller=COMPETITOR) == EMPTY_HASH
    assert await network.call("eth_call", read_of("3f", secret)) != EMPTY_HASH
    assert number(await network.call("eth_call", read_of("3b", secret), caller=COMPETITOR)) == 45
    helper = await network.deploy(COMPETITOR, initcode(READ_HASH))
    asked = await network.call("eth_call", {"to": helper, "data": "0x" + word(secret)}, caller=COMPETITOR)
    assert asked == await network.call("eth_call", read_of("3f", secret))  # deployed code is on the record


async def test_no_funds_come_from_the_zero_address() -> None:
    network = await RpcNetwork(bind=False, alloc={"0x" + "00" * 20: {"balance": "99"}}).ready()
    call = {"to": account(9).address, "value": "0x1"}
    for method in ("eth_call", "eth_estimateGas"):
        code, text = await network.error(method, call)
        assert (code, text.startswith("insufficient funds for transfer")) == (-32000, True), text


SUPPLY_CHAIN = artifact("supply_chain/artifacts/SupplyChain.json")


async def test_tools_batch_reads_still_work(network: RpcNetwork) -> None:
    """Multicall3's aggregate over a contract's own views, as viem and ethers send it."""
    address = await network.deploy(SENDER, SUPPLY_CHAIN["bytecode"])
    supports = "0x01ffc9a7" + "01ffc9a7".ljust(64, "0")
    aggregate = WEB3.eth.contract(
        abi=[
            {
                "type": "function",
                "name": "aggregate3",
                "inputs": [
                    {
                        "name": "calls",
                        "type": "tuple[]",
                        "components": [
                            {"name": "target", "type": "address"},
                            {"name": "allowFailure", "type": "bool"},
                            {"name": "callData", "type": "bytes"},
                        ],
                    }
                ],
                "outputs": [],
                "stateMutability": "payable",
            }
        ]
    )
    data = aggregate.encode_abi(
        "aggregate3", [[(WEB3.to_checksum_address(address), False, bytes.fromhex(supports[2:]))] * 3]
    )
    answer = await network.call("eth_call", {"to": MULTICALL, "data": data}, caller=COMPETITOR)
    assert answer.count(word(1)) >= 3


async def test_a_check_is_told_what_its_reader_sees(network: RpcNetwork) -> None:
    """A contract that admits by somebody's balance would tell it: to a reader, others have none."""
    victim, reader = network.accounts[SENDER].address, network.accounts[COMPETITOR].address
    for owner, admitted in ((victim, False), (reader, True)):
        contract = await network.deploy(SENDER, initcode(checker(f"73{owner[2:]}311515{RETURN_WORD}")))
        sent = await network.send(SENDER, to=contract, data="0x" + "00" * 32)
        receipt = await network.call("eth_getTransactionReceipt", sent, caller=COMPETITOR)
        assert (receipt is not None) == admitted
