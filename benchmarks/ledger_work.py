"""What benchmarks/ledger.py measures: transfers executed, sealed into a ledger, replayed, and put into a snapshot."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from adapters.ethereum.adapter import EthereumAdapter
from adapters.ethereum.requests import COMMANDS, SendTransaction
from adapters.ethereum.settings import Settings, parse_settings
from adapters.ethereum.transactions import decode_transaction, encode_stored
from core.adapter.harness import AdapterHarness
from core.adapter.interface import Caller
from core.crypto.keys import PrivateKey
from core.governance.constitution import CONSTITUTION_VERSION, Constitution, Identity
from core.kv.store import Store
from core.kv.write_set import WriteSet, encode_domain
from core.ledger.cose import RootSigner
from core.ledger.entry import OpenedEntry
from core.ledger.files import LedgerWriter
from core.ledger.replay import replay
from core.ledger.secrets import EpochSecret, Keyring
from core.ledger.snapshot_evidence import SnapshotEvidence
from core.ledger.snapshot_format import (
    PREFIX_BYTES,
    Prefix,
    SnapshotName,
    SnapshotPoint,
    encode_rows,
    partial_file,
    row_bytes,
)
from core.ledger.snapshot_reader import VerifiedSnapshot, hash_file, read_tables
from core.ledger.snapshot_writer import SnapshotWriter
from core.ledger.tables import NodeInfo, QuoteInfo
from core.ledger.verify import LedgerVerifier
from core.node.executor_start import Loading
from core.node.manager_blocks import BlockSealer, Own
from core.node.manager_keys import make_secrets
from core.node.manager_tables import WRITE_SETS, SystemState, genesis_writes, start_writes
from core.node.messages import EntryDraft, ProposeBlock
from core.node.replication.blocks import SealedBlock
from core.node.replication.head import LedgerHead
from core.node.system_tables import SystemTables
from core.types import NO_CLAIMS, Digest, NodeId, Seqno, View
from enclave_sim.disk import DirectoryDisk

CHAIN_ID = 77_123
VIEW = View(1)
NOW = 1_800_000_000.0
CALLER = Caller("sender", is_member=True, credential="certificate")
SLICE_ROWS = 500
BLOCK_COMMANDS = 1_000
WRITE_BLOCK_ENTRIES = 1_000


@dataclass(slots=True)
class Ethereum:
    """An Ethereum adapter in the harness, with one funded account."""

    harness: AdapterHarness
    account: LocalAccount
    settings: Settings

    @classmethod
    async def make(cls) -> Ethereum:
        account: LocalAccount = Account.from_key(b"\x01" * 32)
        given = {"chain_id": CHAIN_ID, "alloc": {account.address: {"balance": str(10**27)}}}
        adapter = EthereumAdapter(given, "Benchmark")
        found = cls(AdapterHarness(adapter), account, parse_settings(given))
        message = await found._call("coco_bindMessage", account.address)
        signature = account.sign_message(encode_defunct(text=message)).signature
        await found._call("coco_bind", message, "0x" + bytes(signature).hex())
        return found

    def commands(self, first: int, count: int) -> list[bytes]:
        """Return transfers from nonce `first` on, each to an account that is not there yet, as a gateway sends them."""
        return [self._command(nonce) for nonce in range(first, first + count)]

    def run(self, commands: Sequence[bytes]) -> None:
        """Execute commands in blocks."""
        for at in range(0, len(commands), BLOCK_COMMANDS):
            for command in commands[at : at + BLOCK_COMMANDS]:
                self.harness.enqueue(command, CALLER)
            self.harness.run()

    def take_entries(self) -> list[EntryDraft]:
        """Return the entries made since the last call."""
        made, self.harness.entries = self.harness.entries, []
        return [EntryDraft("ethereum", one.public, one.private, one.claims) for one in made]

    def _command(self, nonce: int) -> bytes:
        fields: dict[str, Any] = {"to": recipient(nonce), "value": 1, "gas": 21_000, "gasPrice": 0, "nonce": nonce}
        raw = self.account.sign_transaction(fields | {"chainId": CHAIN_ID}).raw_transaction
        signed = decode_transaction(bytes(raw), self.settings)
        return COMMANDS.encode(
            SendTransaction(encode_stored(signed), signed.sender, signed.nonce, signed.hash, b"", b"")
        )

    async def _call(self, method: str, *params: str) -> str:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        answer = json.loads(bytes((await self.harness.request("POST", "/", body, CALLER)).body))
        return str(answer["result"])


def recipient(number: int) -> bytes:
    """Return an address that differs in its first bytes from the next one's."""
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big") + number.to_bytes(12, "big")


class Ledger:
    """One network's keys, one node, one view, and a disk in a directory. head: where it ends."""

    def __init__(self, disk: DirectoryDisk) -> None:
        self.disk = disk
        member = make_secrets(Digest(bytes(32)), "member", NOW).service_certificate
        self._constitution = Constitution(
            CONSTITUTION_VERSION, "bench", (Identity("m", "member", member),), {"ethereum": {}}, "ethereum"
        )
        self._secrets = make_secrets(self._constitution.digest(), "bench", NOW)
        self._node_key = PrivateKey.generate()
        self._epoch = EpochSecret(1, Seqno(1), VIEW, self.node, b"\x07" * 32)
        self._writer = LedgerWriter(disk, 5_000_000, None)
        _, self.head = self._beginning()
        self._sealer = BlockSealer(VIEW, self.head, self._node_key, RootSigner(self._secrets.service_key), lambda: NOW)

    @property
    def node(self) -> NodeId:
        return self._node_key.public_key().node_id()

    def _beginning(self) -> tuple[LedgerVerifier, LedgerHead]:
        """Return what a node that has the keys knows before the first entry."""
        keyring = Keyring([self._epoch])
        verifier = LedgerVerifier(keyring, WRITE_SETS, self._secrets.service_certificate)
        return verifier, LedgerHead(verifier, keyring, SystemState(self._constitution), SystemTables())

    async def begin(self) -> None:
        """Write the first block."""
        public, kept = self._node_key.public_key(), self._secrets
        starting = start_writes(
            self.head.state,
            NodeInfo("Trusted", public.to_pem(), QuoteInfo("")),
            kept.endorse_node(public, NOW),
            self._epoch,
            kept.service_certificate,
            kept.front_end_certificate,
        )
        writes = (genesis_writes(self._constitution), starting)
        await self._append(self._sealer.seal_system([encode_domain(one) for one in writes]))

    async def write(self, entries: Sequence[EntryDraft]) -> None:
        """Seal and write entries, in blocks."""
        for at in range(0, len(entries), WRITE_BLOCK_ENTRIES):
            first = Seqno(self.head.seqno + 1)
            proposed = ProposeBlock(VIEW, first, tuple(entries[at : at + WRITE_BLOCK_ENTRIES]), int(NOW))
            block, _ = self._sealer.seal_proposed(proposed, _fill_in)
            await self._append(block)

    async def _append(self, block: SealedBlock) -> None:
        await self._writer.append(block.data, block.first)

    async def replay(self) -> Store:
        """Do what a start without a snapshot does, in manager and executor, and return the executor's state."""
        store = Store()
        verifier, head = self._beginning()

        async def deliver(block: Sequence[OpenedEntry]) -> None:
            for entry in block:
                if not entry.is_signature:
                    head.state.absorb(entry.public)
                    head.tables.note(entry.seqno, entry.public)
                    head.learn_epochs(entry.public)
                    store.apply(entry.seqno, WriteSet.decode(entry.public, entry.private))
            store.compact(store.head)

        replayed = await replay(self.disk, verifier, deliver)
        store.advance(replayed.signed.seqno)
        return store


def _fill_in(what: str, seqno: Seqno) -> Own:
    raise LookupError(f"no entry of {what} is due at {seqno}")


@dataclass(slots=True)
class SnapshotFile:
    """A snapshot of tables of a state, on disk, as if its evidence had been verified."""

    ledger: Ledger
    name: SnapshotName
    key: bytes
    rows: int = 0
    size_bytes: int = 0

    @classmethod
    async def write(cls, ledger: Ledger, store: Store, tables: Sequence[str]) -> SnapshotFile:
        seqno = ledger.head.seqno
        key = ledger.head.keyring.snapshot_key(VIEW, seqno)
        if key is None:
            raise LookupError("the one view has no key")
        made = cls(ledger, SnapshotName(seqno, Seqno(seqno + 1)), key)
        head = ledger.head
        writer = SnapshotWriter(ledger.disk, key, SnapshotPoint(seqno, head.view, head.frontier, head.views))
        for name in tables:
            rows = [(key, row[0], row[1]) for key, row in store.table(name).current.items() if row[1] is not None]
            size = sum(row_bytes(key, value) for key, _, value in rows)
            await writer.add_table(name, size, is_public=False)
            for at in range(0, len(rows), SLICE_ROWS):
                await writer.add_rows(encode_rows(rows[at : at + SLICE_ROWS]))
            made.rows += len(rows)
        made.size_bytes = (await writer.finish()).size_bytes
        return made

    async def load(self) -> Store:
        """Do what a start from it does, in manager and executor, and return the executor's state."""
        disk, file = self.ledger.disk, partial_file(self.name.seqno)
        prefix = Prefix.decode(await disk.read(file, 0, PREFIX_BYTES))
        digest, blocks = await hash_file(disk, file, prefix.size_bytes)
        evidence = SnapshotEvidence.make(digest, self.name.seqno, NO_CLAIMS)
        verified = VerifiedSnapshot(file, self.name, prefix, evidence, blocks, self.ledger.node, VIEW)
        loading = Loading(self.name.seqno)
        async for part in read_tables(disk, verified, self.key, lambda point: None):
            loading.add(part.table, part.data)
        loading.finish()
        return loading.store

    async def remove(self) -> None:
        await self.ledger.disk.remove(partial_file(self.name.seqno))


@asynccontextmanager
async def temporary_ledger() -> AsyncIterator[Ledger]:
    """Give a ledger in a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory() as directory, closing(DirectoryDisk(Path(directory) / "disk")) as disk:
        ledger = Ledger(disk)
        await ledger.begin()
        yield ledger
