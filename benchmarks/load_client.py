"""A cheap load client for any Ethereum JSON-RPC end point: keep-alive connections, one request in flight on each.

Signing happens before the clock starts. A transaction counts as confirmed when its receipt has been read.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(slots=True)
class Result:
    """What one run gave. Latencies in milliseconds, of single requests, in no order."""

    sent: int = 0
    confirmed: int = 0
    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def confirmed_per_second(self) -> float:
        return self.confirmed / self.seconds if self.seconds else 0.0

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class Connection:
    """One keep-alive HTTP connection. `headers` are raw header lines without line ends."""

    def __init__(self, url: str, ca_file: str | None, headers: tuple[str, ...]) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 443
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        lines = [f"POST {parts.path or '/'} HTTP/1.1", f"Host: {self._host}:{self._port}", *headers]
        self._head = "\r\n".join([*lines, "Content-Type: application/json", "Content-Length: "]).encode()

    async def open(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=1 << 24)
        return self

    async def post(self, body: bytes) -> bytes:
        """Send one request and return the body of its answer."""
        self._writer.write(self._head + str(len(body)).encode() + b"\r\n\r\n" + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        start = head.index(b"content-length:") + 15
        answer = await self._reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise RuntimeError(f"{head.splitlines()[0]!r}: {answer[:200]!r}")
        return answer

    async def call(self, method: str, *params: object) -> object:
        """Send one JSON-RPC request; raises RuntimeError with the error object."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = json.loads(await self.post(json.dumps(request).encode()))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    async def batch(self, calls: list[tuple[str, list[object]]]) -> list[dict[str, object]]:
        """Send one JSON-RPC batch; returns the answers in the order of the calls."""
        requests = [{"jsonrpc": "2.0", "id": i, "method": m, "params": p} for i, (m, p) in enumerate(calls)]
        answers = json.loads(await self.post(json.dumps(requests).encode()))
        return sorted(answers, key=lambda answer: answer["id"])

    def close(self) -> None:
        self._writer.close()


async def send_all(connections: list[Connection], lanes: list[list[tuple[str, str]]]) -> Result:
    """Send (raw transaction, hash) lanes, one lane a connection, in order; then read every receipt.

    A lane holds whole senders, so that their nonces arrive in order. The clock runs from the first send to the last
    answer; an answer means that the receipt can be read, which is then checked for every transaction.
    """
    result = Result(sent=sum(map(len, lanes)))
    accepted: list[str] = []

    async def run(connection: Connection, lane: list[tuple[str, str]]) -> None:
        for number, (raw, own_hash) in enumerate(lane):
            body = b'{"jsonrpc":"2.0","id":%d,"method":"eth_sendRawTransaction","params":["%s"]}' % (
                number,
                raw.encode(),
            )
            began = time.perf_counter()
            answer = json.loads(await connection.post(body))
            result.latencies_ms.append((time.perf_counter() - began) * 1000)
            if answer.get("result") == own_hash:
                accepted.append(own_hash)
            else:
                result.errors[str(answer.get("error", answer))[:120]] += 1

    began = time.perf_counter()
    await asyncio.gather(*(run(c, lane) for c, lane in zip(connections, lanes, strict=True)))
    result.seconds = time.perf_counter() - began
    for start in range(0, len(accepted), 100):
        part = accepted[start : start + 100]
        for answer in await connections[0].batch([("eth_getTransactionReceipt", [each]) for each in part]):
            receipt = answer.get("result")
            result.confirmed += isinstance(receipt, dict) and receipt["status"] == "0x1"
    return result
