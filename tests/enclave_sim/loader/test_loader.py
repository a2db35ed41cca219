"""A process that is started as an enclave runs what was measured, and nothing else that lies on the machine."""

from __future__ import annotations

import hashlib
import importlib.machinery
import py_compile
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from enclave_sim.loader.channel import REFUSED_EXIT_CODE
from enclave_sim.loader.importer import stop_loading
from enclave_sim.platform.code_list import CodeChanged, CodeFile, CodeList, Installed
from tests.support.enclave_probe import Probes

SAY = b"import sys\ndef say(*values): print(*values, file=sys.stderr)\n"
EXTENSION = importlib.machinery.EXTENSION_SUFFIXES[0]

ORIGINS = b"""
import re
def main():
    import adapters.ethereum.adapter, enclave_sim.enclave_main
    for name, module in sorted(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if name in ("__main__", "_socket") or origin in ("built-in", "frozen", None) or origin.startswith("/enclave/"):
            continue
        if not origin.startswith("/proc/self/fd/"):
            say("foreign", name, origin)
    assert sys.path == ["/enclave"], sys.path
    assert __file__ == "/enclave/probe.py" and sys.flags.no_site and sys.flags.safe_path
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.split(None, 5)
            if len(fields) == 6 and "x" in fields[1] and fields[5].startswith("/") and "/memfd:" not in fields[5]:
                say("mapped", fields[5].strip())
"""


async def test_everything_that_runs_was_measured(probes: Probes) -> None:
    """Outside the measurement lie libraries of the system only: they are named in docs/attestation.md."""
    ended = await probes.run(probes.code({"probe.py": SAY + ORIGINS}))
    assert ended.status == 0, ended.text
    assert "foreign" not in ended.text
    mapped = {line.removeprefix("mapped ") for line in ended.text.splitlines()}
    outside = mapped - {str(one.file.resolve()) for one in probes.worker.program.values()}
    assert all(Path(one).name.startswith(("lib", "ld-")) for one in outside)
    assert not any("site-packages" in one or "lib-dynload" in one for one in outside)


@pytest.mark.parametrize("changed", [b"VALUE = 2\n", b"", None])
async def test_a_file_that_was_changed_after_the_measurement_ends_the_enclave(
    probes: Probes,
    changed: bytes | None,
) -> None:
    """Even where the import's failure would be caught."""
    probe = b"def main():\n  try: import other\n  except BaseException: say('went on')\n"
    code = probes.code({"probe.py": SAY + probe, "other.py": b"VALUE = 1\n"})
    file = code.files["other.py"].file
    assert (await probes.run(code)).status == 0
    file.unlink() if changed is None else file.write_bytes(changed)
    ended = await probes.run(code)
    assert ended.status == REFUSED_EXIT_CODE
    assert str(file) in ended.text
    assert len(ended.refused) == 1
    assert str(file) in ended.refused[0]
    assert "went on" not in ended.text


async def test_what_runs_first_is_checked_too(probes: Probes) -> None:
    for path in ("encodings/aliases.py", "enclave_sim/loader/importer.py"):
        wrong = replace(probes.worker.files[path], digest=bytes(32))
        with pytest.raises(CodeChanged, match="changed after it was measured"):
            await probes.run(replace(probes.worker, files={**probes.worker.files, path: wrong}))


async def test_another_interpreter_is_given_no_code(probes: Probes) -> None:
    code = probes.code({"probe.py": SAY + b"def main(): say('ran')\n"})
    wrong = replace(code, program={**code.program, "python": replace(code.program["python"], digest=bytes(32))})
    ended = await probes.run(wrong)
    assert (ended.status, ended.refused) != (0, ())
    assert "ran" not in ended.text


async def test_compiled_files_are_ignored(probes: Probes, tmp_path: Path) -> None:
    code = probes.code(
        {"probe.py": SAY + b"import other\ndef main(): say(other.VALUE)\n", "other.py": b"VALUE = 'ours'\n"}
    )
    folder = code.files["other.py"].file.parent
    (tmp_path / "planted.py").write_text("VALUE = 'theirs'\n")
    for target in (importlib.util.cache_from_source(str(folder / "other.py")), str(folder / "other.pyc")):
        py_compile.compile(
            str(tmp_path / "planted.py"), cfile=target, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    ended = await probes.run(code)
    assert ended.text == "ours\n"


async def test_what_the_host_plants_has_no_effect(
    probes: Probes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Modules of the current folder, PYTHONPATH, the user's packages and start-up files, and LD_PRELOAD."""
    planted = tmp_path / "planted"
    user = planted / "lib" / "python" / "site-packages"
    user.mkdir(parents=True)
    for folder in (planted, user):
        for name in ("json", "sitecustomize", "usercustomize", "encodings", "other", "startup", "core"):
            (folder / f"{name}.py").write_text("import os; os.write(2, b'planted')")
        (folder / "planted.pth").write_text("import os; os.write(2, b'planted')\n")
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE", "PYTHONPLATLIBDIR", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, str(planted))
    monkeypatch.setenv("PYTHONSTARTUP", str(planted / "startup.py"))
    monkeypatch.setenv("PYTHONINSPECT", "1")
    monkeypatch.setenv("LD_PRELOAD", str(planted / "none.so"))
    monkeypatch.chdir(planted)
    probe = b"import json, core.errors, other, os\ndef main(): say(other.VALUE, sorted(os.environ), json.__file__)\n"
    ended = await probes.run(probes.code({"probe.py": SAY + probe, "other.py": b"VALUE = 1\n"}))
    assert ended.text == "1 ['LANG', 'TZ'] /enclave/json/__init__.py\n"


async def test_what_is_installed_but_not_measured_cannot_be_imported(probes: Probes) -> None:
    probe = b"def main():\n  try: import pytest\n  except ModuleNotFoundError as error: say(error)\n"
    ended = await probes.run(probes.code({"probe.py": SAY + probe}))
    assert ended.text == "No module named 'pytest'\n"


def extension_path(code: CodeList, module: str) -> str:
    found = [path for path in code.files if path.startswith(f"{module}.") and path.endswith(".so")]
    if not found:
        pytest.skip(f"{module} is built into this interpreter")
    return found[0]


async def test_a_swapped_extension_is_refused(probes: Probes) -> None:
    name = f"swapped{EXTENSION}"
    probe = b"def main():\n  import _cffi_backend\n  try: import swapped\n  except ImportError as error: say(error)\n"
    original = probes.worker.files[f"_cffi_backend{EXTENSION}"].file.read_bytes() + b"\0"
    code = probes.code({"probe.py": SAY + probe, name: original})
    ended = await probes.run(code)
    assert ended.status == 0
    assert "PyInit_swapped" in ended.text  # It was loaded, and is another module.
    other = probes.worker.files[extension_path(probes.worker, "_pysha3")].file
    shutil.copy(other, code.files[name].file)
    ended = await probes.run(code)
    assert ended.status == REFUSED_EXIT_CODE
    assert str(code.files[name].file) in ended.refused[0]


async def test_libraries_that_others_load(probes: Probes) -> None:
    """Shared libraries that extensions need (gmpy2), and that are loaded by their files' names (pycryptodome)."""
    probe = b"""
def main():
    from enclave_sim.process import forbid_inspection
    forbid_inspection()  # As an enclave does; then a process that is not root owns less of /proc/self.
    import ctypes, gmpy2
    from Crypto.Hash import keccak
    say(gmpy2.mpz(2) ** 70, keccak.new(digest_bits=256, data=b"").hexdigest()[:8])
    try: ctypes.CDLL("/enclave/none.so")
    except OSError as error: say(error.filename)
    ctypes.CDLL(None)
"""
    ended = await probes.run(probes.code({"probe.py": SAY + probe}))
    assert ended.text == "1180591620717411303424 c5d24601\n/enclave/none.so\n"


READS = b"""
import importlib.resources, io, os, pathlib, pkgutil
import package.inner
def main():
    here = pathlib.Path(package.__file__).parent
    texts = [
        open(here / "data.txt").read(),
        open(str(here / "inner/../data.txt"), "rb").read().decode(),
        (here / "data.txt").read_text(),
        pkgutil.get_data("package", "data.txt").decode(),
        importlib.resources.files("package").joinpath("data.txt").read_text(),
        (importlib.resources.files("package") / "data.txt").open(encoding="utf-8").read(),
        next(one for one in importlib.resources.files("package").iterdir() if one.name == "data.txt").read_text(),
    ]
    say(set(texts), os.path.isfile(here / "data.txt"), os.path.isdir(here), sorted(os.listdir(here)))
    say([one.name for one in pkgutil.walk_packages(package.__path__, "package.")])
    for mode, name in (("r", "other.txt"), ("w", "data.txt"), ("r", "../../../etc/passwd")):
        try: open(f"{here}/{name}", mode)
        except OSError as error: say(type(error).__name__)
    import inspect
    say(inspect.getsource(package.inner).strip())
"""


async def test_data_files_are_the_measured_ones(probes: Probes) -> None:
    contents = {
        "probe.py": SAY + READS,
        "package/__init__.py": b"",
        "package/data.txt": b"some data",
        "package/inner/__init__.py": b"ONE = 1\n",
        "package/inner/__main__.py": b"",
    }
    code = probes.code(contents)
    file = code.files["package/data.txt"].file
    (file.parent / "other.txt").write_text("not measured")
    ended = await probes.run(code)
    assert ended.text.splitlines() == [
        "{'some data'} True True ['__init__.py', 'data.txt', 'inner']",
        "['package.inner', 'package.inner.__main__']",
        *("FileNotFoundError", "PermissionError", "FileNotFoundError"),
        "ONE = 1",
    ]
    file.write_bytes(b"some dat4")
    ended = await probes.run(code)
    assert ended.status == REFUSED_EXIT_CODE
    assert str(file) in ended.refused[0]


async def test_what_is_installed_is_what_was_measured(probes: Probes) -> None:
    probe = b"""
from importlib import metadata
def main():
    found = metadata.entry_points(group="coco.adapters")
    theirs = found["theirs"]
    say(theirs.value, theirs.dist.name, theirs.dist.version, theirs.load().__name__, metadata.version("Their_Adapter"))
    say(metadata.version("cryptography") > "", found["ethereum"].load().__name__)
    try: metadata.version("pytest")
    except metadata.PackageNotFoundError as error: say("no", error.name)
"""
    code = probes.code({"probe.py": SAY + probe, "their_adapter.py": b"class Adapter: pass\n"})
    theirs = Installed("their-adapter", "1.5", "[coco.adapters]\ntheirs = their_adapter:Adapter\n")
    ended = await probes.run(replace(code, installed=(*code.installed, theirs)))
    assert ended.text.splitlines() == [
        "their_adapter:Adapter their-adapter 1.5 Adapter 1.5",
        "True EthereumAdapter",
        "no pytest",
    ]


async def test_namespace_packages_and_time_zones(probes: Probes) -> None:
    probe = b"import spaced.one, zoneinfo\ndef main(): say(spaced.one.ONE, list(spaced.__path__))\n"
    ended = await probes.run(probes.code({"probe.py": SAY + probe, "spaced/one.py": b"ONE = 1\n"}))
    assert ended.text == "1 ['/enclave/spaced']\n"


async def test_nothing_is_loaded_once_that_has_been_stopped(probes: Probes) -> None:
    probe = b"""
from enclave_sim.loader.importer import stop_loading
import json
def main():
    stop_loading()
    import json
    try: import wave
    except ImportError as error: say(error)
"""
    ended = await probes.run(probes.code({"probe.py": SAY + probe}))
    assert ended.text == "wave.py was not loaded while the enclave could load code\n"


def test_stopping_without_a_loader_is_no_harm() -> None:
    stop_loading()


async def test_threads_import_at_once(probes: Probes) -> None:
    probe = b"""
import importlib, threading
def main():
    names = [f"many.m{number}" for number in range(40)]
    threads = [threading.Thread(target=importlib.import_module, args=(name,)) for name in names]
    [one.start() for one in threads]
    [one.join() for one in threads]
    say(sum(sys.modules[name].VALUE for name in names))
"""
    many = {f"many/m{number}.py": f"VALUE = {number}\n".encode() for number in range(40)}
    ended = await probes.run(probes.code({"probe.py": SAY + probe, **many}))
    assert ended.text == "780\n"


def test_a_code_file_is_its_measured_bytes(tmp_path: Path) -> None:
    file = tmp_path / "one.py"
    file.write_bytes(b"one")
    assert CodeFile("one.py", file, hashlib.sha256(b"one").digest()).read() == b"one"
