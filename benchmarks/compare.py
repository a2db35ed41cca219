"""Coco beside other Ethereum end points, one after the other, with the same client in the same session; prints ratios.

    python -m benchmarks.compare [--peers DIRECTORY] [--only NAME]... [--duration 10s] [--connections 64] [--rounds 1]
                                 [--workload erc20] [--writes RATE] [--json]

With --writes, ERC-20 transfers are sent at that rate while the workload runs: `--workload balance --writes 500`
compares eth_call beside writes. DIRECTORY has the peers' npm packages (benchmarks/peers.md); what is missing is said
and left out. With several rounds the order turns round each time, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.temporary_network import FUNDED, NETWORK, temporary_network
from cli.load.client import Client
from cli.load.processes import Usage, children_of, usages
from cli.load.requests import Endpoint
from core.errors import CocoError

START_SECONDS_MAX = 60.0
WRITES_LONGER_SECONDS = 15
"""By how much the writes beside a workload outlast it: setting the workload up falls into that time."""
WRITERS = 16
COCO = "coco"


@dataclass(frozen=True, slots=True)
class Peer:
    """command: run in a directory of its own, which may be filled first. {port} stands for the port."""

    name: str
    program: Path
    arguments: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()

    @property
    def is_there(self) -> bool:
        return self.program.is_file()


def peers(directory: Path | None) -> list[Peer]:
    """Return what can be compared with, there or not: in the directory's node_modules, anvil also on the path."""
    programs = (directory or Path("peers")) / "node_modules" / ".bin"
    anvil = programs / "anvil"
    found = shutil.which("anvil")
    if not anvil.is_file() and found:
        anvil = Path(found)
    return [
        Peer("anvil", anvil, ("--port", "{port}", "--block-time", "0.1", "--silent")),
        Peer(
            "hardhat",
            programs / "hardhat",
            ("node", "--port", "{port}"),
            (("package.json", '{"type": "module"}'), ("hardhat.config.js", "export default {};")),
        ),
        Peer("ganache", programs / "ganache", ("--server.port", "{port}", "--logging.quiet")),
    ]


@contextmanager
def running(peer: Peer) -> Iterator[tuple[str, int]]:
    """Start a peer in an empty directory; gives its URL and process id, and ends it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # As absolute paths, and links kept: hardhat looks for its packages beside the directory it runs in.
    program = Path(os.path.abspath(peer.program))
    modules = program.parent.parent
    node = sorted(modules.glob("node-linux-*/bin"))
    environment = {**os.environ, "PATH": os.pathsep.join([*map(str, node), os.environ.get("PATH", "")])}
    environment |= {"HARDHAT_DISABLE_TELEMETRY_PROMPT": "true", "CI": "true"}
    with tempfile.TemporaryDirectory(prefix="coco-peer-") as directory:
        for name, text in peer.files:
            Path(directory, name).write_text(text)
        Path(directory, "node_modules").symlink_to(modules)
        process = subprocess.Popen(
            [str(program), *(word.format(port=port) for word in peer.arguments)],
            cwd=directory,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_until_it_answers(port, process)
            yield f"http://127.0.0.1:{port}", process.pid
        finally:
            for pid in reversed(children_of(process.pid)):
                try:
                    os.kill(pid, 15)
                except ProcessLookupError:
                    continue
            process.wait()


def wait_until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the end point answers; raises RuntimeError."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with Client(Endpoint("127.0.0.1", port, False, "/"), timeout_s=5.0) as client:
                client.rpc("eth_blockNumber")
                return
        except CocoError:
            time.sleep(0.1)
    raise RuntimeError(f"it does not answer (exit code {process.poll()})")


def bench(arguments: list[str]) -> dict[str, Any]:
    """Run `coco bench`; returns its report. Raises RuntimeError."""
    command = [sys.executable, "-m", "cli.main", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"coco bench ended with {done.returncode}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@dataclass(frozen=True, slots=True)
class Load:
    """options: of the workload that is measured. writes: the rate of transfers beside it, 0 for none."""

    options: tuple[str, ...]
    seconds: float
    writes: float

    def run(self, target: list[str]) -> dict[str, Any]:
        """Run it; returns the one run of the report. target: the arguments that name the end point."""
        if not self.writes:
            return dict(bench([*target, *self.options])["runs"][0])
        seconds = self.seconds + WRITES_LONGER_SECONDS
        beside = [*target, "--workload", "erc20", "--rate", f"{self.writes:g}", "--duration", f"{seconds:g}s"]
        beside += ["--connections", str(WRITERS)]
        with under_load(beside) as writing:
            run = dict(bench([*target, *self.options])["runs"][0])
            if writing.poll() is not None:
                raise RuntimeError("the writes ended before the workload did")
            run["writes"] = json.loads(writing.communicate()[0])["runs"][0]
        return run


@contextmanager
def under_load(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start `coco bench` and wait until its load runs; gives the process, whose output is its report."""
    command = [sys.executable, "-m", "cli.main", *arguments, "--json"]
    with tempfile.TemporaryFile("w+") as told:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=told, text=True)
        try:
            deadline = time.monotonic() + START_SECONDS_MAX
            while time.monotonic() < deadline and process.poll() is None:
                told.seek(0)
                if re.search(r"^[0-9]+/[0-9]+ s", told.read(), re.MULTILINE):
                    break
                time.sleep(0.2)
            else:
                raise RuntimeError("the writes did not begin")
            yield process
        finally:
            process.terminate()
            process.wait()


def measure(name: str, peer: Peer | None, load: Load) -> dict[str, Any]:
    """Start one of them, load it, stop it; returns the one run of its report, with the whole system's use."""
    print(f"{name}:", file=sys.stderr)
    if peer is None:
        with temporary_network() as network:
            return load.run(["--home", str(network.home), "bench", "--network", NETWORK, "--account", FUNDED])
    with running(peer) as (url, pid):
        before = usages({str(one): one for one in children_of(pid)})
        run = load.run(["bench", "--url", url])
        after = usages({str(one): one for one in children_of(pid)})
        run["node"] = {peer.name: total(before, after)}
        return run


def total(before: dict[str, Usage], after: dict[str, Usage]) -> dict[str, float]:
    """Return what all of a peer's processes used, the warm-up included, in the shape of a report's `node`."""
    seconds = sum(usage.cpu_s - (before[one].cpu_s if one in before else 0.0) for one, usage in after.items())
    peak = sum(usage.memory_peak_bytes for usage in after.values())
    return {"cpu_seconds": round(seconds, 2), "memory_peak_mib": round(peak / 2**20, 1)}


def median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the run with the median rate."""
    wanted = statistics.median_low([run["confirmed_per_second"] for run in runs])
    return next(run for run in runs if run["confirmed_per_second"] == wanted)


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the results as lines, with Coco's rate divided by each other's."""
    lines = [f"{'':<10}{'confirmed/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'memory MiB':>12}{'errors':>8}{'coco / it':>11}"]
    own = results.get(COCO)
    for name, run in results.items():
        latency = run["confirmation_ms"] or run["latency_ms"]
        memory = sum(usage["memory_peak_mib"] for usage in run["node"].values())
        ratio = own["confirmed_per_second"] / run["confirmed_per_second"] if own else float("nan")
        lines.append(
            f"{name:<10}{run['confirmed_per_second']:>12,.0f}{latency['p50']:>10.1f}{latency['p99']:>10.1f}"
            f"{memory:>12,.0f}{sum(run['errors'].values()):>8}{ratio:>11.2f}"
        )
        if "writes" in run:
            lines.append(f"{'':<10}{run['writes']['confirmed_per_second']:>12,.0f} transfers/s beside it")
    return lines


def duration(text: str) -> float:
    """Read a time such as 10s, in seconds."""
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?s", text):
        raise argparse.ArgumentTypeError("a time in seconds, such as 10s")
    return float(text[:-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, help="where the peers' npm packages are")
    parser.add_argument("--only", action="append", metavar="NAME", help="compare with this one only; repeatable")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--duration", default="10s", type=duration)
    parser.add_argument("--writes", type=float, default=0.0, help="transfers a second beside the workload")
    parser.add_argument("--connections", default="64")
    parser.add_argument("--workload", default="erc20", choices=("erc20", "plain", "balance"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    options = ("--duration", f"{arguments.duration:g}s", "--connections", arguments.connections)
    load = Load((*options, "--workload", arguments.workload), arguments.duration, arguments.writes)
    chosen: list[tuple[str, Peer | None]] = [(COCO, None)]
    missing = []
    for peer in peers(arguments.peers):
        if arguments.only and peer.name not in arguments.only:
            continue
        if peer.is_there:
            chosen.append((peer.name, peer))
        else:
            missing.append(peer.name)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name, _ in chosen}
    for number in range(arguments.rounds):
        for name, compared in chosen if number % 2 == 0 else reversed(chosen):
            try:
                runs[name].append(measure(name, compared, load))
            except RuntimeError as error:
                print(f"{name} could not be measured: {error}", file=sys.stderr)
    results = {name: median(found) for name, found in runs.items() if found}
    if arguments.json:
        print(
            json.dumps(
                {"results": results, "missing": missing, "workload": arguments.workload, "writes": arguments.writes},
                indent=2,
            )
        )
    else:
        print("\n".join(table(results)))
    if missing:
        print(f"not found, left out: {', '.join(missing)} (benchmarks/peers.md)", file=sys.stderr)


if __name__ == "__main__":
    main()
