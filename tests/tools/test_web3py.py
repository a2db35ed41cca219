"""docs/tools/web3py.md, run as it stands, by the proxy and directly."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.tools.documents import write_files
from tests.tools.node import run


@pytest.mark.parametrize("way", ["proxy", "direct"])
def test_use(way: str, tmp_path: Path, parcels: Path, variables: dict[str, str]) -> None:
    shutil.copy(parcels, tmp_path)
    write_files("web3py", tmp_path)
    shutil.copy(tmp_path / f"connect_{way}.py", tmp_path / "connect.py")
    done = run([sys.executable, "use.py"], tmp_path, **variables)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert done.stdout.splitlines() == [
        "depot North",
        "status 1 logs 1",
        "holder is mine True",
        "error UnknownParcel 7",
        "reason execution reverted: parcel exists",
        "batch True True",
        "past ['registered']",
        "watched ['registered']",
    ]


def test_without_certificate_or_token(tmp_path: Path, variables: dict[str, str]) -> None:
    write_files("web3py", tmp_path)
    shutil.copy(tmp_path / "connect_direct.py", tmp_path / "connect.py")
    (tmp_path / "ask.py").write_text("from connect import w3\nprint(w3.eth.block_number)\n")
    assert run([sys.executable, "ask.py"], tmp_path, **variables).returncode == 0
    nobody = run([sys.executable, "ask.py"], tmp_path, **variables | {"COCO_TOKEN": "wrong"})
    assert "401" in nobody.stderr
    public = tmp_path / "other.py"
    public.write_text((tmp_path / "connect.py").read_text().replace('os.environ["COCO_CA"]', "True"))
    unpinned = run([sys.executable, "other.py"], tmp_path, **variables)
    assert unpinned.returncode == 0  # Nothing is sent before the first request.
    (tmp_path / "ask.py").write_text("from other import w3\nprint(w3.eth.block_number)\n")
    assert "CERTIFICATE_VERIFY_FAILED" in run([sys.executable, "ask.py"], tmp_path, **variables).stderr
