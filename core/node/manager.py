"""The manager enclave: keys, identity, ledger, consensus and governance of a node. DESIGN sections 1, 3 and 6.

It trusts nothing that the host returns, and takes from the worker only blocks of that worker's own tables. Two tasks
run once it is ready: one seals what the executor proposes, the other persists and commits, so that block n+1 is sealed
while block n is being written. Invariant: BlockCommitted is sent only after fdatasync of the block has returned;
anything that goes wrong with the disk ends the node before that.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, assert_never

import msgspec

from core import limits
from core.consensus.single import SingleNodeEngine
from core.crypto.keys import PublicKey
from core.errors import ChannelClosed, InvariantBroken, LimitExceeded, MalformedMessage
from core.kv.write_set import encode_domain
from core.ledger.cose import RootSigner
from core.ledger.secrets import Keyring
from core.ledger.tables import NodeInfo, QuoteInfo
from core.node.admission import REPORT_DATA_BYTES, VerifyEvidence, check_own_admission
from core.node.config import ManagerConfig
from core.node.manager_blocks import BlockSealer, SealedBlock
from core.node.manager_keys import store_secrets
from core.node.manager_log import BlockLog
from core.node.manager_older import LedgerStatus, verify_older
from core.node.manager_receipts import ReceiptMaker
from core.node.manager_snapshots import SnapshotKeeper, SnapshotSettings
from core.node.manager_start import ROLLBACK_WARNING, Began, ReplaySender, begin, read_genesis
from core.node.manager_tables import EMPTY_DOMAIN, genesis_writes, start_writes
from core.node.messages import (
    FROM_MANAGER,
    TO_MANAGER,
    BlockCommitted,
    CertificateIssued,
    CertificateRequest,
    ProposeBlock,
    Ready,
    ReceiptRequest,
    SnapshotEnd,
    SnapshotRows,
    SnapshotTable,
)
from core.ports import Attestor, Disk, ReportClaims, Sealer, Transport
from core.types import Seqno

Published = Callable[[], Awaitable[bytes]]


async def nothing_published() -> bytes:
    """Say nothing in public about the platform."""
    return b"{}"


class Manager:
    """See the module. executor: the paired, sealed channel to the worker. clock: Unix seconds, the host's word.

    worker: what its report said when it paired. verify: how others would verify this node's evidence.
    published: returns a JSON object of the platform's public words (which code runs, collateral), which joins the
    service's.
    """

    def __init__(
        self,
        config: ManagerConfig,
        *,
        disk: Disk,
        sealer: Sealer,
        attestor: Attestor,
        executor: Transport,
        worker: ReportClaims,
        verify: VerifyEvidence,
        clock: Callable[[], float],
        log: Callable[[str], None],
        published: Published = nothing_published,
    ) -> None:
        self._published = published
        self._worker = worker
        self._verify = verify
        self._config = config
        self._disk = disk
        self._sealer = sealer
        self._attestor = attestor
        self._executor = executor
        self._clock = clock
        self._log = log
        self._running: _Running | None = None
        self._refused = 0
        self._closing = False
        self._work = asyncio.Event()
        self._slots = asyncio.Semaphore(limits.BLOCKS_IN_FLIGHT_MAX)

    async def run(self) -> None:
        """Run until the executor's channel closes. Raises what must stop the node: CocoError or InvariantBroken."""
        try:
            if self._running is None:
                await self.start()
        except ChannelClosed:
            self._log("a channel closed during start")
            return
        await self._serve()

    async def start(self) -> bytes:
        """Replay the ledger, begin a new view, say Ready to the executor; returns the service info.

        Raises ManifestRefused (this node is not admitted; nothing is written then), LedgerDamaged, IncompatibleData,
        StorageFailed, CocoError (a constitution that cannot be run).
        """
        await self._check_admission()
        sender = ReplaySender(self._executor)
        began = await begin(self._config, self._disk, self._sealer, sender, self._clock, self._log)
        epoch, signed = began.epoch, began.replayed.signed
        key = Keyring(began.secrets.epochs).find(epoch.first_view, epoch.first_seqno)
        if key is None:
            raise InvariantBroken("the new view has no key")
        service = RootSigner(began.secrets.service_key)
        frontier = signed.frontier.copy()
        sealer = BlockSealer(key, began.node_key, service, frontier, began.state, began.tables, self._clock)
        quote = await self._attestor.quote(bytes.fromhex(epoch.node).ljust(REPORT_DATA_BYTES, b"\0"))
        log = BlockLog(SingleNodeEngine(epoch.node, epoch.first_view), began.writer, began.history, self._announce)
        keyring, certificates = Keyring(began.secrets.epochs), began.state.certificates
        receipts = ReceiptMaker(began.history, self._disk, keyring, certificates, log=self._log)
        status = LedgerStatus(self._executor, began.older, began.snapshot)
        snapshots = self._keep_snapshots(began, keyring, receipts, status)
        published = await self._read_published()
        running = _Running(began, sealer, log, receipts, snapshots, status, quote, published)
        await self._write_start_block(running, sender)
        self._log(f"node {epoch.node[:16]} began view {epoch.first_view} after entry {signed.seqno}")
        self._log(f"warning: {ROLLBACK_WARNING}")
        self._running = running
        await self._executor.send(
            FROM_MANAGER.encode(
                Ready(
                    view=epoch.first_view,
                    last_seqno=sealer.last_seqno,
                    constitution=began.state.constitution.encode(),
                    service=running.service_info(),
                    view_history=(*signed.views, (epoch.first_view, epoch.first_seqno)),
                )
            )
        )
        return running.service_info()

    async def request_snapshot(self) -> None:
        """Begin a snapshot of the newest committed state, unless one is being written; only once started."""
        if self._running is not None:
            try:
                await self._running.snapshots.request()
            except ChannelClosed:
                self._closing = True

    def service_info(self) -> bytes:
        """Return the public JSON about node and service; only once started."""
        if self._running is None:
            raise InvariantBroken("the manager has not started")
        return self._running.service_info()

    @property
    def refused(self) -> int:
        """Messages of the executor that were refused as malformed."""
        return self._refused

    def _keep_snapshots(
        self, began: Began, keyring: Keyring, receipts: ReceiptMaker, status: LedgerStatus
    ) -> SnapshotKeeper:
        async def receipt_of(seqno: Seqno) -> bytes:
            return (await receipts.make(0, seqno)).receipt

        epoch = began.epoch
        views = (*began.replayed.signed.views, (epoch.first_view, epoch.first_seqno))
        settings = SnapshotSettings(self._config.snapshot_entries, keyring, views, began.snapshot)
        return SnapshotKeeper(settings, self._disk, self._executor, began.tables, receipt_of, status, self._log)

    async def _read_published(self) -> dict[str, Any]:
        return msgspec.json.decode(await self._published(), type=dict[str, Any])

    async def _check_admission(self) -> None:
        await check_own_admission(
            read_genesis(self._config),
            attestor=self._attestor,
            worker=self._worker,
            published=await self._read_published(),
            verify=self._verify,
            at=datetime.fromtimestamp(self._clock(), UTC),
        )

    async def _write_start_block(self, running: _Running, sender: ReplaySender) -> None:
        began = running.began
        node_key = began.node_key.public_key()
        info = NodeInfo("Trusted", node_key.to_pem(), QuoteInfo(base64.b64encode(running.quote).decode()))
        certificate = began.secrets.endorse_node(node_key, self._clock())
        began.state.certificates[began.epoch.node] = certificate
        writes = [
            start_writes(
                began.state,
                info,
                certificate,
                began.epoch,
                began.secrets.service_certificate,
                began.secrets.front_end_certificate,
            )
        ]
        if not began.replayed.signed.seqno:
            writes.insert(0, genesis_writes(began.state.constitution))
        entries = [encode_domain(one) for one in writes]
        block = running.sealer.seal_system(entries)
        await self._slots.acquire()
        running.log.propose(block)
        await running.log.carry_out()
        running.snapshots.began(block)
        known = replace(began.secrets, known_seqno=block.last)
        await store_secrets(self._disk, self._sealer, known)
        for seqno, public in enumerate(entries, block.first):
            await sender.add(Seqno(seqno), public, EMPTY_DOMAIN)
        await sender.flush()

    async def _announce(self, block: SealedBlock) -> None:
        """Tell the executor that a block is committed; the start block is told by Ready."""
        self._slots.release()
        if self._running is None or self._closing:
            return
        message = BlockCommitted(self._running.sealer.view, block.last, block.governance)
        snapshots = self._running.snapshots
        try:
            async with snapshots.turn:
                await self._executor.send(FROM_MANAGER.encode(message))
                await snapshots.committed(block)
        except ChannelClosed:
            self._closing = True

    async def _serve(self) -> None:
        if self._running is None:
            raise InvariantBroken("the manager has not started")
        receiving = asyncio.create_task(self._receive(self._running))
        committing = asyncio.create_task(self._commit(self._running))
        beside = (self._prove(self._running), self._running.snapshots.run(), self._verify_older(self._running))
        tasks = (receiving, committing, *(asyncio.create_task(one) for one in beside))
        try:
            await _until_done((receiving, committing), tasks)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
                raise result

    async def _verify_older(self, running: _Running) -> None:
        """Verify what a snapshot stood for; then receipts can be made of all entries, and further snapshots."""
        secrets, older = running.began.secrets, running.began.older
        if older is not None:
            try:
                keyring, certificate = Keyring(secrets.epochs), secrets.service_certificate
                await verify_older(older, self._disk, keyring, certificate, running.status, self._log)
            except ChannelClosed:
                self._closing = True
        running.snapshots.provable = True

    async def _prove(self, running: _Running) -> None:
        try:
            await running.receipts.run(self._executor)
        except ChannelClosed:
            self._closing = True

    async def _receive(self, running: _Running) -> None:
        try:
            while not self._closing:
                try:
                    message = TO_MANAGER.decode(await self._executor.receive())
                except (MalformedMessage, LimitExceeded) as error:
                    self._refuse(error.message)
                    continue
                match message:
                    case ProposeBlock():
                        # Waiting for a slot here is what keeps a worker from filling the memory.
                        await self._slots.acquire()
                        running.log.propose(running.sealer.seal_proposed(message, running.snapshots.evidence))
                        self._work.set()
                    case ReceiptRequest():
                        if (refusal := running.receipts.take(message)) is not None:
                            await self._executor.send(FROM_MANAGER.encode(refusal))
                    case CertificateRequest():
                        await self._issue_certificate(running, message.public_key)
                    case SnapshotTable() | SnapshotRows() | SnapshotEnd():
                        running.snapshots.take(message)
                    case _:
                        assert_never(message)
        except ChannelClosed:
            self._closing = True
        running.receipts.close()
        self._work.set()

    async def _commit(self, running: _Running) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            await running.log.carry_out()
            if self._closing and not running.log.has_work():
                return

    async def _issue_certificate(self, running: _Running, public_key: bytes) -> None:
        try:
            key = PublicKey.from_der(public_key)
        except MalformedMessage as error:
            self._refuse(error.message)
            return
        network = running.began.state.constitution.network
        chain = running.began.secrets.issue_front_end(key, network, self._config.names, self._clock())
        service = running.service_info(await self._read_published())
        await self._executor.send(FROM_MANAGER.encode(CertificateIssued(chain.encode(), service)))
        # From here on the executor takes what it did not ask for.
        running.snapshots.listening = True
        await running.status.listens()

    def _refuse(self, reason: str) -> None:
        self._refused += 1
        if self._refused & (self._refused - 1) == 0:  # 1, 2, 4, 8, ...: a flood does not fill the log.
            self._log(f"refused a message from the executor ({self._refused} so far): {reason}")


async def _until_done(needed: Sequence[asyncio.Task[None]], tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until all that is needed is done, or any of the tasks has failed."""
    pending = set(tasks)
    while not all(task.done() for task in needed):
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        if any(task.cancelled() or task.exception() is not None for task in done):
            return


class _Running:
    """What exists once the new view has begun."""

    def __init__(
        self,
        began: Began,
        sealer: BlockSealer,
        log: BlockLog,
        receipts: ReceiptMaker,
        snapshots: SnapshotKeeper,
        status: LedgerStatus,
        quote: bytes,
        published: dict[str, Any],
    ) -> None:
        self.began = began
        self.sealer = sealer
        self.log = log
        self.receipts = receipts
        self.snapshots = snapshots
        self.status = status
        self.quote = quote
        self._published = published

    def service_info(self, published: dict[str, Any] | None = None) -> bytes:
        """published: the platform's words as they are now, which are kept. Its collateral is renewed meanwhile."""
        if published is not None:
            self._published = published
        constitution, kept = self.began.state.constitution, self.began.secrets
        return msgspec.json.encode(
            self._published
            | {
                "network": constitution.network,
                "constitution_digest": constitution.digest().hex(),
                "service_certificate": kept.service_certificate,
                "front_end_ca": kept.front_end_certificate,
                "node_id": self.sealer.node,
                "view": self.sealer.view,
                "quote": base64.b64encode(self.quote).decode(),
                "warning": ROLLBACK_WARNING,
            }
        )
