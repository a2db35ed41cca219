"""The parts of one call frame: gas, stack, memory and code, as py-evm's instructions use them.

py-evm checks the range of each value that goes onto its stack and into its memory. These do not: its instructions and
ours (instructions.py) only ever make values of 256 bits, and what comes from outside was checked when it was decoded.
A stack holds integers and byte strings of at most 32 bytes, as theirs does.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import count
from typing import Any

from eth.exceptions import FullStack, InsufficientStack, OutOfGas
from eth.vm.code_stream import CodeStream
from eth.vm.forks.cancun.transaction_context import CancunTransactionContext
from eth.vm.gas_meter import GasMeter, allow_negative_refund_strategy
from eth.vm.memory import Memory
from eth.vm.message import Message
from eth.vm.stack import Stack

STACK_ITEMS_MAX = 1024
ANALYSED_CODES_MAX = 256
"""Codes whose instruction starts are kept, each at most 49,152 bytes (initcode)."""
_END = bytes(33)
"""STOPs after the code, so that neither the last instruction nor the data of a PUSH32 needs a check."""


@lru_cache(maxsize=ANALYSED_CODES_MAX)
def instruction_starts(code: bytes) -> bytes:
    """Return one byte per byte of code: 1 where an instruction begins, 0 in the data of a PUSH."""
    starts = bytearray(len(code))
    position, end = 0, len(code)
    while position < end:
        starts[position] = 1
        opcode = code[position]
        position += opcode - 0x5E if 0x60 <= opcode <= 0x7F else 1
    return bytes(starts)


class AnalysedCode(CodeStream):  # type: ignore[misc]
    """Code that knows its jump destinations. padded: the code and STOPs after it."""

    def __init__(self, code: bytes) -> None:
        self.program_counter = 0
        self._raw_code_bytes = code
        self._length_cache = len(code)
        self.padded = code + _END

    def is_valid_opcode(self, position: int) -> bool:
        starts = instruction_starts(self._raw_code_bytes)
        return position < len(starts) and starts[position] == 1


class FrameMessage(Message):  # type: ignore[misc]
    """What a call asks of its callee."""

    def __init__(
        self,
        *,
        gas: int,
        to: bytes,
        sender: bytes,
        value: int,
        data: bytes,
        code: bytes,
        depth: int,
        create_address: bytes | None = None,
        code_address: bytes | None = None,
        should_transfer_value: bool = True,
        is_static: bool = False,
        is_delegation: bool = False,
        refund: int = 0,
    ) -> None:
        self.gas = gas
        self.to = to
        self.sender = sender
        self.value = value
        self.data = data
        self.code = code
        self.depth = depth
        self._storage_address = create_address
        self._code_address = code_address
        self.should_transfer_value = should_transfer_value
        self.is_static = is_static
        self._is_delegation = is_delegation
        self.refund = refund


class TransactionContext(CancunTransactionContext):  # type: ignore[misc]
    """What is the same for all frames of a transaction."""

    def __init__(self, gas_price: int, origin: bytes) -> None:
        self._gas_price = gas_price
        self._origin = origin
        self._blob_versioned_hashes = ()
        self._authorization_list = ()
        self._log_counter = count()


class FrameGas(GasMeter):  # type: ignore[misc]
    """What is left of a frame's gas."""

    def __init__(self, gas: int) -> None:
        self.refund_strategy = allow_negative_refund_strategy
        self.start_gas = self.gas_remaining = gas
        self.gas_refunded = 0

    def consume_gas(self, amount: int, reason: str) -> None:
        left = self.gas_remaining - amount
        if left < 0:
            raise OutOfGas(f"Out of gas: Needed {amount} - Remaining {self.gas_remaining} - Reason: {reason}")
        self.gas_remaining = left

    def return_gas(self, amount: int) -> None:
        self.gas_remaining += amount

    def refund_gas(self, amount: int) -> None:
        self.gas_refunded += amount


class FrameStack(Stack):  # type: ignore[misc]
    """At most 1,024 values."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    def push_int(self, value: int | bytes) -> None:
        values = self.values
        if len(values) >= STACK_ITEMS_MAX:
            raise FullStack("Stack limit reached")
        values.append(value)

    push_bytes = push_int

    def pop1_any(self) -> Any:
        try:
            return self.values.pop()
        except IndexError:
            raise InsufficientStack("Wanted 1 stack item, had none") from None

    def pop1_int(self) -> int:
        value = self.pop1_any()
        return int.from_bytes(value, "big") if type(value) is bytes else value

    def pop_any(self, num_items: int) -> tuple[Any, ...]:
        values = self.values
        if num_items > len(values):
            raise InsufficientStack(f"Wanted {num_items} stack items, only had {len(values)}")
        taken = values[: -num_items - 1 : -1]
        del values[-num_items:]
        return tuple(taken)

    def pop_ints(self, num_items: int) -> tuple[int, ...]:
        values = self.pop_any(num_items)
        return tuple([int.from_bytes(value, "big") if type(value) is bytes else value for value in values])

    def pop1_bytes(self) -> bytes:
        value = self.pop1_any()
        return value if type(value) is bytes else value.to_bytes(32, "big")

    def swap(self, position: int) -> None:
        values = self.values
        try:
            values[-1], values[-1 - position] = values[-1 - position], values[-1]
        except IndexError:
            raise InsufficientStack(f"Insufficient stack items for SWAP{position}") from None

    def dup(self, position: int) -> None:
        values = self.values
        if len(values) >= STACK_ITEMS_MAX:
            raise FullStack("Stack limit reached")
        try:
            values.append(values[-position])
        except IndexError:
            raise InsufficientStack(f"Insufficient stack items for DUP{position}") from None


class FrameMemory(Memory):  # type: ignore[misc]
    """Bytes; always a whole number of words."""

    def extend(self, start_position: int, size: int) -> None:
        if size:
            memory = self._bytes
            missing = (start_position + size + 31 & ~31) - len(memory)
            if missing > 0:
                memory.extend(bytes(missing))

    def write(self, start_position: int, size: int, value: bytes) -> None:
        if size:
            self._bytes[start_position : start_position + size] = value

    def copy(self, destination: int, source: int, length: int) -> None:
        if length:
            memory = self._bytes
            memory[destination : destination + length] = memory[source : source + length]


def expansion_gas(size_before: int, size_after: int) -> int:
    """Return the gas for a memory that grows; both sizes in bytes, the first of whole words."""
    before, after = size_before >> 5, size_after + 31 >> 5
    return 3 * (after - before) + after * after // 512 - before * before // 512
