"""Filters: what a poll brings, whose a filter is, and the bounds of the book."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from adapters.ethereum import filters
from adapters.ethereum.filters import FilterBook
from adapters.ethereum.polling import poll_filter, read_pages
from adapters.ethereum.requests import NOW, QUERIES, Criteria, Follow
from adapters.jsonrpc import RpcError
from core.adapter.interface import Caller, Outcome
from tests.adapters.ethereum.rpc_support import COMPETITOR, IDENTITIES, RECIPIENT, SENDER, RpcNetwork, account, initcode
from tests.adapters.ethereum.test_visibility import TOPIC_LOG, topic_of

NOT_FOUND = (-32000, "filter not found")
HEADS = Criteria("heads")


@pytest.fixture
async def network() -> RpcNetwork:
    return await RpcNetwork(policy="private").ready()


async def test_block_filter(network: RpcNetwork) -> None:
    await network.send(SENDER, to=account(9).address)
    made = await network.call("eth_newBlockFilter")
    assert await network.call("eth_getFilterChanges", made) == []
    for _ in range(2):
        await network.send(SENDER, to=account(9).address)
    hashes = [(await network.call("eth_getBlockByNumber", hex(number)))["hash"] for number in (2, 3)]
    assert await network.call("eth_getFilterChanges", made) == hashes
    assert await network.call("eth_getFilterChanges", made) == []
    assert await network.error("eth_getFilterLogs", made) == NOT_FOUND
    assert await network.call("eth_uninstallFilter", made) is True
    assert await network.call("eth_uninstallFilter", made) is False
    assert await network.error("eth_getFilterChanges", made) == NOT_FOUND


async def test_log_filters_see_what_their_identity_sees(network: RpcNetwork) -> None:
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    await network.send(SENDER, to=contract, data=topic_of(network.accounts[RECIPIENT].address))
    made = {caller: await network.call("eth_newFilter", {"fromBlock": "0x0"}, caller=caller) for caller in IDENTITIES}
    narrow = await network.call(
        "eth_newFilter", {"address": contract, "topics": [None, topic_of(network.accounts[COMPETITOR].address)]}
    )
    for owner in (RECIPIENT, SENDER, COMPETITOR):
        await network.send(SENDER, to=contract, data=topic_of(network.accounts[owner].address))
    for caller, count in ((SENDER, 3), (RECIPIENT, 1), (COMPETITOR, 1)):
        every = await network.call("eth_getLogs", {"fromBlock": "0x0"}, caller=caller)
        new = [log for log in every if int(log["blockNumber"], 16) > 2]
        assert len(new) == count
        assert await network.call("eth_getFilterChanges", made[caller], caller=caller) == new
        assert await network.call("eth_getFilterChanges", made[caller], caller=caller) == []
        assert await network.call("eth_getFilterLogs", made[caller], caller=caller) == every
    assert len(await network.call("eth_getFilterChanges", narrow)) == 1


async def test_the_rule_is_applied_at_each_poll(network: RpcNetwork) -> None:
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    made = await network.call("eth_newFilter", {}, caller=RECIPIENT)
    await network.send(SENDER, to=contract, data=topic_of(network.accounts[RECIPIENT].address))
    network.harness.advance_clock(1_000)
    await network.bind(COMPETITOR, network.accounts[RECIPIENT])
    assert await network.call("eth_getFilterChanges", made, caller=RECIPIENT) == []


async def test_range_and_block_of_a_filter(network: RpcNetwork) -> None:
    contract = await network.deploy(SENDER, initcode(TOPIC_LOG))
    bounded = await network.call("eth_newFilter", {"fromBlock": "0x3", "toBlock": "0x3"})
    one_block = await network.call("eth_newFilter", {"blockHash": "0x" + "11" * 32})
    for _ in range(3):
        await network.send(SENDER, to=contract, data="0x" + "22" * 32)
    (log,) = await network.call("eth_getFilterChanges", bounded)
    assert log["blockNumber"] == "0x3"
    assert await network.call("eth_getFilterChanges", one_block) == []


async def test_pending_filter_shows_visible_transactions(network: RpcNetwork) -> None:
    made = {caller: await network.call("eth_newPendingTransactionFilter", caller=caller) for caller in IDENTITIES}
    sent = await network.send(SENDER, to=network.accounts[RECIPIENT].address)
    changes = [await network.call("eth_getFilterChanges", made[caller], caller=caller) for caller in IDENTITIES]
    assert changes == [[sent], [sent], []]


async def test_anothers_filter_answers_exactly_as_an_unknown_one(network: RpcNetwork) -> None:
    made = await network.call("eth_newFilter", {})
    unknown = "0x" + "ab" * 16
    for method in ("eth_getFilterChanges", "eth_getFilterLogs", "eth_uninstallFilter"):
        answers = [await network.ask(method, one, caller=COMPETITOR) for one in (made, unknown)]
        assert answers[0] == answers[1]
    assert await network.call("eth_getFilterChanges", made) == []


async def test_a_filter_that_is_not_used_is_forgotten(network: RpcNetwork) -> None:
    made, kept = await network.call("eth_newBlockFilter"), await network.call("eth_newBlockFilter")
    network.harness.advance_clock(200_000)
    assert await network.call("eth_getFilterChanges", kept) == []
    network.harness.advance_clock(200_000)
    assert await network.error("eth_getFilterChanges", made) == NOT_FOUND
    assert await network.call("eth_getFilterChanges", kept) == []


async def test_a_restarted_node_has_no_filters(network: RpcNetwork) -> None:
    made = await network.call("eth_newBlockFilter")
    network.harness.restart()
    assert await network.error("eth_getFilterChanges", made) == NOT_FOUND


class Interleaving:
    """A backend that lets others go first before each query."""

    def __init__(self, network: RpcNetwork) -> None:
        self._inner = network.harness.backend()

    async def submit(self, payload: bytes, caller: Caller) -> Outcome:
        return await self._inner.submit(payload, caller)

    async def query(self, payload: bytes, caller: Caller) -> bytes:
        await asyncio.sleep(0)
        return await self._inner.query(payload, caller)

    async def committed_after(self, seqno: int) -> int:
        return await self._inner.committed_after(seqno)


async def test_polls_at_once_bring_everything_once(network: RpcNetwork) -> None:
    made = await network.call("eth_newBlockFilter")
    for _ in range(5):
        await network.send(SENDER, to=account(9).address)
    backend = Interleaving(network)
    polls = await asyncio.gather(*(poll_filter(made, SENDER, backend) for _ in range(6)))
    brought = [one for poll in polls for one in orjson.loads(b"{" + poll + b"}")["result"]]
    assert len(brought) == len(set(brought)) == 5


async def test_a_long_wait_comes_in_pages_without_gaps(network: RpcNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adapters.ethereum.follow.PAGE_BLOCKS_MAX", 3)
    made = await network.call("eth_newBlockFilter")
    for _ in range(7):
        await network.send(SENDER, to=account(9).address)
    pages = [await network.call("eth_getFilterChanges", made) for _ in range(4)]
    assert [len(page) for page in pages] == [3, 3, 1, 0]
    assert len({one for page in pages for one in page}) == 7


async def test_filters_that_name_too_much_are_refused(network: RpcNetwork) -> None:
    topics = [["0x" + f"{number:064x}" for number in range(filters.CRITERIA_MAX + 1)]]
    code, text = await network.error("eth_newFilter", {"topics": topics})
    assert (code, text) == (-32000, "a filter may name at most 256 addresses and topics")


def numbered() -> FilterBook:
    count = iter(range(10_000))
    return FilterBook(lambda: hex(next(count)))


def test_an_identity_has_a_bound() -> None:
    book = numbered()
    for _ in range(filters.FILTERS_PER_IDENTITY_MAX):
        book.install("a", HEADS, 0, 0)
    with pytest.raises(RpcError, match="too many filters"):
        book.install("a", HEADS, 0, 0)
    book.install("b", HEADS, 0, 0)
    book.install("a", HEADS, 0, filters.IDLE_SECONDS_MAX)
    assert len(book) == 1


def test_a_full_book_takes_from_whoever_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "FILTERS_MAX", 4)
    book = numbered()
    mine = book.install("small", HEADS, 0, 0)
    greedy = [book.install("greedy", HEADS, 0, 0) for _ in range(3)]
    book.install("new", HEADS, 0, 0)
    assert book.use("small", mine, 0).position == 0
    with pytest.raises(RpcError, match="filter not found"):
        book.use("greedy", greedy[0], 0)
    assert book.use("greedy", greedy[1], 0)


def test_a_filter_moves_from_where_it_was_read_only() -> None:
    book = numbered()
    made = book.install("a", HEADS, 5, 0)
    assert book.advance("a", made, 5, 9, 0)
    assert not book.advance("a", made, 5, 8, 0)
    assert book.use("a", made, 0).position == 9
    with pytest.raises(RpcError, match="filter not found"):
        book.advance("b", made, 9, 10, 0)


async def test_a_reader_that_is_behind_brings_nothing_and_moves_nothing(network: RpcNetwork) -> None:
    """The executor may know of blocks that a reader has not yet applied."""
    backend = network.harness.backend()
    pages = read_pages(await backend.query(QUERIES.encode(Follow(((HEADS, 5), (HEADS, NOW)))), SENDER))
    assert [(page.position, page.more, page.results) for page in pages] == [(5, False, []), (0, False, [])]
    book = numbered()
    made = book.install("a", HEADS, 5, 0)
    assert not book.advance("a", made, 5, 4, 0)
    assert book.use("a", made, 0).position == 5


def test_ids_are_long_and_random() -> None:
    ids = {filters.random_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 34 for one in ids)
