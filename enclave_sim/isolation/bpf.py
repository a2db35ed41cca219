"""Assembles seccomp filters: classic BPF over `struct seccomp_data` (Linux, userspace-api/seccomp_filter).

A filter is a list of rules. The first rule of a call decides; what becomes of a call without a rule is the caller's
choice. Conditions look at the low 32 bits of an argument, which is all the kernel takes of the flags and commands they
are about. Calls made through another architecture's interface (32 bits, x32) have no rule.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from enclave_sim.isolation.syscalls import ARCHITECTURES, number

INSTRUCTIONS_MAX = 4096
"""BPF_MAXINSNS: the kernel takes no longer filter."""

ALLOW = 0x7FFF0000
REFUSE = 0x00050000 | errno.EPERM
UNKNOWN = 0x00050000 | errno.ENOSYS
"""For a call that libraries try first and can do without."""

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_INSTRUCTION = struct.Struct("=HBBI")
_NUMBER_OFFSET = 0
_ARCHITECTURE_OFFSET = 4
_ARGUMENTS_OFFSET = 16
_ARGUMENT_BYTES = 8
_CONDITION_INSTRUCTIONS = 3
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds when `argument & mask == value`. argument: its place, from 0."""

    argument: int
    value: int
    mask: int = _WORD


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a call. any_of: it gets `action` if all conditions of one group hold, and is refused otherwise.

    Without `any_of` the call gets `action`, whatever its arguments.
    """

    call: str
    any_of: tuple[tuple[Condition, ...], ...] = ()
    action: int = ALLOW


def assemble(rules: Sequence[Rule], machine: str, otherwise: int = REFUSE) -> bytes:
    """Return the program as the array of `struct sock_filter` that the kernel takes. machine: of ARCHITECTURES.

    otherwise: what becomes of calls without a rule. Raises ValueError for a program that is too long.
    """
    program = [
        _INSTRUCTION.pack(_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        _INSTRUCTION.pack(_JUMP_IF_EQUAL, 1, 0, ARCHITECTURES[machine]),
        _INSTRUCTION.pack(_RETURN, 0, 0, REFUSE),
        _INSTRUCTION.pack(_LOAD, 0, 0, _NUMBER_OFFSET),
    ]
    for rule in rules:
        known = number(rule.call, machine)
        if known is None:
            continue
        block = _block(rule)
        program += [_INSTRUCTION.pack(_JUMP_IF_EQUAL, 0, len(block), known), *block]
    program.append(_INSTRUCTION.pack(_RETURN, 0, 0, otherwise))
    if len(program) > INSTRUCTIONS_MAX:
        raise ValueError(f"the filter has {len(program)} instructions; at most {INSTRUCTIONS_MAX} are possible")
    return b"".join(program)


def _block(rule: Rule) -> list[bytes]:
    """Return what is run once the call's number is known to be the rule's; it always returns."""
    if not rule.any_of:
        return [_INSTRUCTION.pack(_RETURN, 0, 0, rule.action)]
    block = []
    for group in rule.any_of:
        for place, condition in enumerate(group):
            to_next_group = _CONDITION_INSTRUCTIONS * (len(group) - place - 1) + 1
            block += [
                _INSTRUCTION.pack(_LOAD, 0, 0, _ARGUMENTS_OFFSET + _ARGUMENT_BYTES * condition.argument),
                _INSTRUCTION.pack(_AND, 0, 0, condition.mask),
                _INSTRUCTION.pack(_JUMP_IF_EQUAL, 0, to_next_group, condition.value),
            ]
        block.append(_INSTRUCTION.pack(_RETURN, 0, 0, rule.action))
    return [*block, _INSTRUCTION.pack(_RETURN, 0, 0, REFUSE)]
