"""An adapter's package is imported as a whole, before anything of it runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core.errors import CocoError
from enclave_sim.isolation.preload import _import_packages, load_whole_adapters


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a package with a module that nothing imports, and a program."""
    name = "coco_test_preloaded"
    folder = tmp_path / name
    (folder / "inner").mkdir(parents=True)
    for file in ("__init__.py", "late.py", "inner/__init__.py", "inner/later.py"):
        (folder / file).touch()
    (folder / "__main__.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def test_every_module_of_a_package_but_its_program(package: str) -> None:
    _import_packages([package, ""])
    for module in (package, f"{package}.late", f"{package}.inner.later"):
        del sys.modules[module]
    assert f"{package}.__main__" not in sys.modules


def test_the_ethereum_adapter() -> None:
    adapters = load_whole_adapters({"ethereum": {"chain_id": 1337}}, "demo")
    assert list(adapters) == ["ethereum"]
    folder = Path(__file__).resolve().parents[3] / "adapters" / "ethereum"
    modules = {f"adapters.ethereum.{file.stem}" for file in folder.glob("*.py") if file.stem != "__init__"}
    assert modules <= set(sys.modules)


def test_an_adapter_that_is_not_installed() -> None:
    with pytest.raises(CocoError, match="no adapter named 'missing'"):
        load_whole_adapters({"missing": {}}, "demo")
