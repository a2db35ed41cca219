"""Finds adapters among the installed packages, by entry point `coco.adapters`, and makes those that a network uses."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from core.adapter.interface import Adapter
from core.errors import CocoError
from core.types import check_adapter_name

ENTRY_POINT_GROUP = "coco.adapters"


def installed_adapters() -> dict[str, EntryPoint]:
    """Return the entry points of all installed adapters by name; raises CocoError when two packages claim a name."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        other = found.setdefault(point.name, point)
        if other.value != point.value:
            raise CocoError(
                f"two installed packages bring an adapter named {point.name!r}: {other.value} and {point.value}",
                hint="Uninstall one of them.",
            )
    return found


def load_adapter_class(name: str) -> type[Adapter]:
    """Import an adapter's class; raises CocoError that says what is installed."""
    installed = installed_adapters()
    point = installed.get(name)
    if point is None:
        raise CocoError(
            f"no adapter named {name!r} is installed (installed: {', '.join(sorted(installed)) or 'none'})",
            hint="Install the package that brings it, or correct the name.",
        )
    try:
        found = point.load()
    except (ImportError, AttributeError) as error:
        raise CocoError(
            f"the adapter {name!r} ({point.value}) cannot be imported: {error}", hint="Reinstall its package."
        ) from error
    check_adapter_class(name, found)
    return found  # type: ignore[no-any-return]


def check_adapter_class(name: str, found: object) -> None:
    """Raise CocoError unless `found` is an adapter class that may be called `name`."""
    if not (isinstance(found, type) and issubclass(found, Adapter)):
        raise CocoError(f"the entry point of adapter {name!r} is not a subclass of core.adapter.interface.Adapter")
    if found.info.name != name:
        raise CocoError(f"the entry point {name!r} leads to an adapter that calls itself {found.info.name!r}")
    check_adapter_name(name)


def load_adapters(settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
    """Make the adapters of a network, in order of name. settings: the constitution's `adapters`."""
    return {name: load_adapter_class(name)(settings[name], network) for name in sorted(settings)}
