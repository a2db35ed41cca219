"""`coco bench`: load on a network of Coco, or on any JSON-RPC end point of Ethereum, and how well it was carried."""

from __future__ import annotations

import hashlib
import sys
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from cli.errors import WrongUse
from cli.files import read_private
from cli.options import (
    ETHEREUM_PATH,
    account_option,
    choose_account,
    identity_option,
    json_option,
    network_option,
    password_file_option,
    unlock,
)
from cli.output import print_json
from cli.store import Store
from cli.values import parse_seconds
from core.errors import CocoError, StorageFailed

if TYPE_CHECKING:
    from cli.load.measurement import Load, Measurement
    from cli.load.speedometer import Speedometer
    from cli.load.workload import Target, Workload

AUTO_SHARES = (0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95)
"""Of what the closed loop reached: the rates of `--sweep auto`."""
SWEEP_MAX = 50


class LoadUnconfirmed(CocoError):
    """Nothing of the load was confirmed."""


@click.command()
@click.option("--url", metavar="URL", help="Load this JSON-RPC end point (http or https) instead of a network of Coco.")
@click.option("--adapter", metavar="NAME", help="Whose default workload to run. Default: ethereum.")
@click.option(
    "--workload", "-w", metavar="NAME", help="erc20, plain, balance, kv-put or intkey. Default: the adapter's."
)
@click.option("--connections", "-c", type=click.IntRange(1, 10_000), default=64, show_default=True)
@click.option("--duration", metavar="TIME", default="10s", show_default=True, help="Such as 10s, 500ms or 2m.")
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), help="Requests a second. Default: as many as it takes."
)
@click.option("--sweep", metavar="RATES", help="Several rates in turn, such as 500,1000,2000; auto: up to the most.")
@click.option("--accounts", type=click.IntRange(1, 1_000), help="Senders or owners. Default: one for each connection.")
@click.option("--batch", type=click.IntRange(1, 200), default=1, show_default=True, help="Items in one request.")
@click.option("--recipients", type=click.IntRange(0), default=0, help="Different receivers. Default: always a new one.")
@click.option("--processes", type=click.IntRange(1, 16), default=1, show_default=True, help="Of the load generator.")
@click.option("--header", multiple=True, metavar="'NAME: VALUE'", help="Send it with every request; for --url.")
@click.option("--ca-file", type=click.Path(path_type=Path, dir_okay=False), help="Whom to trust; for --url https://.")
@click.option(
    "--key-file", type=click.Path(path_type=Path, dir_okay=False), help="Key of the account that pays; --url."
)
@click.option("--pid", multiple=True, metavar="ROLE=PID", help="Watch this process too; repeatable.")
@click.option("--report", "report_file", type=click.Path(path_type=Path, dir_okay=False), help="Write JSON there.")
@click.option("--plot", "plot_file", type=click.Path(path_type=Path, dir_okay=False), help="Write an SVG there.")
@network_option
@identity_option
@account_option
@password_file_option
@json_option
@click.pass_obj
def bench(store: Store, /, as_json: bool, **options: Any) -> None:
    """Load a network, and report throughput and latency.

    Requests are made and signed beforehand. Without --rate each connection sends its next request once the last is
    answered; with it requests are due at a fixed rate, and latency counts from when each was due. Throughput counts
    what was confirmed afterwards: transactions by their receipts.

    \b
    coco bench --duration 10s
    coco bench --sweep auto --plot latency.svg
    coco bench --url http://127.0.0.1:8545 --workload plain
    """
    from cli.load.plot import latency_plot
    from cli.load.processes import machine
    from cli.load.report import lines_of, report_of
    from cli.load.speedometer import Speedometer
    from cli.load.workload import choose_workload

    workload = choose_workload(options["workload"], options["adapter"])
    duration_s = parse_seconds(options["duration"])
    rates = _rates(options["rate"], options["sweep"])
    _check_writable(options["report_file"], options["plot_file"])
    target = _target(store, workload, options)
    described = machine()

    def speedometer() -> Speedometer:
        return Speedometer(sys.stderr, workload.counts, duration_s)

    runs = _measure(target, workload, options, duration_s, rates, speedometer)
    settings = {
        "target": target.name,
        "url": target.url,
        "workload": workload.name,
        "counts": workload.counts,
        "connections": options["connections"],
        "accounts": options["accounts"] or options["connections"],
        "batch": options["batch"],
        "processes": options["processes"],
        "duration_s": duration_s,
    }
    report = report_of(settings, described, runs)
    if options["report_file"]:
        _write(options["report_file"], orjson.dumps(report, option=orjson.OPT_INDENT_2) + b"\n")
    if options["plot_file"]:
        _write(options["plot_file"], latency_plot(report).encode())
    if as_json:
        print_json(report)
    else:
        click.echo("\n".join(lines_of(report)))
    if not any(run.confirmed for run in runs):
        raise LoadUnconfirmed(f"nothing was confirmed on {target.name}", hint="The errors above say why.")


def _measure(
    target: Target,
    workload: Workload,
    options: dict[str, Any],
    duration_s: float,
    rates: Sequence[float | None],
    speedometer: Callable[[], Speedometer],
) -> list[Measurement]:
    from cli.load.client import Client
    from cli.load.measurement import Load
    from cli.load.treasury import answers_when_mined
    from cli.load.workers import Workers
    from cli.load.workload import Shape

    lanes = options["connections"]
    shape = Shape(lanes, options["accounts"] or lanes, options["batch"], options["recipients"])
    display = speedometer()
    try:
        with Client(target.endpoint) as client:
            recipe = workload.prepare(client, target, shape, display.say)
            at_commit = target.answers_at_commit or not workload.makes_blocks
            watch_blocks = not at_commit and not answers_when_mined(client, target)
        processes = min(options["processes"], lanes)
        with Workers(target.endpoint, recipe, processes=processes, lanes=lanes) as workers:
            load = Load(target, recipe, workers, lanes, watch_blocks=watch_blocks)
            display.say("warming up")
            return _run_all(load, load.warm_up(), duration_s, rates, options["sweep"] == "auto", speedometer)
    finally:
        display.done()


def _run_all(
    load: Load,
    warm_rate: float,
    duration_s: float,
    rates: Sequence[float | None],
    auto: bool,
    speedometer: Callable[[], Speedometer],
) -> list[Measurement]:
    runs: list[Measurement] = []
    waiting = list(rates)
    while waiting:
        rate = waiting.pop(0)
        display = speedometer()
        try:
            run = load.run(duration_s, rate, warm_rate, display)
        finally:
            display.done()
        runs.append(run)
        if auto and rate is None:
            reached = run.requests / run.seconds if run.seconds > 0 else 0.0
            waiting = [round(reached * share, 1) for share in AUTO_SHARES if reached * share >= 1]
    return runs


def _rates(rate: float | None, sweep: str | None) -> list[float | None]:
    """Return the rates to run in turn; None is a closed loop. Raises WrongUse."""
    if sweep is None:
        return [rate]
    if rate is not None:
        raise WrongUse("--rate and --sweep exclude each other")
    if sweep == "auto":
        return [None]
    try:
        rates = [float(text) for text in sweep.split(",")]
    except ValueError:
        rates = []
    if not rates or len(rates) > SWEEP_MAX or not all(0 < one < 1e9 for one in rates):
        raise WrongUse(f"no rates: {sweep[:80]!r}", hint="Write --sweep 500,1000,2000, or --sweep auto.")
    return list(rates)


def _target(store: Store, workload: Workload, options: dict[str, Any]) -> Target:
    watched = dict(_pid(text) for text in options["pid"])
    if options["url"] is not None:
        return _foreign_target(options, watched)
    for name in ("header", "ca_file", "key_file"):
        if options[name]:
            raise WrongUse(f"--{name.replace('_', '-')} goes with --url", hint="A network's own are known here.")
    return _network_target(store, workload, options, watched)


def _network_target(store: Store, workload: Workload, options: dict[str, Any], watched: dict[str, int]) -> Target:
    from cli.connection import connect_client
    from cli.load.requests import Endpoint
    from cli.load.workload import Target
    from enclave_sim.status import read_status

    client = store.client(options["network"])
    connection = connect_client(client, client.identity(options["identity"]))
    parts = urllib.parse.urlsplit(connection.url)
    key = None
    if workload.adapter == "ethereum":
        entry = choose_account(client, options["account_name"])
        key = bytes(unlock(client, entry, options["password_file"]).key)
    if client.network in store.networks():
        status = read_status(store.network_directory(client.network))
        watched = (status.pids if status is not None else {}) | watched
    return Target(
        name=f"network {client.network}",
        url=connection.url,
        endpoint=Endpoint(
            host=parts.hostname or "",
            port=parts.port or 443,
            tls=True,
            path=ETHEREUM_PATH if workload.adapter == "ethereum" else "/",
            headers=(f"Authorization: Bearer {connection.token}",),
            ca_file=str(connection.ca_file),
        ),
        answers_at_commit=True,
        must_bind=True,
        secret=key or b"",
        treasury_key=key,
        pids=watched,
    )


def _foreign_target(options: dict[str, Any], watched: dict[str, int]) -> Target:
    from cli.load.client import Client
    from cli.load.requests import Endpoint
    from cli.load.workload import Target

    parts = urllib.parse.urlsplit(options["url"])
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        host = parts.hostname or ""
    except (KeyError, ValueError):
        host = ""
    if not host or not options["url"].isascii():
        raise WrongUse(f"no address: {options['url'][:80]!r}", hint="Write http://HOST:PORT or https://HOST:PORT.")
    if any(": " not in line or not line.isprintable() for line in options["header"]):
        raise WrongUse("a header is written 'NAME: VALUE'")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    ca_file = None if options["ca_file"] is None else str(options["ca_file"])
    endpoint = Endpoint(host, port, parts.scheme == "https", path, tuple(options["header"]), ca_file)
    with Client(endpoint) as client:
        version = str(client.rpc("web3_clientVersion"))
    is_coco = version.lower().startswith("coco")
    return Target(
        name=f"{version[:40]} at {host}:{port}",
        url=options["url"],
        endpoint=endpoint,
        answers_at_commit=is_coco,
        must_bind=is_coco,
        secret=hashlib.sha256(b"coco bench " + options["url"].encode()).digest(),
        treasury_key=None if options["key_file"] is None else _key(options["key_file"]),
        pids=watched,
    )


def _key(file: Path) -> bytes:
    data = read_private(file)
    try:
        key = bytes.fromhex((data or b"").decode("ascii").strip().removeprefix("0x"))
    except ValueError:
        key = b""
    if len(key) != 32:
        raise WrongUse(f"{file} holds no private key", hint="It is 32 bytes, as 64 hexadecimal digits.")
    return key


def _pid(text: str) -> tuple[str, int]:
    role, _, number = text.partition("=")
    if not role or not number.isdecimal():
        raise WrongUse(f"no process: {text[:80]!r}", hint="Write --pid ROLE=PID.")
    return role, int(number)


def _check_writable(*files: Path | None) -> None:
    """Fail before the load rather than after it."""
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise WrongUse(f"{file} cannot be written: there is no directory {file.parent}")


def _write(file: Path, data: bytes) -> None:
    try:
        file.write_bytes(data)
    except OSError as error:
        raise StorageFailed(f"{file} cannot be written: {error.strerror}") from error
