"""`coco sawtooth` and its client, against the adapter itself behind a stand-in node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import cbor2
import pytest
from aiohttp import web

from adapters.sawtooth.adapter import SawtoothAdapter
from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.signatures import Signer
from adapters.sawtooth.wire.messages import MESSAGES
from cli.connection import connect_client
from cli.errors import Refused
from cli.sawtooth_client import SawtoothClient, make_batch, make_transaction
from cli.store import ClientStore
from core.adapter.harness import AdapterHarness
from core.adapter.interface import Caller
from tests.cli.fake_node import TOKEN, FakeNode, client_side, in_a_thread
from tests.cli.runner import Coco

SIGNER = Signer(b"\x05" * 32)


class SawtoothNode(FakeNode):
    """Serves the adapter's routes under /sawtooth/ from a test bench."""

    def __init__(self, directory: Path, name: str = "node") -> None:
        super().__init__(directory, name)
        settings = {
            "namespaces": {name: {"read": ["*"]} for name in ("1cf126", "000000")},
            "settings": {"sawtooth.settings.vote.authorized_keys": SIGNER.public_key},
        }
        self.harness = AdapterHarness(SawtoothAdapter(settings, "demo"))
        self.failure: web.Response | None = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        assert request.transport is not None
        self._transports.add(request.transport)
        if self.failure is not None:
            return self.failure
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        path = request.raw_path.removeprefix("/sawtooth")
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = await self.harness.request(request.method, path, body, Caller("carrier"), headers)
        content_type = {"Content-Type": answer.content_type}
        return web.Response(status=answer.status, body=answer.body, headers=content_type)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[SawtoothNode]:
    running = SawtoothNode(tmp_path)
    with in_a_thread(running):
        yield running


@pytest.fixture
def store(home: Path, node: SawtoothNode) -> ClientStore:
    return client_side(home, node)


@pytest.fixture
def client(store: ClientStore) -> Iterator[SawtoothClient]:
    with connect_client(store, store.identity("carrier")) as connection:
        yield SawtoothClient(connection)


def intkey(verb: str, name: str, value: int) -> object:
    payload = cbor2.dumps({"Verb": verb, "Name": name, "Value": value})
    transaction = make_transaction(SIGNER, ("intkey", "1.0"), payload, [intkey_address(name)])
    return make_batch(SIGNER, [transaction])


def batch_file(directory: Path, *batches: object) -> str:
    file = directory / "batches"
    file.write_bytes(MESSAGES["BatchList"](batches=batches).SerializeToString())
    return str(file)


def test_keygen_writes_what_sawtooth_reads(coco: Coco, tmp_path: Path) -> None:
    made = coco("sawtooth", "keygen", "alice", "--key-dir", str(tmp_path), "--json").json
    secret = (tmp_path / "alice.priv").read_text()
    assert (len(secret), secret[-1]) == (65, "\n")
    assert (tmp_path / "alice.priv").stat().st_mode & 0o777 == 0o600
    public = (tmp_path / "alice.pub").read_text().strip()
    assert public == made["public_key"] == Signer(bytes.fromhex(secret)).public_key
    assert "already" in coco("sawtooth", "keygen", "alice", "--key-dir", str(tmp_path), code=2).err
    coco("sawtooth", "keygen", "alice", "--key-dir", str(tmp_path), "--force")
    assert (tmp_path / "alice.priv").read_text() != secret
    coco("sawtooth", "keygen", "../alice", "--key-dir", str(tmp_path), code=2)


@pytest.mark.usefixtures("store")
def test_submit_and_look(coco: Coco, tmp_path: Path) -> None:
    file = batch_file(tmp_path, intkey("set", "a", 5), intkey("inc", "a", 2), intkey("inc", "none", 1))
    ran = coco("sawtooth", "submit", file, "--json", code=9)
    assert [one["status"] for one in ran.json] == ["COMMITTED", "COMMITTED", "INVALID"]
    assert 'name "none" not in state' in coco("sawtooth", "submit", file, code=9).out
    address = intkey_address("a")
    assert coco("sawtooth", "state", address, "--json").json["address"] == address
    assert "0xa1616107" in coco("sawtooth", "state", address).out
    (entry,) = coco("sawtooth", "state", "1cf126", "--json").json
    assert entry["address"] == address
    assert address in coco("sawtooth", "state", "1cf126").out
    assert "nothing stands" in coco("sawtooth", "state", intkey_address("b"), code=2).err


@pytest.mark.usefixtures("store")
def test_blocks_and_settings(coco: Coco, tmp_path: Path) -> None:
    coco("sawtooth", "submit", batch_file(tmp_path, intkey("set", "a", 5)))
    coco("sawtooth", "submit", batch_file(tmp_path, intkey("set", "b", 5)))
    blocks = coco("sawtooth", "block", "--limit", "2", "--json").json
    assert [one["header"]["block_num"] for one in blocks] == ["2", "1"]
    shown = coco("sawtooth", "block", blocks[0]["header_signature"]).out
    assert blocks[1]["header_signature"] in shown
    assert coco("sawtooth", "block", blocks[0]["header_signature"], "--json").json == blocks[0]
    assert blocks[0]["header_signature"] in coco("sawtooth", "block").out
    assert "no block with the id" in coco("sawtooth", "block", "0" * 128, code=8).err
    settings = coco("sawtooth", "settings", "--json").json
    assert settings == {"sawtooth.settings.vote.authorized_keys": SIGNER.public_key}
    assert SIGNER.public_key in coco("sawtooth", "settings").out


@pytest.mark.usefixtures("store")
def test_no_settings_are_said_to_be_none(coco: Coco, node: SawtoothNode) -> None:
    node.harness = AdapterHarness(SawtoothAdapter({}, "demo"))
    assert coco("sawtooth", "settings", "--json").json == {}
    assert "No settings" in coco("sawtooth", "settings").err


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("content", [b"", b"\x0a\xff", b"text"])
def test_a_file_that_holds_no_batches(coco: Coco, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "batches"
    file.write_bytes(content)
    assert "holds no batches" in coco("sawtooth", "submit", str(file), code=2).err


@pytest.mark.usefixtures("store")
def test_refusals_name_sawtooths_own_reason(coco: Coco, node: SawtoothNode, tmp_path: Path) -> None:
    batch = intkey("set", "a", 5)
    batch.header_signature = "0" * 128  # type: ignore[attr-defined]
    assert "rejected by the validator" in coco("sawtooth", "submit", batch_file(tmp_path, batch), code=8).err
    node.failure = web.json_response({"error": {"code": 17, "title": "t", "message": "m"}}, status=503)
    file = batch_file(tmp_path, intkey("set", "b", 5))
    assert "does not say what became" in coco("sawtooth", "submit", file, code=10).err


def test_lists_of_many_pages(client: SawtoothClient) -> None:
    batches = [intkey("set", f"n{number}", number) for number in range(30)]
    assert {one["status"] for one in client.submit(batches)} == {"COMMITTED"}
    assert len({one["address"] for one in client.entries("/state", limit=7)}) == 7
    listed = [one["address"] for one in client.entries("/state", address="1cf126")]
    assert sorted(listed) == sorted({intkey_address(f"n{number}") for number in range(30)})
    with pytest.raises(Refused):
        list(client.entries("/blocks", head="x"))


def test_a_network_made_for_sawtooth(coco: Coco, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("sawtooth", "adapters.sawtooth.adapter:SawtoothAdapter", "coco.adapters")
    monkeypatch.setattr("cli.genesis.installed_adapters", lambda: {"sawtooth": point})
    hidden = '{"1cf126": {"read": ["org1"]}}'
    coco("network", "create", "saw", "-d", "sawtooth", "--port", "0", "--setting", f"sawtooth.namespaces={hidden}")
    genesis = json.loads((home / "networks/saw/genesis.json").read_bytes())
    rules = {name: rule["read"] for name, rule in genesis["adapters"]["sawtooth"]["namespaces"].items()}
    assert rules.pop("1cf126") == ["org1"]
    assert set(rules) == {"000000", "00001d", "00b10c", "332514", "5b7349"}
    assert all(read == ["*"] for read in rules.values())
    wrong = coco("network", "create", "bad", "-d", "sawtooth", "--setting", "sawtooth.namespaces=[]", code=None)
    assert wrong.code != 0
    assert "namespaces is not an object" in wrong.err
