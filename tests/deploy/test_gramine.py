"""The Gramine manifests: they name what is measured, and nothing that is insecure is on. Never run on hardware."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from enclave_sim.platform.measurement import measure_node

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "gramine" / "render.py"


@pytest.fixture(scope="module")
def rendering() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render_gramine", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def manifests(rendering: ModuleType) -> dict[str, str]:
    manager, worker = measure_node()
    codes = {"manager": manager.code, "worker": worker.code}
    return {
        role: rendering.render(role, codes[kind], Path("/gramine"), Path("/usr/lib/x86_64-linux-gnu"))
        for role, kind in rendering.KINDS.items()
    }


def insecure(value: Any, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield every option whose name says that it is insecure."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.startswith("insecure__"):
                yield f"{name}{key}", inner
            yield from insecure(inner, f"{name}{key}.")


@pytest.mark.parametrize("role", ["manager", "executor", "gateway", "reader"])
def test_the_manifest_is_strict(manifests: dict[str, str], role: str) -> None:
    manifest = tomllib.loads(manifests[role])
    sgx, loader = manifest["sgx"], manifest["loader"]
    assert sgx["remote_attestation"] == "dcap"
    assert (sgx["debug"], sgx["enable_stats"], sgx["file_check_policy"]) == (False, False, "strict")
    assert sgx["allowed_files"] == []
    assert not any(value for _, value in insecure(manifest))
    assert len(list(insecure(manifest))) == 6
    assert (sgx["isvprodid"], sgx["isvsvn"]) == (1 if role == "manager" else 2, 1)
    assert sgx["max_threads"] > 4
    size = int(sgx["enclave_size"].removesuffix("G"))
    assert size & (size - 1) == 0
    assert manifest["sys"]["disallow_subprocesses"] is True
    assert set(loader["env"]) == {"LANG", "TZ", "LD_LIBRARY_PATH"}
    assert loader["argv"][0] == manifest["libos"]["entrypoint"]
    assert loader["argv"][-2:] == ["--role", role]
    assert "env_src_file" not in loader
    assert "argv_src_file" not in loader


def test_the_trusted_files_are_the_measured_ones(manifests: dict[str, str]) -> None:
    manager, worker = measure_node()
    for role, measured in (("manager", manager), ("executor", worker)):
        manifest = tomllib.loads(manifests[role])
        trusted = {one["uri"]: one["sha256"] for one in manifest["sgx"]["trusted_files"] if isinstance(one, dict)}
        files = [*measured.code.files.values(), *measured.code.program.values()]
        assert trusted == {f"file:{one.file}": one.digest.hex() for one in files}
        mounted = {one["uri"] for one in manifest["fs"]["mounts"]}
        named = {one for one in manifest["sgx"]["trusted_files"] if isinstance(one, str) and "/gramine/" not in one}
        assert mounted == set(trusted) | named | {"file:/gramine/runtime/glibc"}
        program = manifest["libos"]["entrypoint"]
        assert trusted[f"file:{program}"] == hashlib.sha256(Path(program).read_bytes()).hexdigest()
    assert not any("/adapters/" in one for one in manifests["manager"].splitlines() if "adapters/ethereum" in one)
    assert "adapters/ethereum/adapter.py" in manifests["executor"]


def test_it_says_that_it_was_never_run(manifests: dict[str, str]) -> None:
    assert all("NEVER RUN ON HARDWARE" in text for text in manifests.values())
    assert "Never run on hardware" in (SCRIPT.parent / "README.md").read_text()


@pytest.mark.parametrize("role", ["manager", "executor"])
def test_gramines_own_check(manifests: dict[str, str], role: str, tmp_path: Path) -> None:
    program = shutil.which("gramine-manifest-check")
    if program is None:
        pytest.skip("gramine-manifest-check is not installed")
    file = tmp_path / "coco.manifest"
    file.write_text(manifests[role])
    done = subprocess.run([program, file], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
