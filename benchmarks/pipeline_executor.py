"""An executor alone in this process, fed with ERC-20 transfers as a gateway sends them, for benchmarks.

All of it runs: messages, tickets, queue, execution, blocks. In place of the manager stands a stub that commits each
block as it comes, in place of sockets are queues in memory, and there are no readers.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eth_abi.abi import encode
from eth_account import Account
from eth_account.messages import encode_defunct

from adapters.ethereum.adapter import EthereumAdapter
from adapters.ethereum.methods import ToAsk, ToSubmit
from adapters.ethereum.state_transition import contract_address
from adapters.jsonrpc import RpcCall
from cli.load.signing import Fees, Signer, derive_keys, transfer_data
from core.adapter.interface import Adapter
from core.governance.constitution import CONSTITUTION_VERSION, Constitution, Identity
from core.node.config import ExecutorConfig
from core.node.executor import Executor
from core.node.manager_keys import make_secrets
from core.node.messages import (
    FROM_GATEWAY,
    FROM_MANAGER,
    TO_GATEWAY,
    TO_MANAGER,
    Answer,
    Ask,
    BlockCommitted,
    CertificateIssued,
    FromGateway,
    FrontEnd,
    Lead,
    ProposeBlock,
    Ready,
    Replay,
    ReplayedEntry,
    Submit,
    WireCaller,
)
from core.ports import Transport
from core.types import Digest
from enclave_sim.boundary.memory_transport import memory_pair

TOKEN = Path(__file__).resolve().parents[1] / "cli/load/Token.json"
CHAIN_ID = 20_170
VIEW = 1
CALLER = WireCaller("sender", True, "token", "t" * 43)
SUPPLY = 10**30
ITEMS_PER_MESSAGE = 4
"""What a gateway under load puts into one message."""
_RECIPIENTS_FROM = 0xC0C0 << 80
_REPLAYED_PER_MESSAGE = 20


class ExecutorBench:
    """See the module. Made by `start`; stop it with `stop`. blocks: those proposed, while keeps_blocks."""

    def __init__(self, senders: int, replayed: Sequence[ReplayedEntry] = ()) -> None:
        self.signers = [Signer(key, CHAIN_ID) for key in derive_keys(b"benchmark", senders)]
        self._keys = derive_keys(b"benchmark", senders)
        funded = {"0x" + one.address.hex(): {"balance": str(10**24)} for one in self.signers}
        self.settings = {"chain_id": CHAIN_ID, "alloc": funded}
        self.replayed = replayed
        self._adapter = EthereumAdapter(self.settings, "Benchmark")
        self._methods = self._adapter._methods
        self._manager, theirs = memory_pair()
        self._gateway, other = memory_pair()
        self.executor = Executor(
            ExecutorConfig(bytes(32)),
            manager=theirs,
            gateways=[other],
            clock=time.time,
            log=lambda line: None,
            load=self._load,
        )
        self.token = b""
        self.nonces = [0] * senders
        self.sent = 0
        self.block_count = 0
        self.keeps_blocks = False
        self.blocks: list[ProposeBlock] = []
        self._ticket = 0
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def start(cls, senders: int = 64, *, keeps_blocks: bool = False) -> ExecutorBench:
        """Start an executor and give each sender some of a token."""
        bench = cls(senders)
        bench.keeps_blocks = keeps_blocks
        await bench._begin()
        for number in range(senders):
            await bench._bind(number)
        await bench._make_token()
        return bench

    async def again(self, more: Iterable[ReplayedEntry]) -> ExecutorBench:
        """Stop this one, which kept its blocks, and start another that replays them and then more entries."""
        await self.stop()
        entries = [
            ReplayedEntry(block.first_seqno + place, entry.public, entry.private)
            for block in self.blocks
            for place, entry in enumerate(block.entries)
        ]
        entries += [ReplayedEntry(entries[-1].seqno + 2 + at, one.public, one.private) for at, one in enumerate(more)]
        bench = ExecutorBench(len(self.signers), entries)
        bench.token, bench.nonces = self.token, list(self.nonces)
        await bench._begin()
        return bench

    async def _begin(self) -> None:
        self._tasks = [asyncio.create_task(self.executor.run()), asyncio.create_task(_commit(self, self._manager))]
        while not isinstance(TO_GATEWAY.decode(await self._gateway.receive()), FrontEnd):
            pass

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def transfers(self, count: int, *, to: Sequence[bytes] = ()) -> list[bytes]:
        """Return signed transfers' payloads, senders in turn. to: recipients in turn; by default always new ones."""
        made = []
        for number in range(self.sent, self.sent + count):
            recipient = to[number % len(to)] if to else (_RECIPIENTS_FROM + number).to_bytes(20, "big")
            made.append(self._sign(number % len(self.signers), self.token, transfer_data(recipient, 1)))
        self.sent += count
        return made

    async def run(self, payloads: Sequence[bytes], *, in_flight: int = 64) -> None:
        """Submit commands, so many at a time, and wait for every answer; raises RuntimeError for one refused."""
        position, answered = 0, 0
        room = in_flight
        while answered < len(payloads):
            while room and position < len(payloads):
                part = payloads[position : position + min(room, ITEMS_PER_MESSAGE)]
                position += len(part)
                room -= len(part)
                await self._gateway.send(FROM_GATEWAY.encode(FromGateway(tuple([self._submit(one) for one in part]))))
            for answer in await self._hear():
                if answer.failure or not answer.reply.startswith(b'"result"'):
                    raise RuntimeError(f"refused: {answer.failure} {answer.reply!r}")
                answered, room = answered + 1, room + 1

    async def ask(self, method: str, *params: object) -> Any:
        """Return the result of a query."""
        prepared = self._methods.prepare(RpcCall(b"1", method, params))
        if not isinstance(prepared, ToAsk):
            raise TypeError(f"{method} is no query")
        self._ticket += 1
        ask = Ask(self._ticket, "ethereum", prepared.payload, CALLER)
        await self._gateway.send(FROM_GATEWAY.encode(FromGateway((ask,))))
        answers: Sequence[Answer] = ()
        while not answers:
            answers = await self._hear()
        if not answers[0].reply.startswith(b'"result"'):
            raise RuntimeError(f"{method} was not answered: {answers[0]!r}")
        return json.loads(b"{" + answers[0].reply + b"}")["result"]

    async def _hear(self) -> Sequence[Answer]:
        message = TO_GATEWAY.decode(await self._gateway.receive())
        return () if isinstance(message, FrontEnd) else message.items

    def _load(self, settings: object, network: str) -> dict[str, Adapter]:
        del settings, network
        return {"ethereum": self._adapter}

    def _submit(self, payload: bytes) -> Submit:
        self._ticket += 1
        return Submit(self._ticket, "ethereum", payload, CALLER)

    def _sign(self, sender: int, to: bytes | None, data: bytes, gas: int = 90_000) -> bytes:
        raw, _ = self.signers[sender].sign(self.nonces[sender], to, data=data, gas=gas, fees=Fees())
        self.nonces[sender] += 1
        return self._payload("eth_sendRawTransaction", "0x" + raw.hex())

    def _payload(self, method: str, *params: object) -> bytes:
        prepared = self._methods.prepare(RpcCall(b"1", method, params))
        if not isinstance(prepared, ToSubmit):
            raise TypeError(f"{method} is no command")
        return prepared.payload

    async def _bind(self, number: int) -> None:
        message = await self.ask("coco_bindMessage", "0x" + self.signers[number].address.hex())
        signed = Account.from_key(self._keys[number]).sign_message(encode_defunct(text=message))
        await self.run([self._payload("coco_bind", message, "0x" + bytes(signed.signature).hex())])

    async def _make_token(self) -> None:
        code = bytes.fromhex(json.loads(TOKEN.read_bytes())["bytecode"][2:])
        arguments = encode(("string", "string", "uint256"), ("Token", "TKN", SUPPLY))
        self.token = contract_address(self.signers[0].address, 0)
        await self.run([self._sign(0, None, code + arguments, 3_000_000)])
        share = SUPPLY // (2 * len(self.signers))
        shares = [self._sign(0, self.token, transfer_data(one.address, share)) for one in self.signers[1:]]
        await self.run(shares)


async def _commit(bench: ExecutorBench, manager: Transport) -> None:
    """Play a manager that commits everything at once."""
    member = make_secrets(Digest(bytes(32)), "member", time.time()).service_certificate
    identities = (Identity("sender", "member", member),)
    constitution = Constitution(CONSTITUTION_VERSION, "Benchmark", identities, {"ethereum": bench.settings}, "ethereum")
    entries = bench.replayed
    for at in range(0, len(entries), _REPLAYED_PER_MESSAGE):
        await manager.send(FROM_MANAGER.encode(Replay(tuple(entries[at : at + _REPLAYED_PER_MESSAGE]))))
    bench.replayed = ()
    head = entries[-1].seqno + 1 if entries else 2
    ready = Ready(VIEW, head, constitution.encode(), b'{"service":1}', ((VIEW, 1),))
    for message in (ready, Lead(VIEW, head)):
        await manager.send(FROM_MANAGER.encode(message))
    while True:
        asked = TO_MANAGER.decode(await manager.receive())
        if not isinstance(asked, ProposeBlock):
            await manager.send(FROM_MANAGER.encode(CertificateIssued(b"CHAIN")))
            continue
        if bench.keeps_blocks:
            bench.blocks.append(asked)
        bench.block_count += 1
        head += len(asked.entries) + 1
        await manager.send(FROM_MANAGER.encode(BlockCommitted(VIEW, head, ())))
