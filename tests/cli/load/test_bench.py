"""`coco bench`, with processes of its own, against a stand-in development node and against a real node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.store import Store
from tests.cli.load.dev_node import DevNode, serving
from tests.cli.runner import Coco

SHORT = ("--duration", "300ms", "--connections", "3")


@pytest.fixture
def dev_node() -> Iterator[DevNode]:
    with serving(DevNode()) as node:
        yield node


@pytest.mark.parametrize("mines_later", [False, True])
def test_a_development_node(coco: Coco, dev_node: DevNode, mines_later: bool) -> None:
    dev_node.mines_later = mines_later
    report = coco("bench", "--url", dev_node.url, *SHORT, "--processes", "2", "--json").json
    (run,) = report["runs"]
    assert run["confirmed"] == run["accepted"] == run["items"] > 3
    assert run["errors"] == {}
    assert (run["confirmation_ms"] is not None) == mines_later
    assert report["target"].startswith("devnode/1.0 at 127.0.0.1:")
    assert report["workload"] == "erc20"


def test_a_sweep_with_report_and_plot(coco: Coco, dev_node: DevNode, tmp_path: Path) -> None:
    files = ("--report", str(tmp_path / "r.json"), "--plot", str(tmp_path / "p.svg"))
    shown = coco("bench", "--url", dev_node.url, "-w", "balance", "--sweep", "40,80", *SHORT, *files)
    report = json.loads((tmp_path / "r.json").read_text())
    assert [run["rate"] for run in report["runs"]] == [40.0, 80.0]
    # A machine that is busy sends fewer in the time there is.
    assert all(0 < run["confirmed"] <= most for run, most in zip(report["runs"], (12, 24), strict=True))
    assert (tmp_path / "p.svg").read_text().startswith("<svg")
    assert "80 requests/s" in shown.out


def test_refused_transactions_are_counted_and_do_not_stop_the_rest(coco: Coco, dev_node: DevNode) -> None:
    dev_node.refuse_every = 200
    report = coco(
        "bench", "--url", dev_node.url, "-w", "plain", *SHORT, "--accounts", "6", "--rate", "300", "--json"
    ).json
    (run,) = report["runs"]
    assert list(run["errors"]) in ([], ["-32000: nonce too low: next nonce N tx nonce N"])
    assert run["confirmed"] == run["items"] - sum(run["errors"].values())


def test_nothing_confirmed_is_a_failure(coco: Coco, dev_node: DevNode) -> None:
    dev_node.refuse_every = 1
    shown = coco("bench", "--url", dev_node.url, "-w", "plain", *SHORT, code=1)
    assert "nothing was confirmed" in shown.err
    assert "nonce too low" in shown.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--workload", "nothing"), "no workload nothing"),
        (("--duration", "soon"), "no length of time"),
        (("--rate", "5", "--sweep", "1,2"), "exclude each other"),
        (("--sweep", "1,zero"), "no rates"),
        (("--sweep", "-5"), "no rates"),
        (("--url", "ftp://127.0.0.1"), "no address"),
        (("--url", "nonsense"), "no address"),
        (("--header", "A: b"), "goes with --url"),
        (("--url", "http://127.0.0.1:1", "--header", "no-colon"), "a header is written"),
        (("--url", "http://127.0.0.1:1", "--pid", "anvil"), "no process"),
        (("--plot", "no/such/directory/p.svg"), "cannot be written"),
    ],
)
def test_wrong_use(coco: Coco, arguments: tuple[str, ...], text: str) -> None:
    assert text in coco("bench", *arguments, code=2).err


def test_nobody_there(coco: Coco) -> None:
    assert "does not answer" in coco("bench", "--url", "http://127.0.0.1:1", code=7).err


def test_too_few_accounts(coco: Coco, dev_node: DevNode) -> None:
    shown = coco("bench", "--url", dev_node.url, "--connections", "4", "--accounts", "2", code=2)
    assert "2 accounts for 4 connections" in shown.err


@pytest.fixture
def stopped_at_the_end(coco: Coco, home: Path) -> Iterator[None]:
    yield
    for name in Store(home).networks():
        coco("network", "stop", name)


@pytest.mark.usefixtures("stopped_at_the_end")
def test_a_network_of_ours(coco: Coco) -> None:
    create = ("network", "create", "load", "--port", "0", "--fund", "alice=10", "-d", "ethereum", "-d", "kv")
    coco(*create)
    coco("network", "start", "load")
    report = coco("bench", *SHORT, "--json").json
    (run,) = report["runs"]
    assert run["confirmed"] == run["items"] > 3
    assert run["confirmation_ms"] is None
    assert {"executor", "gateway-1", "manager"} <= set(run["node"])
    assert all(usage["memory_peak_mib"] > 1 for usage in run["node"].values())
    again = coco("bench", *SHORT, "--workload", "plain", "--batch", "2", "--json").json["runs"][0]
    assert again["confirmed"] == again["items"] > 3
    puts = coco("bench", *SHORT, "--adapter", "kv", "--rate", "50", "--json").json["runs"][0]
    assert puts["confirmed"] == puts["items"] == 15
