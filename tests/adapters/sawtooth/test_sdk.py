"""Families written for Sawtooth's SDK run without a change, found by entry point."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from adapters.sawtooth.families import loading
from adapters.sawtooth.sdk.shim import TransactionProcessor, install
from adapters.sawtooth.wire.messages import MessageType
from core.errors import CocoError
from tests.adapters.sawtooth.support import Bench, Client

FAMILY = """
import logging

from sawtooth_sdk.processor.core import TransactionProcessor
from sawtooth_sdk.processor.context import Context
from sawtooth_sdk.processor.exceptions import InternalError
from sawtooth_sdk.processor.exceptions import InvalidTransaction
from sawtooth_sdk.processor.handler import TransactionHandler
from sawtooth_sdk.processor.log import init_console_logging
from sawtooth_sdk.protobuf import events_pb2, state_context_pb2
from sawtooth_sdk.protobuf.setting_pb2 import Setting
from sawtooth_sdk.protobuf.transaction_pb2 import TransactionHeader
import sawtooth_sdk.protobuf.validator_pb2 as validator_pb2

LOGGER = logging.getLogger(__name__)
NAMESPACE = "abcdef"


class NoteHandler(TransactionHandler):
    @property
    def family_name(self):
        return "note"

    @property
    def family_versions(self):
        return ["1.0", "1.1"]

    @property
    def namespaces(self):
        return [NAMESPACE]

    def apply(self, transaction, context):
        header = transaction.header
        copy = TransactionHeader()
        copy.ParseFromString(header.SerializeToString())
        assert copy.signer_public_key == header.signer_public_key
        assert transaction.signature and transaction.payload
        address = NAMESPACE + "0" * 64
        if transaction.payload == b"no":
            raise InvalidTransaction("no note")
        before = context.get_state([address], timeout=3)
        setting = Setting(entries=[Setting.Entry(key=header.signer_public_key, value=transaction.payload.decode())])
        if before:
            setting.MergeFrom(Setting.FromString(before[0].data))
        addresses = context.set_state({address: setting.SerializeToString()}, timeout=3)
        if len(addresses) < 1:
            raise InternalError("State Error")
        context.add_event(event_type="note/added", attributes=[("signer", header.signer_public_key)], data=b"d")
        context.add_receipt_data(b"receipt")


assert events_pb2.Event(attributes=[events_pb2.Event.Attribute(key="k", value="v")]).attributes[0].key == "k"
assert state_context_pb2.TpStateGetResponse.AUTHORIZATION_ERROR == 2
assert validator_pb2.Message.TP_PROCESS_REQUEST == 5
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a family; what it brings into sys.modules is taken out again."""
    before = set(sys.modules)
    (tmp_path / "note_family.py").write_text(FAMILY)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("note", "note_family:NoteHandler", loading.ENTRY_POINT_GROUP)
    monkeypatch.setattr(loading, "entry_points", lambda group: [point] if group == loading.ENTRY_POINT_GROUP else [])
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("sawtooth_sdk", "note_family")):
            del sys.modules[name]


@pytest.mark.usefixtures("installed")
def test_a_family_of_the_sdk() -> None:
    bench, client = Bench({"namespaces": {"abcdef": {"read": ["*"]}}}), Client()
    batch = client.batch(client.transaction("note", b"hello", ["abcdef"], version="1.1"))
    bench.commit(batch)
    assert b"hello" in bench.state()["abcdef" + "0" * 64]
    one = bench.blocks()[0].batches[0].transactions[0].header_signature
    (receipt,) = bench.ask(MessageType.CLIENT_RECEIPT_GET_REQUEST, transaction_ids=[one]).receipts
    assert (list(receipt.data), receipt.events[0].event_type) == ([b"receipt"], "note/added")
    assert bench.invalid(client.batch(client.transaction("note", b"no", ["abcdef"]))) == "no note"
    wrong = client.batch(client.transaction("note", b"x", ["abcdef"], outputs=[]))
    assert "Tried to set unauthorized address" in bench.invalid(wrong)


@pytest.mark.usefixtures("installed")
def test_no_processor_is_started() -> None:
    install()
    from sawtooth_sdk.processor.core import TransactionProcessor as Imported

    assert Imported is TransactionProcessor
    with pytest.raises(RuntimeError, match="entry point"):
        Imported(url="tcp://localhost:4004")


@pytest.mark.usefixtures("installed")
def test_what_is_imported_already_stays() -> None:
    install()
    before = sys.modules["sawtooth_sdk"]
    install()
    assert sys.modules["sawtooth_sdk"] is before


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("absent_family:Handler", "cannot be loaded"),
        ("adapters.sawtooth.families.intkey:Absent", "cannot be loaded"),
        ("adapters.sawtooth.sdk.handler:TransactionHandler", "cannot be loaded"),
        ("collections:Counter", "is no transaction family"),
        ("adapters.sawtooth.families.intkey:IntkeyHandler", "bring the family 'intkey'"),
    ],
)
def test_families_that_cannot_be_used(value: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("theirs", value, loading.ENTRY_POINT_GROUP)
    monkeypatch.setattr(loading, "entry_points", lambda group: [point])
    monkeypatch.setattr(loading, "install", lambda: None)
    with pytest.raises(CocoError, match=message):
        loading.load_families()
