"""What can be said of bytecode without running it: where it may be jumped to, and which branches only fail."""

from __future__ import annotations

from adapters.ethereum.compiler import opcodes as op
from adapters.ethereum.machine import instruction_starts

LOOK_AHEAD = 64
"""Instructions that are looked at for the end of a branch."""
JUMPS_AHEAD = 4


class JumpDestinations:
    """The positions of every JUMPDEST that is an instruction and not the data of a PUSH.

    One byte for each of the code: a set would take seventy, for code that is nothing but JUMPDESTs.
    """

    __slots__ = ("_code", "_starts")

    def __init__(self, code: bytes) -> None:
        self._code = code
        self._starts = instruction_starts(code)

    def __contains__(self, position: int) -> bool:
        code = self._code
        return position < len(code) and code[position] == op.JUMPDEST and self._starts[position] == 1


def only_fails(code: bytes, position: int) -> bool:
    """Say whether code from a position on reverts or fails without another branch, as far as can be seen.

    What is said decides which branch a trace follows, not what it does.
    """
    jumps, pushed = 0, -1
    for _ in range(LOOK_AHEAD):
        opcode = code[position] if position < len(code) else op.STOP
        if op.PUSH1 <= opcode <= op.PUSH32:
            size = opcode - 0x5F
            pushed = int.from_bytes(code[position + 1 : position + 1 + size], "big")
            position += 1 + size
            continue
        if opcode == op.REVERT or opcode == 0xFE:
            return True
        if opcode in (op.STOP, op.RETURN, op.JUMPI, op.SELFDESTRUCT):
            return False
        if opcode == op.JUMP:
            jumps += 1
            if pushed < 0 or jumps > JUMPS_AHEAD:
                return False
            position, pushed = pushed, -1
            continue
        pushed = -1
        position += 1
    return False
