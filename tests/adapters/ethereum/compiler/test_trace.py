"""What traces look like: what vanishes, what is folded, where they end. What they do is test_equality.py's part."""

from __future__ import annotations

import pytest

from adapters.ethereum.compiler.analysis import JumpDestinations, only_fails
from adapters.ethereum.compiler.contexts import NOTHING_KNOWN, Context
from adapters.ethereum.compiler.listing import list_traces
from adapters.ethereum.compiler.symbolic import SymbolicStack
from adapters.ethereum.compiler.values import constant
from tests.adapters.ethereum.compiler_support import assemble


def traces(code: str) -> dict[str, str]:
    return list_traces(bytes.fromhex(code)).traces


def body(code: str) -> list[str]:
    """Return the lines of the first trace, without its head and comments."""
    lines = [line.strip() for line in traces(code)["t_0"].splitlines()[1:]]
    return [line for line in lines if line and not line.startswith("#") and line != "g = q.gas_remaining"]


def test_stack_work_vanishes_and_constants_are_folded() -> None:
    # 2 + 3, doubled, swapped about, stored in slot 7.
    code = "6002600301" + "8001" + "6007" + "9090" + "5500"
    lines = body(code)
    assert lines[-3:] == ["g = store(c, g, 7, 0xa)", "q.gas_remaining = g", "return None"]
    assert not any("s[" in line for line in lines)


def test_a_segment_is_charged_once_before_what_it_pays_for() -> None:
    lines = body("60015f55" + "60025f55" + "00")
    assert [line for line in lines if line.startswith("g ")] == [
        "g -= 5",
        "g = store(c, g, 0, 1)",
        "g -= 5",
        "g = store(c, g, 0, 2)",
    ]


def test_a_return_address_is_followed() -> None:
    """PUSH return; PUSH function; JUMP ... function: JUMPDEST; SWAP; JUMP: one trace, no look-up."""
    found = traces("6005600756" + "5b00" + "5b56")
    assert list(found) == ["t_0"]
    assert "jump(" not in found["t_0"]


def test_an_unknown_jump_looks_its_target_up_with_the_stack_spilled() -> None:
    assert body("60015f3556")[-1] == "s += (1,); q.gas_remaining = g; return jump(c, v1)"


def test_a_loop_stays_in_its_function_and_looks_at_the_clock() -> None:
    # A counter from the data down to zero.
    found = traces("5f35" + "5b" + "6001900380600257" + "00")
    loop = next(source for source in found.values() if "while True:" in source)
    assert "tick = poll(c, g) if g < tick else tick; continue" in loop
    assert "tick = g - POLL_GAS if c.polls else -1" in loop


def test_a_branch_that_only_fails_is_left_for() -> None:
    """JUMPI over a REVERT: the trace goes on behind it."""
    found = traces("5f35600757" + "fd00" + "5b60015f5500")
    assert "store(c, g, 0, 1)" in found["t_0"]
    assert "if not v1:" in found["t_0"]


def test_memory_that_was_stored_is_known() -> None:
    lines = body("608060405260405160010160005500")
    assert not any("from_bytes(m" in line for line in lines)
    assert any(line == "g = store(c, g, 0, 0x81)" for line in lines)


def test_memory_that_may_have_changed_is_not() -> None:
    lines = body("6080604052" + "60015f3552" + "6040515f5500")
    assert any("from_bytes(m[0x40:0x60]" in line for line in lines)


def test_contexts() -> None:
    more, less = Context(((1, 5), (3, 9)), 0x80, 96), Context(((3, 9),), None, 64)
    assert more.implies(less)
    assert more.implies(NOTHING_KNOWN)
    assert not less.implies(more)
    assert not more.implies(Context(((1, 6),)))
    assert not more.implies(Context(free=0xA0))
    assert more.common(Context(((1, 5), (3, 8)), 0x80, 32)) == Context(((1, 5),), 0x80, 32)


def test_a_spill_writes_only_what_changed() -> None:
    stack = SymbolicStack(NOTHING_KNOWN)
    stack.ensure(3)
    assert stack.spill() == ""
    stack.values.append(constant(7))
    assert stack.spill() == "s += (7,)"
    stack.values[-2], stack.values[-1] = stack.values[-1], stack.values[-2]
    assert stack.spill() == "s[-1:] = (7, s[-1],)"
    del stack.values[-3:]
    assert stack.spill() == "del s[-2:]"


def test_known_items_below_those_taken_stay_known() -> None:
    stack = SymbolicStack(Context(((1, 5), (4, 9))))
    assert stack.pop().number == 5
    stack.values.append(constant(8))
    stack.values.append(constant(1))
    targets = JumpDestinations(bytes.fromhex("00000000005b00005b5b"))  # 5, 8 and 9.
    assert stack.constants(targets) == ((2, 8), (5, 9))


@pytest.mark.parametrize(
    ("code", "fails"),
    [
        ("5f5ffd", True),
        ("fe", True),
        ("00", False),
        ("", False),
        ("600456005b5ffd", True),
        ("56", False),
        ("5f57fd", False),
    ],
)
def test_only_fails(code: str, fails: bool) -> None:
    assert only_fails(bytes.fromhex(code), 0) is fails


def test_jump_destinations() -> None:
    targets = JumpDestinations(bytes.fromhex("5b605b615b5b5b7f5b"))
    assert [position for position in range(40) if position in targets] == [0, 6]
    assert 2**255 not in targets


SLOT = "0 CALLDATALOAD 0xffff AND 0 MSTORE 3 32 MSTORE 64 0 SHA3 "
"""The slot of a mapping."""


@pytest.mark.parametrize(
    ("between", "digests"),
    [
        ("", 1),
        ("1 SLOAD POP 2 1 SSTORE", 1),
        ("7 64 MSTORE", 1),
        ("3 32 MSTORE", 1),
        ("1 63 MSTORE8 3 32 MSTORE", 1),
        ("1 0 CALLDATALOAD MSTORE 0 MLOAD POP", 1),
    ],
)
def test_a_slot_is_computed_once(between: str, digests: int) -> None:
    """What stands in memory is what counts: here the same stands there when the slot is computed again."""
    source = list_traces(assemble(f"{SLOT} SLOAD {between} {SLOT} SLOAD ADD 0 SSTORE")).traces["t_0"]
    assert source.count("keccak_256(") == digests


@pytest.mark.parametrize(
    "change",
    [
        "4 32 MSTORE 64 0 SHA3",
        "1 63 MSTORE8 64 0 SHA3",
        "1 0 CALLDATALOAD MSTORE 64 0 SHA3",
        "1 0 0 CALLDATACOPY 64 0 SHA3",
        "1 9 0 MCOPY 64 0 SHA3",
        "1 9 0 0 0 4 GAS CALL POP 64 0 SHA3",
        "32 0 SHA3",
        "64 32 SHA3",
        "65 0 SHA3",
    ],
)
def test_another_digest_is_computed(change: str) -> None:
    source = list_traces(assemble(f"{SLOT} SLOAD {change} SLOAD ADD 0 SSTORE")).traces["t_0"]
    assert source.count("keccak_256(") == 2


def test_the_same_arithmetic_is_done_once_whichever_side_a_constant_is_on() -> None:
    lines = body(assemble("0 CALLDATALOAD DUP1 0xff AND SWAP1 0xff SWAP1 AND 1 SSTORE 2 SSTORE").hex())
    assert sum("& 0xff" in line for line in lines) == 1
    assert any(line.startswith("g = store(c, g, 1, v2)") for line in lines)
    assert any(line.startswith("g = store(c, g, 2, v2)") for line in lines)


def test_what_may_differ_is_asked_again() -> None:
    """Gas, balance, sizes of memory and of what was returned, transient storage."""
    text = "GAS POP SELFBALANCE POP RETURNDATASIZE POP MSIZE POP 0 TLOAD POP "
    asked = [line.partition(" = ")[2] for line in body(assemble(text * 2).hex()) if line.startswith("v")]
    assert len(asked) == 10
    assert asked[:5] == asked[5:]
