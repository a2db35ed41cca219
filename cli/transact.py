"""Ethereum calls and transactions of the command line: built, signed here, sent, and waited for.

Keys stay on this machine. Fees follow the newest block: twice its base fee plus the tip the node suggests, which is
zero on a free network.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cli.abi import Abi, explain_revert
from cli.connection import Connection
from cli.errors import OutcomeUnknown, Refused, Reverted, Unreachable
from cli.output import note, progress

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

RECEIPT_SECONDS_MAX = 60
RECEIPT_POLL_SECONDS = 0.25
TRANSACTION_GAS_MAX = 16_777_216
"""EIP-7825's bound, which an estimate's margin must not cross."""

NODE_SAYS_UNKNOWN = "the outcome is not known"
"""How the node's answer begins when it stops or loses its role before the commit (adapters/ethereum/rpc.py)."""

EXECUTION_REVERTED = 3
"""The JSON-RPC error code of a revert, with its data."""


def call(
    connection: Connection, *, to: str, data: bytes, sender: str | None, value: int, block: str, abi: Abi
) -> bytes:
    """Run eth_call and return what the contract returned; raises Reverted with the reason in words, Refused."""
    request = {"to": to, "data": "0x" + data.hex(), "value": hex(value)}
    if sender is not None:
        request["from"] = sender
    try:
        answer = connection.rpc("eth_call", request, block)
    except Refused as error:
        raise _explained(error, abi) from None
    return bytes.fromhex(str(answer).removeprefix("0x"))


def transact(
    connection: Connection,
    account: LocalAccount,
    *,
    to: str | None,
    data: bytes,
    value: int,
    gas: int | None,
    abi: Abi,
) -> dict[str, Any]:
    """Send a transaction (to None: create a contract) and return its receipt once it is committed.

    Raises Reverted, with the hash when it was sent; Refused and Unreachable, when it was not taken; OutcomeUnknown.
    """
    request: dict[str, Any] = {"from": account.address, "data": "0x" + data.hex(), "value": hex(value)}
    if to is not None:
        request["to"] = to
    with progress("waiting for the transaction to be committed"):
        limit = gas if gas is not None else _estimate(connection, request, abi)
        fields = _fees(connection) | {
            "type": 2,
            "chainId": int(connection.rpc("eth_chainId"), 16),
            "nonce": int(connection.rpc("eth_getTransactionCount", account.address, "pending"), 16),
            "gas": limit,
            "value": value,
            "data": request["data"],
        }
        if to is not None:
            fields["to"] = to
        signed = account.sign_transaction(fields)
        transaction_hash = "0x" + bytes(signed.hash).hex()
        receipt = _send(connection, bytes(signed.raw_transaction), transaction_hash)
    if receipt.get("status") != "0x1":
        reason = _reason(connection, request | {"gas": hex(limit)}, receipt, abi)
        raise Reverted(
            f"the transaction {reason}",
            transaction_hash=transaction_hash,
            hint=f"It is in block {int(receipt['blockNumber'], 16)} as {transaction_hash} and changed nothing.",
        )
    return receipt


def _estimate(connection: Connection, request: dict[str, Any], abi: Abi) -> int:
    try:
        estimate = int(connection.rpc("eth_estimateGas", request), 16)
    except Refused as error:
        raise _explained(error, abi) from None
    # Another transaction may come first and make this one dearer: a tenth more, which is not charged unless used.
    return max(estimate, min(estimate * 11 // 10, TRANSACTION_GAS_MAX))


def _fees(connection: Connection) -> dict[str, Any]:
    block = connection.rpc("eth_getBlockByNumber", "latest", False)
    base = int((block or {}).get("baseFeePerGas", "0x0"), 16)
    tip = int(connection.rpc("eth_maxPriorityFeePerGas"), 16)
    return {"maxFeePerGas": 2 * base + tip, "maxPriorityFeePerGas": tip}


def _send(connection: Connection, raw: bytes, transaction_hash: str) -> dict[str, Any]:
    """Send and return the receipt. Once the node may have it, whatever fails here carries the hash."""
    try:
        try:
            connection.rpc("eth_sendRawTransaction", "0x" + raw.hex())
        except Refused as error:
            if not leaves_open(error):
                raise
            raise _outcome_unknown(connection, transaction_hash, error.message) from error
        except Unreachable as error:
            raise _outcome_unknown(connection, transaction_hash, error.message) from error
        try:
            return _receipt(connection, transaction_hash)
        except (Refused, Unreachable) as error:
            raise _outcome_unknown(connection, transaction_hash, error.message) from error
    except KeyboardInterrupt:
        note(f"The transaction was sent. To see what became of it: {ask_command(connection, transaction_hash)}")
        raise


def leaves_open(error: Refused) -> bool:
    """Whether this answer to a transaction that was sent leaves open what became of it."""
    return 500 <= error.code <= 599 or error.message.startswith(NODE_SAYS_UNKNOWN)


def ask_command(connection: Connection, transaction_hash: str) -> str:
    """Return the command that tells what became of a transaction."""
    return f"coco transaction show {transaction_hash} --network {connection.network}"


def _outcome_unknown(connection: Connection, transaction_hash: str, cause: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"whether transaction {transaction_hash} was committed is not known: {cause}",
        transaction=transaction_hash,
        hint=f"Once the node answers, ask: {ask_command(connection, transaction_hash)}",
    )


def _receipt(connection: Connection, transaction_hash: str) -> dict[str, Any]:
    deadline = time.monotonic() + RECEIPT_SECONDS_MAX
    while time.monotonic() < deadline:
        receipt = connection.rpc("eth_getTransactionReceipt", transaction_hash)
        if isinstance(receipt, dict):
            return receipt
        time.sleep(RECEIPT_POLL_SECONDS)
    raise _outcome_unknown(
        connection, transaction_hash, f"the node took it, but has no receipt after {RECEIPT_SECONDS_MAX} s"
    )


def _reason(connection: Connection, request: dict[str, Any], receipt: dict[str, Any], abi: Abi) -> str:
    """Ask what the transaction would do now: the reason is usually still the same."""
    try:
        connection.rpc("eth_call", request, receipt["blockNumber"])
    except Refused as error:
        return _explained(error, abi).message
    except Unreachable:
        return "failed (the node does not answer what for)"
    return "failed (run again, it would not: it depended on the state before it, or ran out of gas)"


def _explained(error: Refused, abi: Abi) -> Refused | Reverted:
    if error.code == EXECUTION_REVERTED and isinstance(error.data, str):
        try:
            return Reverted(explain_revert(bytes.fromhex(error.data.removeprefix("0x")), abi))
        except ValueError:
            return error
    return error


def gas_and_place(receipt: dict[str, Any]) -> dict[str, int]:
    """Return gas used and block number of a receipt as numbers."""
    return {"gas_used": int(receipt["gasUsed"], 16), "block": int(receipt["blockNumber"], 16)}


def log_count(receipt: dict[str, Any]) -> int:
    logs: Sequence[object] = receipt.get("logs", [])
    return len(logs)
