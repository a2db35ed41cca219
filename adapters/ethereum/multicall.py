"""The Multicall3 interface at its address of other chains, in an implementation of our own.

Source and artifact stand in contracts/; `python tests/adapters/ethereum/test_multicall.py` compiles the artifact anew.
Its code hash differs from the original's: a network that wants the original's bytes puts them in `alloc`.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

MULTICALL3_ADDRESS = bytes.fromhex("ca11bde05977b3631167028862be2a173976ca11")


@cache
def multicall3_code() -> bytes:
    """Return the runtime code. It is read from its file once, which an adapter's process may do in its constructor."""
    artifact = json.loads((files("adapters.ethereum") / "contracts" / "Multicall3.json").read_text("utf-8"))
    return bytes.fromhex(artifact["deployedBytecode"][2:])
