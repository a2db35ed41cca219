"""Isolates an enclave's process: a first step before its event loop, all else once its code is loaded.

`isolate` comes before an adapter executes anything and before anything of a client arrives. What is kept from whom is
in docs/threat-model.md. Whatever the kernel does not give is returned, so that the node can say so and run with less,
unless it is to refuse (`"isolation": "required"` in network.json).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from core.node import tls_memory
from enclave_sim.boundary.messages import Role
from enclave_sim.isolation.bpf import ALLOW
from enclave_sim.isolation.kernel import (
    IsolationMissing,
    check_no_ring,
    check_not_inspectable,
    install_filter,
    keep_out_of_swap,
)
from enclave_sim.isolation.preload import preload
from enclave_sim.isolation.rules import rules_before_start, rules_for
from enclave_sim.isolation.watch import watch
from enclave_sim.loader.importer import stop_loading

_HINT = 'Set "isolation" to "best" in network.json to run with less, or see docs/operating.md for what to change.'


@dataclass(frozen=True, slots=True)
class Isolation:
    """What holds for a process now, and what does not, with the reason."""

    holds: tuple[str, ...]
    missing: tuple[str, ...]


def before_event_loop() -> None:
    """Have event loops made without an io_uring. What is not given here is missed by `isolate`, which says so."""
    try:
        install_filter(rules_before_start(), otherwise=ALLOW)
    except IsolationMissing:
        return


def isolate(role: Role, log: Callable[[str], None], *, required: bool = False) -> Isolation:
    """Give up everything that the role does not need, for good, and return what came of it.

    log: is told, from then on, what is tried in vain, as far as Python sees it. required: raise IsolationMissing
    unless all of it holds.
    """
    preload()
    reads_files = role == "gateway" and not tls_memory.is_possible()
    stop_loading()
    holds: list[str] = []
    missing: list[str] = []
    for step in (_not_inspectable, keep_out_of_swap, lambda: _filter(role, missing, reads_files)):
        try:
            holds.append(step())
        except IsolationMissing as error:
            missing.append(error.message)
    if missing and required:
        raise IsolationMissing(f"the {role}'s process cannot be isolated as required: {'; '.join(missing)}", hint=_HINT)
    watch(role, log)
    return Isolation(tuple(holds), tuple(missing))


def _not_inspectable() -> str:
    check_not_inspectable()
    return "no debuggers, no dumps"


def _filter(role: Role, missing: list[str], reads_files: bool) -> str:
    """Install the filter. missing: is told of the ways that it leaves open."""
    ways: list[str] = []
    try:
        check_no_ring()
    except IsolationMissing as error:
        ways.append(error.message)
    if reads_files:
        ways.append("files can be opened for reading: this Python's TLS library takes keys from files only")
    install_filter(rules_for(role, os.getpid(), reads_files=reads_files))
    missing += ways
    return "allowed system calls only"
