"""What waits in the queue, as go-ethereum's namespace txpool shows it. Each identity sees the senders bound to it.

pending: what can run as it stands; queued: what is held for a nonce before it.
"""

from __future__ import annotations

from typing import Any, assert_never

from adapters.ethereum.formatting import checksum_address, format_waiting, quantity
from adapters.ethereum.model import SignedTransaction
from adapters.ethereum.queue import EthereumQueue
from adapters.ethereum.requests import GetPool
from adapters.ethereum.transactions import decode_stored

Waiting = dict[bytes, dict[int, SignedTransaction]]


def get_pool(queue: EthereumQueue | None, addresses: tuple[bytes, ...], query: GetPool) -> dict[str, Any]:
    """Answer txpool_*. addresses: those bound to the caller."""
    pending: Waiting = {}
    queued: Waiting = {}
    for address in addresses:
        if queue is not None and query.address in (b"", address):
            for nonce, stored, is_due in queue.waiting(address):
                place = (pending if is_due else queued).setdefault(address, {})
                place[nonce] = decode_stored(stored)
    match query.what:
        case "status":
            return {"pending": _count(pending), "queued": _count(queued)}
        case "inspect":
            return {"pending": _texts(pending), "queued": _texts(queued)}
        case "content" if query.address:
            return {
                name: _objects(one).get(checksum_address(query.address), {})
                for name, one in (("pending", pending), ("queued", queued))
            }
        case "content":
            return {"pending": _objects(pending), "queued": _objects(queued)}
        case _:
            assert_never(query.what)


def _count(waiting: Waiting) -> str:
    return quantity(sum(map(len, waiting.values())))


def _objects(waiting: Waiting) -> dict[str, dict[str, Any]]:
    return {
        checksum_address(address): {str(nonce): format_waiting(one) for nonce, one in by_nonce.items()}
        for address, by_nonce in waiting.items()
    }


def _texts(waiting: Waiting) -> dict[str, dict[str, str]]:
    return {
        checksum_address(address): {str(nonce): _text(one) for nonce, one in by_nonce.items()}
        for address, by_nonce in waiting.items()
    }


def _text(one: SignedTransaction) -> str:
    to = "contract creation" if one.to is None else checksum_address(one.to)
    return f"{to}: {one.value} wei + {one.gas_limit} gas × {one.gas_price} wei"
