"""The EVM's rules one by one, compiled and interpreted: each program is run with every gas that makes a difference."""

from __future__ import annotations

import gc
from itertools import product

import pytest

from adapters.deadline import Deadline
from adapters.ethereum.compiler.computation import CompiledPragueComputation, interpret
from adapters.ethereum.compiler.program import ProgramCache
from adapters.ethereum.compiler.runtime import POLL_GAS
from adapters.ethereum.settings import AllocatedAccount
from tests.adapters.ethereum.compiler_support import (
    CONTRACT,
    OTHER,
    Both,
    Ran,
    assemble,
    assert_equal,
    network_with,
    one_run,
)

FORKS = pytest.mark.parametrize("fork", ["cancun", "prague"])
RETURN = "0 MSTORE 32 0 RETURN"
"""Returns the top of the stack."""
PLENTY = 1_000_000
ODD = b"\xaa" * 20
"""An account for a test's own code."""


def account(code: str) -> dict[bytes, AllocatedAccount]:
    return {ODD: AllocatedAccount(nonce=1, balance=5, code=assemble(code))}


def with_every_gas(text: str, *, fork: str = "prague", others: dict[bytes, AllocatedAccount] | None = None) -> Ran:
    """Run a program with enough gas, then with each amount up to what it used, or some of them; it must not fail."""
    both = Both(assemble(text), fork=fork, others=others)
    whole = both.call(PLENTY)
    assert whole.error == ""
    used = whole.gas_used - 21_000
    edges = {at + near for at in (100, 2_100, 2_300, 2_600, 5_000, 20_000, 22_100, 25_000, used) for near in (-1, 0, 1)}
    for gas in sorted({*range(0, used, max(1, used // 150)), *edges, *range(max(0, used - 40), used)}):
        both.call(gas)
    return whole


# Gas.

PROGRAMS = {
    "storage": "1 SLOAD 9 1 SSTORE 0 1 SSTORE 8 2 SSTORE 0 2 SSTORE 2 SLOAD",
    "transient storage": "7 1 TSTORE 1 TLOAD 0 TLOAD 3 SSTORE 4 TSTORE",
    "memory": "7 100 MSTORE 1 5000 MSTORE8 3000 MLOAD MSIZE 64 0 1000 MCOPY 1 9 MSTORE MSIZE GAS",
    "hashes": "64 0 SHA3 CALLDATASIZE 100 SHA3 200 CALLDATASIZE SHA3",
    "powers": "2 3 EXP CALLDATASIZE NOT 3 EXP CALLDATASIZE NOT DUP1 EXP CALLDATASIZE 0 EXP GAS",
    "copies": "40 0 0 CALLDATACOPY 90 3 600 CODECOPY 32 0 64 ADDRESS EXTCODECOPY CALLDATASIZE 0 0 CODECOPY",
    "logs": "0 0 LOG0 1 40 900 LOG1 1 2 3 4 CALLDATASIZE 32 LOG4 1 2 8 0 LOG2",
    "accounts": "0xffff BALANCE 0xffff EXTCODESIZE ADDRESS EXTCODEHASH 4 EXTCODESIZE SELFBALANCE 8 BLOCKHASH",
    "calls": f"32 0 0 0 0 0x{OTHER.hex()} GAS CALL 0 0 0 0 0x{OTHER.hex()} 3000 STATICCALL "
    "RETURNDATASIZE 0 0 RETURNDATACOPY",
    "value": "0 0 0 0 7 0xabcd 10 CALL 0 0 0 0 7 0xabcd 10 CALL 0 0 0 0 7 4 GAS CALLCODE 0 0 0 0 4 GAS DELEGATECALL",
    "creations": "0x60016000f3 0 MSTORE 5 27 0 CREATE EXTCODESIZE 1 5 27 1 CREATE2 EXTCODEHASH GAS",
    "a loop": "20 again: DUP1 DUP1 MSTORE 1 SWAP1 SUB DUP1 @again JUMPI GAS",
    "a function": "@one 5 @f JUMP one: @two 6 @f JUMP two: ADD GAS @end JUMP f: DUP1 MUL GAS XOR SWAP1 JUMP end:",
    "self-destruct": f"0x{OTHER.hex()} SELFDESTRUCT",
}


@FORKS
@pytest.mark.parametrize("name", PROGRAMS)
def test_gas_is_exact_and_runs_out_at_the_same_place(name: str, fork: str) -> None:
    with_every_gas(PROGRAMS[name], fork=fork)


def test_gas_says_what_is_left_after_each_kind_of_instruction() -> None:
    parts = [
        "1 POP",
        "64 0 SHA3",
        "1 SLOAD",
        "9 1 SSTORE",
        "5 400 MSTORE",
        "0 0 LOG0",
        "ADDRESS BALANCE",
        "2 CALLDATASIZE EXP",
    ]
    text = " ".join(f"{part} GAS" for part in parts) + " " + " ".join(f"{32 * at} MSTORE" for at in range(20, 28))
    with_every_gas(text + " 256 640 RETURN")


@pytest.mark.parametrize("gas", [*range(2_280, 2_320), 2_306 + 100, 2_306 + 2_900, 2_306 + 22_100])
def test_a_slot_is_not_written_with_no_more_than_the_stipend(gas: int) -> None:
    """EIP-2200: SSTORE fails with 2,300 gas or less, whatever it costs. Two pushes come first."""
    for program in ("7 1 SSTORE", "9 1 SSTORE", "1 5 SSTORE", "1 SLOAD 1 SSTORE"):
        ran = Both(assemble(program)).call(gas)
        if gas <= 2_300:
            assert ran.error == "OutOfGas"


@pytest.mark.parametrize("writes", list(product((0, 7, 9), repeat=3)), ids=str)
@pytest.mark.parametrize("slot", [0, 1])
def test_refunds(writes: tuple[int, int, int], slot: int) -> None:
    """EIP-3529, from a slot that holds 0 and one that holds 7; enough is used that no refund is cut."""
    spend = "0x20000 0 SHA3 POP "
    assert_equal(assemble(spend + " ".join(f"{value} {slot} SSTORE" for value in writes)), gas=PLENTY)


def test_refunds_of_what_is_reverted_are_lost() -> None:
    others = account("0 1 SSTORE 0 0 REVERT")
    clearing = with_every_gas("0 1 SSTORE")
    reverted = f"0 0 0 0 0x{ODD.hex()} GAS DELEGATECALL"
    assert with_every_gas(reverted, others=others).gas_used > clearing.gas_used


# Memory.

HUGE = [2**31, 2**64 - 1, 2**64, 2**255, 2**256 - 1]
REACHES = {
    "MLOAD": "{start} MLOAD",
    "MSTORE": "1 {start} MSTORE",
    "MSTORE8": "1 {start} MSTORE8",
    "SHA3": "{size} {start} SHA3",
    "RETURN": "{size} {start} RETURN",
    "REVERT": "{size} {start} REVERT",
    "LOG1": "3 {size} {start} LOG1",
    "CALLDATACOPY": "{size} 0 {start} CALLDATACOPY",
    "CODECOPY": "{size} 0 {start} CODECOPY",
    "EXTCODECOPY": "{size} 0 {start} ADDRESS EXTCODECOPY",
    "RETURNDATACOPY": "{size} 0 {start} RETURNDATACOPY",
    "MCOPY to": "{size} 0 {start} MCOPY",
    "MCOPY from": "{size} {start} 0 MCOPY",
    "CALL in": "0 0 {size} {start} 0 4 GAS CALL",
    "CALL out": "{size} {start} 0 0 0 4 GAS CALL",
    "STATICCALL in": "0 0 {size} {start} 4 GAS STATICCALL",
    "DELEGATECALL out": "{size} {start} 0 0 4 GAS DELEGATECALL",
    "CALLCODE both": "{size} {start} {size} {start} 0 4 GAS CALLCODE",
    "CREATE": "{size} {start} 0 CREATE",
    "CREATE2": "0 {size} {start} 0 CREATE2",
}


@pytest.mark.parametrize("name", REACHES)
@pytest.mark.parametrize("place", ["known", "from data"])
def test_memory_is_paid_for_before_it_is_reached(name: str, place: str) -> None:
    """Far away no byte can be paid for; nothing there costs nothing."""
    text = REACHES[name]
    for far in HUGE:
        start = str(far) if place == "known" else "0 CALLDATALOAD"
        for size in (0, 1, 32):
            both = Both(assemble(text.format(start=start, size=size) + " MSIZE " + RETURN))
            ran = both.call(100_000, far.to_bytes(32, "big"))
            reaches = size or name in ("MLOAD", "MSTORE", "MSTORE8")
            assert (ran.error not in ("", "Revert")) == bool(reaches), (far, size)


@pytest.mark.parametrize("name", REACHES)
def test_sizes_beyond_all_memory(name: str) -> None:
    for size in HUGE:
        for text in (REACHES[name].format(start=0, size=size), REACHES[name].format(start=0, size="0 CALLDATALOAD")):
            Both(assemble(text + " MSIZE " + RETURN)).call(100_000, size.to_bytes(32, "big"))


def test_memory_grows_by_words_where_the_first_byte_is_touched() -> None:
    for start in (0, 1, 31, 32, 33, 63, 64):
        with_every_gas(f"1 {start} MSTORE8 MSIZE {start} MLOAD MSIZE 33 {start} SHA3 MSIZE {RETURN}")


# Jumps.

BAD = {
    "into the data of a push": ("@f 1 ADD {jump} f: .615b5b STOP", "InvalidJumpDestination"),
    "to a JUMPDEST in the data": ("@f 2 ADD {jump} f: .615b5b STOP", "InvalidInstruction"),
    "to a push cut off by the end": ("@f 2 ADD {jump} f: .7f5b", "InvalidInstruction"),
    "to no JUMPDEST": ("0 {jump}", "InvalidJumpDestination"),
    "to the end": ("@f 1 ADD {jump} f:", "InvalidJumpDestination"),
    "far": ("0x10000000000 {jump} f:", "InvalidJumpDestination"),
    "farther": (f"{2**256 - 1} {{jump}} f:", "InvalidJumpDestination"),
    "64 bits cut off": (f"{2**64} @f ADD {{jump}} f:", "InvalidJumpDestination"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("jump", ["JUMP", "1 SWAP1 JUMPI", "0 CALLDATALOAD SWAP1 JUMPI", "0 CALLDATALOAD ADD JUMP"])
def test_bad_jumps_fail_as_they_do(name: str, jump: str) -> None:
    """From targets that are known, and that come from data."""
    text, error = BAD[name]
    code = assemble(text.format(jump=jump))
    data = (0 if jump.endswith("JUMP") else 1).to_bytes(32, "big")
    both = Both(code)
    assert both.call(data=data).error == error
    for gas in range(60):
        both.call(gas, data)


def test_a_bad_jump_that_is_not_taken_is_none() -> None:
    for text, _ in BAD.values():
        both = Both(assemble(text.format(jump="0 CALLDATALOAD SWAP1 JUMPI STOP")))
        assert both.call(data=bytes(32)).error == ""
        assert both.call(data=b"\x01" * 32).error != ""


# What comes back.

CALLED = {
    "a word": "7 0 MSTORE 32 0 RETURN",
    "many words": "7 0 MSTORE 200 0 RETURN",
    "nothing": "STOP",
    "a revert": "7 0 MSTORE 40 0 REVERT",
    "a failure": ".fe",
    "a call that fails": "0 0 0 0 0 3 0 CALL 1 0 REVERT",
}


@pytest.mark.parametrize("kind", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
@pytest.mark.parametrize("name", CALLED)
def test_returned_data(name: str, kind: str) -> None:
    """Its size, what of it lands in memory, and what may be copied of it: not a byte more."""
    value = "0 " if kind in ("CALL", "CALLCODE") else ""
    for out in (0, 5, 32, 64):
        called = f"{2**256 - 1} 0 MSTORE {2**256 - 1} 32 MSTORE {out} 3 0 0 {value}0x{ODD.hex()} 50000 {kind} "
        with_every_gas(called + "RETURNDATASIZE 96 MSTORE 128 MSTORE 160 0 RETURN", others=account(CALLED[name]))
        for start, size in ((0, 32), (0, 33), (1, 32), (40, 0), (41, 0), (2**256 - 1, 1), (1, 2**256 - 1), (200, 0)):
            copied = assemble(called + f"{size} {start} 10 RETURNDATACOPY 160 0 RETURN")
            assert_equal(copied, others=account(CALLED[name]))


def test_returned_data_goes_with_the_next_call() -> None:
    """A call of nobody, one that has no money, a creation, a precompile: each leaves its own, or none."""
    for following in (
        "0 0 0 0 0 0xffff GAS CALL",
        "0 0 0 0 5000 0xffff GAS CALL",
        "0 0 0 0 5000 0xffff GAS CALLCODE",
        "0 0 0 CREATE",
        "0x60206000fd 0 MSTORE 5 27 0 CREATE",
        "5 0 5000 CREATE",
        "0 0 40 5 4 GAS STATICCALL 0 0 33 4 4 GAS STATICCALL",
    ):
        text = f"0 0 0 0 0x{ODD.hex()} GAS STATICCALL {following} RETURNDATASIZE {RETURN}"
        with_every_gas(text, others=account(CALLED["many words"]))


# Calls that must not write, and depth.

WRITES = ("1 0 SSTORE", "7 1 SSTORE", "1 0 TSTORE", "0 0 LOG0", "1 2 3 4 0 0 LOG4", "0 0 0 CREATE", "0 0 0 0 CREATE2",
          "0 SELFDESTRUCT", "0 0 0 0 1 0xffff GAS CALL")  # fmt: skip
READS = (
    "1 SLOAD",
    "1 TLOAD",
    "0 0 0 0 0 0xffff GAS CALL",
    "0 0 0 0 1 0xffff GAS CALLCODE",
    "ADDRESS BALANCE",
    "8 BLOCKHASH",
)


@pytest.mark.parametrize("what", [*WRITES, *READS])
@pytest.mark.parametrize("between", ["", "DELEGATECALL", "CALL"])
def test_a_static_call_writes_nothing_however_deep(what: str, between: str) -> None:
    value = "0 " if between == "CALL" else ""
    inner = b"\xab" * 20
    others = account(f"0 0 0 0 {value}0x{inner.hex()} 90000 {between} {RETURN}" if between else f"{what} 1 {RETURN}")
    others[inner] = AllocatedAccount(nonce=1, balance=5, code=assemble(f"{what} STOP"))
    ran = with_every_gas(f"32 0 0 0 0x{ODD.hex()} 100000 STATICCALL GAS 32 MSTORE POP 64 0 RETURN", others=others)
    assert int.from_bytes(ran.output[:32], "big") == (0 if what in WRITES else 1)
    assert not ran.storage
    assert not ran.logs


@pytest.mark.parametrize("kind", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
def test_frames_are_1024_deep_at_the_most(kind: str) -> None:
    """A code that calls itself and counts; the gas would do for more."""
    value = "0 " if kind in ("CALL", "CALLCODE") else ""
    ran = assert_equal(assemble(f"32 0 0 0 {value}ADDRESS GAS {kind} POP 0 MLOAD 1 ADD {RETURN}"), gas=10**12)
    assert int.from_bytes(ran.output, "big") == 1_025


def test_creations_nest_as_deep_as_gas_goes() -> None:
    """Initcode that creates by itself, and its address is the only trace of it."""
    ran = assert_equal(assemble("CODESIZE 0 0 CODECOPY CODESIZE 0 0 CREATE STOP"), gas=10**12)
    assert ran.error == ""
    assert len(ran.touched) > 800


def test_a_call_without_the_money_or_the_depth_fails_alone() -> None:
    """What the caller gave comes back, with the stipend."""
    for kind in ("CALL", "CALLCODE"):
        ran = with_every_gas(f"0 0 0 0 1001 0xffff 30000 {kind} GAS SWAP1 0 MSTORE 32 MSTORE 64 0 RETURN")
        assert int.from_bytes(ran.output[:32], "big") == 0


def test_frames_that_fail_leave_nothing_for_the_collector() -> None:
    """A failed call's memory is free at once: the loop would hold a frame for each round, else."""
    both = Both(
        assemble(f"20 again: 0 0 0 0 0x{ODD.hex()} 20000 STATICCALL POP 1 SWAP1 SUB DUP1 @again JUMPI"),
        others=account("1 5000 MSTORE 0 0 REVERT"),
    )
    both.call(PLENTY)
    gc.collect()
    gc.disable()
    try:
        both.call(PLENTY)
        left = [one for one in gc.get_objects() if isinstance(one, CompiledPragueComputation)]
    finally:
        gc.enable()
    assert left == []


# Accounts that come and go.


@FORKS
def test_created_destroyed_and_paid_in_one_transaction(fork: str) -> None:
    """EIP-6780: what was created in the transaction goes, with its storage; what was there before stays."""
    initcode = assemble("9 1 SSTORE CALLER SELFDESTRUCT")
    text = f"0x{initcode.hex()} 0 MSTORE {len(initcode)} {32 - len(initcode)} 10 CREATE "
    text += (
        f"DUP1 BALANCE SWAP1 EXTCODESIZE ADD 0 0 0 0 0 0x{ODD.hex()} GAS CALL ADD 0x{ODD.hex()} BALANCE ADD {RETURN}"
    )
    with_every_gas(text, fork=fork, others=account("CALLER SELFDESTRUCT"))


@FORKS
@pytest.mark.parametrize("kind", ["CALL", "CALLCODE", "DELEGATECALL", "STATICCALL"])
@pytest.mark.parametrize("target", ["code", "precompile", "nobody", "itself", "another delegate", "the caller"])
def test_calls_of_delegated_accounts(kind: str, target: str, fork: str) -> None:
    """EIP-7702: both accounts are paid for, the target's code runs, and no further; Cancun knows nothing of it."""
    second = b"\xab" * 20
    to = {
        "code": OTHER,
        "precompile": (4).to_bytes(20, "big"),
        "nobody": b"\xee" * 20,
        "itself": ODD,
        "another delegate": second,
        "the caller": CONTRACT,
    }[target]
    others = {
        ODD: AllocatedAccount(nonce=1, balance=5, code=b"\xef\x01\x00" + to),
        second: AllocatedAccount(nonce=1, code=b"\xef\x01\x00" + OTHER),
    }
    value = "0 " if kind in ("CALL", "CALLCODE") else ""
    call = f"32 0 32 0 {value}0x{ODD.hex()} 5000 {kind} "
    text = (
        "CALLDATASIZE @end JUMPI "
        + f"{call} {call} GAS 64 MSTORE 96 MSTORE RETURNDATASIZE 128 MSTORE POP 160 0 RETURN end:"
    )
    with_every_gas(text, fork=fork, others=others)
    with_every_gas(f"0x{ODD.hex()} EXTCODESIZE 0x{ODD.hex()} EXTCODEHASH ADD {RETURN}", fork=fork, others=others)


# The clock.


class Watched(Deadline):
    """One without a timer, that counts how often it is looked at, and never is up."""

    def __init__(self) -> None:
        super().__init__(3600)
        self.polling = True
        self.looks = 0

    def check(self) -> None:
        self.looks += 1


ENDLESS = {
    "a loop within a trace": "again: 1 POP @again JUMP",
    "from trace to trace": "again: 1 POP CALLDATASIZE JUMP",
    "two traces in turn": "again: CALLDATASIZE @other JUMPI 1 POP @again JUMP other: STOP",
    "instructions of the interpreter": "again: 8 BLOCKHASH POP CALLDATASIZE JUMP",
    "calls of itself": "again: 0 0 0 0 0 ADDRESS GAS CALL POP @again JUMP",
    "powers": "again: CALLDATASIZE NOT DUP1 EXP POP @again JUMP",
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("threshold", [0, 8])
def test_the_clock_is_looked_at_by_the_gas(name: str, threshold: int) -> None:
    network = network_with(assemble(ENDLESS[name]), "compiled", "prague")
    watched = Watched()
    ran = one_run(network, PLENTY, b"", ProgramCache(interpret, threshold), deadline=watched)
    assert ran.error == "OutOfGas" or name == "calls of itself"
    assert watched.looks >= PLENTY // (2 * POLL_GAS)


def test_programs_depend_on_nothing_but_the_code() -> None:
    """The same compiled traces run under both forks, where a call of a delegated account differs."""
    code = assemble(f"0 0 0 0 0 0x{ODD.hex()} 5000 CALL GAS 0 MSTORE 32 MSTORE 64 0 RETURN")
    others = {ODD: AllocatedAccount(nonce=1, code=b"\xef\x01\x00" + OTHER)}
    programs = ProgramCache(interpret, threshold=0)
    left = []
    for fork in ("cancun", "prague", "cancun"):
        compiled = one_run(network_with(code, "compiled", fork, others), 100_000, b"", programs)
        assert compiled == one_run(network_with(code, "interpreted", fork, others), 100_000, b"", programs)
        left.append(compiled.output)
    assert left[0] == left[2] != left[1]
    assert code in programs._programs
