"""`coco deploy`, `call` and `send` against a scripted node."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_abi.abi import encode
from eth_account import Account

from cli.store import ClientStore
from tests.cli.fake_chain import ABI, CONTRACT_ADDRESS, HASH, TOO_LARGE, Chain, hash_of
from tests.cli.runner import Coco


def test_deploy_then_use_by_name(coco: Coco, chain: Chain, artifact: Path, started: ClientStore) -> None:
    ran = coco("deploy", str(artifact), "Carrier AG", "1_000", "--json")
    assert ran.json == {
        "contract": "Register",
        "address": CONTRACT_ADDRESS,
        "transaction": HASH,
        "block": 5,
        "gas_used": 21_000,
    }
    assert Account.recover_transaction(chain.raw[0]) == coco("account", "show", "alice", "--json").json["address"]
    assert encode(["string", "uint256"], ["Carrier AG", 1000]).hex() in chain.raw[0]
    record = started.contract("Register")
    assert record is not None
    assert record.address == CONTRACT_ADDRESS

    ran = coco("call", "Register", "get", "--json")
    assert ran.json["values"] == ["-7", CONTRACT_ADDRESS]
    assert ran.json["names"] == ["value", "by"]
    assert coco("call", CONTRACT_ADDRESS.lower(), "get").out == f"value: -7\nby: {CONTRACT_ADDRESS}\n"
    assert "from" not in chain.calls[0][0]
    coco("call", "Register", "get", "--account", "alice", "--block", "16", "--value", "1gwei")
    request, block = chain.calls[-1]
    assert (block, request["value"]) == ("0x10", hex(10**9))
    assert request["from"] == coco("account", "show", "alice", "--json").json["address"]

    ran = coco("send", "Register", "set", "--json", "--", "-5")
    assert ran.json == {"transaction": HASH, "block": 5, "gas_used": 21_000, "logs": 1}


def test_the_constructors_arguments_may_be_announced(coco: Coco, chain: Chain, artifact: Path) -> None:
    coco("deploy", str(artifact), "--name", "mine", "--args", "x", "1")
    assert coco("call", "mine", "get").code == 0


def test_send_ether(coco: Coco, chain: Chain) -> None:
    coco("account", "new", "bob", "--no-password")
    coco("send", "bob", "--value", "1.5ether", "--account", "alice")
    coco("send", CONTRACT_ADDRESS, "--value", "1", "--gas", "30000", "--account", "alice")
    assert hex(15 * 10**17)[2:] in chain.raw[0]
    assert len(chain.raw) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["call", "Nobody", "get"], "no contract Nobody of network demo was deployed from here"),
        (["call", "../etc", "get"], "no contract ../etc of network demo was deployed"),
        (["call", CONTRACT_ADDRESS, "get"], "the ABI of 0x2c75"),
        (["call", "0x12", "get"], "'0x12' is not an address"),
        (["send", "bob", "--value", "1"], "bob is no account or contract"),
        (["send", CONTRACT_ADDRESS], "nothing to send"),
        (["send", CONTRACT_ADDRESS, "--value", "-1"], "-1 is no amount"),
        (["send", CONTRACT_ADDRESS, "--value", "lots"], "not a number: 'lots'"),
        (["send", "x", "--value", "1", "--account", "carol"], "there is no account carol on network demo"),
        (["call", CONTRACT_ADDRESS, "get", "--abi", "/none"], "there is no file /none"),
        (["call", CONTRACT_ADDRESS, "get", "--identity", "x"], "ABI of"),
    ],
)
def test_wrong_use(coco: Coco, chain: Chain, arguments: list[str], message: str) -> None:
    ran = coco(*arguments, code=2)
    assert message in ran.err
    assert chain.raw == []


def test_a_bad_name_deploys_nothing(coco: Coco, chain: Chain, artifact: Path) -> None:
    ran = coco("deploy", str(artifact), "x", "1", "--name", "../../escaped", code=2)
    assert "is no name for a contract" in ran.err
    assert chain.raw == []


OWNED = [
    {"type": "constructor", "inputs": [{"name": "owner", "type": "address"}]},
    {"type": "function", "name": "give", "inputs": [{"name": "to", "type": "address"}], "outputs": []},
    {"type": "function", "name": "give_all", "inputs": [{"name": "to", "type": "address[]"}], "outputs": []},
    {"type": "function", "name": "of", "inputs": [{"name": "who", "type": "address"}], "outputs": []},
]


@pytest.fixture
def owned(tmp_path: Path) -> Path:
    file = tmp_path / "Owned.json"
    file.write_text(json.dumps({"contractName": "Owned", "abi": OWNED, "bytecode": "0x6001"}))
    return file


def test_names_stand_for_addresses_in_arguments(coco: Coco, chain: Chain, owned: Path) -> None:
    bob = coco("account", "new", "bob-key", "--no-password", "--json").json["address"]
    coco("deploy", str(owned), "bob-key", "-a", "alice")
    assert encode(["address"], [bob]).hex() in chain.raw[-1]
    coco("send", "Owned", "give", "bob-key", "-a", "alice")
    assert encode(["address"], [bob]).hex() in chain.raw[-1]
    coco("send", "Owned", "give", "Owned", "-a", "alice")
    assert encode(["address"], [CONTRACT_ADDRESS]).hex() in chain.raw[-1]
    coco("send", "Owned", "give_all", f'["bob-key", "Owned", "{CONTRACT_ADDRESS}"]', "-a", "alice")
    assert encode(["address[]"], [[bob, CONTRACT_ADDRESS, CONTRACT_ADDRESS]]).hex() in chain.raw[-1]
    chain.call_result = "0x"
    coco("call", "Owned", "of", "bob-key")
    assert encode(["address"], [bob]).hex() in chain.calls[-1][0]["data"]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("carol", "argument to (address): carol is no account or contract of network demo"),
        ("0x12", "argument to (address): '0x12' is not an address"),
        ("../alice", "../alice is no account or contract"),
        ("", " is no account or contract"),
        ("both", "both is both an account and a contract of network demo"),
    ],
)
def test_names_that_stand_for_nothing(coco: Coco, chain: Chain, owned: Path, argument: str, message: str) -> None:
    coco("account", "new", "both", "--no-password")
    coco("deploy", str(owned), CONTRACT_ADDRESS, "--name", "both", "-a", "alice")
    coco("deploy", str(owned), CONTRACT_ADDRESS, "-a", "alice")
    sent = len(chain.raw)
    assert message in coco("send", "Owned", "give", argument, "-a", "alice", code=2).err
    assert len(chain.raw) == sent


def test_wrong_arguments_send_nothing(coco: Coco, chain: Chain, artifact: Path) -> None:
    ran = coco("deploy", str(artifact), "only-one", code=2)
    assert "It is constructor(string owner, uint256 limit)." in ran.err
    coco("deploy", str(artifact), "x", "1")
    ran = coco("send", "Register", "set", "many", code=2)
    assert "argument value (int256): not a number: 'many'" in ran.err
    ran = coco("call", "Register", "missing", code=2)
    assert "It has get(), set(int256)." in ran.err
    ran = coco("call", "Register", "get", "--block", "newest", code=2)
    assert "not a number" in ran.err
    assert len(chain.raw) == 1


@pytest.mark.parametrize("content", ["{", "[1]", '{"abi": 3}', "3"])
def test_a_file_that_is_no_abi(coco: Coco, chain: Chain, tmp_path: Path, content: str) -> None:
    file = tmp_path / "abi.json"
    file.write_text(content)
    assert str(file) in coco("call", CONTRACT_ADDRESS, "get", "--abi", str(file), code=2).err


def test_an_abi_of_a_file(coco: Coco, chain: Chain, tmp_path: Path) -> None:
    file = tmp_path / "abi.json"
    file.write_text(json.dumps(ABI))
    assert "value: -7" in coco("call", CONTRACT_ADDRESS, "get", "--abi", str(file)).out


def test_an_answer_that_is_not_what_the_abi_says(coco: Coco, chain: Chain, artifact: Path) -> None:
    coco("deploy", str(artifact), "x", "1")
    chain.call_result = "0x"
    assert "the answer is not what get() returns" in coco("call", "Register", "get", code=2).err


def test_reverts_are_explained(coco: Coco, chain: Chain, artifact: Path) -> None:
    coco("deploy", str(artifact), "x", "1")
    chain.errors["eth_estimateGas"] = {"code": 3, "message": "execution reverted", "data": TOO_LARGE}
    ran = coco("send", "Register", "set", "10", code=9)
    assert "reverted: TooLarge(limit=9)" in ran.err
    assert len(chain.raw) == 1
    chain.errors["eth_call"] = {"code": 3, "message": "execution reverted", "data": "0x"}
    assert "reverted without a reason" in coco("call", "Register", "get", code=9).err


def test_a_transaction_that_reverts_names_its_hash(coco: Coco, chain: Chain, artifact: Path) -> None:
    coco("deploy", str(artifact), "x", "1")
    chain.receipt["status"] = "0x0"
    chain.errors["eth_call"] = {"code": 3, "message": "execution reverted", "data": TOO_LARGE}
    ran = coco("send", "Register", "set", "10", "--gas", "50_000".replace("_", ""), code=9)
    assert "the transaction reverted: TooLarge(limit=9)" in ran.err
    assert hash_of(chain.raw[-1]) in ran.err
    del chain.errors["eth_call"]
    assert "the transaction failed" in coco("send", "Register", "set", "10", code=9).err


def test_a_refusal_of_the_node(coco: Coco, chain: Chain, artifact: Path) -> None:
    chain.errors["eth_sendRawTransaction"] = {"code": -32001, "message": "address 0x.. is not bound"}
    ran = coco("deploy", str(artifact), "x", "1", code=8)
    assert "is not bound" in ran.err
    assert "coco account bind" in ran.err
    assert ran.out == ""


@pytest.mark.usefixtures("quick_passwords")
def test_a_wrong_password(coco: Coco, chain: Chain, artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coco("account", "new", "carol", input="right\nright\n")
    ran = coco("deploy", str(artifact), "x", "1", "--account", "carol", input="wrong\n", code=1)
    assert "the password of account carol is wrong" in ran.err
    monkeypatch.setenv("COCO_PASSWORD", "right")
    coco("deploy", str(artifact), "x", "1", "--account", "carol")
    assert len(chain.raw) == 1


def test_a_damaged_contract_record_is_named(coco: Coco, chain: Chain, artifact: Path, started: ClientStore) -> None:
    coco("deploy", str(artifact), "x", "1")
    file = started.directory / "contracts" / "Register.json"
    file.write_text("{}")
    assert f"{file} is damaged" in coco("call", "Register", "get", code=6).err


def test_several_accounts_and_none_chosen(coco: Coco, chain: Chain, started: ClientStore) -> None:
    (started.directory / "current.json").unlink()
    coco("account", "new", "bob", "--no-password")
    assert json.loads((started.directory / "current.json").read_text())["account"] == "bob"
    (started.directory / "current.json").unlink()
    ran = coco("send", CONTRACT_ADDRESS, "--value", "1", code=2)
    assert "Give --account NAME (alice, bob)." in ran.err
