"""What the compiler makes of a code, without running it: every trace that can be come to by jumps known beforehand."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from adapters.ethereum.compiler.computation import interpret
from adapters.ethereum.compiler.contexts import NOTHING_KNOWN
from adapters.ethereum.compiler.program import Program
from adapters.ethereum.settings import CODE_BYTES_MAX
from adapters.ethereum.transactions import INITCODE_BYTES_MAX

LISTED_BYTES_MAX = max(CODE_BYTES_MAX, INITCODE_BYTES_MAX)


@dataclass(slots=True)
class _Budget:
    compile_cost_left: int


@dataclass(frozen=True, slots=True)
class Listing:
    """traces: name -> source, in the order they were come to. words: name -> constant stored in memory.

    left_out: names of traces for which a bound on one code leaves no room; the interpreter runs those.
    """

    traces: dict[str, str]
    words: dict[str, bytes]
    left_out: tuple[str, ...]
    steps: int

    def text(self) -> str:
        """Return all of it as one Python module."""
        words = [f'{name} = bytes.fromhex("{word.hex()}")' for name, word in self.words.items()]
        missing = [f"# {name} is left to the interpreter" for name in self.left_out]
        return "\n".join([*words, *missing, "", *self.traces.values()])


def list_traces(code: bytes) -> Listing:
    """Compile a code from its beginning and from every place its traces leave for."""
    program = Program(code, interpret, lambda: None)
    program.sources = {}
    budget = _Budget(sys.maxsize)
    left_out = []
    program.link(0, NOTHING_KNOWN)
    seen = 0
    while seen < len(program.names):
        # Compiling adds names at the end.
        for (position, context), name in list(program.names.items())[seen:]:
            seen += 1
            if program.compile(name, position, context, budget) is None:
                left_out.append(name)
    words = {name: value for name, value in program.namespace.items() if name.startswith("w_")}
    return Listing(program.sources, words, tuple(left_out), program.steps)
