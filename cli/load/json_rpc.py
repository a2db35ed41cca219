"""What JSON-RPC answers mean: the judges that Ethereum's workloads share."""

from __future__ import annotations

from typing import Any

import orjson

from cli.load.requests import Endpoint, Request, Verdict, brief


def rpc_wire(endpoint: Endpoint, method: bytes, params: list[bytes]) -> bytes:
    """Return the HTTP request of one call, or of a batch of several. params: encoded already, one for each call."""
    calls = [
        b'{"jsonrpc":"2.0","id":%d,"method":"%b","params":%b}' % (number, method, one)
        for number, one in enumerate(params)
    ]
    return endpoint.wire(calls[0] if len(calls) == 1 else b"[" + b",".join(calls) + b"]")


def judge_hashes(request: Request, status: int, body: bytes) -> Verdict:
    """Accept the items whose answer is the hash that is their key."""
    if len(request.keys) == 1 and b"0x" + request.keys[0].hex().encode() in body and b'"error"' not in body:
        return Verdict(request.keys)
    return _judge_each(request, status, body, lambda key, result: result == "0x" + key.hex())


def judge_words(request: Request, status: int, body: bytes) -> Verdict:
    """Accept the items whose answer is a word of 32 bytes."""
    if len(request.keys) == 1 and b'"result":"0x' in body and len(body) > 64:
        return Verdict(request.keys)
    return _judge_each(request, status, body, lambda key, result: isinstance(result, str) and len(result) == 66)


def _judge_each(request: Request, status: int, body: bytes, is_right: Any) -> Verdict:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    answers = document if isinstance(document, list) else [document]
    by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
    accepted, errors = [], []
    for number, key in enumerate(request.keys):
        answer = by_id.get(number)
        if answer is not None and is_right(key, answer.get("result")):
            accepted.append(key)
        else:
            errors.append(_reason(status, answer or (document if isinstance(document, dict) else {})))
    return Verdict(accepted, errors)


def _reason(status: int, answer: dict[str, Any]) -> str:
    error = answer.get("error")
    if isinstance(error, dict):
        return brief(f"{error.get('code')}: {error.get('message')}")
    if "result" in answer:
        return brief(f"an unexpected result: {answer['result']}")
    return brief(f"HTTP status {status}: {error or ''}").rstrip(": ")
