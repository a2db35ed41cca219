"""Imports what would otherwise be imported at first use, when an isolated process can open no file any more.

An adapter's own package is imported as a whole; what it imports inside functions from elsewhere it must import when it
is loaded (docs/writing-an-adapter.md).
"""

from __future__ import annotations

import pkgutil
import ssl
import time
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from core.adapter.interface import Adapter
from core.adapter.loading import load_adapters

_LATE_MODULES = (
    "_strptime", "asyncio.base_futures", "asyncio.base_tasks", "concurrent.futures.thread", "decimal",
    "encodings.ascii", "encodings.base64_codec", "encodings.cp1252", "encodings.hex_codec", "encodings.idna",
    "encodings.latin_1", "encodings.punycode", "encodings.raw_unicode_escape", "encodings.unicode_escape",
    "encodings.utf_16", "encodings.utf_16_be", "encodings.utf_16_le", "encodings.utf_32", "encodings.utf_8_sig",
    "fractions", "linecache", "locale", "stringprep", "tokenize", "traceback", "tracemalloc", "unicodedata",
    "zoneinfo",
)  # fmt: skip
"""What the standard library, and packages that adapters use, import at first use."""


def preload() -> None:
    """Import _LATE_MODULES, and have the C libraries read their files: time zone, OpenSSL's configuration."""
    for name in _LATE_MODULES:
        import_module(name)
    time.tzset()
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def load_whole_adapters(settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
    """Make a network's adapters, as core.adapter.loading does, with all modules of their packages imported."""
    adapters = load_adapters(settings, network)
    _import_packages({type(adapter).__module__.rpartition(".")[0] for adapter in adapters.values()})
    return adapters


def _import_packages(names: Iterable[str]) -> None:
    for name in filter(None, names):
        package = import_module(name)
        for module in pkgutil.walk_packages(getattr(package, "__path__", ()), f"{name}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
