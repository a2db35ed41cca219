"""A client's connection to a network: HTTPS with the pinned front-end CA and the identity's bearer token.

`connect` is what examples use too. The token goes to no address but the network's own, over TLS that chains to the
pinned CA; redirects are not followed.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson

from cli.errors import Refused, Unreachable
from cli.failover import Addresses, is_repeatable
from cli.store import ClientStore, Identity, Store
from core import limits

if TYPE_CHECKING:
    from web3 import Web3

CONNECT_SECONDS_MAX = 5.0
"""How long one of several nodes may take until a connection to it stands."""

NOT_BOUND = -32001
"""The JSON-RPC error code for an address that is not bound to the caller's identity."""


@dataclass(slots=True)
class Connection:
    """One network as one identity. url: https://HOST:PORT. token None: no credential is shown.

    rpc_path: where JSON-RPC is spoken; "/" is the network's default adapter, "/ethereum/" that one. others: further
    nodes of the network, which are turned to in turn when the one at `url` does not answer; `url` is then that one.

    A connection is kept open between requests, belongs to one thread, and is closed by `close` or a `with`.
    """

    url: str
    ca_file: Path
    token: str | None = field(repr=False)
    network: str = ""
    rpc_path: str = "/"
    timeout_seconds: float = limits.REQUEST_SECONDS_MAX + 10
    others: tuple[str, ...] = ()
    _http: http.client.HTTPSConnection | None = field(default=None, init=False, repr=False)
    _next_id: int = field(default=0, init=False, repr=False)

    def rpc(self, method: str, *parameters: object) -> Any:
        """Call a JSON-RPC method and return its result; raises Refused with the network's error, Unreachable."""
        path = self.rpc_path
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": list(parameters)}
        status, body = self.request("POST", path, orjson.dumps(request))
        answer = _json(body) if status == 200 else None
        if not isinstance(answer, dict) or ("result" not in answer and not isinstance(answer.get("error"), dict)):
            raise refusal(status, body, f"{self.url}{path}")
        if "result" in answer:
            return answer["result"]
        error = answer["error"]
        hint = "Prove that the address is yours: coco account bind NAME" if error.get("code") == NOT_BOUND else ""
        raise Refused(
            str(error.get("message", "no message")),
            code=int(error.get("code", 0)),
            data=error.get("data"),
            hint="" if "coco account bind" in str(error.get("message")) else hint,
        )

    def get(self, path: str) -> Any:
        """GET a JSON document; raises Refused, Unreachable."""
        status, body = self.request("GET", path)
        document = _json(body)
        if status != 200 or document is None:
            raise refusal(status, body, f"{self.url}{path}")
        return document

    def request(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Send one HTTP request; returns status and body (at most limits.RESPONSE_BYTES_MAX). Raises Unreachable.

        Another node is asked when this one cannot be reached, or does not answer what may be asked twice.
        """
        headers = {"Content-Type": content_type} if body is not None else {}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        nodes = Addresses((self.url, *self.others))
        for _ in range(nodes.count - 1):
            try:
                return self._ask(method, path, body, headers)
            except Unreachable as error:
                if not error.never_sent and not is_repeatable(method, body):
                    raise
                self.others = (*self.others[1:], self.url)
                self.url = nodes.avoid(self.url)
        return self._ask(method, path, body, headers)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """Send one request to the node at `url`. Raises Unreachable."""
        reused = self._http is not None
        try:
            self._open()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error, never_sent=True) from error
        try:
            return self._exchange(method, path, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            # A kept connection may have been closed by the node while idle. Only a request that changes nothing is
            # sent again: another may have been carried out.
            if not reused or method != "GET":
                raise self._unreachable(error) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from error
        try:
            return self._exchange(method, path, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unreachable(error) from error

    def web3(self) -> Web3:
        """Return an unmodified web3.py that speaks to the network's default end point as this identity."""
        from web3 import HTTPProvider, Web3  # Takes a second to import.

        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        options = {"headers": headers, "verify": str(self.ca_file), "timeout": self.timeout_seconds}
        return Web3(HTTPProvider(self.url, request_kwargs=options))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def _open(self) -> http.client.HTTPSConnection:
        """Return the open connection, and make it when there is none. Raises OSError."""
        if self._http is not None:
            return self._http
        parts = urllib.parse.urlsplit(self.url)
        connecting = min(CONNECT_SECONDS_MAX, self.timeout_seconds) if self.others else self.timeout_seconds
        self._http = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 443, timeout=connecting, context=tls_context(self.ca_file)
        )
        self._http.connect()
        self._http.timeout = self.timeout_seconds
        self._http.sock.settimeout(self.timeout_seconds)
        return self._http

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        opened = self._open()
        opened.request(method, path, body=body, headers=headers)
        response = opened.getresponse()
        data = response.read(limits.RESPONSE_BYTES_MAX + 1)
        if len(data) > limits.RESPONSE_BYTES_MAX:
            raise http.client.HTTPException(f"the answer is larger than {limits.RESPONSE_BYTES_MAX} bytes")
        if response.will_close:
            self.close()
        return response.status, data

    def _unreachable(self, error: Exception, *, never_sent: bool = False) -> Unreachable:
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unreachable(
                f"{self.url} does not show a certificate of network {self.network}: {error.verify_message}",
                hint=f"Another network or program answers there. The pinned CA is {self.ca_file}.",
            )
        unreachable = Unreachable(
            f"network {self.network} does not answer at {self.url}: {error or type(error).__name__}",
            hint=f"Is it running? coco network status {self.network}; start it: coco network start {self.network}",
        )
        unreachable.never_sent = never_sent
        return unreachable


def tls_context(ca_file: Path) -> ssl.SSLContext:
    """Return a TLS context that trusts the pinned CA and nothing else; raises Unreachable."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(
            f"the pinned certificate {ca_file} cannot be used: {error}",
            hint="It is written when the network first starts: coco network start. Else copy it from its host.",
        ) from error
    return context


def refusal(status: int, body: bytes, address: str) -> Refused:
    """Turn an answer that is none into an error with the node's own words, where it gave some."""
    document = _json(body)
    message = document.get("error") if isinstance(document, dict) else None
    hint = str(document.get("hint") or "") if isinstance(document, dict) else ""
    if isinstance(message, dict):
        message = message.get("message")
    if status in (401, 403):
        hint = "The identity's token or certificate is not known there: give --identity NAME."
    if status == 404:
        hint = "Is the adapter live on this network? coco adapter list"
    return Refused(f"{address} answered with status {status}: {message or body[:200]!r}", code=status, hint=hint)


def connect(
    network: str | None = None, identity: str | None = None, *, home: Path | None = None, anonymous: bool = False
) -> Connection:
    """Connect to a network of this machine as one of its identities (both default to the current ones).

    Raises NotFound, and Unreachable when the network was never started.
    """
    client = (Store(home) if home is not None else Store(default_home())).client(network)
    return connect_client(client, None if anonymous else client.identity(identity))


def connect_client(client: ClientStore, identity: Identity | None) -> Connection:
    """Connect to a network whose client side is known."""
    urls = client.urls()
    if not urls or client.pinned_ca() is None:
        raise Unreachable(
            f"network {client.network} has not been started yet",
            hint=f"Start it: coco network start {client.network}",
        )
    token = identity.token() if identity else None
    return Connection(urls[0], client.ca_file, token, client.network, others=urls[1:])


def default_home() -> Path:
    """Return COCO_HOME, or ~/.coco."""
    import os

    return Path(os.environ.get("COCO_HOME") or Path.home() / ".coco")


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
