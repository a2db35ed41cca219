"""Which families run inside the enclave, by name and version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from adapters.sawtooth.sdk.handler import TransactionHandler
from core.errors import CocoError

FamilyVersion = tuple[str, str]


def index_families(handlers: Iterable[Any]) -> Mapping[FamilyVersion, TransactionHandler]:
    """Return the handlers by family name and version.

    Raises CocoError when two claim the same, or one is not shaped like a TransactionHandler.
    """
    found: dict[FamilyVersion, TransactionHandler] = {}
    for handler in handlers:
        name, versions = getattr(handler, "family_name", None), getattr(handler, "family_versions", None)
        if (
            not isinstance(name, str)
            or not isinstance(versions, list | tuple)
            or not callable(getattr(handler, "apply", None))
        ):
            raise CocoError(
                f"{type(handler).__name__} is no transaction family",
                hint="It must have family_name, family_versions and apply, as the SDK's TransactionHandler has.",
            )
        for version in versions:
            if found.setdefault((name, str(version)), handler) is not handler:
                raise CocoError(
                    f"two installed packages bring the family {name!r} {version}", hint="Uninstall one of them."
                )
    return found
