"""`coco account` without a node: keystores, passwords, imports, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from adapters.ethereum.binding import BindingMessages
from cli.account import bind_account, check_bind_message
from cli.connection import Connection
from cli.wallet import Wallet
from core.errors import AuthenticationFailed
from tests.cli.runner import Coco

pytestmark = pytest.mark.usefixtures("stand_in_adapters", "network")

KEY = "0x4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
ADDRESS = "0x2c7536E3605D9C16a7a3D7b1898e529396a65c23"
"""The example account of web3.js's and eth-account's documentation."""


def test_an_account_without_a_password_says_so(coco: Coco, home: Path) -> None:
    ran = coco("account", "new", "alice", "--no-password", "--json")
    assert ran.json["password"] is False
    assert ran.json["identity"] is None
    assert "local development only" in ran.err
    document = json.loads(Path(ran.json["keystore"]).read_text())
    assert document["version"] == 3
    account = Wallet(home / "clients/demo/accounts").unlock("alice", "")
    assert account.address == ran.json["address"]
    assert account.key.hex() not in json.dumps(document)


def test_a_password_protects(coco: Coco, home: Path) -> None:
    """The one test at full work; the others lower it, since each derivation takes most of a second."""
    ran = coco("account", "new", "alice", "--json", input="correct horse\ncorrect horse\n")
    assert ran.json["password"] is True
    document = json.loads(Path(ran.json["keystore"]).read_text())
    assert document["crypto"]["kdfparams"]["n"] == 262_144
    wallet = Wallet(home / "clients/demo/accounts")
    assert wallet.unlock("alice", "correct horse").address == ran.json["address"]


@pytest.mark.usefixtures("quick_passwords")
def test_a_wrong_password_is_refused(coco: Coco, home: Path) -> None:
    coco("account", "new", "alice", input="correct horse\ncorrect horse\n")
    wallet = Wallet(home / "clients/demo/accounts")
    assert wallet.find("alice").protected
    for wrong in ("wrong", "", "correct horse "):
        with pytest.raises(AuthenticationFailed, match="the password of account alice is wrong"):
            wallet.unlock("alice", wrong)


@pytest.mark.usefixtures("quick_passwords")
def test_passwords_from_a_file_and_the_environment(
    coco: Coco, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_text("secret\n")
    coco("account", "new", "alice", "--password-file", str(file))
    monkeypatch.setenv("COCO_PASSWORD", "")
    assert coco("account", "new", "bob", "--json").json["password"] is False
    wallet = Wallet(home / "clients/demo/accounts")
    assert wallet.unlock("alice", "secret").address == wallet.find("alice").address
    file.write_bytes(b"\xff")
    assert "not UTF-8" in coco("account", "new", "carol", "--password-file", str(file), code=2).err
    assert "there is no password file" in coco("account", "new", "c", "--password-file", "/none", code=2).err
    ran = coco("account", "new", "carol", "--password-file", str(file), "--no-password", code=2)
    assert "exclude each other" in ran.err
    file.write_text("\n")
    assert "the password is empty" in coco("account", "new", "carol", "--password-file", str(file), code=2).err


def test_names(coco: Coco) -> None:
    coco("account", "new", "alice", "--no-password")
    assert (
        "there is an account alice already on network demo"
        in coco("account", "new", "alice", "--no-password", code=2).err
    )
    assert "is no name for an account" in coco("account", "new", "../alice", "--no-password", code=2).err
    ran = coco("account", "show", "bob", code=2)
    assert ran.err == "error: there is no account bob on network demo\n  Known: alice. Make it: coco account new bob.\n"


def test_an_account_of_another_network_is_found_there(coco: Coco, home: Path) -> None:
    """`coco network create` makes the new network the current one: names of the one before are then not known."""
    coco("account", "new", "alice", "--no-password", "--network", "demo")
    coco("network", "create", "demo2")
    ran = coco("send", "0x2c7536e3605d9c16a7a3d7b1898e529396a65c23", "--value", "1", "--account", "alice", code=2)
    assert "there is no account alice on network demo2" in ran.err
    assert "Known: none." in ran.err
    assert "Network demo has one: --network demo" in ran.err
    ran = coco("account", "show", "nobody", code=2)
    assert "has one" not in ran.err


def test_an_identity_of_another_network_is_found_there(coco: Coco, home: Path) -> None:
    coco("network", "create", "trade", "-o", "retailer")
    coco("network", "create", "demo2")
    ran = coco("node", "status", "--identity", "retailer", code=2)
    assert "there is no identity retailer on network demo2" in ran.err
    assert "Network trade has one: --network trade" in ran.err
    assert "has one" not in coco("node", "status", "--identity", "../retailer", code=2).err


def test_list_and_show(coco: Coco) -> None:
    assert coco("account", "list", "--json").json == []
    assert "coco account new NAME" in coco("account", "list").err
    made = coco("account", "new", "alice", "--no-password", "--json").json
    assert set(made) == {"name", "address", "identity", "password", "keystore"}
    assert coco("account", "list", "--json").json == [made]
    assert coco("account", "show", "alice", "--json").json == made
    assert made["address"] in coco("account", "list").out


def test_import_of_a_key(coco: Coco, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    assert coco("account", "import", "a", "--key-file", str(file), "--no-password", "--json").json["address"] == ADDRESS
    ran = coco("account", "import", "b", "--no-password", "--json", input=KEY + "\n")
    assert ran.json["address"] == ADDRESS
    assert KEY[2:] not in ran.out + ran.err


def test_import_of_a_keystore(coco: Coco, tmp_path: Path) -> None:
    file = tmp_path / "UTC--geth"
    file.write_text(json.dumps(Account.encrypt(bytes.fromhex(KEY[2:]), "geth", kdf="pbkdf2", iterations=10)))
    arguments = ["account", "import", "a", "--key-file", str(file), "--no-password", "--json"]
    assert "cannot be decrypted" in coco(*arguments, input="wrong\n", code=2).err
    assert coco(*arguments, input="geth\n").json["address"] == ADDRESS


@pytest.mark.parametrize("content", ["", "0x12", "zz" * 32, "00" * 32, "ff" * 32, "{}", '{"version": 4}', "{"])
def test_import_refuses_what_is_no_key(coco: Coco, tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    ran = coco("account", "import", "a", "--key-file", str(file), "--no-password", input="\n", code=None)
    assert ran.code in (2, 6)
    assert ran.err.startswith("error: ") or "Password of key" in ran.err
    assert coco("account", "list", "--json").json == []


@pytest.mark.parametrize("content", ["{", "[]", '{"version": 3}', '{"version": 3, "address": "12"}', "\x00"])
def test_a_damaged_keystore_is_named(coco: Coco, home: Path, content: str) -> None:
    coco("account", "new", "alice", "--no-password")
    file = home / "clients/demo/accounts/alice.json"
    file.write_text(content)
    for command in (["list"], ["show", "alice"]):
        ran = coco("account", *command, code=6)
        assert str(file) in ran.err
        assert "Restore it from a copy" in ran.err


def test_binding_needs_a_network_that_was_started(coco: Coco) -> None:
    coco("account", "new", "alice", "--no-password")
    ran = coco("account", "bind", "alice", code=7)
    assert "has not been started yet" in ran.err
    assert "coco network start demo" in ran.err
    ran = coco("account", "bind", "alice", "--identity", "nobody", code=2)
    assert "there is no identity nobody" in ran.err


class Node(Connection):
    """Answers coco_bindMessage with a given message, and keeps what comes back."""

    def __init__(self, message: str) -> None:
        super().__init__("https://127.0.0.1:1", Path(), None)
        self.message = message
        self.bound: list[tuple[object, ...]] = []

    def rpc(self, method: str, *parameters: object) -> object:
        if method == "coco_bindMessage":
            return self.message
        self.bound.append(parameters)
        return True


def test_the_nodes_own_message_is_signed() -> None:
    account = Account.from_key(KEY)
    messages = BindingMessages(bytes(32), network="demo", chain_id=1)
    message = messages.write("carrier", bytes.fromhex(ADDRESS[2:]), 1_700_000_000)
    node = Node(message)
    bind_account(node, account)
    [(returned, signature)] = node.bound
    assert returned == message
    assert Account.recover_message(encode_defunct(text=message), signature=str(signature)) == ADDRESS


@pytest.mark.parametrize(
    "message",
    [
        "",
        "I owe you 100 ether",
        f"bank.example wants you to sign in with your Ethereum account:\n{ADDRESS}\n\nLog in.\n\nURI: https://bank.example",
        f"demo wants you to sign in with your Ethereum account:\n0x{'11' * 20}\n\nBind this address to the identity x "
        "of the Coco network demo.\n\nURI: coco://demo",
    ],
)
def test_nothing_else_is_signed(message: str) -> None:
    node = Node(message)
    with pytest.raises(AuthenticationFailed, match="asked for a signature under something else"):
        bind_account(node, Account.from_key(KEY))
    assert node.bound == []
    with pytest.raises(AuthenticationFailed):
        check_bind_message(message, ADDRESS)
