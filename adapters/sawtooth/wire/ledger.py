"""Transactions, batches, blocks, receipts, events, and what the built-in families keep in the state."""

LEDGER = """
Message: 1 int32 message_type, 2 string correlation_id, 3 bytes content

TransactionHeader: 1 string batcher_public_key, 2 string* dependencies, 3 string family_name, 4 string family_version,
  5 string* inputs, 6 string nonce, 7 string* outputs, 9 string payload_sha512, 10 string signer_public_key

Transaction: 1 bytes header, 2 string header_signature, 3 bytes payload

BatchHeader: 1 string signer_public_key, 2 string* transaction_ids

Batch: 1 bytes header, 2 string header_signature, 3 Transaction* transactions, 4 bool trace

BatchList: 1 Batch* batches

BlockHeader: 1 uint64 block_num, 2 string previous_block_id, 3 string signer_public_key, 4 string* batch_ids, 5 bytes
  consensus, 6 string state_root_hash

Block: 1 bytes header, 2 string header_signature, 3 Batch* batches

Event: 1 string event_type, 2 EventAttribute* attributes, 3 bytes data

EventAttribute: 1 string key, 2 string value

EventList: 1 Event* events

EventFilter: 1 string key, 2 string match_string, 3 int32 filter_type

EventSubscription: 1 string event_type, 2 EventFilter* filters

TransactionReceipt: 1 StateChange* state_changes, 2 Event* events, 3 bytes* data, 4 string transaction_id

StateChangeList: 1 StateChange* state_changes

StateChange: 1 string address, 2 bytes value, 3 int32 type

Setting: 1 SettingEntry* entries

SettingEntry: 1 string key, 2 string value

Policy: 1 string name, 2 PolicyEntry* entries

PolicyEntry: 1 int32 type, 2 string key

PolicyList: 1 Policy* policies

Role: 1 string name, 2 string policy_name

RoleList: 1 Role* roles

BlockInfoConfig: 1 uint64 latest_block, 2 uint64 oldest_block, 3 uint64 target_count, 4 uint64 sync_tolerance

BlockInfo: 1 uint64 block_num, 2 string previous_block_id, 3 string signer_public_key, 4 string header_signature, 5
  uint64 timestamp

BlockInfoTxn: 1 BlockInfo block, 2 uint64 target_count, 3 uint64 sync_tolerance
"""
