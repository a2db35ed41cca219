"""Random programs with stack discipline: each statement leaves the stack as it was, so that most of them run far."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.fuzz import constants as c
from tests.fuzz.calls import call, gas_for_call, precompile, recursion, return_data
from tests.fuzz.compiled_shapes import SHAPES
from tests.fuzz.program import Program

ATTEMPT_BYTES = 77
"""Size of the call data that sends a program to its second part."""
CODE_DEPTH_MAX = 2
"""Programs within programs: init code that deploys a program."""


def block(p: Program, statements: int) -> None:
    """Add statements, each chosen at random."""
    for _ in range(statements):
        maker = p.random.choices(_STATEMENTS, _WEIGHTS)[0]
        p.kinds.add(maker.__name__.lstrip("_"))
        maker(p)


def _store_value(p: Program) -> None:
    p.value()
    p.sink()


def _storage(p: Program) -> None:
    """Patterns of SSTORE whose gas and refund depend on original, current and new value."""
    slot = p.random.randrange(6)
    for _ in range(p.random.choice((1, 1, 2, 3))):
        p.push(p.random.choice((0, 0, 1, 2, 7)))
        p.push(slot)
        p.op("SSTORE")
    if p.random.random() < 0.5:
        p.push(slot)
        p.op("SLOAD")
        p.sink()


def _transient(p: Program) -> None:
    p.value()
    p.push(p.random.randrange(3))
    p.op("TSTORE")
    p.push(p.random.randrange(3))
    p.op("TLOAD")
    p.sink()


def _memory(p: Program) -> None:
    kind = p.random.random()
    if kind < 0.3:
        p.value()
        p.push(p.offset())
        p.op(p.random.choice(("MSTORE", "MSTORE8")))
    elif kind < 0.6:
        p.push(p.length())
        p.push(p.offset())
        p.push(p.offset())
        p.op("MCOPY")
    else:
        p.push(p.length())
        p.push(p.offset())
        p.push(p.offset())
        p.op(p.random.choice(("CALLDATACOPY", "CODECOPY", "CALLDATACOPY")))


def _external_code(p: Program) -> None:
    p.push(p.length())
    p.push(p.offset())
    p.push(p.offset())
    p.push_address()
    p.op("EXTCODECOPY")


def _log(p: Program) -> None:
    topics = p.random.randrange(5)
    for _ in range(topics):
        p.value(2)
    p.push(p.length())
    p.push(p.offset())
    p.op(f"LOG{topics}")


def _create(p: Program) -> None:
    code = init_code(p)
    p.memory_blob(code, 0)
    name = p.random.choice(("CREATE", "CREATE2"))
    p.kinds.add(name)
    salt = p.random.choice((0, 0, 1, p.random.getrandbits(256)))
    value = p.random.choice((0, 0, 0, 1, 10**20))
    size = len(code) if p.random.random() < 0.95 else p.random.choice((49152, 49153))
    for _ in range(p.random.choice((1, 1, 1, 2))):
        # The second CREATE2 of the same code and salt collides with the first.
        if name == "CREATE2":
            p.push(salt)
        p.push(size)
        p.push(0)
        p.push(value)
        p.op(name)
        if p.random.random() < 0.5:
            _use_created(p)
        p.sink()


def _use_created(p: Program) -> None:
    """Call what was created, its address staying on the stack."""
    for _ in range(4):
        p.push(0)
    value = p.random.choice((0, 0, 1))
    p.push(value)
    p.parts.append(bytes([c.DUP1 + 5]))
    gas_for_call(p)
    p.op("CALL", "POP")
    if p.random.random() < 0.4:
        p.parts.append(bytes([c.DUP1]))
        p.op(p.random.choice(("EXTCODEHASH", "EXTCODESIZE", "BALANCE")))
        p.sink()


def _self_destruct(p: Program) -> None:
    if p.random.random() < 0.35:
        p.push_address()
        p.op("SELFDESTRUCT")
    else:
        _conditional(p, lambda: (p.push_address(), p.op("SELFDESTRUCT")))


def _conditional(p: Program, body: Callable[[], object]) -> None:
    end = p.label()
    p.value(1)
    p.push_label(end)
    p.op("JUMPI")
    body()
    p.mark(end)


def _if(p: Program) -> None:
    if p.nesting >= 2:
        return
    p.nesting += 1
    _conditional(p, lambda: block(p, p.random.randint(1, 4)))
    p.nesting -= 1


def _loop(p: Program) -> None:
    """Run a block a few times, counting down on the stack."""
    if p.nesting >= 2:
        return
    p.nesting += 1
    start = p.label()
    p.push(p.random.choice((1, 2, 3, 10)))
    p.mark(start)
    block(p, p.random.randint(1, 3))
    p.push(1)
    p.parts.append(bytes([c.SWAP1]))
    p.op("SUB")
    p.parts.append(bytes([c.DUP1]))
    p.push_label(start)
    p.op("JUMPI", "POP")
    p.nesting -= 1


def _stack(p: Program) -> None:
    """Use deep DUPs and SWAPs."""
    depth = p.random.randint(1, 16)
    for _ in range(depth + 1):
        p.value(2)
    p.parts.append(bytes([c.SWAP1 + depth - 1, c.DUP1 + depth - 1]))
    for _ in range(depth + 1):
        p.op("POP")
    p.sink()


def _odd(p: Program) -> None:
    """What most programs do not survive: bad jumps, unknown opcodes, an empty or a full stack."""
    kind = p.random.random()
    if kind < 0.3:
        _conditional(p, lambda: (p.push(p.number()), p.op("JUMP")))
    elif kind < 0.5:
        _conditional(p, lambda: p.parts.append(bytes([p.random.randrange(256)])))
    elif kind < 0.6:
        start = p.label()
        p.mark(start)
        p.op("PC")
        p.push_label(start)
        p.op("JUMP")
    else:
        p.parts.append(bytes([p.random.randrange(256)]))


def _warmth(p: Program) -> None:
    """Measure what a second access costs, whoever made the first."""
    address = p.address()
    p.push_bytes(address)
    p.op("BALANCE", "POP", "GAS")
    p.push_bytes(address)
    p.op("BALANCE", "POP", "GAS")
    p.parts.append(bytes([c.SWAP1]))
    p.op("SUB")
    p.sink()


_TABLE: dict[Callable[[Program], None], int] = {
    _store_value: 22,
    _storage: 12,
    _transient: 5,
    _memory: 10,
    return_data: 2,
    _external_code: 5,
    _log: 5,
    call: 18,
    recursion: 1,
    precompile: 7,
    _create: 7,
    _self_destruct: 2,
    _if: 5,
    _loop: 3,
    _stack: 4,
    _odd: 1,
    _warmth: 3,
}
_EFFECTS = (_storage, _storage, _transient, _transient, _warmth, _create, _log, call, _self_destruct, _external_code)
_TABLE.update(dict.fromkeys(SHAPES, 2))
_STATEMENTS, _WEIGHTS = list(_TABLE), list(_TABLE.values())


def init_code(parent: Program) -> bytes:
    """Return init code: mostly such that deploys a program, often such that fails or deploys what it may not."""
    random = parent.random
    if parent.depth >= CODE_DEPTH_MAX:
        return bytes.fromhex("600160005360016000f3")
    program = Program(random, parent.is_prague, depth=parent.depth + 1, kinds=parent.kinds)
    if random.random() < 0.5:
        block(program, random.randint(0, 4))
    kind = random.random()
    if kind < 0.55:
        runtime = make_program(random, parent.is_prague, random.randint(1, 4), parent.depth + 1, parent.kinds)
        program.memory_blob(runtime, 0)
        program.push(len(runtime))
        program.push(0)
        program.op("RETURN")
    elif kind < 0.7:
        first = random.choice((0xEF, 0xFE, 0x00))
        program.push(first)
        program.push(0)
        program.op("MSTORE8")
        program.push(random.choice((1, 2, 32, 24576, 24577)))
        program.push(0)
        program.op("RETURN")
    elif kind < 0.76:
        program.push_address()
        program.op("SELFDESTRUCT")
    else:
        program.finish()
    return program.assemble()


def make_program(
    random: Random, is_prague: bool, statements: int, depth: int = 0, kinds: set[str] | None = None
) -> bytes:
    """Return a program of about that many statements; the kinds of statements are added to `kinds`."""
    program = Program(random, is_prague, depth=depth, kinds=set() if kinds is None else kinds)
    if random.random() < 0.25:
        _with_attempt(program, statements)
    else:
        block(program, statements)
        program.finish()
    return program.assemble()


def _with_attempt(p: Program, statements: int) -> None:
    """Let a program call itself for a second part, which mostly fails, and then look at what is left of it."""
    p.kinds.add("attempt")
    second = p.label()
    p.op("CALLDATASIZE")
    p.push(ATTEMPT_BYTES)
    p.op("EQ")
    p.push_label(second)
    p.op("JUMPI")
    block(p, statements // 2)
    _attempt(p)
    block(p, statements // 2)
    p.finish()
    p.op("STOP")
    p.mark(second)
    for _ in range(p.random.randint(1, 3)):
        p.random.choice(_EFFECTS)(p)
    p.push(0)
    p.push(0)
    p.op(p.random.choice(("REVERT", "REVERT", "REVERT", "INVALID", "RETURN")))


def _attempt(p: Program) -> None:
    name = p.random.choice(("CALL", "CALL", "DELEGATECALL", "CALLCODE", "STATICCALL"))
    p.push(0)
    p.push(0)
    p.push(ATTEMPT_BYTES)
    p.push(0)
    if name in ("CALL", "CALLCODE"):
        p.push(0)
    p.op("ADDRESS", "GAS", name)
    p.sink()
    for name in ("TLOAD", "SLOAD"):
        for slot in range(3):
            p.push(slot)
            p.op(name)
            p.sink()
    _warmth(p)


def make_init_code(random: Random, is_prague: bool, kinds: set[str]) -> bytes:
    """Return init code for a creation transaction."""
    return init_code(Program(random, is_prague, kinds=kinds))


def make_recursion(random: Random) -> bytes:
    """Return a program that calls itself once with all its gas, then sees how much is left: frames some 600 deep."""
    program = Program(random, is_prague=False)
    if random.random() < 0.5:
        _store_value(program)
    name = random.choice(("CALL", "DELEGATECALL", "STATICCALL", "CALLCODE"))
    for _ in range(5 if name in ("CALL", "CALLCODE") else 4):
        program.push(0)
    program.op("ADDRESS", "GAS", name, "GAS", "ADD")
    program.push(0)
    program.op("MSTORE" if random.random() < 0.8 else "SSTORE")
    program.push(32)
    program.push(0)
    program.op(random.choice(("RETURN", "RETURN", "REVERT")))
    return program.assemble()
