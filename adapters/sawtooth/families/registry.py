"""Which families run inside the enclave, by name and version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapters.sawtooth.sdk.handler import TransactionHandler
from core.errors import CocoError

FamilyVersion = tuple[str, str]


def index_families(handlers: Iterable[TransactionHandler]) -> Mapping[FamilyVersion, TransactionHandler]:
    """Return the handlers by family name and version; raises CocoError when two claim the same."""
    found: dict[FamilyVersion, TransactionHandler] = {}
    for handler in handlers:
        for version in handler.family_versions:
            other = found.setdefault((handler.family_name, version), handler)
            if other is not handler:
                raise CocoError(
                    f"two installed packages bring the family {handler.family_name!r} {version}",
                    hint="Uninstall one of them.",
                )
    return found
