"""`coco node restart`: a network that its members start again, and what they refuse to sign."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.governance.constitution import Constitution
from core.governance.restarts import RestartRequest, verify_approval
from tests.cli.runner import Coco, Ran

SECONDS_MAX = 60.0


@pytest.fixture
def constitution(coco: Coco, home: Path) -> Constitution:
    """Of a network of three members under the policy `members`."""
    members = [word for name in ("a", "b", "c") for word in ("-o", name)]
    coco("network", "create", "demo", *members, "-p", "p", "--port", "0", "--restart", "members")
    return Constitution.decode((home / "networks" / "demo" / "genesis.json").read_bytes())


def make_request(constitution: Constitution, **changes: Any) -> RestartRequest:
    fields: dict[str, Any] = {
        "version": 1, "network": constitution.digest().hex(), "service": "11" * 32, "node": "22" * 32, "slot": "node1",
        "view": 3, "seqno": 20, "root": "33" * 32, "new_view": 4, "nonce": "44" * 32, "disks": (), "missing": (),
        "accept_loss": False,
    } | changes  # fmt: skip
    return RestartRequest(**fields)


@pytest.fixture
def sign(coco: Coco, tmp_path: Path) -> Any:
    """Have a member approve of a request."""

    def run(request: RestartRequest, *arguments: str, code: int = 0) -> Ran:
        file = tmp_path / "request"
        file.write_bytes(request.encode())
        out = ("--out", str(tmp_path / "approval"))
        return coco("node", "restart", "approve", str(file), *out, *arguments, "--json", code=code)

    return run


def test_the_policy_is_chosen_when_a_network_is_made(coco: Coco, home: Path) -> None:
    def policy(*arguments: str) -> tuple[str, int]:
        coco("network", "create", "one", "--port", "0", *arguments)
        made = Constitution.decode((home / "networks" / "one" / "genesis.json").read_bytes())
        coco("network", "destroy", "one", "--yes")
        return made.restart, made.restart_approvals

    three = ("-o", "a", "-o", "b", "-o", "c")
    assert policy() == ("sealed", 1)
    assert policy(*three, "--nodes", "3") == ("sealed", 2)
    assert policy(*three, "--peer-address", "node1.example.org:8543") == ("members", 2)
    assert policy("--peer-address", "node1.example.org:8543") == ("sealed", 1)
    assert policy(*three, "--restart-members", "3") == ("members", 3)
    assert policy(*three, "--peer-address", "node1.example.org:8543", "--restart", "sealed") == ("sealed", 2)


def test_a_policy_that_cannot_be(coco: Coco, home: Path) -> None:
    ran = coco("network", "create", "one", "--restart", "sealed", "--restart-members", "1", code=2)
    assert "--restart-members is for --restart members" in ran.err
    ran = coco("network", "create", "one", "-o", "a", "--restart-members", "2", code=1)
    assert "2 of 1 members: that cannot be" in ran.err
    assert not (home / "networks" / "one").exists()


def test_a_member_signs_what_it_was_shown(constitution: Constitution, sign: Any, tmp_path: Path) -> None:
    request = make_request(constitution)
    shown = sign(request, "-i", "b").json
    assert (shown["member"], shown["after"], shown["compared"]) == ("b", "3.20", [])
    assert verify_approval((tmp_path / "approval").read_bytes(), request, constitution) == "b"


def test_a_request_for_another_network_is_not_signed(constitution: Constitution, sign: Any) -> None:
    assert "for network 5555" in sign(make_request(constitution, network="55" * 32), code=2).err


@pytest.mark.parametrize("data", [b"", b"{}", b"junk"])
def test_what_is_no_request_is_not_signed(constitution: Constitution, coco: Coco, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "request").write_bytes(data)
    ran = coco("node", "restart", "approve", str(tmp_path / "request"), code=1)
    assert "does not parse" in ran.err


def test_two_starts_of_one_end_are_not_both_signed(constitution: Constitution, sign: Any) -> None:
    first = make_request(constitution)
    sign(first)
    sign(first)  # The same again changes nothing.
    other = msgspec.structs.replace(first, node="66" * 32, nonce="77" * 32)
    assert "was approved of here" in sign(other, code=2).err
    sign(other, "--again")
    later = msgspec.structs.replace(other, view=4, seqno=30, new_view=5, nonce="88" * 32)
    sign(later)  # It goes on from what was started.


def test_nothing_waits(constitution: Constitution, coco: Coco, tmp_path: Path) -> None:
    assert "no node of network demo on this machine waits" in coco("node", "restart", "show", code=2).err
    (tmp_path / "approval").write_bytes(b"x")
    for command in (("submit", str(tmp_path / "approval")), ("accept-loss", "node1", "--yes")):
        assert "wait" in coco("node", "restart", *command, code=2).err


def test_members_start_a_network_again(constitution: Constitution, coco: Coco, home: Path, tmp_path: Path) -> None:
    coco("network", "start")
    coco("receipt", "get", "1.1", "--output", str(tmp_path / "receipt"))
    coco("network", "stop")
    ran = coco("network", "start", code=3)
    assert "waits for the members" in ran.err
    assert "coco node restart show" in ran.err
    try:
        _approve(constitution, coco, tmp_path)
    finally:
        coco("network", "stop")
    assert not (home / "networks" / "demo" / "node0" / "disk" / "restart" / "request").exists()
    report = coco("ledger", "verify", "--json").json
    assert report["ledgers"][0]["facts"]["starts_approved"] == 1


def _approve(constitution: Constitution, coco: Coco, tmp_path: Path) -> None:
    state = coco("network", "status", "--json", code=3).json
    assert (state["state"], state["waits_for"]["waits_for"]) == ("waiting", "members")
    request = tmp_path / "request"
    shown = coco("node", "restart", "show", "--out", str(request), "--json").json
    assert (shown["needed"], shown["approved"]) == (2, [])
    assert shown["request"]["digest"] == RestartRequest.decode(request.read_bytes()).digest().hex()
    approve = ("node", "restart", "approve", str(request), "--receipt", str(tmp_path / "receipt"))
    older = tmp_path / "older"
    older.write_bytes(msgspec.structs.replace(RestartRequest.decode(request.read_bytes()), seqno=0).encode())
    ran = coco("node", "restart", "approve", str(older), *approve[4:], code=11)
    assert "would start after 1.0, without 1.1" in ran.err
    other = tmp_path / "other"
    other.write_bytes(msgspec.structs.replace(RestartRequest.decode(request.read_bytes()), service="11" * 32).encode())
    assert "another service" in coco("node", "restart", "approve", str(other), *approve[4:], code=11).err
    for member in ("a", "c", "p"):
        coco(*approve, "-i", member, "--out", str(tmp_path / member))
    refused = coco("node", "restart", "submit", str(tmp_path / "p"), "--json", code=8)
    assert json.loads(refused.out)["approvals"][0]["verdict"] == "not-a-member"
    assert coco("node", "restart", "submit", str(tmp_path / "a"), "--json").json["still_needed"] == 1
    coco("node", "restart", "submit", str(tmp_path / "c"))
    deadline = time.monotonic() + SECONDS_MAX
    while coco("network", "status", "--json", code=None).json["state"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.3)
