"""Finds the families that run inside the enclave: built in, or by entry point `coco.sawtooth_families`."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.sawtooth.families.block_info import BlockInfoHandler
from adapters.sawtooth.families.intkey import IntkeyHandler
from adapters.sawtooth.families.registry import FamilyVersion, index_families
from adapters.sawtooth.sdk.handler import TransactionHandler


def load_families() -> Mapping[FamilyVersion, TransactionHandler]:
    """Return the handlers by family and version."""
    return index_families((IntkeyHandler(), BlockInfoHandler()))
