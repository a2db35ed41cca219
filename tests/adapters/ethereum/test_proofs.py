"""coco_getTransactionReceiptProof: who gets one, and what its claims tell. The receipts themselves are core's."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
import pytest
import rlp
from eth_hash.auto import keccak

from core.adapter.interface import ANONYMOUS
from tests.adapters.ethereum.rpc_support import COMPETITOR, IDENTITIES, RECIPIENT, SENDER, RpcNetwork, account, initcode
from tests.adapters.ethereum.test_visibility import PLAIN_LOG, TOPIC_LOG, topic_of

METHOD = "coco_getTransactionReceiptProof"
UNKNOWN = "0x" + "11" * 32


async def proof(network: RpcNetwork, one: str, caller: Any = SENDER) -> Any:
    return await network.call(METHOD, one, caller=caller)


async def test_strangers_are_told_the_same_as_of_an_unknown_transaction() -> None:
    network = await RpcNetwork().ready()
    sent = await network.send(SENDER, to=network.accounts[RECIPIENT].address, value=5)

    async def bytes_of(one: str) -> bytes:
        request = {"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": [one]}
        return await network.raw(orjson.dumps(request), COMPETITOR)

    assert await bytes_of(sent) == await bytes_of(UNKNOWN) == b'{"jsonrpc":"2.0","id":1,"result":null}'
    for party in (SENDER, RECIPIENT):
        assert (await proof(network, sent, party))["claims"]["transactionHash"] == sent


@pytest.mark.parametrize("policy", ["members", "private"])
async def test_who_sees_a_log_only_or_not_all_of_them_gets_none(policy: str) -> None:
    network = await RpcNetwork(policy=policy).ready()
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    sent = await network.send(SENDER, to=contract, data=topic_of(network.accounts[RECIPIENT].address))
    assert await network.call("eth_getTransactionReceipt", sent, caller=RECIPIENT) is not None
    assert await proof(network, sent, RECIPIENT) is None
    assert await proof(network, sent, COMPETITOR) is None
    assert await proof(network, sent) is not None


async def test_who_sees_the_transaction_but_not_each_log_gets_none() -> None:
    """The recipient's account has code by delegation (EIP-7702), and the log is somebody's own contract's."""
    network = await RpcNetwork(policy="private", fork="prague").ready()
    contract = await network.deploy(SENDER, initcode(PLAIN_LOG))
    key = network.accounts[RECIPIENT]
    delegation = key.sign_authorization(
        {"chainId": 1337, "address": contract, "nonce": 0},
    )
    fees = {"maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
    await network.send(SENDER, to=account(9).address, authorizationList=[delegation], **fees)
    sent = await network.send(SENDER, to=key.address)
    assert (await network.call("eth_getTransactionByHash", sent, caller=RECIPIENT))["hash"] == sent
    seen = await network.call("eth_getTransactionReceipt", sent, caller=RECIPIENT)
    whole = await network.call("eth_getTransactionReceipt", sent)
    assert (len(seen["logs"]), len(whole["logs"])) == (0, 1)
    assert await proof(network, sent, RECIPIENT) is None
    assert await proof(network, sent) is not None


async def test_in_a_public_network_every_identity_gets_it() -> None:
    network = await RpcNetwork(policy="public").ready()
    sent = await network.send(SENDER, to=account(9).address, value=5)
    assert {str(await proof(network, sent, caller)) for caller in IDENTITIES} == {str(await proof(network, sent))}


async def test_claims_are_what_the_entry_commits_to() -> None:
    network = await RpcNetwork().ready()
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    sent = await network.send(SENDER, to=contract, data="0x" + "12" * 32)
    found = await proof(network, sent)
    claims = found["claims"]
    encoded = bytes.fromhex(claims["receipt"][2:])
    seqno = int(found["transactionId"].partition(".")[2])
    (entry,) = [one for one in network.harness.entries if one.seqno == seqno]
    assert entry.claims == hashlib.sha256(bytes.fromhex(sent[2:]) + encoded).digest()
    status, gas, bloom, logs = rlp.decode(encoded)
    shown = await network.call("eth_getTransactionReceipt", sent)
    assert (int.from_bytes(status), int.from_bytes(gas)) == (1, int(shown["gasUsed"], 16))
    assert "0x" + bloom.hex() == shown["logsBloom"]
    ((address, topics, data),) = logs
    assert "0x" + address.hex() == contract.lower()
    assert ["0x" + topic.hex() for topic in topics] == shown["logs"][0]["topics"]
    assert "0x" + data.hex() == shown["logs"][0]["data"]


async def test_claims_tell_nothing_of_others_in_the_block() -> None:
    """The cumulative gas of a block's second transaction would give away what the first one used."""
    told = []
    for gas_burnt in (0, 300):
        network = await RpcNetwork().ready()
        raws = [
            network.sign(network.accounts[COMPETITOR], to=account(9).address, data="0x" + "ff" * gas_burnt),
            network.sign(network.accounts[SENDER], to=account(9).address),
        ]
        replies = [orjson.loads(reply or b"null") for reply in await _together(network, raws)]
        sent = replies[1]["result"]
        block = await network.call("eth_getTransactionReceipt", sent)
        told.append((await proof(network, sent))["claims"])
        assert block["transactionIndex"] == "0x0"
    assert told[0] == told[1]


async def _together(network: RpcNetwork, raws: list[str]) -> list[bytes]:
    """Send transactions of several identities so that they share a block."""
    import asyncio

    before = network.harness.blocks
    bodies = [{"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]} for raw in raws]
    replies = await asyncio.gather(
        *(network.raw(orjson.dumps(body), caller) for body, caller in zip(bodies, (COMPETITOR, SENDER), strict=True))
    )
    assert network.harness.blocks == before + 1
    return list(replies)


async def test_other_entries() -> None:
    network = await RpcNetwork().ready()
    await network.send(SENDER, to=account(9).address)
    harness = network.harness
    given = {
        caller.identity: [one.seqno for one in harness.entries if harness.disclose(one.seqno, caller) is not None]
        for caller in (*IDENTITIES, ANONYMOUS)
    }
    # Genesis, then each identity's binding, then the sender's transaction; blocks are nobody's.
    assert {name: len(seqnos) for name, seqnos in given.items()} == {
        "sender": 2,
        "recipient": 1,
        "competitor": 1,
        None: 0,
    }
    assert not set(given["recipient"]) & set(given["sender"])
    binding = harness.disclose(given["recipient"][0], RECIPIENT)
    assert binding is not None
    assert binding.claims is None
    assert harness.disclose(harness.committed, SENDER) is None


async def test_an_address_that_is_moved_takes_the_proofs_of_its_transactions_along() -> None:
    network = await RpcNetwork().ready()
    sent = await network.send(SENDER, to=account(9).address)
    network.harness.advance_clock(5_000)
    await network.bind(COMPETITOR, network.accounts[SENDER])
    assert await proof(network, sent) is None
    assert await proof(network, sent, COMPETITOR) is not None


async def test_it_survives_a_restart_and_waits_for_its_batch() -> None:
    network = await RpcNetwork().ready()
    raw = network.sign(network.accounts[SENDER], to=account(9).address)
    sent = "0x" + keccak(bytes.fromhex(raw[2:])).hex()
    answers = await network.batch([("eth_sendRawTransaction", [raw]), (METHOD, [sent]), (METHOD, [UNKNOWN])])
    assert answers[1]["result"]["claims"]["transactionHash"] == sent
    assert answers[2]["result"] is None
    network.harness.restart()
    assert await proof(network, sent) == answers[1]["result"]


@pytest.mark.parametrize("params", [[], ["0x12"], [UNKNOWN, 1], [None]])
async def test_wrong_parameters(params: list[object]) -> None:
    network = await RpcNetwork(bind=False).ready()
    assert (await network.error(METHOD, *params))[0] == -32602
