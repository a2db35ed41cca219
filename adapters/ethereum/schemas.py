"""JSON schemas of what the methods take and give, for the OpenRPC document.

Names and shapes are those of the execution-apis schema, narrowed to what is served here and widened where Coco differs
(geth's own fields, methods of ours). Source: execution-apis (src/schemas); JSON Schema draft 7, which OpenRPC uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


def ref(name: str) -> Schema:
    """Return a reference to one of COMPONENTS."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def nullable(schema: Schema) -> Schema:
    return {"oneOf": [{"type": "null"}, schema]}


def _hex(title: str, digits: str) -> Schema:
    return {"title": title, "type": "string", "pattern": f"^0x{digits}$"}


def _object(title: str, properties: Mapping[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """Return the schema of an object that has these members and no others."""
    return {
        "title": title,
        "type": "object",
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
        "properties": dict(properties),
    }


def _all_optional(title: str, properties: Mapping[str, Schema]) -> Schema:
    return _object(title, properties, tuple(properties))


BOOLEAN: Schema = {"type": "boolean"}
TEXT: Schema = {"type": "string"}
ADDRESS, BYTES, HASH, UINT = ref("address"), ref("bytes"), ref("hash32"), ref("uint")

_BASE: dict[str, Schema] = {
    "address": _hex("hex encoded address", "[0-9a-fA-F]{40}"),
    "byte": _hex("hex encoded byte", "[0-9a-f]{1,2}"),
    "bytes": _hex("hex encoded bytes", "([0-9a-fA-F]{2})*"),
    "bytes8": _hex("8 hex encoded bytes", "[0-9a-f]{16}"),
    "bytes32": _hex("32 hex encoded bytes", "[0-9a-fA-F]{64}"),
    "bytes256": _hex("256 hex encoded bytes", "[0-9a-f]{512}"),
    "hash32": _hex("32 byte hex value", "[0-9a-fA-F]{64}"),
    "storageKey": _hex("storage slot, at most 32 bytes", "[0-9a-fA-F]{0,64}"),
    "uint": _hex("hex encoded unsigned integer", "(0|[1-9a-f][0-9a-f]*)"),
    "BlockTag": {
        "title": "Block tag",
        "type": "string",
        "enum": ["earliest", "finalized", "safe", "latest", "pending"],
    },
    "BlockNumberOrTag": {"title": "Block number or tag", "oneOf": [UINT, ref("BlockTag")]},
    "BlockNumberOrTagOrHash": {
        "title": "Block number, tag, or block hash",
        "anyOf": [
            UINT,
            ref("BlockTag"),
            HASH,
            _all_optional(
                "EIP-1898", {"blockNumber": ref("BlockNumberOrTag"), "blockHash": HASH, "requireCanonical": BOOLEAN}
            ),
        ],
    },
}

_ACCESS_LIST_ENTRY = _object("Access list entry", {"address": ADDRESS, "storageKeys": array_of(HASH)})
_AUTHORIZATION = _object(
    "Authorization",
    {"chainId": UINT, "address": ADDRESS, "nonce": UINT, "yParity": UINT, "r": UINT, "s": UINT},
)

_TRANSACTIONS: dict[str, Schema] = {
    "AccessList": array_of(_ACCESS_LIST_ENTRY),
    "AuthorizationList": array_of(_AUTHORIZATION),
    "GenericTransaction": _all_optional(
        "Transaction object generic to all types",
        {
            "type": ref("byte"),
            "nonce": UINT,
            "from": ADDRESS,
            "to": nullable(ADDRESS),
            "gas": UINT,
            "value": UINT,
            "data": BYTES,
            "input": BYTES,
            "gasPrice": UINT,
            "maxFeePerGas": UINT,
            "maxPriorityFeePerGas": UINT,
            "accessList": ref("AccessList"),
            "authorizationList": ref("AuthorizationList"),
            "chainId": UINT,
        },
    ),
    "TransactionInfo": _object(
        "Transaction information",
        {
            "blockHash": nullable(HASH),
            "blockNumber": nullable(UINT),
            "from": ADDRESS,
            "gas": UINT,
            "gasPrice": UINT,
            "maxFeePerGas": UINT,
            "maxPriorityFeePerGas": UINT,
            "hash": HASH,
            "input": BYTES,
            "nonce": UINT,
            "to": nullable(ADDRESS),
            "transactionIndex": nullable(UINT),
            "value": UINT,
            "type": ref("byte"),
            "accessList": ref("AccessList"),
            "authorizationList": ref("AuthorizationList"),
            "chainId": UINT,
            "v": UINT,
            "yParity": UINT,
            "r": UINT,
            "s": UINT,
        },
        ("maxFeePerGas", "maxPriorityFeePerGas", "accessList", "authorizationList", "yParity"),
    ),
    "StateOverride": {
        "title": "State overrides by address",
        "type": "object",
        "propertyNames": {"pattern": "^0x[0-9a-fA-F]{40}$"},
        "additionalProperties": _all_optional(
            "Account override",
            {
                "nonce": UINT,
                "balance": UINT,
                "code": BYTES,
                "state": {"type": "object", "additionalProperties": HASH},
                "stateDiff": {"type": "object", "additionalProperties": HASH},
            },
        ),
    },
    "AccessListResult": _object(
        "Access list result", {"accessList": ref("AccessList"), "error": TEXT, "gasUsed": UINT}, ("error",)
    ),
}

_HEADER: dict[str, Schema] = {
    "number": UINT,
    "hash": HASH,
    "parentHash": HASH,
    "nonce": ref("bytes8"),
    "mixHash": HASH,
    "sha3Uncles": HASH,
    "logsBloom": ref("bytes256"),
    "stateRoot": HASH,
    "miner": ADDRESS,
    "difficulty": UINT,
    "extraData": BYTES,
    "gasLimit": UINT,
    "gasUsed": UINT,
    "timestamp": UINT,
    "transactionsRoot": HASH,
    "receiptsRoot": HASH,
    "baseFeePerGas": UINT,
    "withdrawalsRoot": HASH,
    "blobGasUsed": UINT,
    "excessBlobGas": UINT,
    "parentBeaconBlockRoot": HASH,
    "requestsHash": HASH,
}

_LOG = _object(
    "log",
    {
        "address": ADDRESS,
        "topics": array_of(ref("bytes32")),
        "data": BYTES,
        "blockNumber": UINT,
        "blockHash": HASH,
        "blockTimestamp": UINT,
        "transactionHash": HASH,
        "transactionIndex": UINT,
        "logIndex": UINT,
        "removed": BOOLEAN,
    },
)

_BLOCKS: dict[str, Schema] = {
    "Header": _object("Header object", _HEADER, ("requestsHash",)),
    "Block": _object(
        "Block object",
        {
            **_HEADER,
            "size": UINT,
            "uncles": {"type": "array", "maxItems": 0},
            "transactions": {"anyOf": [array_of(HASH), array_of(ref("TransactionInfo"))]},
            "withdrawals": {"type": "array", "maxItems": 0},
        },
        ("requestsHash",),
    ),
    "Log": _LOG,
    "ReceiptInfo": _object(
        "Receipt information",
        {
            "type": ref("byte"),
            "transactionHash": HASH,
            "transactionIndex": UINT,
            "blockHash": HASH,
            "blockNumber": UINT,
            "from": ADDRESS,
            "to": nullable(ADDRESS),
            "cumulativeGasUsed": UINT,
            "gasUsed": UINT,
            "contractAddress": nullable(ADDRESS),
            "logs": array_of(ref("Log")),
            "logsBloom": ref("bytes256"),
            "status": UINT,
            "effectiveGasPrice": UINT,
        },
    ),
    "FeeHistory": _object(
        "feeHistoryResults",
        {
            "oldestBlock": UINT,
            "baseFeePerGas": array_of(UINT),
            "baseFeePerBlobGas": array_of(UINT),
            "gasUsedRatio": nullable(array_of({"type": "number", "minimum": 0, "maximum": 1})),
            "blobGasUsedRatio": array_of({"type": "number", "minimum": 0, "maximum": 1}),
            "reward": array_of(array_of(UINT)),
        },
        ("reward", "baseFeePerGas", "baseFeePerBlobGas", "blobGasUsedRatio"),
    ),
}

_TOPIC: Schema = {"anyOf": [{"type": "null"}, ref("bytes32"), array_of(nullable(ref("bytes32")))]}
_FILTERS: dict[str, Schema] = {
    "Filter": _all_optional(
        "filter",
        {
            "fromBlock": nullable(ref("BlockNumberOrTag")),
            "toBlock": nullable(ref("BlockNumberOrTag")),
            "blockHash": nullable(HASH),
            "address": {"anyOf": [{"type": "null"}, ADDRESS, array_of(ADDRESS)]},
            "topics": nullable({"type": "array", "items": _TOPIC, "maxItems": 4}),
        },
    ),
    "FilterResults": {"title": "Filter results", "anyOf": [array_of(HASH), array_of(ref("Log"))]},
}


def _by_account(item: Schema) -> Schema:
    by_nonce = {"type": "object", "additionalProperties": item}
    accounts = {"type": "object", "additionalProperties": by_nonce}
    return _object("Transaction pool", {"pending": accounts, "queued": accounts})


_PROOFS: dict[str, Schema] = {
    "TransactionProof": _object(
        "What the ledger proves of a transaction",
        {
            "transactionId": {"title": "view.seqno", "type": "string", "pattern": "^[0-9]+\\.[0-9]+$"},
            "receipt": {"title": "Receipt, as CCF has it", "type": "object"},
            "claims": _object(
                "What the receipt's claims digest commits to", {"transactionHash": HASH, "receipt": BYTES}
            ),
            "serviceCertificate": {"title": "The service's certificate (PEM)", "type": "string"},
        },
    ),
}

_POOL: dict[str, Schema] = {
    "TxpoolStatus": _object("Transaction pool status", {"pending": UINT, "queued": UINT}),
    "TxpoolContent": _by_account(ref("TransactionInfo")),
    "TxpoolContentFrom": _object(
        "Transaction pool of one account",
        {
            "pending": {"type": "object", "additionalProperties": ref("TransactionInfo")},
            "queued": {"type": "object", "additionalProperties": ref("TransactionInfo")},
        },
    ),
    "TxpoolInspect": _by_account(TEXT),
    "Binding": _object("An address bound to an identity", {"address": ADDRESS, "identity": TEXT}),
    "OpenRpc": {
        "title": "This document",
        "type": "object",
        "required": ["openrpc", "info", "methods"],
        "properties": {"openrpc": TEXT, "info": {"type": "object"}, "methods": {"type": "array"}},
    },
}

COMPONENTS: Mapping[str, Schema] = {**_BASE, **_TRANSACTIONS, **_BLOCKS, **_FILTERS, **_PROOFS, **_POOL}
