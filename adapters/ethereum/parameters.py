"""The parameters that methods share: their names (those of the execution-apis schema), readers and schemas."""

from __future__ import annotations

from adapters.ethereum.arguments import (
    read_address,
    read_block,
    read_block_number,
    read_bool,
    read_bytes,
    read_call,
    read_count,
    read_hash,
    read_index,
    read_log_filter,
    read_percentiles,
    read_storage_key,
    read_text,
    read_transaction_id,
)
from adapters.ethereum.methods import Parameter
from adapters.ethereum.override_arguments import read_no_override, read_overrides
from adapters.ethereum.schemas import ADDRESS, BOOLEAN, BYTES, HASH, LEDGER_ID, TEXT, UINT, array_of, ref

ADDRESS_PARAMETER = Parameter("Address", read_address, ADDRESS)
BLOCK = Parameter("Block", read_block, ref("BlockNumberOrTagOrHash"))
BLOCK_NUMBER = Parameter("Block", read_block_number, ref("BlockNumberOrTag"))
BLOCK_HASH = Parameter("Block hash", read_hash, HASH)
HYDRATED = Parameter("Hydrated transactions", read_bool, BOOLEAN)
TRANSACTION_HASH = Parameter("Transaction hash", read_hash, HASH)
TRANSACTION_INDEX = Parameter("Transaction index", read_index, UINT)
UNCLE_INDEX = Parameter("Uncle index", read_index, UINT)
STORAGE_SLOT = Parameter("Storage slot", read_storage_key, ref("storageKey"))
TRANSACTION = Parameter("Transaction", read_call, ref("GenericTransaction"))
OVERRIDES = Parameter("State overrides", read_overrides, ref("StateOverride"))
BLOCK_OVERRIDES = Parameter("Block overrides", read_no_override, {"type": "object", "maxProperties": 0})
RAW_TRANSACTION = Parameter("Transaction", read_bytes, BYTES)
FILTER = Parameter("Filter", read_log_filter, ref("Filter"))
FILTER_ID = Parameter("Filter Identifier", read_text, TEXT)
BLOCK_COUNT = Parameter("blockCount", read_count, {"oneOf": [UINT, {"type": "integer", "minimum": 0}]})
NEWEST_BLOCK = Parameter("newestBlock", read_block_number, ref("BlockNumberOrTag"))
PERCENTILES = Parameter(
    "rewardPercentiles", read_percentiles, array_of({"type": "number", "minimum": 0, "maximum": 100})
)
DATA = Parameter("Data", read_bytes, BYTES)
MESSAGE = Parameter("Message", read_text, TEXT)
TRANSACTION_ID = Parameter("Transaction id", read_transaction_id, LEDGER_ID)
SIGNATURE = Parameter("Signature", read_bytes, BYTES)
