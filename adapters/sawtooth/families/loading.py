"""Finds the families that run inside the enclave: built in, or by entry point `coco.sawtooth_families`.

What an entry point names is a class without arguments, shaped like the SDK's TransactionHandler. Its distribution is
measured with the worker's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from adapters.sawtooth.families.block_info import BlockInfoHandler
from adapters.sawtooth.families.identity import IdentityHandler
from adapters.sawtooth.families.intkey import IntkeyHandler
from adapters.sawtooth.families.registry import FamilyVersion, index_families
from adapters.sawtooth.families.settings import SettingsHandler
from adapters.sawtooth.families.smallbank import SmallbankHandler
from adapters.sawtooth.families.xo import XoHandler
from adapters.sawtooth.sdk.handler import TransactionHandler
from adapters.sawtooth.sdk.shim import install
from core.errors import CocoError

ENTRY_POINT_GROUP = "coco.sawtooth_families"

_BUILT_IN = (IntkeyHandler, SettingsHandler, IdentityHandler, BlockInfoHandler, XoHandler, SmallbankHandler)


def load_families() -> Mapping[FamilyVersion, TransactionHandler]:
    """Return the handlers by family and version. Raises CocoError for one that cannot be used."""
    return index_families([*(one() for one in _BUILT_IN), *_installed()])


def _installed() -> list[Any]:
    points = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda one: (one.name, one.value))
    if points:
        install()
    handlers = []
    for point in points:
        try:
            handlers.append(point.load()())
        except (ImportError, AttributeError, TypeError) as error:
            raise CocoError(
                f"the transaction family {point.name!r} ({point.value}) cannot be loaded: {error}",
                hint="An entry point names a class like the SDK's TransactionHandler, made without arguments.",
            ) from error
    return handlers
