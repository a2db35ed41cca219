"""docs/tools/ethers.md, run as it stands, by the proxy and directly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tools.documents import write_files
from tests.tools.node import run, run_program, workshop


@pytest.fixture(params=["proxy", "direct"])
def directory(request: pytest.FixtureRequest, tmp_path: Path, parcels: Path, variables: dict[str, str]) -> Path:
    made = workshop(tmp_path, "js")
    shutil.copy(parcels, made)
    write_files("ethers", made)
    if request.param == "direct":
        shutil.copy(made / "connect-direct.mjs", made / "connect.mjs")
        variables["NODE_EXTRA_CA_CERTS"] = variables["COCO_CA"]
        del variables["COCO_PROXY"]
    else:
        del variables["COCO_URL"], variables["COCO_TOKEN"]
    return made


def test_use(directory: Path, variables: dict[str, str]) -> None:
    assert run_program("use.mjs", directory, **variables) == [
        "depot North",
        "status 1 logs 1",
        "holder is mine true",
        "call UnknownParcel 7n",
        "transaction CALL_EXCEPTION UnknownParcel 7n",
        "reason parcel exists",
        "reverted CALL_EXCEPTION 0",
        "transfer 0 1",
        "transfer 2 1",
        "parallel true",
        "past 6 registered",
        "watched 6 1 registered",
    ]


@pytest.mark.parametrize("directory", ["proxy"], indirect=True)
def test_websocket(directory: Path, variables: dict[str, str]) -> None:
    assert run_program("websocket.mjs", directory, **variables) == ["pushed registered"]


@pytest.mark.parametrize("directory", ["direct"], indirect=True)
def test_without_certificate_or_token(directory: Path, variables: dict[str, str]) -> None:
    """The rejecting twins of the direct connection."""
    (directory / "ask.mjs").write_text(
        'import { provider } from "./connect.mjs";\nconsole.log(await provider.send("eth_blockNumber", []));'
    )
    assert run(["node", "ask.mjs"], directory, **variables).returncode == 0
    unpinned = run(["node", "ask.mjs"], directory, **variables | {"NODE_EXTRA_CA_CERTS": ""})
    assert unpinned.returncode != 0
    assert "self-signed certificate" in unpinned.stderr or "unable to verify" in unpinned.stderr
    nobody = run(["node", "ask.mjs"], directory, **variables | {"COCO_TOKEN": "wrong"})
    assert nobody.returncode != 0
    assert "401" in nobody.stderr
