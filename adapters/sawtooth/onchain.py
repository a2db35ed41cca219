"""Settings and roles as the families sawtooth_settings and sawtooth_identity keep them in the state.

Sources: the validator's settings_view.py, identity_view.py and permission_verifier.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from adapters.sawtooth.addresses import policy_address, role_address, setting_address
from adapters.sawtooth.validation import SignedBatch, SignedTransaction
from adapters.sawtooth.wire.messages import MalformedMessage, PolicyEntryType, parse
from core.kv.transaction import TableHandle

TRANSACTION_FAMILIES = "sawtooth.validator.transaction_families"
BATCH_INJECTORS = "sawtooth.validator.batch_injectors"
BATCHES_PER_BLOCK = "sawtooth.publisher.max_batches_per_block"


@lru_cache(maxsize=256)
def _setting_key(name: str) -> bytes:
    return bytes.fromhex(setting_address(name))


@lru_cache(maxsize=256)
def _role_key(name: str) -> bytes:
    return bytes.fromhex(role_address(name))


def setting(state: TableHandle, key: str, default: str = "") -> str:
    """Return a setting's text."""
    data = state.get(_setting_key(key))
    if data is not None:
        for entry in _read("Setting", data, "entries"):
            if entry.key == key:
                return str(entry.value)
    return default


def number_setting(state: TableHandle, key: str) -> int:
    """Return a setting's whole number, 0 where there is none."""
    text = setting(state, key)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def refusal_of_family(state: TableHandle, transaction: SignedTransaction) -> str:
    """Return why `sawtooth.validator.transaction_families` does not allow a transaction; "" when it does."""
    text = setting(state, TRANSACTION_FAMILIES)
    if not text:
        return ""
    try:
        allowed = json.loads(text)
    except (ValueError, RecursionError):
        return ""  # The validator, too, goes on as if it were not set.
    if not isinstance(allowed, list) or not allowed:
        return ""
    header = transaction.header
    for family in allowed:
        if isinstance(family, dict) and (family.get("family"), family.get("version")) == (
            header.family_name,
            header.family_version,
        ):
            namespaces = family.get("namespaces", [""])
            prefixes = tuple(one for one in namespaces if isinstance(one, str)) if isinstance(namespaces, list) else ()
            if all(output.startswith(prefixes) for output in header.outputs):
                return ""
            return f"{TRANSACTION_FAMILIES} does not give the family {header.family_name} all of these outputs"
    return f"{TRANSACTION_FAMILIES} does not name the family {header.family_name} {header.family_version}"


def is_permitted(state: TableHandle, batch: SignedBatch) -> bool:
    """Say whether the roles in the state let these signers send this batch.

    The first of a signer's roles that is set decides, else the policy `default`; without any policy all may send.
    """
    batcher = _policy_of(state, ("transactor.batch_signer", "transactor"))
    if not _allows(batcher, batch.header.signer_public_key):
        return False
    general = _policy_of(state, ("transactor.transaction_signer", "transactor"))
    own: dict[str, Any] = {}
    for transaction in batch.transactions:
        family = transaction.header.family_name
        if family not in own:
            role = _role(state, f"transactor.transaction_signer.{family}")
            own[family] = None if role is None else _policy(state, role.policy_name)
        policy = general if own[family] is None else own[family]
        if not _allows(policy, transaction.header.signer_public_key):
            return False
    return True


def _policy_of(state: TableHandle, roles: Iterable[str]) -> Any:
    for name in roles:
        role = _role(state, name)
        if role is not None:
            return _policy(state, role.policy_name)
    return _policy(state, "default")


def _role(state: TableHandle, name: str) -> Any:
    return _named(state, _role_key(name), "RoleList", "roles", name)


def _policy(state: TableHandle, name: str) -> Any:
    return _named(state, bytes.fromhex(policy_address(name)), "PolicyList", "policies", name)


def _named(state: TableHandle, key: bytes, message: str, field: str, name: str) -> Any:
    data = state.get(key)
    if data is not None:
        for one in _read(message, data, field):
            if one.name == name:
                return one
    return None


def _read(message: str, data: bytes, field: str) -> Iterable[Any]:
    """Return a list in the state; none where another family wrote something else there."""
    try:
        return tuple(getattr(parse(message, data), field))
    except MalformedMessage:
        return ()


def _allows(policy: Any, public_key: str) -> bool:
    if policy is None:
        return True
    for entry in policy.entries:
        if entry.key in (public_key, "*") and entry.type in (PolicyEntryType.PERMIT_KEY, PolicyEntryType.DENY_KEY):
            return bool(entry.type == PolicyEntryType.PERMIT_KEY)
    return False
