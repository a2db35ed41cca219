"""What processes of this machine have used, read from /proc (Linux), and what the machine is."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """cpu_s: user and system time so far. memory_peak_bytes: the most that was resident at a time."""

    cpu_s: float
    memory_peak_bytes: int


def usage_of(pid: int, proc: Path = PROC) -> Usage | None:
    """Return what a process has used; None when it is gone, or the system does not say."""
    try:
        # The name in parentheses may hold anything; the fields after it are numbers. proc(5): 14 and 15 are the times.
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        status = (proc / str(pid) / "status").read_text()
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None
    peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")), "0")
    return Usage(cpu_s, int(peak) * 1024)


def usages(pids: Mapping[str, int], proc: Path = PROC) -> dict[str, Usage]:
    """Return what each of several processes has used, by role; those that are gone are left out."""
    found = {role: usage_of(pid, proc) for role, pid in pids.items()}
    return {role: usage for role, usage in found.items() if usage is not None}


def children_of(pid: int, proc: Path = PROC) -> list[int]:
    """Return a process and all that it started, directly or not, as far as they run."""
    found = [pid]
    for parent in found:
        for task in (proc / str(parent) / "task").glob("*/children"):
            try:
                found += [int(child) for child in task.read_text().split()]
            except (OSError, ValueError):
                continue  # It ended meanwhile.
    return found


def machine(proc: Path = PROC) -> dict[str, object]:
    """Describe this machine: processor, cores that may be used, memory, system, Python, and how busy it was."""
    return {
        "processor": _field(proc / "cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(int((_field(proc / "meminfo", "MemTotal") or "0").split()[0]) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _field(file: Path, name: str) -> str | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), None)
