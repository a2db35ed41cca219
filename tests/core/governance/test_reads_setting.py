"""What a constitution says of reads: linearizable unless it says otherwise; networks of before keep their digest."""

from __future__ import annotations

import msgspec
import pytest

from core.errors import CocoError
from core.governance.constitution import Constitution
from tests.support.governance_bench import make_constitution


def test_not_said_they_are_linearizable_and_nothing_is_added() -> None:
    constitution = make_constitution()
    assert constitution.reads_are_linearizable
    assert b'"reads"' not in constitution.encode()
    assert Constitution.decode(constitution.encode()).digest() == constitution.digest()


@pytest.mark.parametrize(("reads", "linearizable"), [("linearizable", True), ("session", False)])
def test_what_is_said_counts(reads: str, linearizable: bool) -> None:
    document = msgspec.json.decode(make_constitution().encode()) | {"reads": reads}
    constitution = Constitution.decode(msgspec.json.encode(document))
    assert constitution.reads_are_linearizable is linearizable
    assert Constitution.decode(constitution.encode()) == constitution
    assert constitution.digest() != make_constitution().digest()


@pytest.mark.parametrize("reads", ["stale", "", None, 1])
def test_anything_else_is_refused(reads: object) -> None:
    document = msgspec.json.decode(make_constitution().encode()) | {"reads": reads}
    with pytest.raises(CocoError, match="does not parse"):
        Constitution.decode(msgspec.json.encode(document))
