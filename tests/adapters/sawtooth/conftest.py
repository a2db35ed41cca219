"""An executor that answers lists of blocks, for the tests of the REST API."""

from __future__ import annotations

import pytest

from adapters.sawtooth.wire.messages import ListStatus, MessageType
from tests.adapters.sawtooth.stub_validator import ID_C, StubValidator, make, make_batch, make_block


@pytest.fixture
def validator() -> StubValidator:
    made = StubValidator()
    made.answers[MessageType.CLIENT_BLOCK_LIST_REQUEST] = make(
        "ClientBlockListResponse",
        status=ListStatus.OK,
        blocks=[make_block(7, ID_C, make_batch())],
        head_id=ID_C,
        paging=make("ClientPagingResponse", start="0x0000000000000007", limit=100, next="0x0000000000000006"),
    )
    return made
