"""A whole node in one process: start, restart, crash, and failures that surface."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from core.errors import CocoError, StorageFailed
from core.governance.constitution import Constitution
from enclave_sim.disk import DirectoryDisk
from enclave_sim.local_node import LocalNode
from enclave_sim.platform.memory import MemoryPlatform
from tests.support.manifests import AUTHORITY


async def get(node: LocalNode, path: str) -> bytes:
    context = ssl.create_default_context(cadata=node.ca_pem)
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port, ssl=context, server_hostname="localhost")
    headers = "host: localhost\r\nauthorization: Bearer token of org1\r\nconnection: close"
    writer.write(f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_start_serve_and_restart(tmp_path: Path, constitution: Constitution) -> None:
    views = []
    for gateways in (1, 2):
        async with LocalNode(tmp_path, constitution.encode(), gateways=gateways) as node:
            assert (await get(node, "/node/network")).startswith(b"HTTP/1.1 200")
            views.append(node.service_info["view"])
            assert node.url.endswith(str(node.port))
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await get(node, "/node/network")
    assert views == [1, 2]


async def test_a_crash_drops_everything_and_a_restart_works(tmp_path: Path, constitution: Constitution) -> None:
    async with LocalNode(tmp_path, constitution.encode()) as node:
        node.crash()
    async with LocalNode(tmp_path, constitution.encode()) as node:
        assert node.service_info["view"] == 2


async def test_stop_twice_is_stop_once(tmp_path: Path, constitution: Constitution) -> None:
    async with LocalNode(tmp_path, constitution.encode()) as node:
        await node.stop()
        await node.stop()


async def test_a_disk_and_the_platform_that_sealed_it(tmp_path: Path, constitution: Constitution) -> None:
    disk, platform = DirectoryDisk(tmp_path), MemoryPlatform(authority=AUTHORITY)
    try:
        async with LocalNode(disk, constitution.encode(), platform=platform):
            pass
        async with LocalNode(disk, constitution.encode(), platform=platform) as node:
            assert node.service_info["view"] == 2
        with pytest.raises(CocoError):
            async with LocalNode(disk, constitution.encode(), platform=MemoryPlatform(authority=AUTHORITY)):
                pass
    finally:
        disk.close()


async def test_a_constitution_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(CocoError, match="constitution"):
        async with LocalNode(tmp_path, b"{}"):
            pass


async def test_a_busy_port_is_told(tmp_path: Path, constitution: Constitution) -> None:
    async with LocalNode(tmp_path / "a", constitution.encode()) as node:
        with pytest.raises(CocoError, match="in use"):
            async with LocalNode(tmp_path / "b", constitution.encode(), port=node.port):
                pass


class FailingDisk(DirectoryDisk):
    """Fails every append once told to."""

    failing = False

    async def append(self, name: str, offset: int, data: bytes) -> None:
        if self.failing:
            raise StorageFailed("injected")
        await super().append(name, offset, data)


async def test_a_disk_that_fails_at_start_is_told(tmp_path: Path, constitution: Constitution) -> None:
    disk = FailingDisk(tmp_path)
    disk.failing = True
    try:
        with pytest.raises(StorageFailed, match="injected"):
            async with LocalNode(disk, constitution.encode(), platform=MemoryPlatform(authority=AUTHORITY)):
                pass
    finally:
        disk.close()
