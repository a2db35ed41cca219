"""Has libraries do at once what they would do at first use: import a back end, read a file.

An isolated process opens no file later (enclave_sim/isolation), so this is done when the adapter is made.
"""

from __future__ import annotations

from eth_hash.auto import keccak

from adapters.ethereum.multicall import multicall3_code


def load_late_imports() -> None:
    keccak(b"")
    multicall3_code()
