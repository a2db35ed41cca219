"""docs/tools/hardhat.md, run as it stands, by the proxy and directly."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tools.documents import write_files
from tests.tools.node import HERE, node22, run, workshop

FAILING_MODULE = """
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

export default buildModule("Fails", (m) => {
  const parcels = m.contract("Parcels", ["North"]);
  m.call(parcels, "move", [7n, m.getAccount(0), "nowhere"]);
  return { parcels };
});
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = workshop(tmp_path_factory.mktemp("hardhat"), "hardhat")
    write_files("hardhat", made)
    (made / "contracts").mkdir()
    shutil.copy(HERE / "contracts/Parcels.sol", made / "contracts")
    (made / "package.json").write_text('{ "type": "module", "private": true, "name": "use-of-coco" }')
    (made / "ignition/modules/Fails.ts").write_text(FAILING_MODULE)
    return made


def hardhat(project: Path, way: str, variables: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Run Hardhat on the network `coco` or `cocoDirect`; its exit code and output."""
    if way == "cocoDirect":
        variables = variables | {"NODE_EXTRA_CA_CERTS": variables["COCO_CA"]}
    command = [node22(), "node_modules/hardhat/dist/src/cli.js", *arguments, "--network", way]
    done = run(command, project, **variables | {"HARDHAT_IGNITION_CONFIRM_DEPLOYMENT": "true", "NO_COLOR": "1"})
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("way", ["coco", "cocoDirect"])
def test_ignition(project: Path, way: str, variables: dict[str, str]) -> None:
    module = ("ignition", "deploy", "ignition/modules/Parcels.ts", "--deployment-id", way)
    code, text = hardhat(project, way, variables, *module)
    assert code == 0, text
    assert "[ Parcels ] successfully deployed" in text
    code, text = hardhat(project, way, variables, *module)
    assert code == 0, text
    assert "Nothing new to deploy based on previous execution stored in" in text


def test_ignition_failure(project: Path, variables: dict[str, str]) -> None:
    code, text = hardhat(project, "coco", variables, "ignition", "deploy", "ignition/modules/Fails.ts")
    assert code != 0
    assert "Reverted with custom error UnknownParcel(7)" in text


@pytest.mark.parametrize("way", ["coco", "cocoDirect"])
def test_script(project: Path, way: str, variables: dict[str, str]) -> None:
    code, text = hardhat(project, way, variables, "run", "scripts/use.ts")
    assert code == 0, text
    lines = [line for line in text.splitlines() if line]
    assert lines[lines.index("depot North") :] == [
        "depot North",
        "status success",
        "holder is mine true",
        "error UnknownParcel 7n",
        "error UnknownParcel 7n",
        "error UnknownParcel 7n",
        "parallel true",
        "past 4",
        "watched 4 registered",
    ]
