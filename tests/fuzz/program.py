"""A program under construction: labels, data behind the code, random values and what becomes of them.

What is computed flows into memory words, logs or storage, and the memory into the return data, so that any difference
in a value becomes one in a result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.fuzz import constants as c
from tests.fuzz.constants import OP


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
            self.number_value(self.number())
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

    def number_value(self, number: int) -> None:
        """Push a number, by a detour now and then that nobody can follow without running it."""
        if self.random.random() < 0.75:
            self.push(number)
            return
        place = 32 * self.random.randrange(12, 20)
        self.memory_blob((number % 2**256).to_bytes(32, "big"), place)
        self.push(place)
        self.op("MLOAD")

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

    # Whole pieces.

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
