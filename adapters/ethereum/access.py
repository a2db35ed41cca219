"""Asks contracts who may read their logs: the check-access method, `ICocoAccess` in examples/contracts/CocoAccess.sol.

A contract takes part when it says, by ERC-165, that it implements the interface whose only function is
`cocoMayReadLog(address reader, bytes32[] topics, bytes data) returns (bool)`. It is called on the newest committed
state, with the reader as sender and little gas; false, a revert, garbage or too little gas all deny.

Contracts are other people's code: what they may burn for one block's view is bounded for each contract (past it, the
contract admits nobody more in that view), and for one query as a whole (past it, the query fails).
Invariant: an answer is remembered for as long as the block it was given on is the newest, and no longer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import CallRequest, CallResult, Log
from adapters.jsonrpc import SERVER_ERROR, RpcError

CHECK_GAS_MAX = 200_000
SUPPORTS_GAS_MAX = 30_000
"""ERC-165: supportsInterface uses less than 30,000 gas."""
CONTRACT_GAS_MAX = 10_000_000
"""What the checks of one contract may use for one view of one block."""
QUERY_GAS_MAX = 40_000_000
"""What checks that are really run may use for one query."""
CALL_GAS = 2_600
"""Counted for each call beside the gas that the contract uses."""
REMEMBERED_MAX = 50_000
READERS_MAX = 64
"""Addresses of one identity that are asked about, in the order they were bound."""

MAY_READ_LOG = keccak(b"cocoMayReadLog(address,bytes32[],bytes)")[:4]
"""Also the interface id: the XOR of the interface's selectors, of which there is one."""
_SUPPORTS_INTERFACE = keccak(b"supportsInterface(bytes4)")[:4]
ERC165_ID = _SUPPORTS_INTERFACE
_INVALID_ID = b"\xff\xff\xff\xff"
_TRUE = (1).to_bytes(32, "big")
_ZERO_ADDRESS = bytes(20)
_TRANSACTION_GAS = 21_000

Simulate = Callable[[CallRequest], CallResult]
"""Runs a call on the newest committed state; writes nothing."""


class ChecksExhausted(RpcError):
    """One query asked contracts for more than QUERY_GAS_MAX."""

    def __init__(self) -> None:
        super().__init__(SERVER_ERROR, "query exceeds what access checks may use; narrow the range or the filter")


def encode_check(reader: bytes, log: Log) -> bytes:
    """Return the call data of cocoMayReadLog (Solidity's ABI)."""
    padded = log.data + bytes(-len(log.data) % 32)
    topics_at, data_at = 3 * 32, (4 + len(log.topics)) * 32
    words = (topics_at, data_at, len(log.topics))
    return b"".join(
        (
            MAY_READ_LOG,
            bytes(12) + reader,
            *(word.to_bytes(32, "big") for word in words),
            *log.topics,
            len(log.data).to_bytes(32, "big"),
            padded,
        )
    )


def _encode_supports(interface: bytes) -> bytes:
    return _SUPPORTS_INTERFACE + interface + bytes(28)


class AccessMemo:
    """Answers of contracts on one head block. Held by the executor between queries."""

    def __init__(self) -> None:
        self._head = b""
        self._answers: OrderedDict[tuple[bytes, bytes, bytes], tuple[bool, int]] = OrderedDict()

    def at(self, head: bytes) -> OrderedDict[tuple[bytes, bytes, bytes], tuple[bool, int]]:
        """Return the answers given on this head (a block hash), forgetting those on another."""
        if head != self._head:
            self._head = head
            self._answers.clear()
        return self._answers


class AccessChecks:
    """The checks of one query by one identity. readers: its addresses; the zero address stands for none."""

    def __init__(self, simulate: Simulate, memo: AccessMemo, head: bytes, readers: tuple[bytes, ...]) -> None:
        self._simulate = simulate
        self._answers = memo.at(head)
        self._readers = readers[:READERS_MAX] or (_ZERO_ADDRESS,)
        self._query_gas = 0
        self._block_gas: dict[bytes, int] = {}
        self._implements: dict[bytes, bool] = {}

    def open_block(self) -> None:
        """Begin the view of another block."""
        self._block_gas.clear()

    def implements(self, contract: bytes) -> bool:
        """Say whether a contract has a check-access method."""
        known = self._implements.get(contract)
        if known is None:
            known = self._implements[contract] = self._ask_interface(contract)
        return known

    def _ask_interface(self, contract: bytes) -> bool:
        """Ask by ERC-165, with all three of its questions."""
        return (
            self._ask(contract, _encode_supports(ERC165_ID))
            and not self._ask(contract, _encode_supports(_INVALID_ID))
            and self._ask(contract, _encode_supports(MAY_READ_LOG))
        )

    def admits(self, log: Log) -> bool:
        """Say whether the log's contract admits one of the readers."""
        for reader in self._readers:
            spent = self._block_gas.get(log.address, 0)
            if spent > CONTRACT_GAS_MAX:
                return False
            admitted, used = self._answer(log.address, reader, encode_check(reader, log), CHECK_GAS_MAX)
            self._block_gas[log.address] = spent + used
            if admitted:
                return True
        return False

    def _ask(self, contract: bytes, call: bytes) -> bool:
        return self._answer(contract, _ZERO_ADDRESS, call, SUPPORTS_GAS_MAX)[0]

    def _answer(self, contract: bytes, reader: bytes, call: bytes, gas: int) -> tuple[bool, int]:
        """Return whether the contract says true, and the gas it used, from memory where possible."""
        key = (contract, reader, keccak(call))
        answer = self._answers.get(key)
        if answer is None:
            if self._query_gas > QUERY_GAS_MAX:
                raise ChecksExhausted
            answer = self._run(CallRequest(reader, contract, call, gas=_with_calldata(gas, call)))
            self._query_gas += answer[1]
            self._answers[key] = answer
            if len(self._answers) > REMEMBERED_MAX:
                self._answers.popitem(last=False)
        return answer

    def _run(self, request: CallRequest) -> tuple[bool, int]:
        try:
            result = self._simulate(request)
        except RpcError:  # not a call that can be executed at all
            return False, CALL_GAS
        used = max(0, result.gas_used - _TRANSACTION_GAS) + CALL_GAS
        return result.error is None and result.return_data == _TRUE, used


def _with_calldata(gas: int, call: bytes) -> int:
    """Return a gas limit that leaves `gas` to the contract after the intrinsic cost (Prague's floor included)."""
    return gas + _TRANSACTION_GAS + 40 * len(call)
