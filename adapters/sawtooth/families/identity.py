"""The family sawtooth_identity: policies and roles. Source: its specification, version 1.0.

Only the keys that the setting `sawtooth.identity.allowed_keys` names may change them.
"""

from __future__ import annotations

from typing import Any

from adapters.sawtooth.addresses import IDENTITY_NAMESPACE, policy_address, role_address, setting_address
from adapters.sawtooth.families.messages import FAMILY_MESSAGES, unpack, unpack_state
from adapters.sawtooth.sdk.context import Context, Transaction
from adapters.sawtooth.sdk.exceptions import InvalidTransaction
from adapters.sawtooth.sdk.handler import TransactionHandler

ALLOWED_KEYS = "sawtooth.identity.allowed_keys"
POLICY, ROLE = 1, 2


class IdentityHandler(TransactionHandler):
    """Payload: an IdentityPayload, with a Policy or a Role."""

    family_name = "sawtooth_identity"
    family_versions = ("1.0",)
    namespaces = (IDENTITY_NAMESPACE,)

    def apply(self, transaction: Transaction, context: Context) -> None:
        """Run a transaction."""
        _check_allowed(context, transaction.header.signer_public_key)
        payload = unpack("IdentityPayload", transaction.payload)
        if payload.type == ROLE:
            _set_role(context, unpack("Role", payload.data))
        elif payload.type == POLICY:
            _set_policy(context, unpack("Policy", payload.data))
        else:
            raise InvalidTransaction("The IdentityType must be either a ROLE or a POLICY")


def _check_allowed(context: Context, signer: str) -> None:
    found = context.get_state([setting_address(ALLOWED_KEYS)])
    entries = unpack_state("Setting", found[0].data).entries if found else ()
    if not any(one.key == ALLOWED_KEYS and signer in one.value.split(",") for one in entries):
        raise InvalidTransaction(f"The transaction signer is not authorized to submit transactions: {signer}")


def _set_policy(context: Context, policy: Any) -> None:
    if not policy.entries:
        raise InvalidTransaction("At least one entry must be in a policy.")
    if not policy.name:
        raise InvalidTransaction("The name must be set in a policy.")
    if not all(entry.key for entry in policy.entries):
        raise InvalidTransaction("Every policy entry must have a key.")
    _put(context, policy_address(policy.name), "PolicyList", "policies", policy)


def _set_role(context: Context, role: Any) -> None:
    if not role.policy_name:
        raise InvalidTransaction("A role must contain a policy name.")
    if not role.name:
        raise InvalidTransaction("The name must be set in a role.")
    policies = _list(context, policy_address(role.policy_name), "PolicyList").policies
    if not any(policy.name == role.policy_name for policy in policies):
        raise InvalidTransaction(f"Cannot set Role: {role.name}, the Policy: {role.policy_name} is not set.")
    _put(context, role_address(role.name), "RoleList", "roles", role)


def _list(context: Context, address: str, message: str) -> Any:
    found = context.get_state([address])
    return unpack_state(message, found[0].data) if found else FAMILY_MESSAGES[message]()


def _put(context: Context, address: str, message: str, field: str, new: Any) -> None:
    """Put a policy or role among those at its address, in the order of names."""
    stored = _list(context, address, message)
    others = [one for one in getattr(stored, field) if one.name != new.name]
    changed = FAMILY_MESSAGES[message](**{field: sorted([*others, new], key=lambda one: str(one.name))})
    context.set_state({address: changed.SerializeToString()})
    context.add_event("identity/update", [("updated", new.name)])
