"""docs/tools/foundry.md, run as it stands, by the proxy and directly."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.tools.documents import write_files
from tests.tools.node import HERE, packages, run, workshop


@pytest.fixture(params=["proxy", "direct"])
def directory(request: pytest.FixtureRequest, tmp_path: Path, variables: dict[str, str]) -> Path:
    """A project of Foundry's, with a file `connect.sh` that is the proxy's or the direct one."""
    made = workshop(tmp_path / "project", "foundry")
    write_files("foundry", made)
    (made / "src").mkdir()
    shutil.copy(HERE / "contracts/Parcels.sol", made / "src")
    shutil.copy(HERE / "foundry/solc.mjs", made)
    shutil.copy(made / f"{request.param}.sh", made / "connect.sh")
    if request.param == "direct":
        shutil.copy(made / "script-direct.sh", made / "script.sh")
    programs = packages("foundry") / ".bin"
    variables |= {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "FOUNDRY_SOLC": "./solc.mjs",
        "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1",
    }
    if request.param == "direct":
        del variables["COCO_PROXY"], variables["COCO_WEBSOCKET"]
    else:
        del variables["COCO_URL"], variables["COCO_TOKEN"], variables["COCO_CA"]
    return made


def shell(text: str, directory: Path, variables: dict[str, str]) -> list[str]:
    done = run(["bash", "-c", f"set -eo pipefail\n. ./connect.sh\n. ./account.sh\n{text}"], directory, **variables)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return [" ".join(line.split()) for line in done.stdout.splitlines()]


def test_use(directory: Path, variables: dict[str, str]) -> None:
    lines = shell(". ./use.sh", directory, variables)
    lines = lines[lines.index("chain 20170") :]
    assert lines == [
        "chain 20170",
        'depot "North"',
        lines[2],
        "status 1 (success)",
        "holder is mine",
        "UnknownParcel(7)",
        "7",
        "parcel exists",
        "type 2",
        "type 0",
        "logs 1",
    ]
    assert lines[2].startswith("gasUsed ")


def test_script(directory: Path, variables: dict[str, str]) -> None:
    lines = shell(". ./script.sh", directory, variables)
    assert any("ONCHAIN EXECUTION COMPLETE & SUCCESSFUL" in line for line in lines)


@pytest.mark.parametrize("directory", ["proxy"], indirect=True)
def test_a_script_sees_no_storage(directory: Path, variables: dict[str, str]) -> None:
    """The limit that the page names: a script finds a contract that was deployed earlier empty, and sends nothing."""
    deploy = "forge create src/Parcels.sol:Parcels --broadcast --constructor-args North | sed -n 's/^Deployed to: //p'"
    address = shell(deploy, directory, variables)[-1]
    shell(f"cast send {address} 'register(uint256)' 1", directory, variables)
    script = (directory / "script/Deploy.s.sol").read_text()
    script = script.replace('new Parcels("North")', f"Parcels({address})").replace(
        "register(1)", 'move(1, msg.sender, "")'
    )
    (directory / "script/Later.s.sol").write_text(script)
    command = (directory / "script.sh").read_text().replace("Deploy.s.sol", "Later.s.sol").strip()
    lines = shell(f"{command} 2>&1 || true", directory, variables)
    assert "Error: script failed: UnknownParcel(1)" in lines


@pytest.mark.parametrize("directory", ["proxy"], indirect=True)
def test_watch(directory: Path, variables: dict[str, str]) -> None:
    """`cast logs --subscribe` prints a log that comes after it began."""
    address = shell(
        "forge create src/Parcels.sol:Parcels --broadcast --constructor-args North | sed -n 's/^Deployed to: //p'",
        directory, variables,
    )[-1]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COCO_", "ETH_"))}
    watcher = subprocess.Popen(
        ["bash", "-c", "exec " + (directory / "watch.sh").read_text()],
        cwd=directory, env=environment | variables | {"address": address}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        for parcel in range(1, 30):
            shell(f"cast send {address} 'register(uint256)' {parcel} > sent; sleep 0.3", directory, variables)
            if watcher.poll() is not None or parcel == 3:
                break
        watcher.terminate()
        assert watcher.stdout is not None
        printed = watcher.stdout.read()
    finally:
        watcher.kill()
        watcher.communicate()
    assert address.lower() in printed.lower()


@pytest.mark.parametrize("directory", ["direct"], indirect=True)
def test_without_certificate_or_token(directory: Path, variables: dict[str, str]) -> None:
    def ask(command: str, **changed: str) -> str:
        text = f". ./connect.sh; {command}"
        done = run(["bash", "-c", text], directory, **variables | changed)
        return done.stdout + done.stderr

    assert ask("cast chain-id").strip() == "20170"
    assert "invalid peer certificate: UnknownIssuer" in ask("unset SSL_CERT_FILE; cast chain-id")
    assert "401" in ask("unset ETH_RPC_HEADERS; cast chain-id")
    assert "401" in ask("cast chain-id", COCO_TOKEN="wrong")
