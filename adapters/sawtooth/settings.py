"""The Sawtooth adapter's part of the constitution: who may read what, first settings, external processors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.errors import CocoError

EVERYBODY = "*"
MEMBERS = "members"
TRANSACTION_SECONDS_DEFAULT = 1.0
TRANSACTION_SECONDS_LIMIT = 30.0
READERS_MAX = 1_000
FAMILIES_MAX = 1_000

_NAMESPACE = re.compile(r"[0-9a-f]{6}")


@dataclass(frozen=True, slots=True)
class Settings:
    """readers: by namespace (3 bytes), the identities that may read it; EVERYBODY and MEMBERS stand for groups.

    submitters: those whose transactions may use it. What a transaction does tells of what it read, so they are the
    readers unless the constitution says otherwise, and a namespace that it does not name is nobody's.
    state: settings that the chain begins with, as the settings family keeps them.
    external_processors: by family, the identities whose processors, outside the enclave, may run its transactions; a
    family that is not named runs inside or not at all.
    transaction_seconds_max: processor time of one transaction in the enclave.
    """

    readers: Mapping[bytes, frozenset[str]] = field(default_factory=dict)
    submitters: Mapping[bytes, frozenset[str]] = field(default_factory=dict)
    state: Mapping[str, str] = field(default_factory=dict)
    external_processors: Mapping[str, frozenset[str]] = field(default_factory=dict)
    transaction_seconds_max: float = TRANSACTION_SECONDS_DEFAULT


def parse_settings(settings: Mapping[str, Any]) -> Settings:
    """Parse the settings; raises CocoError naming the field that is wrong."""
    fields = dict(settings)
    namespaces, state = fields.pop("namespaces", {}), fields.pop("settings", {})
    external, seconds = fields.pop("external_processors", {}), fields.pop("transaction_seconds_max", None)
    if fields:
        raise _wrong(sorted(map(str, fields))[0], "is not a setting of the sawtooth adapter", "Remove it.")
    if not isinstance(namespaces, Mapping):
        raise _wrong("namespaces", "is not an object", 'Give namespace -> {"read": [...]}.')
    return Settings(
        readers=_names(namespaces, "read"),
        submitters=_names(namespaces, "submit"),
        state=_state(state),
        external_processors=_processors(external),
        transaction_seconds_max=TRANSACTION_SECONDS_DEFAULT if seconds is None else _seconds(seconds),
    )


def _namespace(name: Any) -> bytes:
    if not isinstance(name, str) or _NAMESPACE.fullmatch(name) is None:
        raise _wrong(f"namespaces key {str(name)[:40]!r}", "is no namespace", "Give six hexadecimal digits.")
    return bytes.fromhex(name)


def _names(namespaces: Mapping[Any, Any], right: Literal["read", "submit"]) -> dict[bytes, frozenset[str]]:
    """Return who has a right in each namespace; who may read may submit, unless others are named."""
    found = {}
    for name, rule in namespaces.items():
        if not isinstance(rule, Mapping) or not {"read"} <= set(rule) <= {"read", "submit"}:
            raise _wrong(
                f"namespaces.{name}",
                "is no rule",
                'Give {"read": [...]}: "*", "members" or identities; or "submit", too.',
            )
        found[_namespace(name)] = _name_list(f"namespaces.{name}.{right}", rule.get(right, rule["read"]))
    return found


def _name_list(field_name: str, names: Any) -> frozenset[str]:
    if not isinstance(names, list | tuple) or len(names) > READERS_MAX:
        raise _wrong(field_name, "is not a list of names", f"Give at most {READERS_MAX} identities.")
    if not all(isinstance(one, str) and one for one in names):
        raise _wrong(field_name, "is not a list of names", "Give names of identities.")
    return frozenset(names)


def _processors(families: Any) -> dict[str, frozenset[str]]:
    """Return whose processors may run each family's transactions."""
    if not isinstance(families, Mapping) or len(families) > FAMILIES_MAX:
        raise _wrong("external_processors", "is not an object", 'Give family -> {"identities": [...]}.')
    found = {}
    for family, rule in families.items():
        name = f"external_processors.{str(family)[:40]}"
        if not isinstance(family, str) or not family or not isinstance(rule, Mapping) or set(rule) != {"identities"}:
            raise _wrong(name, "is no rule", 'Give {"identities": [...]}: "*", "members" or identities.')
        found[family] = _name_list(f"{name}.identities", rule["identities"])
    return found


def _state(state: Any) -> dict[str, str]:
    if not isinstance(state, Mapping):
        raise _wrong("settings", "is not an object", "Give key -> text.")
    for key, value in state.items():
        if not isinstance(key, str) or not key or not isinstance(value, str):
            raise _wrong(f"settings.{str(key)[:40]}", "is not text", "Give key -> text.")
    return dict(state)


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 <= value <= TRANSACTION_SECONDS_LIMIT:
        raise _wrong(
            "transaction_seconds_max",
            f"is {str(value)[:40]}",
            f"It must be from 0.01 to {TRANSACTION_SECONDS_LIMIT:g}.",
        )
    return float(value)


def _wrong(name: str, what: str, hint: str) -> CocoError:
    return CocoError(f"sawtooth setting {name} {what}", hint=hint)
