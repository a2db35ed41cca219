"""Adapters found by entry point."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint

import pytest

from core.adapter import loading
from core.adapter.interface import Adapter, AdapterInfo, Executed, ExecutionContext, Route, ScopedTransaction
from core.errors import CocoError


class Fine(Adapter):
    info = AdapterInfo("fine", "1", "")

    def routes(self) -> Sequence[Route]:
        return []

    def execute(self, transaction: ScopedTransaction, payload: bytes, context: ExecutionContext) -> Executed:
        return Executed(b"")


def install(monkeypatch: pytest.MonkeyPatch, *points: tuple[str, str]) -> None:
    found = [EntryPoint(name, value, loading.ENTRY_POINT_GROUP) for name, value in points]
    monkeypatch.setattr(loading, "entry_points", lambda group: found)


def test_an_adapter_is_made_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("fine", "there:Fine"))
    monkeypatch.setattr(EntryPoint, "load", lambda point: Fine)
    made = loading.load_adapters({"fine": {"a": 1}}, "network")
    assert (made["fine"].settings, made["fine"].network) == ({"a": 1}, "network")


def test_an_unknown_name_says_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("fine", "there:Fine"), ("other", "there:Other"))
    with pytest.raises(CocoError, match=r"installed: fine, other"):
        loading.load_adapters({"missing": {}}, "network")


def test_two_packages_with_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("fine", "here:Fine"), ("fine", "there:Fine"))
    with pytest.raises(CocoError, match="two installed packages"):
        loading.installed_adapters()
    install(monkeypatch, ("fine", "here:Fine"), ("fine", "here:Fine"))
    assert list(loading.installed_adapters()) == ["fine"]


def test_an_adapter_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ("fine", "no_such_module_at_all:Fine"))
    with pytest.raises(CocoError, match="cannot be imported"):
        loading.load_adapter_class("fine")


@pytest.mark.parametrize(
    ("name", "found"),
    [("fine", object()), ("fine", dict), ("other", Fine)],
    ids=["no class", "another class", "another name"],
)
def test_what_is_no_adapter(name: str, found: object) -> None:
    with pytest.raises(CocoError):
        loading.check_adapter_class(name, found)


@pytest.mark.parametrize("name", ["coco", "ccf", "node", "token", "public", "Upper", "", "a" * 33, "with-dash"])
def test_names_that_cannot_be_taken(name: str) -> None:
    found = type("Named", (Fine,), {"info": AdapterInfo(name, "1", "")})
    with pytest.raises(CocoError):
        loading.check_adapter_class(name, found)
