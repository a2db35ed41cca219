"""Payloads and state of the built-in families, and the settings and roles that the state has."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from adapters.sawtooth.sdk.exceptions import InternalError, InvalidTransaction
from adapters.sawtooth.wire.ledger import LEDGER
from adapters.sawtooth.wire.schema import Schema

FAMILIES = """
SettingsPayload: 1 int32 action, 2 bytes data

SettingProposal: 1 string setting, 2 string value, 3 string nonce

SettingVote: 1 string proposal_id, 2 int32 vote

VoteRecord: 1 string public_key, 2 int32 vote

SettingCandidate: 1 string proposal_id, 2 SettingProposal proposal, 3 VoteRecord* votes

SettingCandidates: 1 SettingCandidate* candidates

IdentityPayload: 1 int32 type, 2 bytes data

Account: 1 uint32 customer_id, 2 string customer_name, 3 uint32 savings_balance, 4 uint32 checking_balance

CreateAccount: 1 uint32 customer_id, 2 string customer_name, 3 uint32 initial_savings_balance, 4 uint32
  initial_checking_balance

DepositChecking: 1 uint32 customer_id, 2 uint32 amount

WriteCheck: 1 uint32 customer_id, 2 uint32 amount

TransactSavings: 1 uint32 customer_id, 2 int32 amount

SendPayment: 1 uint32 source_customer_id, 2 uint32 dest_customer_id, 3 uint32 amount

Amalgamate: 1 uint32 source_customer_id, 2 uint32 dest_customer_id

SmallbankPayload: 1 int32 payload_type, 2 CreateAccount create_account, 3 DepositChecking deposit_checking, 4 WriteCheck
  write_check, 5 TransactSavings transact_savings, 6 SendPayment send_payment, 7 Amalgamate amalgamate
"""

FAMILY_MESSAGES = Schema(LEDGER, FAMILIES)


def unpack(name: str, data: bytes) -> Any:
    """Return the message of this name out of a payload. Raises InvalidTransaction."""
    try:
        return FAMILY_MESSAGES[name].FromString(data)
    except DecodeError:
        raise InvalidTransaction(f"Failed to unmarshal {name}") from None


def unpack_state(name: str, data: bytes) -> Any:
    """Return the message of this name out of the state. Raises InternalError."""
    try:
        return FAMILY_MESSAGES[name].FromString(data)
    except DecodeError:
        raise InternalError(f"Failed to load {name} from the state") from None
