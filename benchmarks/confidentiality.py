"""What confidentiality costs: the same load on a node as it is, and on one without encryption, signing and TLS.

    python -m benchmarks.confidentiality [--rounds 5] [--duration 10s] [--connections 64] [--workload erc20] [--json]

Both run from copies of the source, the second one with the edits of confidentiality_off.py; all else is the same: the
processes and their isolation, tokens, recovery of senders, hashes and Merkle tree, write sets, fdatasync. Rounds take
turns, each on a new network; the median counts. Ratio: confirmed/s with everything on, divided by without. What the
node's processes used for a transaction travels better than rates do on a machine that does other things.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.confidentiality_off import EDITS, copy_source

NETWORK = "bench"
ON, OFF = "everything on", "without"


@dataclass(frozen=True, slots=True)
class Result:
    """One round. node_us: processor time of all the node's processes for a transaction."""

    name: str
    confirmed_per_second: float
    p50_ms: float
    p99_ms: float
    node_us: float
    errors: int


def coco(source: Path, home: Path, *arguments: str) -> str:
    """Run the command line of a copy; returns its output. Raises RuntimeError."""
    command = [sys.executable, "-m", "cli.main", "--home", str(home), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"coco {arguments[0]} failed: {done.stderr}")
    return done.stdout


def measure(name: str, source: Path, options: list[str]) -> Result:
    """Make a network, load it, stop it."""
    with tempfile.TemporaryDirectory(prefix="coco-bench-") as directory:
        home = Path(directory)
        create = ["network", "create", NETWORK, "--port", "0", "--no-password", "--fund", "treasury=1000000"]
        coco(source, home, *create)
        coco(source, home, "network", "start", NETWORK)
        try:
            report: dict[str, Any] = json.loads(coco(source, home, "bench", "--network", NETWORK, *options, "--json"))
        finally:
            coco(source, home, "network", "stop", NETWORK)
    run = report["runs"][0]
    used = sum(process["cpu_seconds"] for process in run["node"].values())
    latency = run["latency_ms"]
    return Result(
        name,
        run["confirmed_per_second"],
        latency["p50"],
        latency["p99"],
        round(used / max(1, run["accepted"]) * 1e6, 1),
        sum(run["errors"].values()),
    )


def summary(results: list[Result]) -> dict[str, Any]:
    """Return medians and ratios."""
    made: dict[str, Any] = {}
    for name in (ON, OFF):
        own = [one for one in results if one.name == name]
        made[name] = {
            "confirmed_per_second": statistics.median(one.confirmed_per_second for one in own),
            "lowest": min(one.confirmed_per_second for one in own),
            "highest": max(one.confirmed_per_second for one in own),
            "p50_ms": statistics.median(one.p50_ms for one in own),
            "p99_ms": statistics.median(one.p99_ms for one in own),
            "node_us": statistics.median(one.node_us for one in own),
        }
    made["ratio"] = round(made[ON]["confirmed_per_second"] / made[OFF]["confirmed_per_second"], 3)
    made["ratio_of_processor_time"] = round(made[OFF]["node_us"] / made[ON]["node_us"], 3)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", default="10s")
    parser.add_argument("--connections", default="64")
    parser.add_argument("--workload", default="erc20", choices=("erc20", "plain", "balance"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    options = ["--duration", arguments.duration, "--connections", arguments.connections]
    options += ["--workload", arguments.workload]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="coco-source-") as directory:
        sources = {ON: Path(directory) / "on", OFF: Path(directory) / "off"}
        copy_source(sources[ON])
        copy_source(sources[OFF], EDITS)
        for number in range(arguments.rounds):
            for name in (ON, OFF) if number % 2 == 0 else (OFF, ON):
                results.append(measure(name, sources[name], options))
                print(f"{name}: {results[-1].confirmed_per_second:,.0f} confirmed/s", file=sys.stderr)
    made = summary(results)
    if arguments.json:
        left_out = [edit.what for edit in EDITS]
        print(json.dumps({**made, "left_out": left_out, "rounds": [asdict(one) for one in results]}, indent=2))
        return
    for name in (ON, OFF):
        row = made[name]
        spread = f"{row['lowest']:,.0f} to {row['highest']:,.0f}"
        print(
            f"{name:<14} {row['confirmed_per_second']:>8,.0f} confirmed/s ({spread})"
            f"  p50 {row['p50_ms']:.1f} ms  p99 {row['p99_ms']:.1f} ms  node {row['node_us']:.0f} us each"
        )
    print(f"ratio {made['ratio']:.2f}; of processor time {made['ratio_of_processor_time']:.2f}")


if __name__ == "__main__":
    main()
