"""How a failed execution reads: geth's texts, the decoded reason of a revert, and the JSON-RPC error of both."""

from __future__ import annotations

from eth import exceptions

from adapters.ethereum.model import CallResult
from adapters.jsonrpc import RpcError

EXECUTION_REVERTED = "execution reverted"
REVERT = "revert"
"""CallResult.error of a revert; any other error is geth's text."""
REVERTED_CODE = 3
FAILED_CODE = -32000

_ERROR_SELECTOR = bytes.fromhex("08c379a0")
_PANIC_SELECTOR = bytes.fromhex("4e487b71")

_PANICS = {
    0x00: "generic panic",
    0x01: "assert(false)",
    0x11: "arithmetic underflow or overflow",
    0x12: "division or modulo by zero",
    0x21: "enum overflow",
    0x22: "invalid encoded storage byte array accessed",
    0x31: "out-of-bounds array access; popping on an empty array",
    0x32: "out-of-bounds access of an array or bytesN",
    0x41: "out of memory",
    0x51: "uninitialized function",
}
"""Solidity's panic codes, in geth's words (accounts/abi)."""

_TEXTS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.Revert, REVERT),
    (exceptions.OutOfGas, "out of gas"),
    (exceptions.InsufficientStack, "stack underflow"),
    (exceptions.FullStack, "stack limit reached 1024 (1023)"),
    (exceptions.InvalidJumpDestination, "invalid jump destination"),
    (exceptions.InvalidInstruction, "invalid opcode"),
    (exceptions.WriteProtection, "write protection"),
    (exceptions.OutOfBoundsRead, "return data out of bounds"),
    (exceptions.ContractCreationCollision, "contract address collision"),
    (exceptions.ReservedBytesInCode, "invalid code: must not begin with 0xef"),
    (exceptions.InsufficientFunds, "insufficient balance for transfer"),
    (exceptions.StackDepthLimit, "max call depth exceeded"),
)


def error_text(error: Exception) -> str:
    """Return "revert", or the text for what the EVM failed with."""
    for kind, text in _TEXTS:
        if isinstance(error, kind):
            return text
    return "execution failed"


def revert_reason(data: bytes) -> str | None:
    """Return the text of Error(string) or Panic(uint256) revert data, None for anything else."""
    selector, body = data[:4], data[4:]
    if selector == _PANIC_SELECTOR and len(body) >= 32:
        code = int.from_bytes(body[:32], "big")
        return _PANICS.get(code, f"unknown panic code: {code:#x}")
    if selector != _ERROR_SELECTOR or len(body) < 64:
        return None
    start = int.from_bytes(body[:32], "big")
    if start + 32 > len(body):
        return None
    size = int.from_bytes(body[start : start + 32], "big")
    text = body[start + 32 : start + 32 + size]
    return text.decode("utf-8", "replace") if len(text) == size else None


def execution_error(result: CallResult) -> RpcError:
    """Return the JSON-RPC error for a call that failed."""
    if result.error != REVERT:
        return RpcError(FAILED_CODE, result.error or "execution failed")
    reason = revert_reason(result.return_data)
    message = EXECUTION_REVERTED if reason is None else f"{EXECUTION_REVERTED}: {reason}"
    return RpcError(REVERTED_CODE, message, "0x" + result.return_data.hex())
