"""State overrides: one's own accounts may be otherwise, nobody else's, and no contract opens by one."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.ethereum.override_arguments import OVERRIDES_MAX, SLOTS_MAX
from tests.adapters.ethereum.rpc_support import COMPETITOR, RECIPIENT, SENDER, RpcNetwork, account, initcode
from tests.adapters.ethereum.test_call_state import RETURN_WORD, ZERO, read_of

READ_SLOT_0 = "5f54" + RETURN_WORD
METHODS = ("eth_call", "eth_estimateGas", "eth_createAccessList")


def refusal(address: str) -> tuple[int, str]:
    return (
        -32000,
        f"state override of {address} refused: only addresses bound to your identity may be overridden on this network",
    )


@pytest.fixture(params=["members", "private"])
async def network(request: pytest.FixtureRequest) -> RpcNetwork:
    return await RpcNetwork(policy=request.param).ready()


async def test_own_accounts_may_be_overridden(network: RpcNetwork) -> None:
    own = network.accounts[COMPETITOR].address
    richer = {own: {"balance": hex(10**30), "nonce": "0x99"}}
    ask = read_of("31", own)
    assert int(await network.call("eth_call", ask, "latest", richer, caller=COMPETITOR), 16) == 10**30
    send = {"to": account(9).address, "value": hex(10**29)}
    assert await network.call("eth_estimateGas", send, "latest", richer, caller=COMPETITOR) == "0x5208"
    assert (await network.error("eth_estimateGas", send, "latest", caller=COMPETITOR))[0] == -32000
    code = {own: {"code": "0x" + READ_SLOT_0, "stateDiff": {ZERO: "0x" + "2a".rjust(64, "0")}}}
    assert int(await network.call("eth_call", {"to": own}, "latest", code, caller=COMPETITOR), 16) == 42
    code = {own: {"code": "0x" + READ_SLOT_0, "state": {}}}
    assert int(await network.call("eth_call", {"to": own}, "latest", code, caller=COMPETITOR), 16) == 0
    assert int(await network.call("eth_getBalance", own, caller=COMPETITOR), 16) == 10**21


@pytest.mark.parametrize(
    "override",
    [
        {"balance": "0x1"},
        {"nonce": "0x1"},
        {"code": "0x" + READ_SLOT_0},
        {"code": "0x" + READ_SLOT_0, "state": {}},
        {"state": {}},
        {"stateDiff": {ZERO: ZERO}},
        {},
    ],
)
async def test_other_accounts_may_not(network: RpcNetwork, override: dict[str, Any]) -> None:
    contract = await network.deploy(COMPETITOR, initcode(READ_SLOT_0))
    checksummed = (await network.error("eth_call", {}, "latest", {contract: override}, caller=COMPETITOR))[1].split()[3]
    assert checksummed.lower() == contract
    for address in (network.accounts[RECIPIENT].address, account(77).address, checksummed):
        for method in METHODS:
            found = await network.error(method, {"to": contract}, "latest", {address: override}, caller=COMPETITOR)
            assert found == refusal(address)


async def test_no_override_asks_in_anothers_name(network: RpcNetwork) -> None:
    """A contract that tells a secret to one address only: code put at that address would be told it."""
    named = account(60).address
    refuse, tell = "5f" + RETURN_WORD, "5b6042" + RETURN_WORD
    test = f"73{named[2:]}3314"
    at_tell = len(test + "600057" + refuse) // 2
    gate = f"{test}60{at_tell:02x}57{refuse}{tell}"
    contract = await network.deploy(SENDER, initcode(gate))
    await network.bind(RECIPIENT, account(60))
    told = await network.call("eth_call", {"to": contract, "from": named}, caller=RECIPIENT)
    assert int(told, 16) == 0x42
    assert int(await network.call("eth_call", {"to": contract}, caller=COMPETITOR), 16) == 0
    forward = "60205f5f5f5f73" + contract[2:] + "5af15060205ff3"
    for address in (named, account(61).address):
        found = await network.error(
            "eth_call", {"to": address}, "latest", {address: {"code": "0x" + forward}}, caller=COMPETITOR
        )
        assert found == refusal(address)


async def test_a_public_network_allows_all() -> None:
    network = await RpcNetwork(policy="public").ready()
    contract = await network.deploy(SENDER, initcode(READ_SLOT_0))
    value = "0x" + "2a".rjust(64, "0")
    for override in ({"stateDiff": {ZERO: value}}, {"state": {ZERO: value}}, {"code": "0x602a" + RETURN_WORD}):
        found = await network.call("eth_call", {"to": contract}, "latest", {contract: override}, caller=COMPETITOR)
        assert int(found, 16) == 42
    assert int(await network.call("eth_call", {"to": contract}), 16) == 0


async def test_an_identity_without_addresses_overrides_nothing() -> None:
    network = await RpcNetwork(bind=False).ready()
    zero = "0x" + "00" * 20
    assert await network.error("eth_call", {}, "latest", {zero: {"balance": "0x1"}}) == refusal(zero)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "json: cannot unmarshal number into Go value of type override.StateOverride"),
        ({"0x12": {}}, "hex string has length 2, want 40 for common.Address"),
        ({"0x" + "12" * 20: 5}, "json: cannot unmarshal number into Go value of type override.OverrideAccount"),
        (
            {"0x" + "12" * 20: {"state": {}, "stateDiff": {}}},
            f"account 0x{'12' * 20} has both 'state' and 'stateDiff'",
        ),
        (
            {"0x" + "12" * 20: {"movePrecompileToAddress": "0x" + "12" * 20}},
            "state override 'movePrecompileToAddress' is not supported by this network",
        ),
        ({"0x" + "12" * 20: {"code": "0x" + "00" * 24_577}}, "code of 24577 bytes; the bound is 24576"),
        ({"0x" + "ab" * 20: {}, "0x" + "AB" * 20: {}}, "an account is overridden twice"),
        ({f"0x{n:040x}": {} for n in range(OVERRIDES_MAX + 1)}, f"more than {OVERRIDES_MAX} state overrides"),
        (
            {"0x" + "12" * 20: {"state": {f"0x{n:064x}": ZERO for n in range(SLOTS_MAX + 1)}}},
            f"more than {SLOTS_MAX} overridden storage slots",
        ),
        (
            {"0x" + "12" * 20: {"stateDiff": {"0x0": ZERO}}},
            "json: cannot unmarshal hex string of odd length into Go struct field OverrideAccount.stateDiff of type "
            "common.Hash",
        ),
    ],
)
async def test_overrides_that_do_not_parse(value: object, text: str) -> None:
    network = await RpcNetwork().ready()
    assert await network.error("eth_call", {}, "latest", value) == (-32602, f"invalid argument 2: {text}")
