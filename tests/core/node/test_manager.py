"""The manager's role: what it accepts from a worker, when it acknowledges, how it starts again."""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from datetime import UTC, datetime

import pytest

from core.crypto.certificates import public_key_of, verify_issued_under
from core.crypto.keys import PrivateKey
from core.errors import (
    AuthenticationFailed,
    CocoError,
    InvariantBroken,
    StorageFailed,
)
from core.kv.write_set import WriteSet, encode_domain
from core.ledger.secrets import EntryKey
from core.node.config import ManagerConfig
from core.node.manager_keys import load_secrets
from core.node.messages import (
    FROM_MANAGER,
    TO_MANAGER,
    CertificateIssued,
    CertificateRequest,
    EntryDraft,
    ProposeBlock,
)
from core.types import NO_CLAIMS
from tests.support.manager_bench import (
    Machine,
    kv_draft,
    make_config,
    make_constitution,
)

EMPTY = encode_domain({})


def draft(tables: dict[str, dict[bytes, bytes | None]], adapter: str = "kv", claims: bytes = NO_CLAIMS) -> EntryDraft:
    return EntryDraft(adapter, *WriteSet(tables).encode(), claims)


HOSTILE_DRAFTS = {
    "system table of CCF": draft({"public:ccf.gov.nodes.info": {b"x": b"y"}}),
    "system table of Coco": draft({"public:coco.settings": {b"default_adapter": b"kv"}}),
    "private system table": draft({"coco.settings": {b"x": b"y"}}),
    "another adapter's table": draft({"ethereum.accounts": {b"x": b"y"}}),
    "another adapter's public table": draft({"public:ethereum.blocks": {b"x": b"y"}}),
    "its own and another's": draft({"kv.data": {b"x": b"y"}, "kvx.data": {b"x": b"y"}}),
    "table without a prefix": draft({"data": {b"x": b"y"}}),
    "public table in the private domain": EntryDraft(
        "kv", EMPTY, encode_domain({"public:kv.log": {b"x": b"y"}}), NO_CLAIMS
    ),
    "private table in the public domain": EntryDraft("kv", encode_domain({"kv.data": {b"x": b"y"}}), EMPTY, NO_CLAIMS),
    "adapter that is not live": draft({"corda.x": {b"x": b"y"}}, adapter="corda"),
    "adapter named ccf": draft({"public:ccf.x": {b"x": b"y"}}, adapter="ccf"),
    "short claims": draft({"kv.data": {b"x": b"y"}}, claims=bytes(31)),
    "misshapen public domain": EntryDraft("kv", b"\x01\x01", EMPTY, NO_CLAIMS),
    "misshapen private domain": EntryDraft("kv", EMPTY, b"\x01", NO_CLAIMS),
    "governance with writes": EntryDraft("coco", encode_domain({"public:kv.log": {b"x": b"y"}}), b"", NO_CLAIMS),
}


@pytest.mark.parametrize("hostile", HOSTILE_DRAFTS.values(), ids=HOSTILE_DRAFTS.keys())
async def test_worker_that_writes_what_is_not_its_own_stops_the_node(hostile: EntryDraft) -> None:
    machine = Machine()
    node = machine.launch()
    await node.until_ready()
    before = dict(machine.disk.files)
    await node.propose(kv_draft(b"a", b"1"), hostile)
    with pytest.raises(InvariantBroken, match="worker"):
        await node.running
    assert machine.disk.files == before


@pytest.mark.parametrize(
    ("view", "seqno", "entries"), [(1, 1, 1), (1, 0, 1), (2, 4, 1), (0, 4, 1), (1, 5, 1), (1, 4, 0)]
)
async def test_worker_with_a_wrong_view_seqno_or_empty_block_stops_the_node(
    view: int, seqno: int, entries: int
) -> None:
    node = Machine().launch()
    assert (await node.until_ready()).last_seqno == 3
    message = ProposeBlock(view, seqno, (kv_draft(b"a", b"1"),) * entries)
    await node.executor.send(TO_MANAGER.encode(message))
    with pytest.raises(InvariantBroken, match="worker proposed"):
        await node.running


async def test_malformed_messages_are_refused_and_the_node_goes_on() -> None:
    machine = Machine()
    async with machine.node() as node:
        for bad in (b"", b"\x01", b"\x02\x90", b"\x01\x91\x15", TO_MANAGER.encode(CertificateRequest(b"no key"))):
            await node.executor.send(bad)
        assert (await node.commit(kv_draft(b"a", b"1"))).last_seqno == 5
        assert node.manager.refused == 5
    assert sum("refused a message" in line for line in machine.log) == 3


async def test_blocks_commit_in_order_and_come_back_after_a_restart() -> None:
    machine = Machine()
    async with machine.node() as node:
        assert node.ready is not None
        assert node.ready.view_history == ((1, 1),)
        for number in range(10):
            done = await node.commit(*(kv_draft(b"%d" % number, b"v%d" % item, public=b"p") for item in range(3)))
            assert (done.view, done.last_seqno) == (1, 7 + 4 * number)
    async with machine.node() as node:
        assert node.ready is not None
        assert (node.ready.view, node.ready.last_seqno) == (2, 45)
        assert node.ready.view_history == ((1, 1), (2, 44))
        assert node.state()["kv.data"] == {b"%d" % number: b"v2" for number in range(10)}
        assert node.state()["public:kv.log"][b"log"] == b"p"
        assert node.ready.constitution == make_constitution().encode()
        seqnos = [entry.seqno for entry in node.replayed]
        assert seqnos == sorted(set(seqnos))
        assert 3 not in seqnos
        assert seqnos[-1] == 44
        assert (await node.commit(kv_draft(b"z", b"1"))).last_seqno == 47


async def test_blocks_in_flight_are_written_together_and_bounded() -> None:
    machine = Machine()
    async with machine.node() as node:
        for number in range(50):
            await node.propose(kv_draft(b"k", b"%d" % number))
        assert [(await node.committed()).last_seqno for _ in range(50)] == list(range(5, 105, 2))
    async with machine.node() as node:
        assert node.state()["kv.data"] == {b"k": b"49"}


async def test_nothing_private_stands_on_the_disk_in_the_clear() -> None:
    machine = Machine()
    async with machine.node() as node:
        await node.commit(kv_draft(b"PLAINTEXT-KEY", b"PLAINTEXT-VALUE" * 5, public=b"PUBLIC-VALUE"))
        secrets = await load_secrets(machine.disk, machine.sealer)
        assert secrets is not None
    disk = b"".join(machine.disk.files.values())
    assert b"PUBLIC-VALUE" in disk
    for hidden in (b"PLAINTEXT-KEY", b"PLAINTEXT-VALUE", b"kv.data\0", secrets.epochs[0].key):
        assert hidden not in disk
    assert secrets.service_key.to_pkcs8_der() not in disk
    assert secrets.epochs[0].key.hex() not in repr(secrets)
    assert repr(secrets.epochs[0].key) not in repr(secrets)


@pytest.mark.parametrize("fault", ["fsync", "torn", "full"])
async def test_failing_disk_stops_the_node_before_it_acknowledges(fault: str) -> None:
    machine = Machine()
    node = machine.launch()
    await node.until_ready()
    assert (await node.commit(kv_draft(b"a", b"acknowledged"))).last_seqno == 5
    if fault == "fsync":
        machine.disk.fail_fsync = True
    elif fault == "torn":
        machine.disk.torn_bytes = 100
    else:
        machine.disk.capacity_bytes = 100
    await node.propose(kv_draft(b"a", b"lost"))
    with pytest.raises(StorageFailed):
        await node.committed()
    machine.disk = machine.disk.copy()
    async with machine.node() as again:
        expected = b"lost" if fault == "fsync" else b"acknowledged"
        assert again.state()["kv.data"][b"a"] == expected


@pytest.mark.parametrize("fault", ["fsync", "torn", "full"])
async def test_failing_disk_at_the_first_start_leaves_a_network_that_starts(fault: str) -> None:
    machine = Machine()
    if fault == "fsync":
        machine.disk.fail_fsync = True
    elif fault == "torn":
        machine.disk.torn_bytes = 300
    else:
        machine.disk.capacity_bytes = 2_500
    with pytest.raises(StorageFailed):
        await machine.refuse()
    machine.disk = machine.disk.copy()
    async with machine.node() as node:
        assert node.state()["public:coco.constitution"]
        await node.commit(kv_draft(b"a", b"1"))
    async with machine.node() as node:
        assert node.state()["kv.data"] == {b"a": b"1"}


@pytest.mark.parametrize("torn_bytes", [0, 5, 700, 2_000])
async def test_power_cut_during_a_restart_leaves_a_network_that_starts(torn_bytes: int) -> None:
    machine = Machine()
    async with machine.node() as node:
        await node.commit(kv_draft(b"a", b"1"))
    for _ in range(3):
        machine.disk.torn_bytes = torn_bytes
        with pytest.raises(StorageFailed):
            await machine.refuse()
        machine.disk = machine.disk.copy()
    async with machine.node() as node:
        assert node.ready is not None
        assert node.ready.view == 5
        assert node.ready.view_history == ((1, 1), (5, 6))
        assert node.state()["kv.data"] == {b"a": b"1"}


async def test_full_disk_during_the_sealing_of_keys_changes_nothing_else() -> None:
    machine = Machine()
    async with machine.node() as node:
        await node.commit(kv_draft(b"a", b"1"))
    before = dict(machine.disk.files)
    machine.disk.capacity_bytes = 0
    with pytest.raises(StorageFailed):
        await machine.refuse()
    assert machine.disk.files == before


async def test_every_start_has_a_new_view_node_and_epoch_key() -> None:
    machine = Machine()
    nodes, services = set(), set()
    for view in range(1, 6):
        async with machine.node() as node:
            info = json.loads(node.manager.service_info())
            assert info["view"] == view
            assert info["quote"]
            nodes.add(info["node_id"])
            services.add((info["service_certificate"], info["front_end_ca"], info["constitution_digest"]))
            assert machine.attestor.quoted[-1] == bytes.fromhex(info["node_id"]) + bytes(32)
            records = node.state()["public:ccf.gov.nodes.info"]
            assert json.loads(records[info["node_id"].encode()] or b"")["status"] == "Trusted"
            assert sum(json.loads(value or b"")["status"] == "Trusted" for value in records.values()) == 1
            await node.commit(kv_draft(b"a", b"1"))
    secrets = await load_secrets(machine.disk, machine.sealer)
    assert secrets is not None
    assert len({epoch.key for epoch in secrets.epochs}) == len(nodes) == 5
    assert len(services) == 1
    assert sum("cannot notice" in line for line in machine.log) == 5


async def test_no_key_and_nonce_pair_is_ever_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host rolls the disk back again and again, and lets the node go on from there."""
    used: set[tuple[bytes, bytes]] = set()

    class Watched:
        def __init__(self, key: bytes, inner: object) -> None:
            self._key, self._inner = key, inner

        def encrypt(self, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
            assert (self._key, nonce) not in used
            used.add((self._key, nonce))
            return self._inner.encrypt(nonce, plaintext, associated)  # type: ignore[attr-defined,no-any-return]

        def decrypt(self, *arguments: bytes) -> bytes:
            return self._inner.decrypt(*arguments)  # type: ignore[attr-defined,no-any-return]

    made = EntryKey.__init__

    def watch(self: EntryKey, epoch_key: bytes, node: str, view: int) -> None:
        made(self, epoch_key, node, view)  # type: ignore[arg-type]
        self.aead = Watched(epoch_key + node.encode() + bytes([view]), self.aead)  # type: ignore[assignment]

    monkeypatch.setattr(EntryKey, "__init__", watch)
    machine = Machine()
    async with machine.node() as node:
        await node.commit(kv_draft(b"a", b"0"))
    old = machine.disk.copy()
    for attempt in range(4):
        machine.disk = old.copy()
        for _ in range(2):
            async with machine.node() as node:
                await node.commit(kv_draft(b"a", b"%d" % attempt), kv_draft(b"b", b"1"))
    assert len(used) == 3 + 8 * 3  # Signature entries encrypt nothing.


async def test_chunks_close_at_signatures_and_read_back() -> None:
    machine = Machine(config=make_config(chunk_bytes_min=2_000))
    async with machine.node() as node:
        for number in range(40):
            await node.commit(kv_draft(b"%d" % number, bytes(100)))
    names = sorted(name for name in machine.disk.files if name.startswith("ledger/"))
    assert len(names) > 5
    assert sum(name.endswith(".committed") for name in names) >= len(names) - 1
    async with machine.node() as node:
        assert len(node.state()["kv.data"]) == 40


async def test_chunks_close_under_pipelined_load_too() -> None:
    machine = Machine(config=make_config(chunk_bytes_min=2_000))
    async with machine.node() as node:
        for number in range(60):
            await node.propose(kv_draft(b"%d" % number, bytes(100)))
        for _ in range(60):
            await node.committed()
    assert max(len(data) for name, data in machine.disk.files.items() if name.startswith("ledger/")) < 8_000
    async with machine.node() as node:
        assert len(node.state()["kv.data"]) == 60


async def test_replay_messages_are_bounded() -> None:
    machine = Machine()
    async with machine.node() as node:
        for _ in range(6):
            await node.commit(kv_draft(b"a", bytes(400_000)))
    node = machine.launch()
    sizes = []
    while len(message := await node.executor.receive()) > 10_000 or not sizes:
        sizes.append(len(message))
    assert len(sizes) == 3
    assert max(sizes) < 1_048_576
    await node.executor.close()
    await node.running


async def test_front_end_certificate_is_under_its_own_authority() -> None:
    key = PrivateKey.generate()
    machine = Machine()
    async with machine.node() as node:
        await node.executor.send(TO_MANAGER.encode(CertificateRequest(key.public_key().to_der())))
        issued = FROM_MANAGER.decode(await node.executor.receive())
        assert isinstance(issued, CertificateIssued)
        info = json.loads(node.manager.service_info())
        assert json.loads(issued.service) == info
    chain = issued.chain.decode()
    assert public_key_of(chain) == key.public_key()
    assert chain.endswith(info["front_end_ca"])
    at = datetime.fromtimestamp(machine.clock.now, UTC)
    verify_issued_under(chain, info["front_end_ca"], at=at)
    with pytest.raises(AuthenticationFailed):
        verify_issued_under(chain, info["service_certificate"], at=at)
    context = ssl.create_default_context(cadata=info["front_end_ca"])
    assert context.verify_mode is ssl.CERT_REQUIRED


async def test_names_that_no_certificate_can_hold_stop_the_node() -> None:
    machine = Machine(config=ManagerConfig(make_constitution().encode(), ("münchen.example",), bytes(32)))
    node = machine.launch()
    await node.until_ready()
    await node.executor.send(TO_MANAGER.encode(CertificateRequest(PrivateKey.generate().public_key().to_der())))
    with pytest.raises(CocoError, match="not a DNS name"):
        await node.running


async def test_long_replays_say_how_far_they_are() -> None:
    machine = Machine()
    async with machine.node() as node:
        await node.commit(kv_draft(b"a", b"1"))
    ticks = itertools.count(1_800_000_000)
    machine.clock = lambda: next(ticks)  # type: ignore[assignment]
    async with machine.node():
        pass
    assert "replaying the ledger: 5 entries verified" in machine.log


async def test_executor_that_leaves_during_start_ends_the_manager_quietly() -> None:
    node = Machine().launch()
    await node.executor.close()
    await asyncio.wait_for(node.running, 5)
