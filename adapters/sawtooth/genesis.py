"""The settings a network begins with, as the settings family would have written them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.sawtooth.addresses import setting_address
from adapters.sawtooth.wire.messages import MESSAGES
from core.adapter.interface import ScopedTransaction


def write_settings(transaction: ScopedTransaction, settings: Mapping[str, str]) -> set[bytes]:
    """Write settings into the state; returns their addresses."""
    found: dict[bytes, Any] = {}
    for key, value in settings.items():
        found.setdefault(bytes.fromhex(setting_address(key)), MESSAGES["Setting"]()).entries.add(key=key, value=value)
    for address, entries in found.items():
        transaction.table("state").put(address, entries.SerializeToString())
    return set(found)
