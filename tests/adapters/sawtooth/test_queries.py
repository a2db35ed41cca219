"""Lists, pages, heads and orders, as the validator has them."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.sawtooth import queries_chain
from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.wire.messages import MESSAGES, MessageType, parse
from tests.adapters.sawtooth.support import ALICE, INTKEY, Bench, Client, Signed

STATE, BLOCKS = MessageType.CLIENT_STATE_LIST_REQUEST, MessageType.CLIENT_BLOCK_LIST_REQUEST
BATCHES, TRANSACTIONS = MessageType.CLIENT_BATCH_LIST_REQUEST, MessageType.CLIENT_TRANSACTION_LIST_REQUEST
STATUS = MessageType.CLIENT_BATCH_STATUS_REQUEST
DEFAULT = [{"keys": ["default"]}]
REVERSED = [{"keys": ["default"], "reverse": True}]


class Chain:
    """Three blocks, of two, one and two batches with two transactions each."""

    def __init__(self) -> None:
        self.bench, client = Bench(), Client()
        self.blocks: list[list[Signed]] = []
        self.transactions: dict[str, list[str]] = {}
        for number, count in enumerate((2, 1, 2)):
            batches = []
            for place in range(count):
                pair = [client.intkey("set", f"{number}{place}{one}", 1) for one in "xy"]
                batches.append(client.batch(*pair))
                self.transactions[batches[-1].id] = [one.id for one in pair]
            self.bench.commit(*batches)
            self.blocks.append(batches)

    @property
    def newest_first(self) -> list[str]:
        return [batch.id for block in reversed(self.blocks) for batch in block]


@pytest.fixture(scope="module")
def chain() -> Chain:
    return Chain()


def ids(found: Any) -> list[str]:
    field = next(name for name in ("batches", "transactions") if hasattr(found, name))
    return [one.header_signature for one in getattr(found, field)]


# Batches and transactions.


def test_batches_and_transactions_are_listed(chain: Chain) -> None:
    found = chain.bench.ask(BATCHES)
    assert (found.status, ids(found)) == (1, chain.newest_first)
    assert found.head_id == chain.bench.blocks()[0].header_signature
    assert (found.paging.start, found.paging.next, found.paging.limit) == (chain.newest_first[0], "", 100)
    wanted = [one for batch in chain.newest_first for one in chain.transactions[batch]]
    assert ids(chain.bench.ask(TRANSACTIONS)) == wanted
    assert ids(chain.bench.ask(TRANSACTIONS, sorting=REVERSED)) == wanted[::-1]
    assert ids(chain.bench.ask(BATCHES, sorting=DEFAULT)) == chain.newest_first
    assert ids(chain.bench.ask(BATCHES, sorting=REVERSED)) == chain.newest_first[::-1]


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("number", [BATCHES, TRANSACTIONS])
def test_pages_come_together(chain: Chain, number: MessageType, limit: int, backwards: bool) -> None:
    sorting = REVERSED if backwards else []
    whole, start, pages = ids(chain.bench.ask(number, sorting=sorting)), "", list[str]()
    while True:
        page = chain.bench.ask(number, sorting=sorting, paging={"start": start, "limit": limit})
        assert (page.status, page.paging.limit, page.paging.start) == (1, limit, ids(page)[0])
        pages += ids(page)
        start = page.paging.next
        if not start:
            break
        assert len(page.batches if number == BATCHES else page.transactions) == limit
    assert pages == whole


def test_heads(chain: Chain) -> None:
    second = chain.bench.blocks()[1]
    found = chain.bench.ask(BATCHES, head_id=second.header_signature)
    assert (found.head_id, ids(found)) == (second.header_signature, chain.newest_first[2:])
    late, early = chain.newest_first[0], chain.newest_first[-1]
    assert ids(chain.bench.ask(BATCHES, batch_ids=[early, late])) == [early, late]
    found = chain.bench.ask(BATCHES, batch_ids=[early, late], head_id=second.header_signature)
    assert ids(found) == [early]
    assert chain.bench.ask(BATCHES, head_id="ab" * 64).status == 4
    assert chain.bench.ask(BATCHES, head_id="x").status == 4


def test_named_ones(chain: Chain) -> None:
    two = chain.newest_first[:2]
    assert ids(chain.bench.ask(BATCHES, batch_ids=[two[1], "ab" * 64, two[0]])) == two[::-1]
    page = chain.bench.ask(BATCHES, batch_ids=two, paging={"limit": 1})
    assert (ids(page), page.paging.next) == ([two[0]], two[1])
    page = chain.bench.ask(BATCHES, batch_ids=two, paging={"limit": 1, "start": two[1]})
    assert (ids(page), page.paging.next) == ([two[1]], "")
    found = chain.bench.ask(BATCHES, batch_ids=["ab" * 64])
    assert (found.status, found.head_id != "") == (5, True)


@pytest.mark.parametrize("number", [BATCHES, TRANSACTIONS])
def test_lists_that_are_refused(chain: Chain, number: MessageType) -> None:
    name = "batch_ids" if number == BATCHES else "transaction_ids"
    assert chain.bench.ask(number, **{name: ["zz"]}).status == 8
    assert chain.bench.ask(number, sorting=[{"keys": ["block_num"]}]).status == 7
    assert chain.bench.ask(number, paging={"start": "ab" * 64}).status == 6
    assert chain.bench.ask(number, paging={"start": "x"}).status == 6
    assert chain.bench.ask(number, paging={"limit": -1}).status == 6


def test_one_of_them(chain: Chain) -> None:
    batch = chain.blocks[1][0]
    found = chain.bench.ask(MessageType.CLIENT_BATCH_GET_REQUEST, batch_id=batch.id)
    assert (found.status, found.batch.SerializeToString()) == (1, batch.data)
    one = chain.transactions[batch.id][1]
    found = chain.bench.ask(MessageType.CLIENT_TRANSACTION_GET_REQUEST, transaction_id=one)
    assert (found.status, found.transaction.header_signature) == (1, one)
    for number, name in (
        (MessageType.CLIENT_BATCH_GET_REQUEST, "batch_id"),
        (MessageType.CLIENT_TRANSACTION_GET_REQUEST, "transaction_id"),
        (MessageType.CLIENT_BLOCK_GET_BY_BATCH_ID_REQUEST, "batch_id"),
        (MessageType.CLIENT_BLOCK_GET_BY_TRANSACTION_ID_REQUEST, "transaction_id"),
        (MessageType.CLIENT_BLOCK_GET_BY_ID_REQUEST, "block_id"),
    ):
        assert chain.bench.ask(number, **{name: "ab" * 64}).status == 5
        assert chain.bench.ask(number, **{name: "ab"}).status == 8


# Blocks.


def test_blocks(chain: Chain) -> None:
    found = chain.bench.ask(BLOCKS)
    headers = [parse("BlockHeader", one.header) for one in found.blocks]
    assert [one.block_num for one in headers] == [3, 2, 1, 0]
    assert (found.paging.start, found.paging.next, found.paging.limit) == ("0x0000000000000003", "", 100)
    page = chain.bench.ask(BLOCKS, paging={"limit": 2})
    assert (len(page.blocks), page.paging.next) == (2, "0x0000000000000001")
    page = chain.bench.ask(BLOCKS, paging={"limit": 2, "start": page.paging.next})
    assert ([one.header for one in page.blocks], page.paging.next) == ([one.header for one in found.blocks[2:]], "")
    upwards = chain.bench.ask(BLOCKS, sorting=[{"keys": ["block_num"], "reverse": True}], paging={"limit": 3})
    assert [one.header for one in upwards.blocks] == [one.header for one in reversed(found.blocks[1:])]
    assert upwards.paging.next == "0x0000000000000003"
    older = chain.bench.ask(BLOCKS, head_id=found.blocks[2].header_signature)
    assert (len(older.blocks), older.head_id) == (2, found.blocks[2].header_signature)
    named = chain.bench.ask(BLOCKS, block_ids=[one.header_signature for one in found.blocks[1:3]])
    assert [one.header for one in named.blocks] == [one.header for one in found.blocks[1:3]]
    for block in found.blocks:
        by_id = chain.bench.ask(MessageType.CLIENT_BLOCK_GET_BY_ID_REQUEST, block_id=block.header_signature)
        number = parse("BlockHeader", block.header).block_num
        by_number = chain.bench.ask(MessageType.CLIENT_BLOCK_GET_BY_NUM_REQUEST, block_num=number)
        assert by_id.block == by_number.block == block
    batch = chain.blocks[1][0].id
    by_batch = chain.bench.ask(MessageType.CLIENT_BLOCK_GET_BY_BATCH_ID_REQUEST, batch_id=batch)
    one = chain.transactions[batch][0]
    by_transaction = chain.bench.ask(MessageType.CLIENT_BLOCK_GET_BY_TRANSACTION_ID_REQUEST, transaction_id=one)
    assert by_batch.block == by_transaction.block == found.blocks[1]


def test_blocks_that_are_refused(chain: Chain) -> None:
    assert chain.bench.ask(BLOCKS, block_ids=["zz"]).status == 8
    assert chain.bench.ask(BLOCKS, block_ids=["ab" * 64]).status == 5
    assert chain.bench.ask(BLOCKS, head_id="ab" * 64).status == 4
    assert chain.bench.ask(BLOCKS, sorting=DEFAULT).status == 7
    for start in ("3", "0x4", "0x0000000000000004", "ab" * 64, "0xg"):
        assert chain.bench.ask(BLOCKS, paging={"start": start}).status == 6
    assert chain.bench.ask(MessageType.CLIENT_BLOCK_GET_BY_NUM_REQUEST, block_num=4).status == 5
    assert chain.bench.ask(MessageType.CLIENT_BLOCK_GET_BY_NUM_REQUEST, block_num=2**64 - 1).status == 5


# State.


def test_state_is_listed_in_order(chain: Chain) -> None:
    addresses = sorted(
        intkey_address(f"{n}{p}{one}") for n, c in enumerate((2, 1, 2)) for p in range(c) for one in "xy"
    )
    found = chain.bench.ask(STATE)
    assert [one.address for one in found.entries] == addresses
    assert (found.status, found.state_root) == (1, chain.bench.root())
    assert [one.address for one in chain.bench.ask(STATE, sorting=REVERSED).entries] == addresses[::-1]
    assert [one.address for one in chain.bench.ask(STATE, address=addresses[3][:10]).entries] == addresses[3:4]
    page = chain.bench.ask(STATE, address=INTKEY, paging={"limit": 4})
    assert ([one.address for one in page.entries], page.paging.next) == (addresses[:4], addresses[4])
    page = chain.bench.ask(STATE, address=INTKEY, paging={"limit": 4, "start": addresses[8]}, sorting=REVERSED)
    assert ([one.address for one in page.entries], page.paging.next) == (addresses[8:4:-1], addresses[4])
    old = parse("BlockHeader", chain.bench.blocks()[2].header).state_root_hash
    assert len(chain.bench.ask(STATE, state_root=old).entries) == 4


def test_state_that_is_refused(chain: Chain) -> None:
    assert chain.bench.ask(STATE, state_root="zz").status == 9
    assert chain.bench.ask(STATE, state_root="ab" * 32).status == 4
    for address in ("zz", "1cf", "1CF126", INTKEY + "0" * 66, "1cf126\n"):
        assert chain.bench.ask(STATE, address=address).status == 8
        assert chain.bench.ask(MessageType.CLIENT_STATE_GET_REQUEST, address=address).status == 6
    found = chain.bench.ask(STATE, address="aaaaaa")
    assert (found.status, found.state_root, found.paging.start) == (5, chain.bench.root(), "")
    assert chain.bench.ask(STATE, address="aaaaaa", paging={"start": "ab" * 35}).status == 5
    assert chain.bench.ask(STATE, paging={"start": "ab" * 35}).status == 6
    assert chain.bench.ask(STATE, paging={"start": "ab"}).status == 6
    assert chain.bench.ask(STATE, paging={"limit": -1}).status == 6
    assert chain.bench.ask(STATE, sorting=[{"keys": ["value"]}]).status == 7
    get = MessageType.CLIENT_STATE_GET_REQUEST
    assert chain.bench.ask(get, address=INTKEY).status == 5
    assert chain.bench.ask(get, address=intkey_address("absent")).status == 5
    assert chain.bench.ask(get, address=INTKEY, state_root="zz").status == 7
    assert chain.bench.ask(get, address=INTKEY, state_root="ab" * 32).status == 4


# What became of batches.


def test_statuses(chain: Chain) -> None:
    found = chain.bench.ask(STATUS, batch_ids=[chain.newest_first[0], "ab" * 64])
    assert [(one.batch_id, one.status) for one in found.batch_statuses] == [(chain.newest_first[0], 1), ("ab" * 64, 4)]
    assert chain.bench.ask(STATUS).status == 5
    assert chain.bench.ask(STATUS, batch_ids=["ab"]).status == 8


def test_receipts(chain: Chain) -> None:
    one, two = chain.transactions[chain.newest_first[0]]
    found = chain.bench.ask(MessageType.CLIENT_RECEIPT_GET_REQUEST, transaction_ids=[two, one])
    assert [receipt.transaction_id for receipt in found.receipts] == [two, one]
    (change,) = found.receipts[1].state_changes
    assert (change.address, change.type) == (intkey_address("20x"), 1)
    for unknown in ("ab" * 64, "", "zz", one[:-2]):
        found = chain.bench.ask(MessageType.CLIENT_RECEIPT_GET_REQUEST, transaction_ids=[one, unknown])
        assert (found.status, len(found.receipts)) == (5, 0)


def test_questions_that_are_none(chain: Chain) -> None:
    for number, content in ((STATE, b"\xff"), (BATCHES, b"\x0a")):
        question = MESSAGES["Message"](message_type=number, content=content).SerializeToString()
        message = parse("Message", chain.bench.harness.query(question, ALICE))
        assert parse("ClientStateListResponse", message.content).status == 2
    for number in (0, 1, 100, 999):
        question = MESSAGES["Message"](message_type=number).SerializeToString()
        assert chain.bench.harness.query(question, ALICE) == b""


def test_requests_that_ask_for_too_much(chain: Chain) -> None:
    one = chain.newest_first[0]
    assert chain.bench.ask(STATUS, batch_ids=[one] * 1_001).status == 2
    assert len(chain.bench.ask(STATUS, batch_ids=[one] * 1_000).batch_statuses) == 1_000
    receipts = MessageType.CLIENT_RECEIPT_GET_REQUEST
    assert chain.bench.ask(receipts, transaction_ids=[chain.transactions[one][0]] * 1_001).status == 2
    assert len(chain.bench.ask(BATCHES, batch_ids=[one] * 3_000, paging={"limit": 5_000}).batches) == 1_000


def test_a_list_looks_at_so_many_batches(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries_chain, "SCANNED_MAX", 5)
    page = chain.bench.ask(BATCHES)
    assert (ids(page), page.paging.next) == (chain.newest_first[:3], "")
    assert ids(chain.bench.ask(BATCHES, paging={"start": chain.newest_first[2]})) == chain.newest_first[2:]


def test_a_page_is_bounded_in_bytes() -> None:
    bench, client = Bench(), Client()
    for number in range(6):
        bench.commit(client.batch(client.intkey("set", str(number), 1, nonce="n" * 900_000)))
    page = bench.ask(BATCHES)
    assert (len(page.batches), page.paging.next != "") == (4, True)
    assert len(bench.ask(BLOCKS).blocks) == 4
