"""A plain blocking client for what happens before and after the load: JSON-RPC, batches, single requests."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from typing import Any, Self

import orjson

from cli.errors import Refused, Unreachable
from cli.load.requests import Endpoint
from cli.load.runner import tls_context
from core import limits


class Client:
    """One kept connection to an end point; belongs to one thread, and is closed by `close` or a `with`."""

    def __init__(self, endpoint: Endpoint, timeout_s: float = limits.REQUEST_SECONDS_MAX + 10) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._headers = dict(line.split(": ", 1) for line in endpoint.headers)
        self._http: http.client.HTTPConnection | None = None

    def rpc(self, method: str, *parameters: object) -> Any:
        """Call a JSON-RPC method; raises Refused with the error, Unreachable."""
        answer = self._json({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})
        if not isinstance(answer, dict):
            raise Refused(f"{method} was answered with no object", code=0)
        return _result(method, answer)

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[dict[str, Any]]:
        """Send one JSON-RPC batch; returns the answers (with `result` or `error`) in the order of the calls.

        Raises Refused, Unreachable.
        """
        requests = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(parameters)}
            for number, (method, parameters) in enumerate(calls)
        ]
        answers = self._json(requests)
        if not isinstance(answers, list) or len(answers) != len(calls):
            raise Refused(f"a batch of {len(calls)} was answered otherwise: {str(answers)[:200]}", code=0)
        return sorted(answers, key=lambda answer: int(answer["id"]))

    def results(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """Send one JSON-RPC batch; returns the results. Raises Refused with the first error, Unreachable."""
        return [_result(call[0], answer) for call, answer in zip(calls, self.batch(calls), strict=True)]

    def request(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """Send one HTTP request; returns status and body. Raises Unreachable."""
        headers = self._headers | ({"Content-Type": kind} if body is not None else {})
        for attempt in (1, 2):
            reused = self._http is not None
            try:
                return self._exchange(method, path, body, headers)
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # A kept connection may have been closed while idle.
                self.close()
                if not reused or attempt == 2:
                    raise self._unreachable(error) from error
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise self._unreachable(error) from error
        raise Unreachable(f"{self._endpoint.host}:{self._endpoint.port} does not answer")

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _json(self, document: object) -> Any:
        status, body = self.request("POST", self._endpoint.path, orjson.dumps(document))
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            answer = None
        if answer is None or status in (401, 403, 404):
            raise Refused(f"the end point answered with status {status}: {body[:200]!r}", code=status)
        return answer

    def _exchange(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        if self._http is None:
            host, port, context = self._endpoint.host, self._endpoint.port, tls_context(self._endpoint)
            self._http = (
                http.client.HTTPConnection(host, port, timeout=self._timeout_s)
                if context is None
                else http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=context)
            )
        self._http.request(method, path, body=body, headers=headers)
        response = self._http.getresponse()
        data = response.read(limits.RESPONSE_BYTES_MAX + 1)
        if len(data) > limits.RESPONSE_BYTES_MAX:
            raise http.client.HTTPException(f"the answer is larger than {limits.RESPONSE_BYTES_MAX} bytes")
        if response.will_close:
            self.close()
        return response.status, data

    def _unreachable(self, error: Exception) -> Unreachable:
        where = f"{self._endpoint.host}:{self._endpoint.port}"
        return Unreachable(f"{where} does not answer: {error or type(error).__name__}", hint="Is it running?")


def _result(method: str, answer: dict[str, Any]) -> Any:
    if "result" in answer:
        return answer["result"]
    error = answer.get("error")
    error = error if isinstance(error, dict) else {"message": str(error)}
    raise Refused(f"{method}: {error.get('message', 'no message')}", code=int(error.get("code", 0)))
