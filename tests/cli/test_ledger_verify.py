"""`coco ledger verify`, `state`, `rebuild` and `show --decrypt` on ledgers that the manager wrote."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from core.ledger.key_file import encode_key_file
from core.ledger.state_digest import digest_of
from core.node.manager_keys import NodeSecrets, load_secrets
from tests.cli.runner import Coco
from tests.support.fakes import FakeVerify
from tests.support.ledger_bench import store_ledger, write_ledger
from tests.support.manager_bench import Machine, kv_draft


@pytest.fixture(scope="module")
def machine() -> Machine:
    return asyncio.run(write_ledger(starts=2, blocks=2, transactions=2, chunk_bytes_min=6_000))


@pytest.fixture(autouse=True)
def fake_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's quotes are no platform's."""
    monkeypatch.setattr("enclave_sim.verify.manifest.verify_own_evidence", FakeVerify())


@pytest.fixture
def ledger(machine: Machine, tmp_path: Path) -> Path:
    return store_ledger(machine.disk, tmp_path / "copy of a ledger")


def secrets_of(machine: Machine) -> NodeSecrets:
    secrets = asyncio.run(load_secrets(machine.disk, machine.sealer))
    assert secrets is not None
    return secrets


@pytest.fixture
def certificate(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "service.pem"
    path.write_text(secrets_of(machine).service_certificate)
    return path


@pytest.fixture
def keys(machine: Machine, tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    path.write_bytes(encode_key_file(list(secrets_of(machine).epochs)))
    return path


def damage(ledger: Path) -> Path:
    file = max(ledger.iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    return file


def test_a_sound_ledger(coco: Coco, ledger: Path, certificate: Path) -> None:
    ran = coco("ledger", "verify", str(ledger), "--service-cert", str(certificate))
    assert ran.out.endswith("sound\n")
    assert "warning" not in ran.err
    assert "per second" in ran.err
    said = coco("ledger", "verify", str(ledger), "--json").json
    assert said["sound"] is True
    assert said["entries_per_second"] > 0
    (one,) = said["ledgers"]
    assert one["facts"]["network"] == "bench"
    assert [view["view"] for view in one["views"]] == [1, 2]
    assert "--service-cert" in one["warnings"][0]["what"]
    assert one["last_signed"]["transaction"] == f"2.{one['entries']}"


def test_damage_is_named_and_has_its_exit_code(coco: Coco, ledger: Path) -> None:
    file = damage(ledger)
    ran = coco("ledger", "verify", str(ledger), code=4)
    assert f"damage: ledger/{file.name}, byte " in ran.out
    assert ran.out.endswith("NOT SOUND\n")
    assert "error: the ledger is not sound: 1 finding" in ran.err
    said = coco("ledger", "verify", str(ledger), "--json", code=4).json
    assert said["sound"] is False
    (finding,) = said["ledgers"][0]["findings"]
    assert finding["file"] == f"ledger/{file.name}"
    assert finding["rest_checked"] is False


def test_two_histories_have_an_exit_code_of_their_own(coco: Coco, machine: Machine, tmp_path: Path) -> None:
    async def fork(word: bytes) -> Machine:
        twin = Machine(machine.disk.copy(), machine.sealer, machine.attestor, machine.clock, machine.config)
        async with twin.node() as node:
            await node.commit(kv_draft(b"k", word))
        return twin

    one = store_ledger(asyncio.run(fork(b"one")).disk, tmp_path / "one")
    other = store_ledger(asyncio.run(fork(b"other")).disk, tmp_path / "other")
    assert coco("ledger", "verify", str(one), str(one)).out.endswith("sound\n")
    ran = coco("ledger", "verify", str(one), str(other), code=11)
    assert "equivocation: " in ran.out
    assert "cannot both be" in ran.err


def test_what_is_no_ledger_or_receipt_is_said(coco: Coco, ledger: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "there is no ledger in" in coco("ledger", "verify", str(tmp_path / "empty"), code=2).err
    (tmp_path / "junk").write_bytes(b"junk")
    assert "not a receipt" in coco("ledger", "verify", str(ledger), "--receipt", str(tmp_path / "junk"), code=1).err
    wrong = coco("ledger", "verify", str(ledger), "--service-cert", str(tmp_path / "junk"), code=1)
    assert "not a certificate" in wrong.err


def test_private_tables_with_keys(coco: Coco, ledger: Path, keys: Path) -> None:
    shown = coco("ledger", "show", str(ledger), "--last", "0", "--decrypt", str(keys), "--json").json["entries"]
    assert shown[3]["private_tables"] == {"kv.data": {"key 0": "value 0 of block 0"}}
    assert shown[3]["public_tables"] == {"public:kv.log": {"log": "log 0"}}
    ran = coco("ledger", "show", str(ledger), "--from", "4", "--to", "5", "--decrypt", str(keys))
    assert "1.4 kv.data\n  key 0: value 0 of block 0" in ran.out
    assert "1.6" not in ran.out
    hidden = coco("ledger", "show", str(ledger), "--last", "0", "--json")
    assert "value 0 of block" not in hidden.out
    assert "private_tables" not in hidden.out


def test_wrong_keys_are_refused_and_missing_ones_open_nothing(coco: Coco, ledger: Path, keys: Path) -> None:
    file = json.loads(keys.read_bytes())
    first, second = file["epochs"]
    keys.write_text(json.dumps({"epochs": [first]}))
    shown = coco("ledger", "show", str(ledger), "--last", "0", "--decrypt", str(keys), "--json").json["entries"]
    assert shown[3]["private_tables"] is not None
    assert shown[-1]["private_tables"] is None
    keys.write_text(json.dumps({"epochs": [{**first, "key": second["key"]}, second]}))
    ran = coco("ledger", "show", str(ledger), "--last", "0", "--decrypt", str(keys), code=1)
    assert "the key given for view 1 does not open entry 1" in ran.err
    for broken in ("{}", '{"epochs": []}', json.dumps({"epochs": [first, first]}), '{"epochs": [{"key": 1}]}', "x"):
        keys.write_text(broken)
        assert "keys" in coco("ledger", "show", str(ledger), "--decrypt", str(keys), code=1).err


def test_ranges_and_tables(coco: Coco, ledger: Path) -> None:
    nodes = "public:ccf.gov.nodes.info"
    shown = coco("ledger", "show", str(ledger), "--table", nodes, "--json").json
    assert shown["count"] == 2
    assert {name for entry in shown["entries"] for name in entry["public_tables"]} == {nodes}
    assert [entry["seqno"] for entry in coco("ledger", "show", str(ledger), "--to", "3", "--json").json["entries"]] == [
        1,
        2,
        3,
    ]
    assert '"status":"Trusted"' in coco("ledger", "show", str(ledger), "--table", nodes).out
    assert "--from 5 is after --to 4" in coco("ledger", "show", str(ledger), "--from", "5", "--to", "4", code=2).err


def test_public_tables_as_of_any_entry(coco: Coco, ledger: Path) -> None:
    said = coco("ledger", "state", str(ledger), "--at", "5", "--json").json["tables"]
    assert said["public:kv.log"] == {"log": {"value": "log 1", "version": 5}}
    assert "public:coco.settings" not in said
    later = coco("ledger", "state", str(ledger), "--at", "10", "--table", "public:coco.settings").out
    assert later == "public:coco.settings\n  default_adapter (entry 10): kv\n"
    assert coco("ledger", "state", str(ledger), "--at", "4", "--json").json["tables"]["public:kv.log"]["log"] == {
        "value": "log 0",
        "version": 4,
    }
    assert "reaches, signed, to entry" in coco("ledger", "state", str(ledger), "--at", "1000", code=1).err
    damage(ledger)
    assert coco("ledger", "state", str(ledger), "--at", "2", "--json").json["tables"]
    assert "is damaged" in coco("ledger", "state", str(ledger), "--at", "26", code=4).err


def test_the_state_is_made_again(coco: Coco, machine: Machine, ledger: Path, keys: Path, certificate: Path) -> None:
    said = coco(
        "ledger", "rebuild", str(ledger), "--keys", str(keys), "--service-cert", str(certificate), "--json"
    ).json
    assert len(said["state_digest"]) == 64
    again = coco("ledger", "rebuild", str(ledger), "--keys", str(keys)).out
    assert said["state_digest"] in again
    earlier = coco("ledger", "rebuild", str(ledger), "--keys", str(keys), "--at", "1", "--json").json
    rows = coco("ledger", "state", str(ledger), "--at", "1", "--json").json["tables"]
    assert (earlier["at"], earlier["rows"]) == (1, 1)
    value = rows["public:coco.constitution"]["current"]["value"].encode()
    assert earlier["state_digest"] == digest_of([("public:coco.constitution", b"current", 1, value)]).hex()
    damage(ledger)
    assert "is damaged" in coco("ledger", "rebuild", str(ledger), "--keys", str(keys), code=4).err
