"""Our instructions against py-evm's on random stacks: the same stack, memory, gas, jump and exception."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from eth.exceptions import Halt, VMError
from eth.vm.computation import BaseComputation
from eth.vm.forks.prague.computation import PragueComputation
from eth.vm.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.ethereum.instructions import _ours, instruction_table
from adapters.ethereum.vm import CocoPragueComputation

WORDS = st.one_of(
    st.integers(0, 2**256 - 1), st.integers(0, 300), st.integers(2**256 - 300, 2**256 - 1), st.just(2**255)
)
ITEMS = st.one_of(WORDS, st.binary(min_size=0, max_size=32))
CODE = bytes.fromhex("5b605b5b61005b7f") + bytes(range(32)) + bytes.fromhex("5b60")


def frame(kind: type[Any], stack: list[int | bytes], memory: bytes, gas: int, position: int) -> Any:
    state = SimpleNamespace(mark_address_warm=lambda address: None, coinbase=bytes(20))
    message = Message(gas=gas, to=b"\x01" * 20, sender=b"\x02" * 20, value=0, data=b"", code=CODE)
    computation = kind(state, message, SimpleNamespace())
    computation._stack.values[:] = stack
    computation._memory._bytes[:] = memory
    computation.code.program_counter = position
    return computation


def outcome(computation: Any, instruction: Any) -> tuple[Any, ...]:
    try:
        instruction(computation)
        ended = None
    except (Halt, VMError) as error:
        return (type(error), None)
    numbers = [int.from_bytes(one, "big") if isinstance(one, bytes) else one for one in computation._stack.values]
    memory = bytes(computation._memory._bytes)
    return ended, numbers, memory, computation._gas_meter.gas_remaining, computation.code.program_counter


@pytest.mark.parametrize("opcode", sorted(_ours()))
@settings(max_examples=25, deadline=None)
@given(
    stack=st.one_of(st.lists(ITEMS, max_size=18), st.lists(st.integers(0, 45), min_size=2, max_size=3)),
    words=st.integers(0, 3),
    gas=st.one_of(st.integers(0, 60), st.just(10**6)),
    position=st.integers(0, len(CODE)),
)
def test_instruction(opcode: int, stack: list[int | bytes], words: int, gas: int, position: int) -> None:
    memory = bytes(range(32)) * words
    mine = outcome(frame(CocoPragueComputation, stack, memory, gas, position), instruction_table(PRAGUE)[opcode])
    theirs = outcome(frame(PragueComputation, stack, memory, gas, position), PRAGUE[opcode])
    assert mine == theirs


PRAGUE = PragueComputation.opcodes


@pytest.mark.parametrize("opcode", [0x5F, 0x60, 0x7F, 0x80, 0x58, 0x59])
@pytest.mark.parametrize("items", [1023, 1024])
def test_a_full_stack(opcode: int, items: int) -> None:
    mine = outcome(frame(CocoPragueComputation, [1] * items, b"", 1000, 0), instruction_table(PRAGUE)[opcode])
    theirs = outcome(frame(PragueComputation, [1] * items, b"", 1000, 0), PRAGUE[opcode])
    assert mine == theirs


def test_every_opcode_has_an_instruction() -> None:
    table = instruction_table(PRAGUE)
    assert len(table) == 256
    assert isinstance(frame(CocoPragueComputation, [], b"", 0, 0), BaseComputation)
    with pytest.raises(VMError):
        table[0x0C](frame(CocoPragueComputation, [], b"", 1000, 0))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 2**16), st.integers(0, 10**5))
def test_memory_grows_as_py_evms(start: int, size: int, gas: int) -> None:
    computations = [frame(kind, [], bytes(64), gas, 0) for kind in (CocoPragueComputation, PragueComputation)]
    found = []
    for computation in computations:
        try:
            computation.extend_memory(start, size)
            found.append((len(computation._memory), computation._gas_meter.gas_remaining))
        except VMError as error:
            found.append(type(error))
    assert found[0] == found[1]
