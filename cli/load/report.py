"""What a benchmark found: as JSON for programs, as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cli.load.histogram import Histogram
from cli.load.measurement import Measurement

REPORT_VERSION = 1
PERCENTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99_9": 99.9, "max": 100.0}
LAG_MS_MAX = 50.0
"""Above this the load generator itself was too slow for its latencies to be believed."""


def report_of(settings: dict[str, object], machine: dict[str, object], runs: Sequence[Measurement]) -> dict[str, Any]:
    """Return the whole report as JSON values. settings: what was asked for, and of whom."""
    return {"version": REPORT_VERSION, **settings, "machine": machine, "runs": [describe(run) for run in runs]}


def describe(run: Measurement) -> dict[str, Any]:
    """Return one run as JSON values. Times in milliseconds unless the name says otherwise."""
    return {
        "mode": "closed loop" if run.rate is None else "open loop",
        "rate": run.rate,
        "seconds": round(run.seconds, 3),
        "requests": run.requests,
        "items": run.items,
        "accepted": run.accepted,
        "confirmed": run.confirmed,
        "confirmed_per_second": round(run.confirmed_per_second, 1),
        "errors": run.errors,
        "latency_ms": latencies(run.answers),
        "confirmation_ms": None if run.confirmations is None else latencies(run.confirmations),
        "ran_out": run.ran_out,
        "client": {
            "signing_seconds": round(run.made_s, 2),
            "cpu_seconds": round(run.client_cpu_s, 3),
            "lag_ms_max": round(run.client_lag_ms_max, 1),
        },
        "node": {
            role: {
                "cpu_seconds": round(usage.cpu_s, 2),
                "cpu_us_per_item": round(usage.cpu_s * 1e6 / run.accepted) if run.accepted else None,
                "memory_peak_mib": round(usage.memory_peak_bytes / 2**20, 1),
            }
            for role, usage in run.node.items()
        },
    }


def latencies(histogram: Histogram) -> dict[str, float]:
    """Return percentiles and the mean in milliseconds."""
    found = {name: round(histogram.percentile_us(percent) / 1000, 3) for name, percent in PERCENTILES.items()}
    return {**found, "mean": round(histogram.mean_us() / 1000, 3)}


def lines_of(report: dict[str, Any]) -> list[str]:
    """Return the report as lines of text."""
    lines = [
        f"{report['target']}: {report['workload']}, {report['connections']} connections, "
        f"{report['accounts']} accounts, batch {report['batch']}"
    ]
    counts = report["counts"]
    for run in report["runs"]:
        load = "closed loop" if run["rate"] is None else f"{run['rate']:g} requests/s"
        shown = run["confirmation_ms"] or run["latency_ms"]
        lines.append(
            f"  {load}: {run['confirmed_per_second']:,.0f} confirmed {counts}/s over {run['seconds']:.1f} s; "
            f"p50 {shown['p50']:.1f} ms, p90 {shown['p90']:.1f} ms, p99 {shown['p99']:.1f} ms, "
            f"max {shown['max']:.0f} ms"
        )
        if run["confirmation_ms"] is not None:
            answers = run["latency_ms"]
            lines.append(f"    answered before: p50 {answers['p50']:.1f} ms, p99 {answers['p99']:.1f} ms")
        if run["node"]:
            lines += _node_lines(run["node"])
        if run["confirmed"] != run["items"]:
            lines.append(f"    {run['confirmed']:,} of {run['items']:,} {counts} confirmed")
        lines += [f"    {count:,} times: {error}" for error, count in list(run["errors"].items())[:8]]
        lines += _warnings(run)
    machine = report["machine"]
    lines.append(
        f"  on {machine['cores']} cores of {machine['processor']}, {machine['memory_gib']} GiB, {machine['system']}, "
        f"load average {machine['load_average_1min']} before"
    )
    return lines


def _node_lines(node: dict[str, Any]) -> list[str]:
    return [
        f"    {role}: {usage['cpu_seconds']:.2f} s CPU"
        + (f" ({usage['cpu_us_per_item']} us each)" if usage["cpu_us_per_item"] is not None else "")
        + f", peak memory {usage['memory_peak_mib']:.0f} MiB"
        for role, usage in node.items()
    ]


def _warnings(run: dict[str, Any]) -> list[str]:
    warnings = []
    if run["ran_out"]:
        warnings.append(
            "    some connections ran out of the requests made beforehand: the rate may be too low; give --rate"
        )
    if run["client"]["lag_ms_max"] > LAG_MS_MAX:
        lag = run["client"]["lag_ms_max"]
        warnings.append(f"    the load generator was itself up to {lag:.0f} ms late: latencies are too high by as much")
    return warnings
