"""Methods about filters, subscriptions and the queue."""

from __future__ import annotations

from adapters.ethereum.arguments import ArgumentError, read_log_filter
from adapters.ethereum.filters import check_criteria
from adapters.ethereum.methods import Method, Parameter, Prepared, Subscribe, ToPoll, Unsubscribe, ask
from adapters.ethereum.parameters import ADDRESS_PARAMETER, FILTER, FILTER_ID
from adapters.ethereum.requests import LATEST, Criteria, GetLogs, GetPool, InstallFilter, UninstallFilter
from adapters.ethereum.schemas import BOOLEAN, TEXT, UINT, array_of, ref
from adapters.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, RpcError

_KINDS = ("newHeads", "logs", "newPendingTransactions", "syncing")
EVERY_LOG = GetLogs(LATEST, LATEST, b"", (), ())


def filter_methods() -> dict[str, Method]:
    return {
        "eth_newFilter": Method("A filter of logs to come, to be polled.", (FILTER,), 1, _new_log_filter, UINT),
        "eth_newBlockFilter": Method(
            "A filter of blocks to come, to be polled.", (), 0, lambda: ask(InstallFilter(Criteria("heads"))), UINT
        ),
        "eth_newPendingTransactionFilter": Method(
            "A filter of visible transactions to come, to be polled.",
            (),
            0,
            lambda: ask(InstallFilter(Criteria("pending"))),
            UINT,
        ),
        "eth_getFilterChanges": Method(
            "What is new since the last poll.", (FILTER_ID,), 1, ToPoll, ref("FilterResults")
        ),
        "eth_getFilterLogs": Method(
            "All logs that a filter matches.",
            (FILTER_ID,),
            1,
            lambda filter_id: ToPoll(filter_id, whole=True),
            array_of(ref("Log")),
        ),
        "eth_uninstallFilter": Method(
            "Forget a filter.", (FILTER_ID,), 1, lambda filter_id: ask(UninstallFilter(filter_id)), BOOLEAN
        ),
        "eth_subscribe": Method(
            "Be notified, by eth_subscription.",
            (
                Parameter("Subscription", _read_kind, {"type": "string", "enum": list(_KINDS)}),
                Parameter("Options", lambda value: value, {"anyOf": [BOOLEAN, ref("Filter")]}),
            ),
            1,
            _subscribe,
            UINT,
            on_sockets=True,
        ),
        "eth_unsubscribe": Method(
            "End a subscription.", (Parameter("Subscription ID", FILTER_ID.read, TEXT),), 1, Unsubscribe, BOOLEAN, True
        ),
    }


def pool_methods() -> dict[str, Method]:
    return {
        "txpool_status": Method(
            "How many of one's own transactions wait.", (), 0, lambda: ask(GetPool("status")), ref("TxpoolStatus")
        ),
        "txpool_content": Method(
            "One's own transactions that wait.", (), 0, lambda: ask(GetPool("content")), ref("TxpoolContent")
        ),
        "txpool_contentFrom": Method(
            "One's own account's transactions that wait.",
            (ADDRESS_PARAMETER,),
            1,
            lambda address: ask(GetPool("content", address)),
            ref("TxpoolContentFrom"),
        ),
        "txpool_inspect": Method(
            "One's own transactions that wait, as texts.", (), 0, lambda: ask(GetPool("inspect")), ref("TxpoolInspect")
        ),
    }


def _new_log_filter(logs: GetLogs) -> Prepared:
    check_criteria(logs)
    return ask(InstallFilter(Criteria("logs", logs)))


def _read_kind(value: object) -> str:
    if not isinstance(value, str):
        raise ArgumentError("expected subscription name as first argument")
    if value not in _KINDS:
        raise RpcError(METHOD_NOT_FOUND, f'no "{value[:40]}" subscription in eth namespace')
    return value


def _subscribe(kind: str, options: object) -> Subscribe:
    match kind:
        case "logs":
            try:
                logs = EVERY_LOG if options is None else read_log_filter(options)
            except ArgumentError as error:
                raise RpcError(INVALID_PARAMS, f"invalid argument 1: {error}") from None
            check_criteria(logs)
            return Subscribe(Criteria("logs", logs))
        case "newPendingTransactions":
            return Subscribe(Criteria("pending_full" if options is True else "pending"))
        case "newHeads":
            return Subscribe(Criteria("headers"))
        case _:
            return Subscribe(None)
