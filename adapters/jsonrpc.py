"""JSON-RPC 2.0: requests, batches, errors. Used by the adapters whose protocol speaks it."""

from __future__ import annotations


class RpcError(Exception):
    """An error object of JSON-RPC: code, message and optional data (JSON value)."""

    def __init__(self, code: int, message: str, data: object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data
