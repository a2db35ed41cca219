"""The example adapter, run by the harness."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from core.adapter.harness import AdapterHarness
from core.adapter.interface import Adapter, Caller
from core.adapter.loading import check_adapter_class

SOURCE = Path(__file__).parents[3] / "examples" / "kv_logger" / "coco_kv_logger.py"
ALICE, BOB = Caller("alice"), Caller("bob")


def load() -> type[Adapter]:
    spec = importlib.util.spec_from_file_location("coco_kv_logger_under_test", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: type[Adapter] = module.KeyValueLogger
    return found


@pytest.fixture
def harness() -> AdapterHarness:
    return AdapterHarness(load()({}, "test"))


async def status(harness: AdapterHarness, method: str, path: str, body: bytes = b"", caller: Caller = ALICE) -> int:
    return (await harness.request(method, path, body, caller)).status


async def listing(harness: AdapterHarness, path: str, caller: Caller) -> object:
    return json.loads((await harness.request("GET", path, caller=caller)).body)


def test_it_may_be_loaded_and_is_short() -> None:
    check_adapter_class("kv", load())
    assert len(SOURCE.read_text().splitlines()) < 100


async def test_put_get_delete(harness: AdapterHarness) -> None:
    written = await harness.request("PUT", "/keys/a", b"one", ALICE)
    assert (written.status, json.loads(written.body)) == (200, {"transaction": f"2.{harness.committed - 1}"})
    assert json.loads((await harness.request("GET", "/keys/a", caller=ALICE)).body) == {"value": "one"}
    assert await status(harness, "DELETE", "/keys/a") == 200
    assert await status(harness, "GET", "/keys/a") == 404
    assert await status(harness, "DELETE", "/keys/a") == 404


async def test_an_empty_value_is_a_value(harness: AdapterHarness) -> None:
    await harness.request("PUT", "/keys/a", b"", ALICE)
    assert json.loads((await harness.request("GET", "/keys/a", caller=ALICE)).body) == {"value": ""}


async def test_what_is_not_yours_is_answered_like_what_does_not_exist(harness: AdapterHarness) -> None:
    await harness.request("PUT", "/keys/a", b"secret", ALICE)
    for method in ("GET", "DELETE"):
        not_yours = await harness.request(method, "/keys/a", caller=BOB)
        assert not_yours == await harness.request(method, "/keys/nowhere", caller=BOB)
        assert not_yours.status == 404
    assert await listing(harness, "/keys", BOB) == []
    assert await status(harness, "PUT", "/keys/a", b"bob's own", BOB) == 200
    assert json.loads((await harness.request("GET", "/keys/a", caller=ALICE)).body) == {"value": "secret"}


async def test_shared_keys_are_read_by_all_and_written_by_their_owner(harness: AdapterHarness) -> None:
    await harness.request("PUT", "/keys/shared:a", b"open", ALICE)
    assert json.loads((await harness.request("GET", "/keys/shared:a", caller=BOB)).body) == {"value": "open"}
    assert await listing(harness, "/keys", BOB) == ["shared:a"]
    assert await status(harness, "PUT", "/keys/shared:a", b"mine now", BOB) == 409
    assert await status(harness, "DELETE", "/keys/shared:a", caller=BOB) == 409
    assert await status(harness, "PUT", "/keys/shared:a", b"changed") == 200


async def test_a_batch_is_one_entry_or_none(harness: AdapterHarness) -> None:
    before = len(harness.entries)
    batch = {"put": {"a": "1", "b": "2"}, "log": ["began"]}
    assert await status(harness, "POST", "/batch", json.dumps(batch).encode()) == 200
    assert len(harness.entries) == before + 1
    state = (len(harness.entries), harness.committed)
    refused = {"put": {"c": "3"}, "delete": ["nowhere"], "log": ["never said"]}
    assert await status(harness, "POST", "/batch", json.dumps(refused).encode()) == 404
    assert (len(harness.entries), harness.committed) == state
    assert await listing(harness, "/keys", ALICE) == ["a", "b"]
    assert await listing(harness, "/log", ALICE) == ["began"]


async def test_the_log_keeps_its_order_and_is_private(harness: AdapterHarness) -> None:
    for line in (b"first", b"second"):
        assert await status(harness, "POST", "/log", line) == 200
    await harness.request("POST", "/log", b"bob's", BOB)
    assert await listing(harness, "/log", ALICE) == ["first", "second"]
    assert await listing(harness, "/log", BOB) == ["bob's"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/keys/a", b"\xff"),
        ("POST", "/log", b"\xff"),
        ("POST", "/batch", b"{"),
        ("POST", "/batch", b'{"put":{"a":1}}'),
        ("POST", "/batch", b'{"unknown":[]}'),
    ],
)
async def test_malformed_bodies(harness: AdapterHarness, method: str, path: str, body: bytes) -> None:
    assert await status(harness, method, path, body) == 400


@pytest.mark.parametrize("name", ["", "n" * 201])
async def test_unfit_names(harness: AdapterHarness, name: str) -> None:
    assert await status(harness, "POST", "/batch", json.dumps({"put": {name: ""}}).encode()) == 409
    assert await status(harness, "POST", "/batch", json.dumps({"put": {"n" * 200: ""}}).encode()) == 200


async def test_everything_is_private_in_the_ledger_and_survives_a_restart(harness: AdapterHarness) -> None:
    await harness.request("PUT", "/keys/a", b"plaintext", ALICE)
    assert not any(b"plaintext" in entry.public for entry in harness.entries)
    harness.restart()
    assert json.loads((await harness.request("GET", "/keys/a", caller=ALICE)).body) == {"value": "plaintext"}


async def test_without_an_identity_nothing_is_served(harness: AdapterHarness) -> None:
    for method, path in (("GET", "/keys"), ("PUT", "/keys/a"), ("GET", "/log"), ("POST", "/batch")):
        assert (await harness.request(method, path)).status == 401
