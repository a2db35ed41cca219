"""What traces look like: what vanishes, what is folded, where they end. What they do is test_equality.py's part."""

from __future__ import annotations

import pytest

from adapters.ethereum.compiler.analysis import JumpDestinations, only_fails
from adapters.ethereum.compiler.contexts import NOTHING_KNOWN, Context
from adapters.ethereum.compiler.listing import list_traces
from adapters.ethereum.compiler.symbolic import SymbolicStack
from adapters.ethereum.compiler.values import constant


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
