"""Isolates an enclave's process, once: after it has loaded its code, before it runs an adapter's.

What is kept from whom is in docs/threat-model.md. Whatever the kernel does not give is returned, so that the node can
say so: a node with less isolation runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from enclave_sim.boundary.messages import Role
from enclave_sim.isolation.kernel import IsolationMissing, install_filter, leave_file_system, lock_memory
from enclave_sim.isolation.preload import preload
from enclave_sim.isolation.watch import watch


@dataclass(frozen=True, slots=True)
class Isolation:
    """What holds for a process now, and what does not, with the reason."""

    holds: tuple[str, ...]
    missing: tuple[str, ...]


_STEPS: dict[str, Callable[[Role], None]] = {
    "memory locked": lambda _: lock_memory(),
    "no files (Landlock)": lambda _: leave_file_system(),
    "allowed system calls only": install_filter,
}


def isolate(role: Role, log: Callable[[str], None]) -> Isolation:
    """Give up everything that the role does not need, for good, and return what came of it.

    log: is told, from then on, what is tried in vain, as far as Python sees it.
    """
    preload()
    holds: list[str] = []
    missing: list[str] = []
    for name, step in _STEPS.items():
        try:
            step(role)
            holds.append(name)
        except IsolationMissing as error:
            missing.append(error.message)
    watch(role, log)
    return Isolation(tuple(holds), tuple(missing))
