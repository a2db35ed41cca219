"""Random programs with stack discipline: each statement leaves the stack as it was, so that most of them run far.

What a statement computes flows into memory words, logs or storage, and the memory into the return data, so that any
difference in a value becomes one in a result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from tests.fuzz import constants as c
from tests.fuzz.constants import OP
from tests.fuzz.precompile_inputs import precompile_input

CODE_DEPTH_MAX = 2
"""Programs within programs: init code that deploys a program."""


@dataclass(slots=True)
class Program:
    """Under construction. kinds: of the statements in it, for coverage."""

    random: Random
    is_prague: bool
    depth: int = 0
    parts: list[bytes | tuple[str, int]] = field(default_factory=list)
    blobs: list[bytes] = field(default_factory=list)
    labels: int = 0
    nesting: int = 0
    sinks: int = 0
    kinds: set[str] = field(default_factory=set)

    # Emitting.

    def op(self, *names: str) -> None:
        self.parts.append(bytes(OP[name] for name in names))

    def push(self, value: int) -> None:
        value %= 2**256
        size = (value.bit_length() + 7) // 8
        if size == 0 and self.random.random() < 0.7:
            self.op("PUSH0")
            return
        size = max(1, size)
        if self.random.random() < 0.03:
            size = self.random.randint(size, 32)
        self.parts.append(bytes([c.PUSH1 + size - 1]) + value.to_bytes(size, "big"))

    def push_bytes(self, data: bytes) -> None:
        self.push(int.from_bytes(data, "big"))

    def label(self) -> int:
        self.labels += 1
        return self.labels

    def mark(self, label: int) -> None:
        self.parts.append(("label", label))
        self.op("JUMPDEST")

    def push_label(self, label: int) -> None:
        self.parts.append(("push", label))

    def blob(self, data: bytes) -> int:
        """Keep data behind the code and return its number."""
        self.blobs.append(data)
        return len(self.blobs) - 1

    def assemble(self) -> bytes:
        """Resolve labels (PUSH2) and put the data behind a STOP."""
        positions: dict[tuple[str, int], int] = {}
        place = 0
        for part in self.parts:
            if isinstance(part, bytes):
                place += len(part)
            elif part[0] == "label":
                positions["push", part[1]] = place
            else:
                place += 3
        place += 1
        for number, data in enumerate(self.blobs):
            positions["blob", number] = place
            place += len(data)
        code = bytearray()
        for part in self.parts:
            if isinstance(part, bytes):
                code += part
            elif part[0] != "label":
                code += b"\x61" + (positions[part] & 0xFFFF).to_bytes(2, "big")
        return bytes(code) + b"\x00" + b"".join(self.blobs)

    # Choosing.

    def number(self) -> int:
        kind = self.random.random()
        if kind < 0.55:
            return self.random.choice(c.NUMBERS)
        if kind < 0.75:
            return self.random.randrange(300)
        if kind < 0.9:
            return self.random.getrandbits(self.random.choice((8, 16, 64, 160, 256)))
        return int.from_bytes(self.address(), "big")

    def address(self) -> bytes:
        kind = self.random.random()
        if kind < 0.5:
            return self.random.choice(c.CONTRACTS)
        if kind < 0.62:
            return self.random.choice(c.SENDERS)
        if kind < 0.72:
            return self.random.choice(c.NOBODY)
        if kind < 0.77:
            return c.COINBASE
        if kind < 0.8:
            return bytes(20)
        return self.random.choice(c.PRECOMPILES)

    def offset(self) -> int:
        return self.random.choice(c.FAR_OFFSETS) if self.random.random() < 0.02 else self.random.choice(c.OFFSETS)

    def length(self) -> int:
        return self.random.choice(c.FAR_OFFSETS) if self.random.random() < 0.01 else self.random.choice(c.LENGTHS)

    # Values: each leaves one item.

    def value(self, depth: int = 0) -> None:
        kind = self.random.random()
        if kind < 0.4 or depth > 2:
            self.push(self.number())
        elif kind < 0.55:
            self.op(self.random.choice(c.NULLARY))
        elif kind < 0.75:
            self._computed(depth)
        elif kind < 0.8:
            self.push_address()
            self.op(self.random.choice(("BALANCE", "EXTCODESIZE", "EXTCODEHASH")))
        elif kind < 0.85:
            self.push(self.offset())
            self.op("CALLDATALOAD")
        elif kind < 0.89:
            self.push(self.random.randrange(6))
            self.op("SLOAD")
        elif kind < 0.92:
            self.push(self.random.randrange(3))
            self.op("TLOAD")
        elif kind < 0.95:
            self.push(self.offset())
            self.op("MLOAD")
        elif kind < 0.97:
            self._block_hash()
        elif kind < 0.98:
            self.push(self.number())
            self.op("BLOBHASH")
        else:
            self.push(self.length())
            self.push(self.offset())
            self.op("KECCAK256")

    def _computed(self, depth: int) -> None:
        kind = self.random.random()
        if kind < 0.1:
            self.value(depth + 1)
            self.op(self.random.choice(c.UNARY))
            return
        operands = 2 if kind < 0.88 else 3
        for _ in range(operands):
            self.value(depth + 1)
        self.op(self.random.choice(c.BINARY if operands == 2 else c.TERNARY))

    def _block_hash(self) -> None:
        self.push(self.random.choice((0, 1, 2, 255, 256, 257, 258, 300)))
        self.op("NUMBER", "SUB", "BLOCKHASH")

    def push_address(self) -> None:
        if self.random.random() < 0.1:
            self.op(self.random.choice(("ADDRESS", "CALLER", "ORIGIN", "COINBASE")))
        else:
            self.push_bytes(self.address())

    def sink(self) -> None:
        """Consume one item where it can be seen."""
        kind = self.random.random()
        self.sinks += 1
        if kind < 0.65:
            self.push(32 * (self.sinks % 12))
            self.op("MSTORE")
        elif kind < 0.85:
            self.push(0)
            self.push(0)
            self.op("LOG1")
        elif kind < 0.95:
            self.push(self.random.randrange(8))
            self.op("SSTORE")
        else:
            self.op("POP")

    # Statements.

    def block(self, statements: int) -> None:
        for _ in range(statements):
            maker = self.random.choices(_STATEMENTS, _WEIGHTS)[0]
            self.kinds.add(maker.__name__.lstrip("_"))
            maker(self)

    def memory_blob(self, data: bytes, at: int) -> None:
        """Copy data from behind the code to memory."""
        self.push(len(data))
        self.parts.append(("blob", self.blob(data)))
        self.push(at)
        self.op("CODECOPY")

    def finish(self) -> None:
        kind = self.random.random()
        if kind < 0.7:
            self.push(self.random.choice((32, 64, 384, 384, 33, 0)))
            self.push(self.random.choice((0, 0, 0, 1, 32)))
            self.op("RETURN")
        elif kind < 0.85:
            self.push(self.length())
            self.push(self.offset())
            self.op("REVERT")
        elif kind < 0.9:
            self.op("STOP")
        elif kind < 0.93:
            self.op("INVALID")
        elif kind < 0.97:
            self.push_address()
            self.op("SELFDESTRUCT")


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


def _return_data(p: Program) -> None:
    if p.random.random() < 0.75:
        p.op("RETURNDATASIZE")
    else:
        p.push(p.length())
    p.push(0 if p.random.random() < 0.85 else p.random.choice((1, 32, 2**256 - 1)))
    p.push(p.random.choice(c.OFFSETS))
    p.op("RETURNDATACOPY")


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


def _gas_for_call(p: Program) -> None:
    kind = p.random.random()
    if kind < 0.45:
        p.op("GAS")
    elif kind < 0.85:
        p.push(p.random.choice((0, 1, 100, 700, 2300, 2301, 3000, 5000, 10_000, 30_000, 60_000)))
    elif kind < 0.95:
        p.push(p.random.choice((1, 2, 3, 64)))
        p.op("GAS", "DIV")
    else:
        p.push(p.number())


def _call(p: Program) -> None:
    name = p.random.choice(("CALL", "CALL", "CALL", "DELEGATECALL", "STATICCALL", "CALLCODE"))
    p.kinds.add(name)
    p.push(p.length())
    p.push(p.offset())
    p.push(p.length())
    p.push(p.offset())
    if name in ("CALL", "CALLCODE"):
        p.push(p.random.choice((0, 0, 0, 1, 1, 1000, 10**18, 2**256 - 1)))
    p.push_address()
    _gas_for_call(p)
    p.op(name)
    p.sink()
    if p.random.random() < 0.4:
        _return_data(p)


def _recursion(p: Program) -> None:
    """Call oneself with all the gas there is, or a part of it."""
    for _ in range(4):
        p.push(0)
    name = p.random.choice(("CALL", "DELEGATECALL", "STATICCALL", "CALLCODE"))
    if name in ("CALL", "CALLCODE"):
        p.push(0)
    p.op("ADDRESS")
    p.push(p.random.choice((0, 100, 3000)))
    p.op("GAS", "SUB", name)
    p.sink()


def _precompile(p: Program) -> None:
    slow = 0.06
    numbers = [1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 13, 16, 17]
    if p.random.random() < slow:
        numbers = [8, 12, 14, 15]
    number = p.random.choice(numbers)
    p.kinds.add(f"precompile {number}")
    data = precompile_input(p.random, number)
    at = p.random.choice((0, 32, 100))
    p.memory_blob(data, at)
    size = len(data) if p.random.random() < 0.9 else p.length()
    p.push(p.random.choice((0, 32, 64, 128, 256)))
    p.push(p.random.choice((0, 1, 64, 512)))
    p.push(size)
    p.push(at)
    name = p.random.choice(("CALL", "STATICCALL", "STATICCALL", "DELEGATECALL", "CALLCODE"))
    if name in ("CALL", "CALLCODE"):
        p.push(p.random.choice((0, 0, 0, 1)))
    p.push(number)
    if p.random.random() < 0.2 or number == 9:
        p.push(p.random.choice((0, 15, 60, 150, 3000, 6000, 50_000)))
    else:
        p.op("GAS")
    p.op(name)
    p.sink()
    if p.random.random() < 0.7:
        p.op("RETURNDATASIZE")
        p.push(0)
        p.push(p.random.choice((0, 256)))
        p.op("RETURNDATACOPY")


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
    _gas_for_call(p)
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
    _conditional(p, lambda: p.block(p.random.randint(1, 4)))
    p.nesting -= 1


def _loop(p: Program) -> None:
    """Run a block a few times, counting down on the stack."""
    if p.nesting >= 2:
        return
    p.nesting += 1
    start = p.label()
    p.push(p.random.choice((1, 2, 3, 10)))
    p.mark(start)
    p.block(p.random.randint(1, 3))
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
    _return_data: 2,
    _external_code: 5,
    _log: 5,
    _call: 18,
    _recursion: 1,
    _precompile: 7,
    _create: 7,
    _self_destruct: 2,
    _if: 5,
    _loop: 3,
    _stack: 4,
    _odd: 1,
    _warmth: 3,
}
_STATEMENTS, _WEIGHTS = list(_TABLE), list(_TABLE.values())


def init_code(parent: Program) -> bytes:
    """Return init code: mostly such that deploys a program, often such that fails or deploys what it may not."""
    random = parent.random
    if parent.depth >= CODE_DEPTH_MAX:
        return bytes.fromhex("600160005360016000f3")
    program = Program(random, parent.is_prague, depth=parent.depth + 1, kinds=parent.kinds)
    if random.random() < 0.5:
        program.block(random.randint(0, 4))
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
    program.block(statements)
    program.finish()
    return program.assemble()


def make_init_code(random: Random, is_prague: bool, kinds: set[str]) -> bytes:
    """Return init code for a creation transaction."""
    return init_code(Program(random, is_prague, kinds=kinds))
