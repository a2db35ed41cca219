"""The compiler's table of opcodes against py-evm's."""

from __future__ import annotations

import pytest
from eth.vm.forks.cancun.computation import CancunComputation
from eth.vm.forks.prague.computation import PragueComputation

from adapters.ethereum.compiler import opcodes as op
from adapters.ethereum.compiler.expressions import BINARY_OPCODES, TERNARY_OPCODES
from adapters.ethereum.compiler.operations import _ENDS, _PLAIN

OURS = {
    *BINARY_OPCODES,
    *TERNARY_OPCODES,
    *op.ENVIRONMENT,
    *op.CALLS,
    *_PLAIN,
    *_ENDS,
    *(op.JUMP, op.JUMPI),
    *range(op.PUSH0, op.PUSH32 + 1),
    *range(op.DUP1, op.SWAP16 + 1),
    *range(op.LOG0, op.LOG4 + 1),
}
"""Opcodes that a trace charges for itself."""
BOTH = pytest.mark.parametrize(
    "theirs", [CancunComputation.opcodes, PragueComputation.opcodes], ids=["cancun", "prague"]
)


@BOTH
def test_every_instruction_of_a_fork_is_known_and_no_other(theirs: dict[int, object]) -> None:
    assert {*OURS, *op.OWN} == set(theirs)
    assert not OURS & set(op.OWN)


@BOTH
def test_static_gas_is_py_evms(theirs: dict[int, object]) -> None:
    for opcode in range(256):
        gas = getattr(theirs[opcode], "gas_cost", None) if opcode in OURS else 0
        assert op.STATIC_GAS[opcode] == gas, hex(opcode)


@BOTH
def test_names_are_py_evms(theirs: dict[int, object]) -> None:
    named = {code: name for code, (name, *_) in (*op.OWN.items(), *op.ENVIRONMENT.items())}
    for opcode, name in named.items():
        instruction = theirs[opcode]
        assert getattr(getattr(instruction, "__wrapped__", instruction), "mnemonic", None) == name
