"""The family sawtooth_settings: the network's settings, changed by vote. Source: its specification, version 1.0.

`sawtooth.settings.vote.authorized_keys` names who may propose and vote, `sawtooth.settings.vote.approval_threshold` how
many must accept, and `sawtooth.settings.vote.proposals` (base64 of SettingCandidates) has what is open.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode, b64encode
from typing import Any

from adapters.sawtooth.addresses import SETTINGS_NAMESPACE, setting_address
from adapters.sawtooth.families.messages import FAMILY_MESSAGES, unpack, unpack_state
from adapters.sawtooth.sdk.context import Context, Transaction
from adapters.sawtooth.sdk.exceptions import InternalError, InvalidTransaction
from adapters.sawtooth.sdk.handler import TransactionHandler

AUTHORIZED_KEYS = "sawtooth.settings.vote.authorized_keys"
THRESHOLD = "sawtooth.settings.vote.approval_threshold"
PROPOSALS = "sawtooth.settings.vote.proposals"
PROPOSE, VOTE = 1, 2
ACCEPT, REJECT = 1, 2


class SettingsHandler(TransactionHandler):
    """Payload: a SettingsPayload, with a SettingProposal or a SettingVote."""

    family_name = "sawtooth_settings"
    family_versions = ("1.0",)
    namespaces = (SETTINGS_NAMESPACE,)

    def apply(self, transaction: Transaction, context: Context) -> None:
        """Run a transaction."""
        signer = transaction.header.signer_public_key
        keys = _keys(_setting(context, AUTHORIZED_KEYS))
        if keys and signer not in keys:
            raise InvalidTransaction(f"{signer} is not authorized to change settings")
        payload = unpack("SettingsPayload", transaction.payload)
        if payload.action == PROPOSE:
            _propose(context, keys, signer, payload.data)
        elif payload.action == VOTE:
            _vote(context, keys, signer, unpack("SettingVote", payload.data))
        else:
            raise InvalidTransaction("'action' must be one of {PROPOSE, VOTE} in 'Ballot' mode")


def _propose(context: Context, keys: list[str], signer: str, data: bytes) -> None:
    proposal = unpack("SettingProposal", data)
    proposal_id = hashlib.sha256(data).hexdigest()
    threshold = _threshold(context)
    _check_proposal(keys, proposal.setting, proposal.value)
    if threshold <= 1:
        _set(context, proposal.setting, proposal.value)
        return
    candidates = _candidates(context)
    if any(one.proposal_id == proposal_id for one in candidates.candidates):
        raise InvalidTransaction(f"Duplicate proposal for {proposal.setting}")
    candidate = candidates.candidates.add(proposal_id=proposal_id, proposal=proposal)
    candidate.votes.add(public_key=signer, vote=ACCEPT)
    _save(context, candidates)


def _vote(context: Context, keys: list[str], signer: str, vote: Any) -> None:
    candidates = _candidates(context)
    place = next((at for at, one in enumerate(candidates.candidates) if one.proposal_id == vote.proposal_id), None)
    if place is None:
        raise InvalidTransaction(f"Proposal {vote.proposal_id} does not exist")
    candidate = candidates.candidates[place]
    if any(one.public_key == signer for one in candidate.votes):
        raise InvalidTransaction(f"{signer} already has voted")
    if vote.vote not in (ACCEPT, REJECT):
        raise InvalidTransaction("Transaction type unset")
    candidate.votes.add(public_key=signer, vote=vote.vote)
    accepted = sum(one.vote == ACCEPT for one in candidate.votes)
    rejected = len(candidate.votes) - accepted
    threshold = _threshold(context)
    if accepted >= threshold:
        _set(context, candidate.proposal.setting, candidate.proposal.value)
        candidates = _candidates(context)
        del candidates.candidates[place]
    elif rejected >= threshold or accepted + rejected == len(keys):
        del candidates.candidates[place]
    _save(context, candidates)


def _check_proposal(keys: list[str], setting: str, value: str) -> None:
    if not keys and setting != AUTHORIZED_KEYS:
        raise InvalidTransaction(f"Cannot set {setting} until authorized_keys is set.")
    if setting == AUTHORIZED_KEYS and not _keys(value):
        raise InvalidTransaction("authorized_keys must not be empty.")
    if setting == THRESHOLD:
        threshold = _whole(value)
        if threshold is None:
            raise InvalidTransaction("approval_threshold must be an integer")
        if threshold > len(keys):
            raise InvalidTransaction("approval_threshold must be less than or equal to number of authorized_keys")
    if setting == PROPOSALS:
        raise InvalidTransaction(f"Setting {PROPOSALS} is read-only")


def _keys(text: str) -> list[str]:
    return [one.strip() for one in text.split(",") if one.strip()]


def _whole(text: str) -> int | None:
    """Parse a 32-bit integer as Rust does: an optional sign and decimal digits."""
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 100):
        return None
    number = int(text)
    return number if -(2**31) <= number < 2**31 else None


def _threshold(context: Context) -> int:
    text = _setting(context, THRESHOLD, "1")
    threshold = _whole(text)
    if threshold is None:
        raise InternalError(f"Failed to parse {THRESHOLD} value")
    return threshold


def _candidates(context: Context) -> Any:
    text = _setting(context, PROPOSALS)
    try:
        return unpack_state("SettingCandidates", b64decode(text, validate=True))
    except binascii.Error:
        raise InternalError(f"Cannot decode {PROPOSALS}") from None


def _save(context: Context, candidates: Any) -> None:
    _set(context, PROPOSALS, b64encode(candidates.SerializeToString()).decode())


def _entries(context: Context, address: str) -> Any:
    found = context.get_state([address])
    return unpack_state("Setting", found[0].data) if found else FAMILY_MESSAGES["Setting"]()


def _setting(context: Context, key: str, default: str = "") -> str:
    for entry in _entries(context, setting_address(key)).entries:
        if entry.key == key:
            return str(entry.value)
    return default


def _set(context: Context, key: str, value: str) -> None:
    address = setting_address(key)
    setting = _entries(context, address)
    entry = next((one for one in setting.entries if one.key == key), None)
    if entry is None:
        setting.entries.add(key=key, value=value)
    else:
        entry.value = value
    context.set_state({address: setting.SerializeToString()})
    context.add_event("settings/update", [("updated", key)])
