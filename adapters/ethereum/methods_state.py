"""Methods about accounts, calls, and the one that sends."""

from __future__ import annotations

from collections.abc import Callable

from adapters.ethereum.call_wire import WireCall, WireOverride, pack_call, pack_integer, pack_override
from adapters.ethereum.methods import Method, Prepared, ToSubmit, ask
from adapters.ethereum.model import AccountOverride, CallRequest
from adapters.ethereum.parameters import (
    ADDRESS_PARAMETER,
    BLOCK,
    BLOCK_OVERRIDES,
    OVERRIDES,
    RAW_TRANSACTION,
    STORAGE_SLOT,
    TRANSACTION,
)
from adapters.ethereum.requests import (
    COMMANDS,
    BlockAt,
    Call,
    CreateAccessList,
    EstimateGas,
    GetBalance,
    GetCode,
    GetNonce,
    GetStorage,
    SendTransaction,
    SimulationQuery,
)
from adapters.ethereum.schemas import BYTES, HASH, UINT, ref
from adapters.ethereum.settings import Settings
from adapters.ethereum.transactions import decode_transaction, encode_stored
from adapters.jsonrpc import SERVER_ERROR, RpcError

CallArgument = tuple[CallRequest, bool, int | None]
"""What read_call returns."""
MakeCall = Callable[[WireCall, BlockAt, tuple[WireOverride, ...]], SimulationQuery]
_ACCOUNT = (ADDRESS_PARAMETER, BLOCK)
_CALL = (TRANSACTION, BLOCK, OVERRIDES, BLOCK_OVERRIDES)


def state_methods(settings: Settings) -> dict[str, Method]:
    return {
        "eth_getBalance": Method(
            "Balance of one's own account, else 0.",
            _ACCOUNT,
            1,
            lambda address, at: ask(GetBalance(address, at or BlockAt())),
            UINT,
        ),
        "eth_getTransactionCount": Method(
            "Nonce of one's own account, else 0.",
            _ACCOUNT,
            1,
            lambda address, at: ask(GetNonce(address, at or BlockAt())),
            UINT,
        ),
        "eth_getCode": Method(
            "Visible code of an account.",
            _ACCOUNT,
            1,
            lambda address, at: ask(GetCode(address, at or BlockAt())),
            BYTES,
        ),
        "eth_getStorageAt": Method(
            "Zero, but for the slots of ERC-1967.",
            (ADDRESS_PARAMETER, STORAGE_SLOT, BLOCK),
            2,
            lambda address, slot, at: ask(GetStorage(address, slot, at or BlockAt())),
            ref("bytes32"),
        ),
        "eth_sendRawTransaction": Method(
            "Run a signed transaction; answers when its receipt can be read.",
            (RAW_TRANSACTION,),
            1,
            lambda raw: _send(raw, settings),
            HASH,
        ),
        **_call_methods(settings),
    }


def _call_methods(settings: Settings) -> dict[str, Method]:
    def calling(make: MakeCall) -> Callable[..., Prepared]:
        def prepare(
            argument: CallArgument,
            at: BlockAt | None,
            overrides: tuple[AccountOverride, ...] | None = None,
            _: None = None,
        ) -> Prepared:
            call, has_sender, chain_id = argument
            if chain_id is not None and chain_id != settings.chain_id:
                text = f"chainId does not match node's (have={chain_id}, want={settings.chain_id})"
                raise RpcError(SERVER_ERROR, text)
            packed = tuple(pack_override(one) for one in overrides or ())
            return ask(make(pack_call(call, has_sender=has_sender), at or BlockAt(), packed))

        return prepare

    return {
        "eth_call": Method("What a call would return.", _CALL, 1, calling(Call), BYTES),
        "eth_estimateGas": Method("A gas limit that suffices.", _CALL, 1, calling(EstimateGas), UINT),
        "eth_createAccessList": Method(
            "An access list for a transaction; outside of a public network, of one's own accounts only.",
            _CALL[:3],
            1,
            calling(CreateAccessList),
            ref("AccessListResult"),
        ),
    }


def _send(raw: bytes, settings: Settings) -> Prepared:
    signed = decode_transaction(raw, settings)
    command = SendTransaction(
        encode_stored(signed),
        signed.sender,
        signed.nonce,
        signed.hash,
        pack_integer(signed.max_fee),
        pack_integer(signed.max_priority_fee),
    )
    return ToSubmit(COMMANDS.encode(command))
