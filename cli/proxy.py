"""`coco proxy`: a local plain end point for tools that cannot send a token or pin a certificate.

HTTP and WebSocket for all of them; ZeroMQ for Sawtooth's, on request.
"""

from __future__ import annotations

import asyncio
import ipaddress
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import click

from cli.connection import tls_context
from cli.errors import Unreachable, WrongUse
from cli.options import identity_option, json_option, network_option
from cli.output import note, print_json
from cli.proxy_origins import ANY, parse_origin
from cli.store import Store
from core.errors import CocoError

if TYPE_CHECKING:
    from cli.proxy_server import ProxySettings


@click.command()
@network_option
@identity_option
@click.option("--port", type=click.IntRange(0, 65_535), default=8545, show_default=True, help="0 takes a free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The local address to listen on.")
@click.option(
    "--allow-origin", multiple=True, metavar="URL", help="A page's origin that may use it, or '*'; repeatable."
)
@click.option(
    "--zmq-port",
    type=click.IntRange(0, 65_535),
    help="Carry Sawtooth's ZeroMQ, too; a validator's port is 4004. 0 takes a free one.",
)
@click.option("--i-know", is_flag=True, help="Allow a --host that other machines reach: they act as the identity.")
@json_option
@click.pass_obj
def proxy(
    store: Store,
    network: str | None,
    identity: str | None,
    port: int,
    host: str,
    allow_origin: tuple[str, ...],
    zmq_port: int | None,
    i_know: bool,
    as_json: bool,
) -> None:
    """Serve plain HTTP and WebSocket on this machine for tools that cannot pin a certificate or send a token.

    With --zmq-port also a Sawtooth validator's ZeroMQ, for Sawtooth's SDKs.

    Everything that reaches it acts as the identity. Runs until Ctrl-C.
    """
    from cli.proxy_server import ProxySettings  # aiohttp is needed by this command only.

    if not _is_loopback(host) and not i_know:
        raise WrongUse(
            f"{host} may be reached from other machines, and whoever reaches the proxy acts as the identity",
            hint="Leave --host at 127.0.0.1, or say --i-know.",
        )
    origins = frozenset(_origin(text) for text in allow_origin)
    client = store.client(network)
    chosen = client.identity(identity)
    urls = client.urls()
    if not urls or client.pinned_ca() is None:
        raise Unreachable(
            f"network {client.network} has not been started yet", hint=f"coco network start {client.network}"
        )
    if ANY in origins:
        note(f"warning: any page that a browser on this machine opens can now act as {chosen.name}")
    settings = ProxySettings(
        upstream=urls[0],
        others=urls[1:],
        tls=tls_context(client.ca_file),
        token=chosen.token(),
        host=host,
        port=port,
        origins=origins,
        any_host=i_know,
    )
    asyncio.run(_serve(settings, zmq_port, f"{client.network} as {chosen.name}", as_json))


async def _serve(settings: ProxySettings, zmq_port: int | None, what: str, as_json: bool) -> None:
    from cli.proxy_server import Proxy

    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    async with AsyncExitStack() as stack:
        running = Proxy(settings)
        await running.start()
        stack.push_async_callback(running.stop)
        served = {"http": f"http://{host}:{running.port}", "websocket": f"ws://{host}:{running.port}"}
        if zmq_port is not None:
            from cli.proxy_zmq import ZmqProxy

            carrying = ZmqProxy(settings, zmq_port, note)
            await carrying.start()
            stack.push_async_callback(carrying.stop)
            served["zmq"] = f"tcp://{host}:{carrying.port}"
        if as_json:
            print_json(served)
        else:
            click.echo(f"{what}: {', '.join(served.values())} (Ctrl-C stops)")
        await stopped.wait()
    note("stopped")


def _origin(text: str) -> str:
    try:
        return parse_origin(text)
    except CocoError as error:
        raise WrongUse(error.message, hint=error.hint) from None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
