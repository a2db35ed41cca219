"""`coco network` without a node: what is made, where, with which rights, and every refusal."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cli.network
import cli.pins
from cli.errors import WrongUse
from cli.manifests import make_manifests
from cli.store import ClientStore
from core.crypto.certificates import common_name_of, public_key_of
from core.crypto.keys import PrivateKey
from core.governance.constitution import Constitution
from enclave_sim import host
from enclave_sim.host_config import NodePaths, read_config
from enclave_sim.platform.launching import development_signer
from enclave_sim.platform.machines import root_digest
from enclave_sim.platform.measurement import measure_node
from enclave_sim.status import Status
from tests.cli.runner import Coco

pytestmark = pytest.mark.usefixtures("stand_in_adapters")


def test_defaults_make_a_whole_network(coco: Coco, home: Path) -> None:
    assert "coco network start other" in coco("network", "create", "other").err
    ran = coco("network", "create", "demo", "--json")
    config, genesis = read_config(home / "networks" / "demo")
    constitution = Constitution.decode(genesis)
    assert config.port == 8443
    assert {"localhost", "127.0.0.1"} <= set(config.names)
    assert [identity.name for identity in constitution.identities] == ["org1"]
    assert constitution.default_adapter == "ethereum"
    assert constitution.adapters["ethereum"]["base_fee_wei"] == 0
    assert ran.json["constitution"] == constitution.digest().hex()
    assert ran.json["members"] == ["org1"]


def test_keys_and_tokens_are_the_clients_only(coco: Coco, home: Path, network: str) -> None:
    client = ClientStore(home / "clients" / network, network)
    constitution = Constitution.decode((home / "networks" / network / "genesis.json").read_bytes())
    assert client.identities() == ["auditor", "carrier", "manufacturer"]
    assert {one.name: one.role for one in constitution.identities} == {
        "manufacturer": "member",
        "carrier": "member",
        "auditor": "participant",
    }
    secrets = []
    for identity in constitution.identities:
        kept = client.identity(identity.name)
        key = PrivateKey.from_pem(kept.key_file.read_bytes())
        assert kept.certificate_file.read_text() == identity.certificate
        assert public_key_of(identity.certificate) == key.public_key()
        assert common_name_of(identity.certificate) == identity.name
        assert identity.token_digests == (hashlib.sha256(kept.token().encode()).hexdigest(),)
        secrets += [kept.token().encode(), kept.key_file.read_bytes()]
    assert len(set(secrets)) == 6
    for file in (home / "networks").rglob("*"):
        if file.is_file() and file.name != "development-signing-key.pem":  # The machine's own, no organisation's.
            data = file.read_bytes()
            assert b"PRIVATE KEY" not in data
            assert not any(secret in data for secret in secrets)


def test_everything_is_private_to_the_user(coco: Coco, home: Path, network: str) -> None:
    for path in [home, *home.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_settings_reach_the_constitution(coco: Coco, home: Path) -> None:
    coco(
        *("network", "create", "x", "--chain-id", "7", "--fork", "cancun", "--policy", "private", "--base-fee", "2"),
        *("--block-gas", "30_000_000", "--transaction-gas", "1_000_000", "-d", "kv", "-d", "ethereum"),
        *("--setting", "kv.entries_max=10", "--setting", "kv.title=a b", "--host-name", "node.example"),
        *("--setting", "ethereum.evm=interpreted", "--address", "10.1.2.3", "--port", "9000"),
    )
    config, genesis = read_config(home / "networks" / "x")
    constitution = Constitution.decode(genesis)
    assert constitution.default_adapter == "kv"
    assert constitution.adapters["kv"] == {"entries_max": 10, "title": "a b"}
    assert constitution.adapters["ethereum"] == {
        "chain_id": 7,
        "fork": "cancun",
        "policy": "private",
        "base_fee_wei": 2 * 10**9,
        "block_gas_limit": 30_000_000,
        "transaction_gas_limit": 1_000_000,
        "alloc": {},
        "evm": "interpreted",
    }
    assert (config.address, config.port) == ("10.1.2.3", 9000)
    assert {"node.example", "10.1.2.3"} <= set(config.names)


def test_a_preferred_adapter_comes_first(coco: Coco, home: Path) -> None:
    assert "New networks will speak kv" in coco("adapter", "use", "kv").out
    assert "there is no adapter fabric installed here" in coco("adapter", "use", "fabric", code=2).err
    assert coco("network", "create", "x", "--json").json["adapters"] == ["kv", "ethereum"]


def test_funded_accounts_are_made_and_allocated(coco: Coco, home: Path) -> None:
    ran = coco("network", "create", "x", "--fund", "alice=100", "--fund", "bob=0.5", "--no-password", "--json")
    alloc = Constitution.decode((home / "networks/x/genesis.json").read_bytes()).adapters["ethereum"]["alloc"]
    accounts = {entry["name"]: entry["address"] for entry in ran.json["accounts"]}
    assert alloc[accounts["alice"]] == {"balance": hex(100 * 10**18)}
    assert alloc[accounts["bob"]] == {"balance": hex(5 * 10**17)}
    assert "local development only" in ran.err
    assert [entry["name"] for entry in coco("account", "list", "--json").json] == ["alice", "bob"]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["Demo"], "'Demo' is no name for a network", "A name has 1 to 32"),
        (["../x"], "is no name for a network", "A name has"),
        (["x", "-o", "a/b"], "is no name for an organisation", "A name has"),
        (["x", "-o", "a", "-p", "a"], "the organisation a is named twice", "Each has"),
        (["x", "-d", "fabric"], "there is no adapter fabric", "Installed: ethereum, kv"),
        (["x", "-d", "kv", "--fund", "a=1", "--no-password"], "--fund needs the adapter ethereum", "Add"),
        (["x", "--fund", "a"], "not NAME=ETHER", "--fund alice=100"),
        (["x", "--fund", "a=-1", "--no-password"], "-1 is no balance", "amount of ether"),
        (["x", "--base-fee", "-1"], "-1 is no base fee", "gwei"),
        (["x", "--base-fee", "cheap"], "not a number: 'cheap'", "Write 1000"),
        (["x", "--setting", "nonsense"], "not a setting", "ADAPTER.NAME=VALUE"),
        (["x", "--setting", "kv.a=1"], "is for an adapter that is not live", "Add -d kv"),
    ],
)
def test_wrong_use_is_refused(coco: Coco, home: Path, arguments: list[str], message: str, hint: str) -> None:
    ran = coco("network", "create", *arguments, code=2)
    assert ran.err.startswith("error: ")
    assert message in ran.err
    assert hint in ran.err
    assert coco("network", "list", "--json").json == []


def test_a_network_that_cannot_be_made_leaves_nothing(coco: Coco, home: Path) -> None:
    ran = coco("network", "create", "x", "--transaction-gas", "1", "--fund", "a=1", "--no-password", code=1)
    assert "transaction_gas_limit" in ran.err
    assert "evm" in coco("network", "create", "x", "--setting", "ethereum.evm=fast", code=1).err
    assert [path for path in home.rglob("*") if path.is_file()] == []
    coco("network", "create", "x")


def test_an_existing_network_is_not_overwritten(coco: Coco, home: Path, network: str) -> None:
    before = (home / "clients" / network / "identities/carrier/token").read_bytes()
    ran = coco("network", "create", network, code=2)
    assert "there is a network demo already" in ran.err
    assert "coco network destroy demo" in ran.err
    assert (home / "clients" / network / "identities/carrier/token").read_bytes() == before


def test_unknown_network(coco: Coco, home: Path, network: str) -> None:
    for command in (["network", "start", "y"], ["network", "stop", "y"], ["network", "status", "y"]):
        ran = coco(*command, code=2)
        assert "there is no network y" in ran.err
        assert "Known: demo." in ran.err
    ran = coco("network", "destroy", "y", code=2)
    assert "there is no network y" in ran.err


def test_without_any_network_the_first_step_is_named(coco: Coco, home: Path) -> None:
    for command in (["network", "start"], ["account", "list"], ["node", "status"], ["proxy"], ["ledger", "show"]):
        ran = coco(*command, code=2)
        assert ran.err == "error: there is no network yet\n  Make one: coco network create demo\n"


def test_the_current_network_is_the_newest_until_it_goes(coco: Coco, home: Path) -> None:
    coco("network", "create", "a")
    coco("network", "create", "b")
    shown = coco("network", "list", "--json").json
    assert [(entry["network"], entry["current"], entry["running"]) for entry in shown] == [
        ("a", False, False),
        ("b", True, False),
    ]
    coco("network", "create", "c")
    coco("network", "destroy", "c", "--yes")
    ran = coco("account", "list", code=2)
    assert "Name one of a, b (--network NAME)" in ran.err
    coco("account", "list", "--network", "a")


def test_a_new_current_network_is_told(coco: Coco, home: Path) -> None:
    assert "current network" not in coco("network", "create", "a").err
    ran = coco("network", "create", "b", "--json")
    assert "b is now the current network, no longer a: coco network use a" in ran.err
    coco("network", "use", "a")
    assert [one["network"] for one in coco("network", "list", "--json").json if one["current"]] == ["a"]
    ran = coco("network", "use", "c", code=2)
    assert "there is no network c" in ran.err
    assert "Known: a, b." in ran.err
    assert [one["network"] for one in coco("network", "list", "--json").json if one["current"]] == ["a"]


@pytest.fixture
def running(home: Path, monkeypatch: pytest.MonkeyPatch) -> Status:
    """Stand in for a host that starts at once."""
    found = Status(1, "127.0.0.1", 8443, "https://localhost:8443", {}, "now", {})

    def start(directory: Path, on_progress: Callable[[str], None]) -> Status:
        on_progress("manager: replaying")
        NodePaths(directory).node.mkdir(exist_ok=True)
        NodePaths(directory).front_end_ca.write_text("authority\n")
        return found

    monkeypatch.setattr(host, "start_detached", start)
    return found


def test_a_machine_that_only_hosts(coco: Coco, home: Path, network: str, running: Status) -> None:
    shutil.rmtree(home / "clients" / network)
    ran = coco("network", "start", network)
    assert "https://localhost:8443" in ran.out
    assert "is no client of network demo: nothing was pinned here" in ran.err
    assert "front-end-ca.pem" in ran.err
    shown = coco("network", "start", network, "--json").json
    assert shown["identities"] == []
    assert Path(shown["certificate"]).read_text() == "authority\n"
    assert not (home / "clients" / network).exists()
    assert coco("network", "status", network, "--json", code=3).json["state"] == "stopped"
    assert "is not running" in coco("network", "stop", network).err
    ran = coco("node", "status", code=2)
    assert "this machine hosts network demo, but is no client of it" in ran.err
    assert "Copy clients/demo/" in ran.err


def test_a_client_pins_what_its_host_shows(coco: Coco, home: Path, network: str, running: Status) -> None:
    ran = coco("network", "start", network)
    assert "nothing was pinned" not in ran.err
    assert "/token" in ran.err
    client = ClientStore(home / "clients" / network, network)
    assert (client.pinned_ca(), client.url()) == (b"authority\n", running.url)


def test_a_network_that_runs_elsewhere_is_not_started_here(coco: Coco, home: Path, network: str) -> None:
    shutil.rmtree(home / "networks" / network)
    for verb in ("start", "stop", "status"):
        ran = coco("network", verb, network, code=2)
        assert "network demo is not hosted on this machine" in ran.err
        assert "Known: demo" not in ran.err


def test_destroy_asks(coco: Coco, home: Path, network: str) -> None:
    assert "Remove network demo" in coco("network", "destroy", network, input="n\n", code=1).err
    assert (home / "networks" / network).exists()
    coco("network", "destroy", network, input="y\n")
    assert not (home / "networks" / network).exists()
    assert not (home / "clients" / network).exists()


def test_destroy_refuses_while_running(coco: Coco, home: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.network, "_running_pid", lambda directory: 1)
    ran = coco("network", "destroy", network, "--yes", code=1)
    assert "network demo is running" in ran.err
    assert "coco network stop demo" in ran.err
    assert (home / "networks" / network / "network.json").exists()


def test_the_first_certificate_is_pinned_and_another_is_refused(home: Path, tmp_path: Path) -> None:
    client = ClientStore(home / "clients" / "demo", "demo")
    shown = tmp_path / "front-end-ca.pem"
    shown.write_text("one\n")
    cli.pins.pin(client, shown)
    cli.pins.pin(client, shown)
    shown.write_text("two\n")
    with pytest.raises(cli.pins.PinDiffers) as caught:
        cli.pins.pin(client, shown)
    assert caught.value.exit_code == 7
    assert client.pinned_ca() == b"one\n"


def test_state_of_another_version_is_refused(coco: Coco, home: Path, network: str) -> None:
    file = home / "clients" / network / "current.json"
    file.write_text(json.dumps({"version": 2, "something": "new"}))
    ran = coco("adapter", "list", code=6)
    assert "has version 2; this coco reads version 1" in ran.err


@pytest.mark.parametrize("content", ["{", "[]", '{"version":1,"identity":3}', '{"version":1,"unknown":3}', "\x00"])
def test_damaged_state_is_named(coco: Coco, home: Path, network: str, content: str) -> None:
    file = home / "clients" / network / "current.json"
    file.write_text(content)
    ran = coco("adapter", "list", code=6)
    assert f"{file} is damaged" in ran.err
    assert "Restore it" in ran.err


def test_a_host_configuration_of_another_version_is_refused(coco: Coco, home: Path, network: str) -> None:
    file = home / "networks" / network / "network.json"
    file.write_text(json.dumps({"version": 99}))
    assert "version 99" in coco("network", "start", network, code=6).err


def test_a_home_that_cannot_be_written(coco: Coco, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    ran = coco("--home", str(blocked / "home"), "network", "create", "x", code=5)
    assert "cannot be made" in ran.err
    assert "COCO_HOME" in ran.err


def constitution_of(home: Path, name: str) -> Constitution:
    return Constitution.decode((home / "networks" / name / "genesis.json").read_bytes())


def test_one_member_approves_what_the_machines_key_signs(coco: Coco, home: Path) -> None:
    ran = coco("network", "create", "one", "--json")
    made = constitution_of(home, "one")
    fuses = NodePaths(home / "networks" / "one").fuses
    [tee] = made.tee_manifest
    assert (tee.tee, tee.simulated, tee.debug) == ("sgx", True, False)
    assert tee.roots == (root_digest("sgx", fuses).hex(),)
    assert [(one.name, one.product) for one in made.code_manifest if one.name in ("manager", "worker")] == [
        ("manager", 1),
        ("worker", 2),
    ]
    assert {one.signer for one in made.code_manifest} == {development_signer(fuses).hex()}
    assert "SIMULATED" in ran.json["admits_platforms"]
    assert "(development)" in ran.json["admits_code"]
    assert "WARNING: this network admits SIMULATED platforms" in ran.err


def test_several_members_approve_exactly_what_is_installed(coco: Coco, home: Path) -> None:
    coco("network", "create", "two", "-o", "a", "-o", "b", "--platform", "vsm")
    made = constitution_of(home, "two")
    manager, worker = measure_node()
    assert made.tee_manifest[0].tee == "vsm"
    measured = {one.name: one.measurements for one in made.code_manifest}
    assert measured["manager"] == (manager.mrenclave.hex(),)
    assert measured["worker"] == (worker.mrenclave.hex(),)
    assert len(measured["ethereum"][0]) == 64
    assert {one.signer for one in made.code_manifest} == {""}
    coco("network", "create", "three", "-o", "a", "-o", "b", "--code", "signed")
    assert {one.measurements for one in constitution_of(home, "three").code_manifest} == {()}
    rule: dict[str, Any] = {"platform": "sgx", "code_rule": "measured", "tee_file": None, "code_file": None}
    with pytest.raises(WrongUse, match="adapter missing is not measured here"):
        make_manifests(home / "networks" / "x", ["missing"], **rule)


def test_manifests_from_files(coco: Coco, home: Path, tmp_path: Path) -> None:
    tee, code = tmp_path / "tee.json", tmp_path / "code.json"
    tee.write_text(json.dumps([{"tee": "sgx", "roots": ["a" * 64]}]))
    code.write_text(json.dumps([{"name": n, "measurements": ["b" * 64]} for n in ("manager", "worker", "ethereum")]))
    ran = coco("network", "create", "demo", "--tee-manifest", str(tee), "--code-manifest", str(code))
    made = constitution_of(home, "demo")
    assert made.tee_manifest[0].roots == ("a" * 64,)
    assert made.code_manifest[2].measurements == ("b" * 64,)
    assert "WARNING" not in ran.err
    code.write_text(json.dumps([{"name": "manager", "measurements": ["b" * 64]}]))
    refused = coco("network", "create", "other", "--code-manifest", str(code), code=1)
    assert "approves no code for the live adapter 'ethereum'" in refused.err
    assert not (home / "networks" / "other").exists()
    tee.write_text('[{"tee": "sgx", "roots": ["a"]}]')
    assert "no SHA-256" in coco("network", "create", "other", "--tee-manifest", str(tee), code=1).err
    coco("network", "create", "other", "--tee-manifest", str(tmp_path / "missing"), code=2)
