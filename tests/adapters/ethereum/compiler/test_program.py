"""Bounds of the compiler, by counts: code made to hurt it, floods of codes, what one transaction may have compiled."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from adapters.ethereum.compiler import program as module
from adapters.ethereum.compiler.computation import interpret, shared_programs
from adapters.ethereum.compiler.contexts import NOTHING_KNOWN, Context
from adapters.ethereum.compiler.listing import list_traces
from adapters.ethereum.compiler.program import (
    CONTEXTS_PER_POSITION_MAX,
    GENERATED_BYTES_MAX,
    NAMES_MAX,
    STEPS_MAX,
    STEPS_PER_CODE_BYTE_MAX,
    TRACE_COST,
    TRACES_MAX,
    TRANSACTION_COST_MAX,
    Program,
    ProgramCache,
)
from adapters.ethereum.compiler.trace import SYMBOLIC_ITEMS_MAX, TRACE_BYTES_MAX, TRACE_STEPS_MAX, Tracer
from adapters.ethereum.execution import BlockExecutor
from adapters.ethereum.settings import CODE_BYTES_MAX, AllocatedAccount
from adapters.ethereum.transactions import INITCODE_BYTES_MAX
from tests.adapters.ethereum.evm_support import BOB, Chain, initcode, settings_with

CONTRACT = b"\xcc" * 20


def repeated(text: str, size: int = CODE_BYTES_MAX) -> bytes:
    piece = bytes.fromhex(text)
    return (piece * (size // len(piece) + 1))[:size]


def jump_table(entries: int) -> bytes:
    """Compare the data with each number and jump to a place of its own for it."""
    code = b""
    for number in range(entries):
        target = 12 * entries + 2 + 6 * number
        code += (
            bytes.fromhex("5f35")
            + b"\x61"
            + number.to_bytes(2, "big")
            + b"\x14\x61"
            + target.to_bytes(2, "big")
            + b"\x57\x5b\x5b"
        )
    code += bytes.fromhex("5f00")
    return code + bytes.fromhex("5b60015f5500") * entries


def computed_jumps() -> bytes:
    """Jump to the place that the data says, then to the next one, from one JUMPDEST to another."""
    return bytes.fromhex("5f35" + "5b600101805661ffff16").ljust(20, b"\x5b") + repeated("5b", CODE_BYTES_MAX - 20)


HOSTILE = {
    "JUMPDESTs": repeated("5b"),
    "JUMPDESTs of initcode": repeated("5b", INITCODE_BYTES_MAX),
    "pushes": repeated("5f"),
    "PUSH1": repeated("6001"),
    "PUSH32": repeated("7f" + "ff" * 32),
    "PUSH and DUP": repeated("5f80"),
    "DUP16 after many pushes": repeated("5f")[:40] + repeated("8f"),
    "SWAPs": repeated("58")[:40] + repeated("9f90"),
    "branches with a deep stack": repeated("35")[:60] + repeated("806000575f35"),
    "branches to everywhere": repeated("5b5f35600057"),
    "branches that fail": repeated("5f35600357fd5b"),
    "additions": repeated("5f358001"),
    "memory": repeated("5f355f3552"),
    "words stored": repeated("7f" + "a5" * 32 + "5f52"),
    "storage": repeated("5f5455"),
    "calls": repeated("5f5f5f5f5f5f5ff1"),
    "logs": repeated("5f5f5f5f5f5fa4"),
    "creations": repeated("5f5f5ff0"),
    "not instructions": repeated("0c"),
    "loops in a row": repeated("5b5f35600057" * 3 + "50"),
    "jump table": jump_table(1_300),
    "computed jumps": computed_jumps(),
}
CODES = pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE.keys())


@CODES
def test_one_code_stays_within_its_bounds(code: bytes) -> None:
    """Everything that can be compiled of it, as if it ran for ever."""
    listing = list_traces(code)
    assert len(listing.traces) <= TRACES_MAX
    assert listing.steps <= STEPS_MAX + STEPS_PER_CODE_BYTE_MAX * len(code)
    names = len(listing.traces) + len(listing.left_out)
    assert names <= NAMES_MAX
    # A trace may begin just below a bound on bytes, and a segment just below the bound on a trace's.
    longest = max(map(len, listing.traces.values()))
    assert longest <= 2 * TRACE_BYTES_MAX
    assert sum(map(len, listing.traces.values())) <= GENERATED_BYTES_MAX + longest


@CODES
def test_one_transaction_compiles_no_more_than_it_may(code: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with much gas and data that changes: results are the interpreter's, and little is compiled."""
    made = Counted(monkeypatch)
    receipts = []
    for evm in ("compiled", "interpreted"):
        network = Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=code[:CODE_BYTES_MAX])}, evm=evm))
        network.executor = BlockExecutor(network.settings, programs=ProgramCache(interpret, threshold=0))
        receipts.append([network.send(0, to=CONTRACT, gas=400_000, data=bytes([number]) * 32) for number in range(3)])
    assert receipts[0] == receipts[1]
    largest = TRACE_COST + TRACE_STEPS_MAX + 2 * TRACE_BYTES_MAX // module.GENERATED_BYTES_PER_COST
    assert made.cost <= 3 * (TRANSACTION_COST_MAX + largest)
    assert made.longest <= TRACE_STEPS_MAX


class Counted:
    """Counts what is compiled."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.traces = self.cost = self.longest = 0
        original = module.compile_cost

        def compile_cost(steps: int, generated_bytes: int) -> int:
            cost = original(steps, generated_bytes)
            self.traces += 1
            self.cost += cost
            self.longest = max(self.longest, steps)
            return cost

        monkeypatch.setattr(module, "compile_cost", compile_cost)


def test_a_transaction_over_its_bound_is_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    code = bytes.fromhex("5f3560065700" + "5b60015f5500")
    network = Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=code)}))
    network.executor = BlockExecutor(network.settings, programs=ProgramCache(interpret, threshold=0))
    network.send(0, to=BOB)  # Opens the block, which runs a contract of the system.
    monkeypatch.setattr("adapters.ethereum.compiler.computation.TRANSACTION_COST_MAX", 1)
    made = Counted(monkeypatch)
    for traces in (1, 2, 2):
        receipt = network.send(0, to=CONTRACT, data=b"\x01" * 32)
        assert (receipt.status, made.traces) == (1, traces)


def test_code_is_compiled_once_it_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Counted(monkeypatch)
    programs = ProgramCache(interpret, threshold=3)
    network = Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=bytes.fromhex("60015f5500"))}))
    network.executor = BlockExecutor(network.settings, programs=programs)
    for _ in range(3):
        network.send(0, to=CONTRACT)
    assert (made.traces, len(programs)) == (0, 0)
    network.send(0, to=CONTRACT)
    assert (made.traces, len(programs)) == (1, 1)
    for _ in range(3):
        network.send(0, to=CONTRACT)
    assert made.traces == 1


def test_a_loop_is_compiled_the_first_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Counted(monkeypatch)
    network = Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=bytes.fromhex("5b5f56"))}))
    network.executor = BlockExecutor(network.settings, programs=ProgramCache(interpret))
    assert network.send(0, to=CONTRACT, gas=30_000).gas_used == 30_000
    assert made.traces == 0
    assert network.send(0, to=CONTRACT, gas=1_000_000).gas_used == 1_000_000
    assert made.traces == 1


def test_a_flood_of_codes_takes_counters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COLD_CODES_MAX", 50)
    programs = ProgramCache(interpret, threshold=2)
    for number in range(500):
        assert programs.find(number.to_bytes(8, "big")) is None
    assert len(programs) == 0
    assert len(programs._cold) <= 50


def test_many_short_codes_are_bounded_and_do_not_push_out_what_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROGRAMS_MAX", 20)
    programs = ProgramCache(interpret, threshold=0)
    for _ in range(1_000):
        programs.find(b"\x5b\x00")
    for number in range(100):
        programs.find(number.to_bytes(4, "big"))
    assert len(programs) == 20
    assert b"\x5b\x00" in programs._programs


def compiled_at(programs: ProgramCache, code: bytes) -> Program:
    """Have the beginning of a code compiled."""
    program = programs.make(code)
    name = program.link(0, NOTHING_KNOWN)
    assert program.compile(name, 0, NOTHING_KNOWN, SimpleNamespace(compile_cost_left=10**9)) is not None
    return program


def test_bytes_of_all_codes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_BYTES_MAX", 100_000)
    programs = ProgramCache(interpret, threshold=0)
    for number in range(40):
        program = compiled_at(programs, repeated("5f358001", 300) + number.to_bytes(2, "big"))
        assert programs.kept_bytes <= 100_000 + program.kept_bytes
    assert 0 < len(programs) < 40


def test_codes_of_which_little_is_compiled_count_by_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of long initcode that is all JUMPDESTs: what is known of where each begins takes memory, too."""
    monkeypatch.setattr(module, "CACHE_BYTES_MAX", 1_000_000)
    programs = ProgramCache(interpret, threshold=0)
    for number in range(30):
        compiled_at(programs, b"\x61" + number.to_bytes(2, "big") + repeated("5b", INITCODE_BYTES_MAX - 3))
        assert programs.kept_bytes <= 1_000_000 + 2 * INITCODE_BYTES_MAX + 20_000
    assert 0 < len(programs) <= 10


@pytest.mark.parametrize("name", ["JUMPDESTs of initcode", "computed jumps", "PUSH1"])
def test_memory_of_a_code_is_what_it_counts_for(name: str) -> None:
    """As Python counts it: generated source takes several times its length, marks of a code no more than it."""
    code, programs = HOSTILE[name], ProgramCache(interpret, threshold=0)
    tracemalloc.start()
    try:
        program = compiled_at(programs, code)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken <= 8 * program.kept_bytes


def test_looking_for_jump_destinations_counts_as_compiling() -> None:
    program = Program(repeated("5b", INITCODE_BYTES_MAX), interpret, lambda: None)
    name = program.link(0, NOTHING_KNOWN)
    spent = []
    for _ in range(2):
        budget = SimpleNamespace(compile_cost_left=10**6)
        program.compile(name, 0, NOTHING_KNOWN, budget)
        spent.append(10**6 - budget.compile_cost_left)
    assert spent[0] - spent[1] == INITCODE_BYTES_MAX // module.CODE_BYTES_PER_COST


def test_a_code_that_may_not_be_compiled_is_not_looked_at() -> None:
    program = Program(repeated("5b"), interpret, lambda: None)
    name = program.link(0, NOTHING_KNOWN)
    assert program.compile(name, 0, NOTHING_KNOWN, SimpleNamespace(compile_cost_left=0)) is None
    assert program._targets is None


def test_a_position_has_few_contexts() -> None:
    program = Program(b"\x5b" * 50, interpret, lambda: None)
    names = {program.link(3, Context(size=32 * number)) for number in range(1, 40)}
    assert len(names) == CONTEXTS_PER_POSITION_MAX
    assert program.link(3, Context(size=10_000)) in names, "the most that is known and holds"
    assert program.link(3, Context(((1, 5),))) not in names


def test_names_run_out_and_the_interpreter_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NAMES_MAX", 2)
    code = bytes.fromhex("5f35156008575f00" + "5b60015f5260205ff3")
    receipts = []
    for evm in ("compiled", "interpreted"):
        network = Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=code)}, evm=evm))
        network.executor = BlockExecutor(network.settings, programs=ProgramCache(interpret, threshold=0))
        receipts.append([network.send(0, to=CONTRACT, data=data) for data in (b"", b"\x01" * 32)])
    assert receipts[0] == receipts[1]


def test_the_symbolic_stack_is_bounded() -> None:
    program = Program(repeated("5f", 2_000), interpret, lambda: None)
    tracer = Tracer(program, 0, NOTHING_KNOWN, "t")
    tracer.run(TRACE_STEPS_MAX)
    assert tracer.steps == SYMBOLIC_ITEMS_MAX + 1


def deployed_again(evm: Any) -> list[Any]:
    """Deploy by CREATE2, run, destroy and deploy other code at the same address, all in one transaction each time."""
    # Copies the data behind the first byte to memory, deploys it with salt 0, calls it twice, and stores what came.
    factory = bytes.fromhex("365f5f375f365f5ff55f5f5f5f5f855af1505f5f5f5f5f855af13d5f5f3e5f51600155505f5500")
    network = Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=factory)}, evm=evm))
    network.executor = BlockExecutor(network.settings, programs=ProgramCache(interpret, threshold=0))
    runtimes = [bytes.fromhex(code) for code in ("60075f5260205ff3", "33ff", "60085f5260205ff3", "5b5f56")]
    return [network.send(0, to=CONTRACT, data=initcode(runtime), gas=300_000) for runtime in runtimes * 3]


def test_code_that_changes_at_an_address_is_never_mistaken() -> None:
    assert deployed_again("compiled") == deployed_again("interpreted")


def test_a_flood_of_initcode_equals_the_interpreter_and_keeps_no_program() -> None:
    """A loop that creates with initcode that is different each time."""
    code = bytes.fromhex("5b5a5f5260205f5ff0505f56")
    receipts = []
    programs = ProgramCache(interpret)
    for evm in ("compiled", "interpreted"):
        network = Chain(settings_with(alloc={CONTRACT: AllocatedAccount(nonce=1, code=code)}, evm=evm))
        network.executor = BlockExecutor(network.settings, programs=programs)
        receipts.append(network.send(0, to=CONTRACT, gas=3_000_000))
    assert receipts[0] == receipts[1]
    assert len(programs) == 1


def test_a_deadline_may_interrupt_compiling() -> None:
    """What was being compiled is compiled again; counts are too high at the most."""
    program = Program(bytes.fromhex("60015f5500"), interpret, lambda: None)
    name = program.link(0, NOTHING_KNOWN)
    stub = program.namespace[name]

    class Stopped(BaseException):
        pass

    class Budget:
        @property
        def compile_cost_left(self) -> int:
            return 10

        @compile_cost_left.setter
        def compile_cost_left(self, value: int) -> None:
            raise Stopped

    with pytest.raises(Stopped):
        program.compile(name, 0, NOTHING_KNOWN, Budget())
    assert program.namespace[name] is stub
    assert program.compile(name, 0, NOTHING_KNOWN, SimpleNamespace(compile_cost_left=10)) is not None
    assert program.namespace[name] is not stub


def test_executors_share_programs_of_a_fork() -> None:
    assert shared_programs("prague") is shared_programs("prague")
    assert shared_programs("prague") is not shared_programs("cancun")
