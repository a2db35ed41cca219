"""Reports, plots and the live display of runs whose figures are known."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import orjson

from cli.load.histogram import Histogram
from cli.load.measurement import Measurement, summarise, used
from cli.load.plot import latency_plot
from cli.load.processes import Usage
from cli.load.report import lines_of, report_of
from cli.load.requests import Confirmation
from cli.load.runner import Outcome, Tick
from cli.load.speedometer import Speedometer

SETTINGS: dict[str, object] = {
    "target": "network <demo>", "url": "https://127.0.0.1:1", "workload": "erc20", "counts": "transactions",
    "connections": 4, "accounts": 4, "batch": 1, "processes": 1, "duration_s": 2.0,
}  # fmt: skip
MACHINE: dict[str, object] = {
    "processor": "a processor", "cores": 2, "memory_gib": 4.0, "system": "Linux", "load_average_1min": 0.5
}  # fmt: skip
OUTCOME = Outcome(
    requests=3, items=3, errors={}, latencies={}, start=10.0, last=11.0, keys=[b"a", b"b", b"c"],
    due=[10.0, 10.5, 10.9], cpu_s=0.5, lag_us_max=2_000, ran_out=False, positions=[3],
)  # fmt: skip


def run(rate: float | None = None, confirmed: int = 100, latency_us: int = 5_000) -> Measurement:
    answers = Histogram()
    for number in range(100):
        answers.record(latency_us + number * 100)
    return Measurement(
        rate=rate, seconds=2.0, requests=100, items=100, accepted=100, confirmed=confirmed, errors={}, answers=answers,
        confirmations=None, ran_out=False, client_cpu_s=0.1, client_lag_ms_max=1.0, made_s=0.2,
        node={"executor": Usage(0.05, 3 * 2**20)},
    )  # fmt: skip


def report(*runs: Measurement) -> dict[str, Any]:
    return report_of(SETTINGS, MACHINE, runs)


def test_a_report_is_json_with_the_figures() -> None:
    document = orjson.loads(orjson.dumps(report(run())))
    (only,) = document["runs"]
    assert (only["mode"], only["confirmed_per_second"]) == ("closed loop", 50.0)
    assert 9.9 < only["latency_ms"]["p50"] < 10.1
    assert 14.8 < only["latency_ms"]["max"] < 15.1
    assert only["node"]["executor"] == {"cpu_seconds": 0.05, "cpu_us_per_item": 500, "memory_peak_mib": 3.0}
    assert document["version"] == 1
    assert document["machine"]["cores"] == 2


def test_a_report_in_words() -> None:
    text = "\n".join(lines_of(report(run(), run(rate=40.0))))
    assert "closed loop: 50 confirmed transactions/s" in text
    assert "40 requests/s: 50 confirmed" in text
    assert "executor: 0.05 s CPU (500 us each)" in text
    assert "of 100 transactions confirmed" not in text


def test_what_went_wrong_is_said() -> None:
    wrong = replace(run(confirmed=90), errors={"no receipt": 10}, ran_out=True, client_lag_ms_max=80.0)
    text = "\n".join(lines_of(report(wrong)))
    assert "90 of 100 transactions confirmed" in text
    assert "10 times: no receipt" in text
    assert "ran out of the requests" in text
    assert "80 ms late" in text


def test_outcomes_are_added_up() -> None:
    total = summarise([OUTCOME, OUTCOME], Confirmation(5, ("no receipt",)), None, None, 0.1, {})
    assert (total.items, total.accepted, total.confirmed, total.seconds) == (6, 6, 5, 1.0)
    assert total.errors == {"no receipt": 1}
    assert total.confirmations is None
    assert total.confirmed_per_second == 5.0


def test_the_clock_stops_when_the_last_is_seen_in_a_block() -> None:
    seen = {b"a": 12.0, b"b": 12.0, b"c": 14.0, b"foreign": 99.0}
    total = summarise([OUTCOME], Confirmation(3), seen, None, 0.1, {})
    assert total.seconds == 4.0
    assert total.confirmations is not None
    assert total.confirmations.total == 3
    assert 2.9e6 < total.confirmations.percentile_us(100) < 3.2e6


def test_use_is_the_difference() -> None:
    before, after = {"a": Usage(1.0, 5)}, {"a": Usage(1.5, 9), "new": Usage(1.0, 1)}
    assert used(before, after) == {"a": Usage(0.5, 9)}


def test_a_plot_is_svg_with_a_point_for_each_run() -> None:
    runs = [run(), run(rate=10.0), run(rate=25.0, latency_us=50_000), run(rate=40.0, latency_us=2_000_000)]
    root = ElementTree.fromstring(latency_plot(report(*runs)))
    namespace = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{namespace}svg"
    assert len(root.findall(f"{namespace}circle")) == 9
    texts = [text.text for text in root.findall(f"{namespace}text")]
    assert {"p50", "p90", "p99", "closed loop", "network <demo>: erc20, 4 connections"} <= set(texts)
    for circle in root.findall(f"{namespace}circle"):
        assert 0 <= float(circle.get("cx", "-1")) <= 720
        assert 0 <= float(circle.get("cy", "-1")) <= 420


def test_a_plot_of_a_single_run() -> None:
    assert latency_plot(report(run())).count("<circle") == 3
    assert latency_plot(report(replace(run(), confirmed=0, answers=Histogram()))).count("<circle") == 3


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def speedometer(out: io.StringIO) -> None:
    now = [0.0]
    display = Speedometer(out, "transactions", 2.0, lambda: now[0])
    display.say("warming up")
    display.start()
    for number in range(1, 9):
        now[0] = number * 0.25
        display.tick(Tick(50, 50, 1 if number == 5 else 0, {100: 50}))
    display.done()


def test_the_display_is_a_line_a_second_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    speedometer(out)
    lines = out.getvalue().splitlines()
    assert lines[0] == "1/2 s  200 transactions/s  p50 0.1 ms  p99 0.1 ms  errors 0"
    assert len(lines) == 2
    assert lines[1].endswith("errors 1")


def test_the_display_moves_on_a_terminal_and_is_taken_away() -> None:
    out = Terminal()
    speedometer(out)
    text = out.getvalue()
    assert "warming up ..." in text
    assert text.count("\r\x1b[K") == 10
    assert "\n" not in text
    assert text.endswith("\r\x1b[K")
    assert "▁" in text or "█" in text
