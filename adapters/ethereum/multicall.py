"""Multicall3 at its address of other chains."""

from __future__ import annotations

MULTICALL3_ADDRESS = bytes.fromhex("ca11bde05977b3631167028862be2a173976ca11")
MULTICALL3_CODE = b""
