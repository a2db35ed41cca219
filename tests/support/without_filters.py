"""Runs a command as on a kernel without system-call filters: seccomp(2) is answered with ENOSYS, here and below.

python without_filters.py COMMAND...
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from enclave_sim.isolation.bpf import ALLOW, UNKNOWN, Rule
from enclave_sim.isolation.kernel import install_filter

if __name__ == "__main__":
    install_filter([Rule("seccomp", action=UNKNOWN)], otherwise=ALLOW)
    os.execv(sys.argv[1], sys.argv[1:])
