"""All JSON-RPC methods that are served, put together; and those that say what the node is."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from adapters.ethereum.binding import recover_message_signer
from adapters.ethereum.formatting import data, quantity
from adapters.ethereum.keccak import keccak
from adapters.ethereum.methods import Answered, Method, Methods, Prepared, ToProve, ToSubmit, ask, constant
from adapters.ethereum.methods_blocks import block_methods
from adapters.ethereum.methods_filters import filter_methods, pool_methods
from adapters.ethereum.methods_state import state_methods
from adapters.ethereum.openrpc import openrpc_document
from adapters.ethereum.parameters import ADDRESS_PARAMETER, DATA, MESSAGE, SIGNATURE, TRANSACTION_HASH
from adapters.ethereum.requests import COMMANDS, QUERIES, Bind, BindMessage, BoundAddresses, FindEntry
from adapters.ethereum.schemas import ADDRESS, BOOLEAN, HASH, TEXT, UINT, array_of, nullable, ref
from adapters.ethereum.settings import Settings
from adapters.jsonrpc import result_fragment


def client_version(version: str) -> str:
    """Return what web3_clientVersion answers, in the form of other clients: name/version/system/language."""
    return f"Coco/v{version}/{sys.platform}/python{sys.version_info.major}.{sys.version_info.minor}"


def make_methods(settings: Settings, version: str) -> Methods:
    """Return the methods of a network. version: the adapter's."""
    table: dict[str, Method] = {
        **_constants(settings, version),
        **block_methods(),
        **state_methods(settings),
        **filter_methods(),
        **pool_methods(),
        **_coco_methods(),
        "web3_sha3": Method("Keccak-256.", (DATA,), 1, lambda one: _answer(data(keccak(one))), HASH),
    }
    described: Mapping[str, Method] = {
        **table,
        "rpc.discover": constant("This document (OpenRPC).", None, ref("OpenRpc")),
    }
    document = openrpc_document(described, version)
    table["rpc.discover"] = constant("This document (OpenRPC).", document, ref("OpenRpc"))
    return Methods(table)


def _constants(settings: Settings, version: str) -> dict[str, Method]:
    return {
        "eth_chainId": constant("The chain's id.", quantity(settings.chain_id), UINT),
        "eth_syncing": constant("False: what is served is committed.", False, BOOLEAN),
        "eth_accounts": constant("Empty: the node holds no keys of accounts.", [], array_of(ADDRESS)),
        "eth_gasPrice": constant("The network's base fee.", quantity(settings.base_fee_wei), UINT),
        "eth_maxPriorityFeePerGas": constant("The tip that suffices: none.", "0x0", UINT),
        "eth_blobBaseFee": constant("The least possible: there are no blobs.", "0x1", UINT),
        "net_version": constant("The chain's id, in decimal.", str(settings.chain_id), TEXT),
        "net_listening": constant("True.", True, BOOLEAN),
        "net_peerCount": constant("Zero: there is no peer-to-peer network of Ethereum's kind.", "0x0", UINT),
        "web3_clientVersion": constant("Name and version of this software.", client_version(version), TEXT),
        "hardhat_getAutomine": constant("True: a transaction is in a block once it is answered.", True, BOOLEAN),
    }


def _coco_methods() -> dict[str, Method]:
    return {
        "coco_bindMessage": Method(
            "The text that an account signs to be bound to one's identity.",
            (ADDRESS_PARAMETER,),
            1,
            lambda address: ask(BindMessage(address)),
            TEXT,
        ),
        "coco_bind": Method("Bind an account to one's identity.", (MESSAGE, SIGNATURE), 2, _bind, ref("Binding")),
        "coco_getTransactionReceiptProof": Method(
            "The ledger's proof of a transaction and its receipt, which anybody can verify; for who sees all of it.",
            (TRANSACTION_HASH,),
            1,
            lambda one: ToProve(QUERIES.encode(FindEntry(one))),
            nullable(ref("TransactionProof")),
        ),
        "coco_boundAddresses": Method(
            "The accounts bound to one's identity.", (), 0, lambda: ask(BoundAddresses()), array_of(ADDRESS)
        ),
    }


def _answer(value: object) -> Prepared:
    return Answered(result_fragment(value))


def _bind(message: str, signature: bytes) -> Prepared:
    return ToSubmit(COMMANDS.encode(Bind(message, recover_message_signer(message, signature))))
