"""The family block_info: what blocks there were, in the state. Source: Sawtooth's block_info family, version 1.0.

The network itself sends its transactions, one at the start of each block, where the setting
`sawtooth.validator.batch_injectors` names it.
"""

from __future__ import annotations

import hashlib
from typing import Any

from adapters.sawtooth.addresses import BLOCK_INFO_CONFIG, BLOCK_INFO_NAMESPACE, block_info_address
from adapters.sawtooth.records import GENESIS_ID, StoredBlock
from adapters.sawtooth.sdk.context import Context, Transaction
from adapters.sawtooth.sdk.exceptions import InternalError, InvalidTransaction
from adapters.sawtooth.sdk.handler import TransactionHandler
from adapters.sawtooth.signatures import PUBLIC_KEY_HEX, SIGNATURE_HEX, Signer
from adapters.sawtooth.validation import SignedBatch, parse_batch
from adapters.sawtooth.wire.messages import MESSAGES, MalformedMessage, parse

FAMILY, VERSION = "block_info", "1.0"
SYNC_TOLERANCE_DEFAULT = 300
TARGET_COUNT_DEFAULT = 256


class BlockInfoHandler(TransactionHandler):
    """Payload: a BlockInfoTxn. Only the network's own batches can follow one another, so others come out invalid."""

    family_name = FAMILY
    family_versions = (VERSION,)
    namespaces = (BLOCK_INFO_NAMESPACE,)

    def apply(self, transaction: Transaction, context: Context) -> None:
        """Run a transaction."""
        try:
            given = parse("BlockInfoTxn", transaction.payload)
        except MalformedMessage:
            raise InvalidTransaction("Failed to deserialize the payload") from None
        block = given.block
        _check(block)
        config = _read(context, BLOCK_INFO_CONFIG, "BlockInfoConfig")
        if config is None:
            config = MESSAGES["BlockInfoConfig"](latest_block=block.block_num, oldest_block=block.block_num)
            config.target_count = given.target_count or TARGET_COUNT_DEFAULT
            config.sync_tolerance = given.sync_tolerance or SYNC_TOLERANCE_DEFAULT
        else:
            config.target_count = given.target_count or config.target_count or TARGET_COUNT_DEFAULT
            config.sync_tolerance = given.sync_tolerance or config.sync_tolerance or SYNC_TOLERANCE_DEFAULT
            _check_follows(context, config, block)
        outdated = []
        while block.block_num - config.oldest_block > config.target_count:
            outdated.append(block_info_address(config.oldest_block))
            config.oldest_block += 1
        if outdated:
            context.delete_state(outdated)
        config.latest_block = block.block_num
        context.set_state(
            {
                BLOCK_INFO_CONFIG: config.SerializeToString(),
                block_info_address(block.block_num): block.SerializeToString(),
            }
        )


def _check(block: Any) -> None:
    if block.previous_block_id != GENESIS_ID and SIGNATURE_HEX.fullmatch(block.previous_block_id) is None:
        raise InvalidTransaction(f"Invalid previous block id '{block.previous_block_id}'")
    if PUBLIC_KEY_HEX.fullmatch(block.signer_public_key) is None:
        raise InvalidTransaction(f"Invalid signer public_key '{block.signer_public_key}'")
    if SIGNATURE_HEX.fullmatch(block.header_signature) is None:
        raise InvalidTransaction(f"Invalid header signature '{block.header_signature}'")


def _check_follows(context: Context, config: Any, block: Any) -> None:
    if block.block_num != config.latest_block + 1:
        raise InvalidTransaction(
            f"Current block is {block.block_num}, but latest block calculated from config is {config.latest_block + 1}"
        )
    previous = _read(context, block_info_address(config.latest_block), "BlockInfo")
    if previous is None:
        raise InternalError("Config and state out of sync. Latest block not found in state.")
    if block.previous_block_id != previous.header_signature:
        raise InvalidTransaction("Previous block id must match header signature of previous block")
    if block.timestamp < previous.timestamp:
        raise InvalidTransaction("Timestamp must be greater than previous block's")


def _read(context: Context, address: str, message: str) -> Any:
    entries = context.get_state([address])
    if not entries:
        return None
    try:
        return parse(message, entries[0].data)
    except MalformedMessage:
        raise InternalError(f"Failed to deserialize {message}") from None


def injected_batch(previous: StoredBlock, signer: Signer) -> SignedBatch:
    """Return the batch that records a block in the state of the one after it."""
    header = parse("BlockHeader", previous.header)
    payload = MESSAGES["BlockInfoTxn"](
        block=MESSAGES["BlockInfo"](
            block_num=previous.number,
            previous_block_id=header.previous_block_id,
            signer_public_key=signer.public_key,
            header_signature=previous.id,
            timestamp=previous.time_s,
        )
    ).SerializeToString()
    addresses = [BLOCK_INFO_CONFIG, BLOCK_INFO_NAMESPACE]
    transaction_header = MESSAGES["TransactionHeader"](
        batcher_public_key=signer.public_key,
        signer_public_key=signer.public_key,
        family_name=FAMILY,
        family_version=VERSION,
        inputs=addresses,
        outputs=addresses,
        payload_sha512=hashlib.sha512(payload).hexdigest(),
    ).SerializeToString()
    transaction_id = signer.sign(transaction_header)
    batch_header = MESSAGES["BatchHeader"](
        signer_public_key=signer.public_key, transaction_ids=[transaction_id]
    ).SerializeToString()
    batch = MESSAGES["Batch"](header=batch_header, header_signature=signer.sign(batch_header))
    batch.transactions.add(header=transaction_header, header_signature=transaction_id, payload=payload)
    return parse_batch(batch.SerializeToString())
