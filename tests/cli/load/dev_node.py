"""A stand-in for a development node: plain HTTP, unlocked account, transactions that are mined at once or later."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from adapters.ethereum.keccak import keccak

TREASURY = "0x" + "11" * 20
TOKEN = "0x" + "22" * 20


class DevNode:
    """mines_later: a transaction is in a block only once somebody has asked for it. refuse_every: the n-th one."""

    def __init__(self) -> None:
        self.mines_later = False
        self.refuse_every = 0
        self.blocks: list[list[str]] = [[]]
        self.pool: list[str] = []
        self.mined: dict[str, int] = {}
        self.raw_count = 0
        self._made = 0
        self._lock = threading.Lock()
        self.url = ""

    def answer(self, method: str, params: list[Any]) -> Any:
        """Return a result, or a dictionary with the key error."""
        with self._lock:
            return getattr(self, "_" + method, self._unknown)(*params)

    def _unknown(self, *params: Any) -> Any:
        return {"error": {"code": -32601, "message": "the method does not exist"}}

    def _web3_clientVersion(self) -> str:
        return "devnode/1.0"

    def _eth_chainId(self) -> str:
        return "0x539"

    def _eth_accounts(self) -> list[str]:
        return [TREASURY]

    def _eth_getBalance(self, address: str, at: str) -> str:
        return hex(10**24)

    def _eth_getTransactionCount(self, address: str, at: str) -> str:
        return "0x7"

    def _eth_call(self, call: dict[str, str], at: str) -> str:
        return "0x" + "00" * 31 + "05"

    def _eth_blockNumber(self) -> str:
        return hex(len(self.blocks) - 1)

    def _eth_getBlockByNumber(self, number: str, whole: bool) -> Any:
        if number == "latest":
            return {"baseFeePerGas": "0x3b9aca00", "transactions": self.blocks[-1]}
        if int(number, 16) == len(self.blocks) and self.pool:
            self._mine()
        wanted = int(number, 16)
        return {"transactions": self.blocks[wanted]} if wanted < len(self.blocks) else None

    def _eth_sendTransaction(self, fields: dict[str, str]) -> str:
        self._made += 1
        return self._take("0x" + keccak(self._made.to_bytes(8, "big")).hex())

    def _eth_sendRawTransaction(self, raw: str) -> Any:
        self.raw_count += 1
        if self.refuse_every and self.raw_count % self.refuse_every == 0:
            return {"error": {"code": -32000, "message": f"nonce too low: next nonce {self.raw_count}, tx nonce 3"}}
        return self._take("0x" + keccak(bytes.fromhex(raw[2:])).hex())

    def _eth_getTransactionReceipt(self, transaction: str) -> Any:
        if transaction not in self.mined:
            if self.mines_later and self.pool:
                self._mine()  # It is there when somebody asks again.
            return None
        return {"status": "0x1", "blockNumber": hex(self.mined[transaction]), "contractAddress": TOKEN}

    def _take(self, transaction: str) -> str:
        self.pool.append(transaction)
        if not self.mines_later:
            self._mine()
        return transaction

    def _mine(self) -> None:
        for transaction in self.pool:
            self.mined[transaction] = len(self.blocks)
        self.blocks.append(self.pool)
        self.pool = []


@contextmanager
def serving(node: DevNode) -> Iterator[DevNode]:
    """Serve it on a free port of this machine, in threads."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            items = document if isinstance(document, list) else [document]
            answers = []
            for item in items:
                result = node.answer(item["method"], item["params"])
                wrong = isinstance(result, dict) and "error" in result
                answers.append({"jsonrpc": "2.0", "id": item["id"], **(result if wrong else {"result": result})})
            body = json.dumps(answers if isinstance(document, list) else answers[0], separators=(",", ":")).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    node.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield node
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
