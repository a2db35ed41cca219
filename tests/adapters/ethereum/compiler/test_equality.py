"""Compiled code against the interpreter: gas, errors, output, logs, storage, and what a call touched.

The differential fuzzer (tests/fuzz) does this on whole cases; here stand the edges that it seldom meets.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.deadline import Deadline
from adapters.ethereum.compiler.computation import interpret
from adapters.ethereum.compiler.program import ProgramCache
from adapters.ethereum.evm import make_state
from adapters.ethereum.settings import AllocatedAccount, Settings
from tests.adapters.ethereum.compiler_support import CONTRACT, ENVIRONMENT, OTHER, assert_equal, one_run, ran
from tests.adapters.ethereum.evm_support import Chain, settings_with

FORKS = pytest.mark.parametrize("fork", ["cancun", "prague"])


def return_top() -> str:
    """Code that returns the top of the stack."""
    return "5f5260205ff3"


WORDS = st.one_of(
    st.sampled_from([0, 1, 2, 31, 32, 255, 256, 2**64, 2**160 - 1, 2**255 - 1, 2**255, 2**255 + 1, 2**256 - 1]),
    st.integers(0, 2**256 - 1),
)
OPERATIONS = [*range(0x01, 0x0C), *range(0x10, 0x1E)]


@pytest.mark.parametrize("opcode", OPERATIONS, ids=[f"{opcode:#x}" for opcode in OPERATIONS])
@settings(max_examples=12, deadline=None)
@given(words=st.tuples(WORDS, WORDS, WORDS), constants=st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_arithmetic_of_constants_and_of_data(
    opcode: int, words: tuple[int, int, int], constants: tuple[bool, bool, bool]
) -> None:
    """Each operand is either in the code, and folded, or in the call's data, and known when it runs."""
    code = ""
    for place, (word, is_constant) in enumerate(zip(words, constants, strict=True)):
        code += f"7f{word:064x}" if is_constant else f"60{32 * place:02x}35"
    data = b"".join(word.to_bytes(32, "big") for word in words)
    assert assert_equal(bytes.fromhex(code + f"{opcode:02x}" + return_top()), data=data).error == ""


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 255), max_size=40), st.integers(0, 30_000), st.binary(max_size=64))
def test_random_bytes(code: list[int], gas: int, data: bytes) -> None:
    assert_equal(bytes(code), gas=gas, data=data)


SEGMENTS = [
    "6001",
    "5f",
    "80",
    "90",
    "50",
    "01",
    "5b",
    "5a",
    "59",
    "58",
    "6020",
    "52",
    "51",
    "53",
    "54",
    "55",
    "35",
    "20",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(SEGMENTS), max_size=60), st.integers(0, 60_000))
def test_random_instructions_and_gas(parts: list[str], gas: int) -> None:
    assert_equal(bytes.fromhex("".join(parts)), gas=gas)


@pytest.mark.parametrize("gas", range(130))
def test_out_of_gas_at_every_point(gas: int) -> None:
    """A loop of memory, hashing and jumps."""
    assert_equal(bytes.fromhex("5b595259515f20505f56"), gas=gas * 7)


@pytest.mark.parametrize("items", [1022, 1023, 1024, 1025])
@pytest.mark.parametrize("opcode", ["80", "5f", "5a", "30", "47", "3d", "58", "90", "01"])
def test_full_stacks(items: int, opcode: str) -> None:
    """A loop pushes until the stack is nearly full; then one instruction more, in a trace of its own."""
    loop = "5b5f" + "5f" * 10 + "61" + f"{items - 12:04x}" + "58"
    pushes = "5f" * items + "5b" + opcode + "00"
    assert_equal(bytes.fromhex(pushes))
    assert_equal(bytes.fromhex(loop))


@pytest.mark.parametrize(
    "opcode", ["01", "08", "8f", "9f", "a4", "f1", "55", "57", "56", "f3", "fd", "ff", "f0", "3c", "0a"]
)
@pytest.mark.parametrize("items", range(8))
def test_stacks_too_low(items: int, opcode: str) -> None:
    """The same from one trace, and from a trace that was jumped to."""
    assert_equal(bytes.fromhex("6002" * items + opcode))
    assert_equal(bytes.fromhex("60023560075600" + "5b" + "6002" * items + opcode), data=bytes(32))


@FORKS
@pytest.mark.parametrize("kind", ["f1", "f2", "f4", "fa"])
@pytest.mark.parametrize("value", ["", "6001"])
def test_calls(fork: str, kind: str, value: str) -> None:
    """With and without value: an account with code, nobody, a precompile, itself; and what returns."""
    value = (value or "5f") if kind in ("f1", "f2") else ""
    for target in ("73" + OTHER.hex(), "61ffff", "6004", "30"):
        code = "60406020" + "60406020" + value + target + "61ffff" + kind + "3d" + "5f5260205ff3"
        for gas in (5_000, 40_000, 200_000):
            assert_equal(bytes.fromhex(code), gas=gas, fork=fork)


@pytest.mark.parametrize(
    "opcode", ["5f5f55", "5f5fa0", "5f5f5d", "5f5f5ff0", "5f5f5f5ff5", "5fff", "5f5f5f5f600130615000f1"]
)
def test_static_calls_write_nothing(opcode: str) -> None:
    """Calls itself statically; the inner call writes."""
    code = bytes.fromhex("36" + "602057" + "60015f53" + "5f5f60015f305afa" + "5f5260205ff3")
    code = code.ljust(32, b"\x00") + b"\x5b" + bytes.fromhex(opcode) + b"\x00"
    assert assert_equal(code).output == bytes(32)


def test_deep_calls() -> None:
    """Calls itself with all its gas until 1,024 frames are open, and counts them on the way back."""
    code = bytes.fromhex("5f5f5f5f5f305af1" + "5f54600101" + "5f55" + "00")
    compiled = assert_equal(code, gas=16_000_000)
    assert compiled.storage


def test_deep_calls_reach_the_limit() -> None:
    """Static calls that return their depth: with enough gas the limit is the depth and not the gas."""
    code = bytes.fromhex("60205f5f5f305afa505f5160010160005260205ff3")
    compiled = assert_equal(code, gas=10**12)
    assert int.from_bytes(compiled.output, "big") == 1_025


@FORKS
@pytest.mark.parametrize("threshold", [0, 1, 2, 8])
def test_whenever_it_is_compiled(fork: str, threshold: int) -> None:
    """Frames change between interpreter and compiled code in their midst; the results stay."""
    # Sums the numbers below 300 into storage, and logs each sum.
    code = bytes.fromhex("5f5f5b818101905060010180805f526020601fa081600154900161012c8210600257602052515f5500")
    interpreted = ran(code, "interpreted", fork=fork, gas=2_000_000)
    assert ran(code, "compiled", fork=fork, gas=2_000_000, threshold=threshold, runs=4) == interpreted * 4


def test_a_program_that_differs_is_noticed() -> None:
    assert ran(bytes.fromhex("60015f55"), "compiled") != ran(bytes.fromhex("60025f55"), "interpreted")


def test_delegated_code_runs_compiled() -> None:
    """EIP-7702: the code of the account that an account delegates to, in the account's own storage."""
    delegate = bytes.fromhex("60075f5500")
    made = {}
    for evm in ("compiled", "interpreted"):
        alloc = {
            CONTRACT: AllocatedAccount(nonce=1, code=b"\xef\x01\x00" + OTHER),
            OTHER: AllocatedAccount(nonce=1, code=delegate),
        }
        network = Chain(settings_with(alloc=alloc, fork="prague", evm=evm))
        made[evm] = one_run(network, 100_000, b"", ProgramCache(interpret, 0))
    assert made["compiled"] == made["interpreted"]
    assert made["compiled"].storage == {(CONTRACT, 0): 7}


def test_settings_choose_the_way() -> None:
    settings_made: Settings = settings_with(evm="interpreted")
    chain = Chain(settings_made)
    state = make_state(chain.executor._database, settings_made, ENVIRONMENT, Deadline(1))
    assert not hasattr(state, "programs")
    compiled = make_state(chain.executor._database, settings_with(), ENVIRONMENT, Deadline(1))
    assert isinstance(compiled.programs, ProgramCache)
