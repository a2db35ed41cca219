"""Methods about blocks, transactions, receipts, logs and fees."""

from __future__ import annotations

from adapters.ethereum.methods import Answered, Method, Prepared, ask
from adapters.ethereum.parameters import (
    BLOCK,
    BLOCK_COUNT,
    BLOCK_HASH,
    BLOCK_NUMBER,
    FILTER,
    HYDRATED,
    NEWEST_BLOCK,
    PERCENTILES,
    TRANSACTION_HASH,
    TRANSACTION_INDEX,
    UNCLE_INDEX,
)
from adapters.ethereum.requests import (
    BlockAt,
    BlockNumber,
    FeeHistory,
    GetBlock,
    GetBlockCount,
    GetBlockReceipts,
    GetLogs,
    GetRawTransaction,
    GetReceipt,
    GetTransaction,
    GetTransactionAt,
)
from adapters.ethereum.schemas import BYTES, UINT, array_of, nullable, ref
from adapters.jsonrpc import result_fragment

BLOCK_COUNT_MAX = 1 << 32
_NO_UNCLE = Answered(result_fragment(None))
_BLOCK, _TRANSACTION = nullable(ref("Block")), nullable(ref("TransactionInfo"))


def block_methods() -> dict[str, Method]:
    return {
        "eth_blockNumber": Method("Number of the newest committed block.", (), 0, lambda: ask(BlockNumber()), UINT),
        "eth_getBlockByNumber": Method(
            "A block by number or tag.", (BLOCK_NUMBER, HYDRATED), 1, lambda at, full: _block(at, full), _BLOCK
        ),
        "eth_getBlockByHash": Method(
            "A block by hash.", (BLOCK_HASH, HYDRATED), 1, lambda one, full: _block(BlockAt(hash=one), full), _BLOCK
        ),
        "eth_getBlockReceipts": Method(
            "The visible receipts of a block.",
            (BLOCK,),
            0,
            lambda at: ask(GetBlockReceipts(at or BlockAt())),
            nullable(array_of(ref("ReceiptInfo"))),
        ),
        "eth_getLogs": Method("The visible logs that match.", (FILTER,), 1, _logs, array_of(ref("Log"))),
        "eth_feeHistory": Method(
            "Base fees, tips and use of gas of the newest blocks.",
            (BLOCK_COUNT, NEWEST_BLOCK, PERCENTILES),
            2,
            _fee_history,
            ref("FeeHistory"),
        ),
        **_counts(),
        **_transactions(),
    }


def _counts() -> dict[str, Method]:
    number, by_hash = "by number or tag", "by hash"
    made: dict[str, Method] = {}
    for what, uncles in (("Transaction", False), ("Uncle", True)):
        name = f"eth_get{'' if uncles else 'Block'}{what}Count"
        title = f"How many {'uncles' if uncles else 'visible transactions'} a block has, "
        made[f"{name}{'ByBlock' if uncles else 'By'}Number"] = Method(
            title + number + ".",
            (BLOCK_NUMBER,),
            1,
            lambda at, uncles=uncles: ask(GetBlockCount(at, uncles)),
            nullable(UINT),
        )
        made[f"{name}{'ByBlock' if uncles else 'By'}Hash"] = Method(
            title + by_hash + ".",
            (BLOCK_HASH,),
            1,
            lambda one, uncles=uncles: ask(GetBlockCount(BlockAt(hash=one), uncles)),
            nullable(UINT),
        )
    for name, parameter in (("Number", BLOCK_NUMBER), ("Hash", BLOCK_HASH)):
        made[f"eth_getUncleByBlock{name}AndIndex"] = Method(
            "Always null: there are no uncles.",
            (parameter, UNCLE_INDEX),
            2,
            lambda at, index: _NO_UNCLE,
            {"type": "null"},
        )
    return made


def _transactions() -> dict[str, Method]:
    made = {
        "eth_getTransactionByHash": Method(
            "A visible transaction by its hash.",
            (TRANSACTION_HASH,),
            1,
            lambda one: ask(GetTransaction(one)),
            _TRANSACTION,
        ),
        "eth_getTransactionReceipt": Method(
            "A receipt, with its visible logs.",
            (TRANSACTION_HASH,),
            1,
            lambda one: ask(GetReceipt(one)),
            nullable(ref("ReceiptInfo")),
        ),
        "eth_getRawTransactionByHash": Method(
            "A visible transaction, encoded; 0x when there is none.",
            (TRANSACTION_HASH,),
            1,
            lambda one: ask(GetRawTransaction(one)),
            BYTES,
        ),
    }
    for raw, result, text in ((False, _TRANSACTION, ""), (True, BYTES, ", encoded; 0x when there is none")):
        name = f"eth_get{'Raw' if raw else ''}TransactionByBlock"
        summary = f"The visible transaction with this transactionIndex{text}."
        made[f"{name}NumberAndIndex"] = Method(
            summary,
            (BLOCK_NUMBER, TRANSACTION_INDEX),
            2,
            lambda at, index, raw=raw: ask(GetTransactionAt(at, index, raw)),
            result,
        )
        made[f"{name}HashAndIndex"] = Method(
            summary,
            (BLOCK_HASH, TRANSACTION_INDEX),
            2,
            lambda one, index, raw=raw: ask(GetTransactionAt(BlockAt(hash=one), index, raw)),
            result,
        )
    return made


def _block(at: BlockAt, full: bool | None) -> Prepared:
    return ask(GetBlock(at, bool(full)))


def _logs(query: GetLogs) -> Prepared:
    return ask(query)


def _fee_history(count: int, newest: BlockAt, percentiles: tuple[float, ...] | None) -> Prepared:
    return ask(FeeHistory(min(count, BLOCK_COUNT_MAX), newest, percentiles))
