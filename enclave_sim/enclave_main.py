"""The process of one enclave, whatever its role; launched by the platform (enclave_sim/platform/main.py).

    python -m enclave_sim.enclave_main --role manager|executor|gateway|reader --parent PID --host-fd N --platform-fd N
                                       [--peer-fd N ...] [--listen-fd N] [--channels-fd N]

Peers: of the manager, the executor; of the executor, the manager, then the gateways; of a gateway, the executor. What
connects them with readers is passed over the channels descriptor, since readers come and go; to the manager, its
connections with other nodes. It waits for the host's
Start message, pairs with its peers, and runs until Stop, an error, or the end of the host. An error goes to the host as
Failed, and the exit code with it. Nothing is printed: output could hold what only the enclave may see, and so could the
text of an unexpected exception, of which only type and place are told.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import socket
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import Any

from core import limits
from core.adapter.interface import Adapter
from core.errors import ChannelClosed, CocoError, InvariantBroken
from core.node.attested_tls.tls_context import TlsContexts
from core.node.config import ExecutorConfig, GatewayConfig, ManagerConfig, ReaderConfig
from core.node.executor import LoadAdapters
from core.node.manager import Manager
from core.node.messages import FrontEnd
from core.ports import Transport
from enclave_sim.boundary.host_link import HostLink
from enclave_sim.boundary.messages import Role
from enclave_sim.boundary.peer_streams import PassedStreams
from enclave_sim.boundary.socket_transport import open_fd_transport
from enclave_sim.isolation.isolate import before_event_loop, isolate
from enclave_sim.isolation.preload import load_whole_adapters
from enclave_sim.platform.client import PlatformClient
from enclave_sim.process import (
    BROKEN_EXIT_CODE,
    HOST_GONE_EXIT_CODE,
    die_with_parent,
    forbid_inspection,
    ignore_terminal_signals,
)
from enclave_sim.reader_channels import (
    ChannelSource,
    NoChannels,
    PassedChannels,
    attach_to_executor,
    attach_to_gateway,
    attach_to_reader,
    make_reader,
)
from enclave_sim.roles import Reach, make_executor, make_gateway, make_manager
from enclave_sim.watchdog import Watchdog

STOP_SECONDS_MAX = 30.0
"""How long a role may take to end after Stop."""

_FRAMES_TOLD_MAX = 6

GARBAGE_THRESHOLD = 10_000
"""Objects made and not yet freed after which Python looks for cycles. Its own 700 is reached by a few dozen requests
in flight, none of them garbage: looking took up to a tenth of a gateway's and an executor's time."""


@dataclass(frozen=True, slots=True)
class _Role:
    """beside: what runs for as long as the role does."""

    run: Callable[[], Coroutine[Any, Any, None]]
    request_stop: Callable[[], None]
    beside: Callable[[], Coroutine[Any, Any, None]] | None = None


async def run_enclave(arguments: argparse.Namespace) -> int:
    """Run the role until it ends; return the exit code."""
    link = HostLink(await open_fd_transport(arguments.host_fd), arguments.role)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: link.log(_told(context)))
    platform = PlatformClient(await open_fd_transport(arguments.platform_fd))
    serving = asyncio.create_task(link.serve())
    working = asyncio.create_task(_run_role(link, platform, arguments))
    await asyncio.wait({serving, working}, return_when=asyncio.FIRST_COMPLETED)
    if not working.done():
        working.cancel()
        await asyncio.wait({working}, timeout=1.0)
        serving.exception()
        return HOST_GONE_EXIT_CODE
    exit_code = await _report(link, working.exception())
    if exit_code == 0 and arguments.role == "gateway" and link.stop_requested.is_set():
        # Were the process to end now, the executor would take the closed channel for a death.
        await link.report_stopped()
        await asyncio.wait({serving})
    serving.cancel()
    await asyncio.wait({serving})
    await link.close()
    return exit_code


async def _run_role(link: HostLink, platform: PlatformClient, arguments: argparse.Namespace) -> None:
    role = await _make_role(link, platform, arguments)
    running = asyncio.create_task(role.run())
    stopping = asyncio.create_task(link.stop_requested.wait())
    beside = [] if role.beside is None else [asyncio.create_task(role.beside())]
    try:
        await _until_either(running, stopping, beside)
        if not running.done():
            role.request_stop()
            await asyncio.wait({running}, timeout=STOP_SECONDS_MAX)
    finally:
        for task in (stopping, *beside):
            task.cancel()
        if not running.done():
            running.cancel()
    try:
        await running
    except ChannelClosed:
        # After Stop the peers end too, in an order that nobody fixes.
        if not link.stop_requested.is_set():
            raise


async def _until_either(
    running: asyncio.Task[None], stopping: asyncio.Task[Any], beside: list[asyncio.Task[None]]
) -> None:
    """Wait until the role ends or is to stop. Raises what fails beside it; an end of that is no harm."""
    waiting: set[asyncio.Task[Any]] = {running, stopping, *beside}
    while not running.done() and not stopping.done():
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in done.intersection(beside):
            task.result()


async def _make_role(link: HostLink, platform: PlatformClient, arguments: argparse.Namespace) -> _Role:
    peers = [await open_fd_transport(fd) for fd in arguments.peer_fds]
    passing = socket.socket(fileno=arguments.channels_fd) if arguments.channels_fd >= 0 else None
    if arguments.role == "manager":
        return await _make_manager(link, platform, peers[0], passing)
    channels: ChannelSource = NoChannels() if passing is None else PassedChannels(passing)
    match await link.started:
        case ManagerConfig():
            raise InvariantBroken("the link gives each role its own configuration")
        case ExecutorConfig() as config:
            load = _isolating_loader(link, "executor")
            executor = await make_executor(
                config, attestor=platform, manager=peers[0], gateways=peers[1:], log=link.log, load=load
            )
            attach = partial(attach_to_executor, executor, channels, platform, link.log)
            return _Role(executor.run, executor.request_stop, attach)
        case GatewayConfig() as config:
            return await _make_gateway(config, link, platform, peers[0], arguments.listen_fd, channels)
        case ReaderConfig():
            return await _make_reader(link, platform, channels)


async def _make_manager(
    link: HostLink, platform: PlatformClient, executor: Transport, passing: socket.socket | None
) -> _Role:
    config = await link.started
    if not isinstance(config, ManagerConfig):
        raise InvariantBroken("the link gives each role its own configuration")
    contexts = TlsContexts()  # Not later: an isolated process can make none.
    _isolate(link, "manager")
    streams = PassedStreams(passing, link.ask_to_dial, link.log) if passing is not None else None
    if streams is not None:
        link.dial_failed = streams.failed
    manager = await make_manager(
        config,
        disk=link.disk,
        sealer=platform.sealer(config.sealing),
        attestor=platform,
        executor=executor,
        log=link.log,
        published=platform.published,
        reach=Reach(streams, contexts) if streams is not None else None,
        tickets=link.tickets,
    )

    async def beside() -> None:
        works = [_pass_on_requests(link, manager), *([streams.run()] if streams is not None else [])]
        await asyncio.gather(*works)

    return _Role(manager.run, _ends_with_executor, beside)


async def _make_gateway(
    config: GatewayConfig,
    link: HostLink,
    platform: PlatformClient,
    executor: Transport,
    listen_fd: int,
    channels: ChannelSource,
) -> _Role:
    session: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    gateway = await make_gateway(
        config,
        attestor=platform,
        executor=executor,
        listener=socket.socket(fileno=listen_fd),
        log=link.log,
        on_front_end=_reporter(link, session),
        load=_isolating_loader(link, "gateway"),
    )
    attach = partial(attach_to_gateway, gateway, channels, session, platform, link.log)
    return _Role(gateway.run, gateway.request_stop, attach)


async def _make_reader(link: HostLink, platform: PlatformClient, channels: ChannelSource) -> _Role:
    tasks: set[asyncio.Task[None]] = set()

    def on_ready() -> None:
        tasks.add(asyncio.create_task(link.report_running(b"", b"")))

    watchdog = Watchdog(processor_seconds_max=limits.READER_STUCK_SECONDS_MAX, seconds_max=limits.REQUEST_SECONDS_MAX)
    load = _isolating_loader(link, "reader")
    reader = await make_reader(
        channels, attestor=platform, log=link.log, load=load, beat=watchdog.beat, on_ready=on_ready
    )
    return _Role(reader.run, reader.request_stop, partial(attach_to_reader, reader, channels, platform, link.log))


def _isolating_loader(link: HostLink, role: Role) -> LoadAdapters:
    """Return what loads a network's adapters and then isolates the process, before they execute anything."""

    def load(settings: Mapping[str, Mapping[str, Any]], network: str) -> dict[str, Adapter]:
        adapters = load_whole_adapters(settings, network)
        _isolate(link, role)
        return adapters

    return load


def _isolate(link: HostLink, role: Role) -> None:
    loop = asyncio.get_running_loop()

    def log(line: str) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(link.log, line)

    isolation = isolate(role, log, required=link.isolation_required)
    link.report_isolated(isolation.holds, isolation.missing)


async def _pass_on_requests(link: HostLink, manager: Manager) -> None:
    """Have the manager write a snapshot whenever the host asks for one."""
    while True:
        await link.snapshot_requested.wait()
        link.snapshot_requested.clear()
        await manager.request_snapshot()


def _ends_with_executor() -> None:
    """The manager's run returns by itself once the executor has closed their channel."""


def _reporter(link: HostLink, session: asyncio.Future[bytes]) -> Callable[[FrontEnd], None]:
    """Return what tells the host that the gateway serves. The private key and the session secret stay here."""
    tasks: set[asyncio.Task[None]] = set()

    def on_front_end(front_end: FrontEnd) -> None:
        session.set_result(front_end.session)
        task = asyncio.create_task(link.report_running(front_end.service, front_end.certificate_chain))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return on_front_end


async def _report(link: HostLink, error: BaseException | None) -> int:
    """Tell the host how the role ended; return the exit code."""
    match error:
        case None:
            return 0
        case CocoError():
            await link.report_failed(type(error).__name__, error.message, error.hint, error.exit_code)
            return error.exit_code
        case InvariantBroken():
            text = f"an invariant is broken: {error} ({_place(error)})"
        case _:
            text = f"unexpected {type(error).__name__} ({_place(error)})"
    hint = "This is a defect of Coco. Nothing acknowledged is lost; report it with the lines of host.log."
    await link.report_failed(type(error).__name__, text, hint, BROKEN_EXIT_CODE)
    return BROKEN_EXIT_CODE


def _told(context: dict[str, Any]) -> str:
    error = context.get("exception")
    if isinstance(error, BaseException):
        return f"event loop: {type(error).__name__} ({_place(error)})"
    return f"event loop: {context.get('message', 'unknown trouble')}"


def _place(error: BaseException) -> str:
    """Return where an exception was raised, innermost last, without any value."""
    # Not extract_tb, which opens the source files.
    frames = list(traceback.walk_tb(error.__traceback__))[-_FRAMES_TOLD_MAX:]
    codes = [(frame.f_code, line) for frame, line in frames]
    return " > ".join(f"{PurePath(code.co_filename).name}:{line} {code.co_name}" for code, line in codes)


def _parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="enclave_sim.enclave_main", description="One enclave of a node.")
    parser.add_argument("--role", choices=("manager", "executor", "gateway", "reader"), required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--host-fd", type=int, required=True)
    parser.add_argument("--platform-fd", type=int, required=True)
    parser.add_argument("--peer-fd", type=int, default=[], action="append", dest="peer_fds")
    parser.add_argument("--listen-fd", type=int, default=-1)
    parser.add_argument("--channels-fd", type=int, default=-1)
    return parser.parse_args(arguments)


def _run(work: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where it is installed. Once only: for each further run, uvloop makes sockets."""
    try:
        import uvloop
    except ImportError:
        loop = asyncio.new_event_loop()
    else:
        loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(_with_all_tasks(work))
    finally:
        loop.close()


async def _with_all_tasks(work: Coroutine[Any, Any, int]) -> int:
    """Await the work, then end what else still runs, as asyncio.Runner does in runs of their own."""
    try:
        return await work
    finally:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()


def _silence() -> None:
    """Send standard output and error nowhere, and libraries' log records as well."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    logging.disable(logging.CRITICAL)


def main() -> int:
    arguments = _parse()
    ignore_terminal_signals()
    die_with_parent(arguments.parent)
    forbid_inspection()
    _silence()
    before_event_loop()
    gc.set_threshold(GARBAGE_THRESHOLD)
    return _run(run_enclave(arguments))


if __name__ == "__main__":
    sys.exit(main())
