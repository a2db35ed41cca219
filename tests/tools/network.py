"""Networks for the tests of docs/tools/: made, started and proxied by the `coco` command line, as a user does it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

ROOT = Path(__file__).resolve().parents[2]
PROXY_SECONDS_MAX = 30


@dataclass(slots=True)
class Proxy:
    """A running `coco proxy`."""

    http: str
    websocket: str
    process: subprocess.Popen[str]
    zmq: str = ""

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@dataclass(slots=True)
class ToolNetwork:
    """A running network in a home of its own. Its accounts are named for the identity that they are bound to."""

    name: str
    home: Path
    accounts: dict[str, LocalAccount] = field(default_factory=dict)
    proxies: list[Proxy] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "COCO_HOME": str(self.home), "COCO_PASSWORD": ""}

    @property
    def client(self) -> Path:
        return self.home / "clients" / self.name

    @property
    def url(self) -> str:
        return (self.client / "url").read_text().strip()

    @property
    def ca_file(self) -> Path:
        return self.client / "front-end-ca.pem"

    def token(self, identity: str) -> str:
        return (self.client / "identities" / identity / "token").read_text().strip()

    def coco(self, *arguments: str) -> str:
        """Run a command; its output, or an AssertionError with what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"coco {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def new_account(self, name: str, identity: str) -> LocalAccount:
        """Make a key, keep it as an account of the command line and bind it."""
        account: LocalAccount = Account.create()
        key_file = self.home / f"{name}.hex"
        key_file.write_text("0x" + bytes(account.key).hex())
        self.coco("account", "import", name, "--key-file", str(key_file), "--no-password", "-n", self.name)
        key_file.unlink()
        self.coco("account", "bind", name, "--identity", identity, "-n", self.name)
        self.accounts[name] = account
        return account

    def unlock(self, name: str) -> LocalAccount:
        """Read an account that `network create --fund` made, which has no password."""
        keystore = json.loads((self.client / "accounts" / f"{name}.json").read_text())
        account: LocalAccount = Account.from_key(Account.decrypt(keystore, ""))
        self.accounts[name] = account
        return account

    def proxy(self, identity: str, *options: str) -> Proxy:
        """Start `coco proxy` on a free port."""
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "proxy", "-n", self.name, "-i", identity,
             "--port", "0", "--json", *options],
            cwd=ROOT, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        document = json.loads(_first_document(process))
        proxy = Proxy(document["http"], document["websocket"], process, document.get("zmq", ""))
        self.proxies.append(proxy)
        return proxy

    def close(self) -> None:
        for proxy in self.proxies:
            proxy.stop()
        subprocess.run(
            [sys.executable, "-m", "cli.main", "network", "stop", self.name],
            cwd=ROOT, env=self.environment, capture_output=True, timeout=60, check=False,
        )  # fmt: skip


def start_network(home: Path, name: str, *options: str) -> ToolNetwork:
    """Create and start a network on a free port."""
    network = ToolNetwork(name, home)
    network.coco("network", "create", name, "--port", "0", *options)
    network.coco("network", "start", name)
    return network


def rpc(url: str, method: str, *params: Any, headers: dict[str, str] | None = None, **options: Any) -> Any:
    """Post one JSON-RPC request; the whole answer."""
    import requests

    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    return requests.post(url, json=body, headers=headers, timeout=30, **options).json()


def _first_document(process: subprocess.Popen[str]) -> str:
    """Read the JSON document that the proxy prints when it listens."""
    assert process.stdout is not None
    stop_late = threading.Timer(PROXY_SECONDS_MAX, process.kill)
    stop_late.start()
    text = ""
    try:
        while line := process.stdout.readline():
            text += line
            if line == "}\n" or (line.startswith("{") and line.endswith("}\n")):
                return text
    finally:
        stop_late.cancel()
    _, error = process.communicate()
    raise AssertionError(f"coco proxy did not start: {text}{error}")
