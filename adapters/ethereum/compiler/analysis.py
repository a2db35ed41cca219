"""What can be said of bytecode without running it: where it may be jumped to, and which branches only fail."""

from __future__ import annotations

from adapters.ethereum.compiler import opcodes as op

LOOK_AHEAD = 64
"""Instructions that are looked at for the end of a branch."""
JUMPS_AHEAD = 4


def jump_destinations(code: bytes) -> frozenset[int]:
    """Return the positions of every JUMPDEST that is an instruction and not the data of a PUSH."""
    found, position, end = [], 0, len(code)
    while position < end:
        opcode = code[position]
        if opcode == op.JUMPDEST:
            found.append(position)
        position += opcode - 0x5E if op.PUSH1 <= opcode <= op.PUSH32 else 1
    return frozenset(found)


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
