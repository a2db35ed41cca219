"""The measurement changes with every byte and name of the measured files, and with nothing else."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from core.errors import CocoError
from enclave_sim.platform.code_files import adapter_entry_points, adapter_files, source_root
from enclave_sim.platform.measurement import code_manifest, image_records, measure, measure_files, measure_node
from enclave_sim.sgx.sgxs import EnclaveImage, Page, parse_sgxs


def files(folder: Path, contents: dict[str, bytes]) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return {name: folder / name for name in contents}


CONFIGURATION = {"enclave": "worker"}


def test_every_name_and_byte_counts(tmp_path: Path) -> None:
    base = {"a.py": b"one", "b.py": b"two"}
    variants = [base, {"a.py": b"one", "b.py": b"twO"}, {"a.py": b"onetwo", "b.py": b""}, {"a.py": b"one"}]
    variants += [{"a.py": b"one", "c.py": b"two"}, {**base, "c.py": b""}]

    def measured(folder: str, contents: dict[str, bytes], configuration: dict[str, str] = CONFIGURATION) -> bytes:
        return measure_files("worker", files(tmp_path / folder, contents), configuration).mrenclave

    digests = [measured(str(number), one) for number, one in enumerate(variants)]
    digests.append(measured("m", base, {"enclave": "manager"}))
    assert len(set(digests)) == len(digests)
    assert measured("again", base) == digests[0]


def test_the_stream_is_canonical_and_holds_the_files(tmp_path: Path) -> None:
    measured = measure_files("worker", files(tmp_path, {"a.py": b"one", "b.py": b"x" * 5000}), CONFIGURATION)
    assert hashlib.sha256(measured.sgxs).digest() == measured.mrenclave
    records = image_records(parse_sgxs(measured.sgxs))
    assert records == {".configuration": b'{"enclave":"worker"}', "a.py": b"one", "b.py": b"x" * 5000}


def test_another_image_has_no_records(tmp_path: Path) -> None:
    empty = EnclaveImage(8192, 1, (Page(0, 0x201, bytes(4096)),))
    with pytest.raises(CocoError, match="not an image"):
        image_records(empty)
    with pytest.raises(CocoError, match="damaged"):
        image_records(replace(empty, pages=(Page(0, 0x201, b"COCOIMG1".ljust(4096, b"\xff")),)))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match="cannot be measured"):
        measure_files("worker", {"a.py": tmp_path / "a.py"}, CONFIGURATION)


SHOW = "import sys; sys.path.insert(0, sys.argv[1]); from enclave_sim.platform import measurement as m; "
SHOW += "assert m.__file__.startswith(sys.argv[1]); print(*(one.mrenclave.hex() for one in m.measure_node()))"


def test_a_copy_in_another_folder_measures_the_same_and_one_changed_byte_another(tmp_path: Path) -> None:
    for package in ("core", "enclave_sim", "adapters"):
        shutil.copytree(source_root() / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source_root() / "pyproject.toml", tmp_path)

    def copies() -> list[str]:
        command = [sys.executable, "-I", "-c", SHOW, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    here = [one.mrenclave.hex() for one in measure_node()]
    assert copies() == here
    with (tmp_path / "adapters/ethereum/vm.py").open("ab") as file:
        file.write(b"\n")
    changed = copies()
    assert changed[0] == here[0]
    assert changed[1] != here[1]


def test_the_manifest_names_every_adapter_and_library_by_its_code() -> None:
    manager, worker = measure_node()
    manifest = msgspec.json.decode(code_manifest(manager, worker))
    assert manifest["worker"]["measurement"] == worker.mrenclave.hex()
    ethereum = next(one for one in manifest["worker"]["adapters"] if one["name"] == "ethereum")
    assert len(ethereum["sha256"]) == 64
    assert (ethereum["distribution"], bool(ethereum["version"])) == ("coco-ledger", True)
    assert manifest["manager"]["adapters"] == []
    libraries = {one["name"]: one for one in manifest["manager"]["libraries"]}
    assert {"cryptography", "msgspec", "py-evm", "pycryptodome"} <= set(libraries)
    assert all(one["files"] and one["version"] for one in libraries.values())
    assert "pytest" not in libraries


def test_this_installation() -> None:
    manager, worker = measure("manager"), measure("worker")
    assert len(manager) == len(worker) == 32
    assert manager != worker


def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str) -> None:
    """Install a distribution with an adapter, by its metadata alone."""
    info = tmp_path / "their_adapter-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-adapter\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[coco.adapters]\ntheirs = their_adapter.main:Adapter\n")
    (info / "RECORD").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("record", ["their_adapter/main.py,,\n", "_editable.pth,,\n"])
def test_an_installed_adapter_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str) -> None:
    before = measure("worker"), measure("manager")
    package = tmp_path / "their_adapter"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('measuring must not import')")
    (package / "main.py").write_text("one = 1\n")
    third_party(tmp_path, monkeypatch, record)
    with_adapter = measure("worker")
    (package / "main.py").write_text("one = 2\n")
    assert len({before[0], with_adapter, measure("worker")}) == 3
    assert measure("manager") == before[1]
    assert "their_adapter" not in sys.modules
    manager, worker = measure_node()
    [theirs] = [
        one
        for one in msgspec.json.decode(code_manifest(manager, worker))["worker"]["adapters"]
        if one["name"] == "theirs"
    ]
    assert (theirs["distribution"], theirs["version"], theirs["files"] > 0) == ("their-adapter", "1.0", True)
    assert worker.code.files["their_adapter/main.py"].file == package / "main.py"
    assert "their_adapter/main.py" not in manager.code.files
    [installed] = [one for one in worker.code.installed if one.name == "their-adapter"]
    assert installed.entry_points == "[coco.adapters]\ntheirs = their_adapter.main:Adapter\n"
    assert not any(one.entry_points for one in manager.code.installed)


def test_what_is_handed_over_is_what_is_in_the_image() -> None:
    """The code that the loader gives has the digests of the records, and covers nothing that is not measured."""
    for measured in measure_node():
        records = image_records(parse_sgxs(measured.sgxs))
        own = {path: file for path, file in measured.code.files.items() if file.name in records}
        assert {"core/errors.py", "enclave_sim/enclave_main.py", "enclave_sim/loader/boot.py"} <= set(own)
        assert all(hashlib.sha256(records[file.name]).digest() == file.digest for file in own.values())
        assert set(records) == {file.name for file in own.values()} | {".configuration"}
        assert {"json/__init__.py", "cryptography/__init__.py"} <= set(measured.code.files)
        assert not any(path.endswith((".pyc", ".pth")) for path in measured.code.files)


def test_a_distribution_with_two_adapters_is_measured_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    third_party(tmp_path, monkeypatch, "_editable.pth,,\n")
    (tmp_path / "their_adapter-1.0.dist-info" / "entry_points.txt").write_text(
        "[coco.adapters]\none = their_one:Adapter\ntwo = their_two:Adapter\n"
    )
    for name in ("their_one.py", "their_two.py"):
        (tmp_path / name).write_text("class Adapter: pass\n")
    manager, worker = measure_node()
    assert {"their_one.py", "their_two.py"} <= set(worker.code.files)
    adapters = msgspec.json.decode(code_manifest(manager, worker))["worker"]["adapters"]
    assert [one["files"] for one in adapters if one["distribution"] == "their-adapter"] == [2, 2]


def test_an_adapter_that_cannot_be_found_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    third_party(tmp_path, monkeypatch, "")
    with pytest.raises(CocoError, match="'theirs'"):
        measure("worker")


def test_our_own_distribution_is_not_measured_twice() -> None:
    ours = next(one for one in adapter_entry_points() if one.name == "ethereum")
    assert adapter_files(ours) == {}
