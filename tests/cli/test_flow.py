"""The whole command line against a real network, in one go: its processes, its ledger on disk, its TLS."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web3 import Web3

from cli.connection import connect
from cli.genesis import installed_adapters
from cli.store import Store
from core.governance.constitution import Constitution
from tests.cli.runner import Coco

ROOT = Path(__file__).resolve().parents[2]
TOKEN = ROOT / "examples" / "contracts" / "artifacts" / "Token.json"


@pytest.fixture
def stopped_at_the_end(coco: Coco, home: Path) -> Iterator[None]:
    yield
    for name in Store(home).networks():
        coco("network", "stop", name)


def use_evidence(coco: Coco, home: Path, shown: dict[str, Any]) -> None:
    """`coco attest verify` and `coco enclave` agree with `coco node status`, and a foreign root refuses the node."""
    assert (shown["verdict"], shown["tee"], shown["simulated"]) == ("accepted", "sgx", True)
    assert shown["same_code_as_here"] is shown["worker_same_code_as_here"] is True
    folder = home / "networks/flow/node0/evidence"
    arguments = ["attest", "verify", str(folder / "quote"), "--collateral", str(folder / "collateral.json")]
    verdict = coco(*arguments, "--root", str(folder / "root.pem"), "--json").json
    assert (verdict["verdict"], verdict["measurement"]) == ("accepted", shown["measurement"])
    assert "unknown-root" in coco(*arguments, code=1).out
    image = coco("enclave", "inspect", str(folder / "manager.sgxs"), "--json").json
    assert (image["MRENCLAVE"], image["enclave"]) == (shown["measurement"], "manager")
    pinned = home / "clients/flow/platform-root.pem"
    root = pinned.read_bytes()
    pinned.unlink()
    assert "does not lead to a trusted root" in coco("node", "status", code=1).err
    pinned.write_bytes(b"damaged")
    assert "is damaged" in coco("node", "status", code=1).err
    pinned.write_bytes(root)


@pytest.mark.usefixtures("stopped_at_the_end")
def test_from_create_to_destroy(coco: Coco, home: Path) -> None:
    coco("network", "create", "flow", "--port", "0", "-o", "maker", "-o", "buyer", "--fund", "alice=100")
    assert coco("network", "status", "flow", "--json", code=3).json["state"] == "stopped"
    assert "has not been started yet" in coco("node", "status", code=7).err

    started = coco("network", "start", "flow", "--json").json
    assert started["url"].startswith("https://127.0.0.1:")
    assert "already running" in coco("network", "start", "flow", code=1).err
    assert "is running" in coco("network", "destroy", "flow", "--yes", code=1).err
    status = coco("network", "status", "--json").json
    assert status["state"] == "running"
    assert {"host", "platform", "manager", "executor"} <= set(status["processes"])

    node = coco("node", "status", "--json").json
    constitution = Constitution.decode((home / "networks/flow/genesis.json").read_bytes())
    assert node["service"]["constitution_digest"] == constitution.digest().hex()
    use_evidence(coco, home, node["evidence"])
    assert len(node["evidence"]["measurement"]) == 64
    assert "measurement" in coco("node", "status").out

    use_contracts(coco)
    use_adapters(coco)
    use_proxy(coco, home)

    entries = coco("ledger", "show", "flow-is-no-directory", code=2).err
    assert "there is no ledger in" in entries
    ledger = coco("ledger", "show", "--last", "0", "--json").json
    assert "public:coco.constitution" in ledger["entries"][0]["public_tables"]
    assert ledger["entries"][-1]["type"] == "signature"

    before = coco("call", "Token", "totalSupply").out
    coco("network", "stop", "flow")
    assert "is not running" in coco("network", "stop", "flow").err
    assert "does not answer" in coco("call", "Token", "totalSupply", code=7).err
    coco("network", "start", "flow")
    assert coco("call", "Token", "totalSupply").out == before
    assert coco("node", "status", "--json").json["node"]["view"] > node["node"]["view"]

    coco("network", "stop", "flow")
    pin = home / "clients/flow/front-end-ca.pem"
    pin.write_bytes((home / "clients/flow/identities/maker/certificate.pem").read_bytes())
    assert "has another front-end CA than the one pinned here" in coco("network", "start", "flow", code=7).err
    assert coco("network", "status", "flow", "--json", code=3).json["state"] == "stopped"
    coco("network", "destroy", "flow", "--yes")
    assert not (home / "networks" / "flow").exists()


def use_contracts(coco: Coco) -> None:
    coco("account", "new", "bob", "--no-password")
    refused = coco("deploy", str(TOKEN), "Gold", "GLD", "1000ether", "--account", "alice", code=8)
    assert "coco account bind" in refused.err
    coco("account", "bind", "alice", "--identity", "maker")
    coco("account", "bind", "bob", "--identity", "buyer")
    accounts = {entry["name"]: entry for entry in coco("account", "list", "--json").json}
    assert {name: entry["identity"] for name, entry in accounts.items()} == {"alice": "maker", "bob": "buyer"}
    bob = accounts["bob"]["address"]

    deployed = coco("deploy", str(TOKEN), "Gold", "GLD", "1000ether", "--account", "alice", "--json").json
    assert deployed["contract"] == "Token"
    assert coco("call", "Token", "symbol").out == "GLD\n"
    sent = coco("send", "Token", "transfer", bob, "5ether", "--account", "alice", "--json").json
    assert sent["logs"] == 1
    assert coco("call", "Token", "balanceOf", bob, "--json").json["values"] == [str(5 * 10**18)]
    assert coco("call", deployed["address"], "name").out == "Gold\n"

    poor = coco("send", "Token", "transfer", accounts["alice"]["address"], "6ether", "-a", "bob", "-i", "buyer", code=9)
    assert f"ERC20InsufficientBalance(sender={bob}, balance={5 * 10**18}, needed={6 * 10**18})" in poor.err
    failed = coco("send", "Token", "transfer", bob, "5000ether", "-a", "alice", "--gas", "100000", code=9)
    assert "the transaction reverted: ERC20InsufficientBalance" in failed.err
    assert "and changed nothing" in failed.err
    coco("send", "bob", "--value", "1.5ether", "--account", "alice")
    foreign = coco("send", "alice", "--value", "1", "--account", "bob", "--identity", "maker", code=8)
    assert "is not bound to your identity" in foreign.err


def use_adapters(coco: Coco) -> None:
    [entry] = [one for one in coco("adapter", "list", "--json").json if one["adapter"] == "ethereum"]
    assert (entry["live"], entry["default"]) == (True, True)
    assert coco("adapter", "info", "ethereum", "--json").json["mount"] == "/ethereum/"
    coco("adapter", "use", "ethereum")
    assert "is not live on flow" in coco("adapter", "use", "fabric", code=2).err


def use_proxy(coco: Coco, home: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "proxy", "--port", "0", "--json", "--identity", "buyer"]
    with subprocess.Popen(command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            shown = json.loads("".join(process.stdout.readline() for _ in range(4)))
            with urllib.request.urlopen(shown["http"] + "/node/status") as answer:
                assert json.loads(answer.read())["default_adapter"] == "ethereum"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


SECOND = sorted(set(installed_adapters()) - {"ethereum"})[:1]


@pytest.mark.usefixtures("stopped_at_the_end")
def test_unmodified_web3(coco: Coco, home: Path) -> None:
    coco("network", "create", "web", "--port", "0", "-o", "maker", "--chain-id", "4321")
    started = coco("network", "start", "--json").json
    token = (home / "clients/web/identities/maker/token").read_text().strip()
    options = {"headers": {"Authorization": f"Bearer {token}"}, "verify": started["certificate"]}
    w3 = Web3(Web3.HTTPProvider(started["url"], request_kwargs=options))
    assert w3.eth.chain_id == 4321
    assert list(w3.eth.accounts) == []
    with connect("web", "maker", home=home) as connection:
        assert connection.web3().eth.block_number == 0


@pytest.mark.skipif(not SECOND, reason="needs a second adapter: pip install -e examples/kv_logger")
@pytest.mark.usefixtures("stopped_at_the_end")
def test_two_adapters(coco: Coco, home: Path) -> None:
    options = [word for name in ("ethereum", *SECOND) for word in ("--adapter", name)]
    coco("network", "create", "two", "--port", "0", "-o", "maker", "-p", "buyer", *options)
    coco("network", "start")
    assert "Only members administer" in coco("adapter", "use", SECOND[0], "--identity", "buyer", code=8).err
    coco("adapter", "use", SECOND[0], "--identity", "maker")
    live = {entry["adapter"]: entry["default"] for entry in coco("adapter", "list", "--json").json}
    assert live[SECOND[0]] is True
    assert live["ethereum"] is False
    # The commands about accounts still speak Ethereum, under its own name.
    coco("account", "new", "alice", "--no-password")
    coco("account", "bind", "alice")
    coco("network", "stop")
    coco("network", "start")
    assert coco("node", "status", "--json").json["service"]["default_adapter"] == SECOND[0]
