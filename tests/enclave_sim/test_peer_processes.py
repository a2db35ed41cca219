"""A running node's manager speaks with others out of its isolated process, over what its host accepted and passed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from core.errors import AuthenticationFailed, ChannelClosed
from core.governance.constitution import Constitution
from core.node.attested_tls.connection import AttestedConnection
from core.node.attested_tls.hello import Mode
from core.node.attested_tls.transport import SocketStream, open_attested
from core.node.peer_messages import JoinDenied, JoinRequest, PeerUnreachable
from core.node.peers.network import NodePeers, PeerSettings
from enclave_sim.host_config import HostConfig, split_address
from enclave_sim.platform.memory import MemoryPlatform
from enclave_sim.platform.remote import PublishedEvidence
from enclave_sim.verify.manifest import ManifestVerifier
from tests.enclave_sim.test_peer_hosting import Machine
from tests.support.attested_tls import SgxEvidence, admit_all, settings
from tests.support.manifests import AUTHORITY
from tests.support.peers import until

JOIN = JoinRequest(b"authorization", "127.0.0.1:1")


class Joiner(Machine):
    """A node in this process, on a machine of the tests' authority."""

    def __init__(self, constitution: Constitution, platform: MemoryPlatform) -> None:
        super().__init__(listens=False)
        source = PublishedEvidence(platform.attestor("manager"), platform.published)
        settings = PeerSettings(self.key, source, ManifestVerifier, constitution, time.time)
        self.peers = NodePeers(settings, self.streams, lambda line: self.log.line("manager", line))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="descriptors and isolation as on Linux")
async def test_a_manager_meets_others(
    make_network: Callable[..., Path], run_process: Callable[[Path], Any], constitution: Constitution
) -> None:
    directory = make_network(HostConfig(peer_port=0, readers=0, contacts=("127.0.0.1:9",)))
    host = run_process(directory)
    status = await asyncio.to_thread(host.wait_running)
    assert status.peer_address.startswith("127.0.0.1:")
    joiner = Joiner(constitution, MemoryPlatform(authority=AUTHORITY))
    log = directory / "node0" / "host.log"
    # Both sides' evidence holds; what no member signed lets nobody in.
    met = await joiner.peers.introduce(status.peer_address, JOIN, seconds_max=30)
    assert isinstance(met.answer, JoinDenied)
    assert met.answer.reason == "authorization-malformed"
    assert "refused" not in log.read_text()
    stranger = Joiner(constitution, MemoryPlatform())
    with pytest.raises((AuthenticationFailed, PeerUnreachable)):
        await stranger.peers.introduce(status.peer_address, JOIN, seconds_max=10)
    connection = AttestedConnection.initiate(settings(admit=admit_all), Mode.PINNED, at=datetime.now(UTC))
    stream = SocketStream(*await asyncio.open_connection(*split_address(status.peer_address)))
    with pytest.raises((AuthenticationFailed, ChannelClosed)):
        await open_attested(connection, stream, SgxEvidence())
    for reason in ("unknown-root", "unregistered-node"):
        await until(lambda reason=reason: f"a connection was refused: {reason}" in log.read_text())
    assert "import of" not in log.read_text(), "a module came too late"
    for one in (joiner, stranger):
        await one.close()
