"""A recording TCP relay: what a host sees of the traffic between a client and a node."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path


class RecordingRelay:
    """Listens on a free port, forwards to a port of 127.0.0.1 and appends every byte of both directions to a file.

    Runs in a thread of its own: `with RecordingRelay(port, path) as relay: ... relay.port`.
    """

    def __init__(self, target_port: int, record: Path) -> None:
        self._target_port = target_port
        self._record = record
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)
        self.port = 0
        self.recorded_bytes = 0

    def __enter__(self) -> RecordingRelay:
        self._thread.start()
        if not self._started.wait(10):
            raise TimeoutError("the relay did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        with self._record.open("ab") as out:

            async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
                await asyncio.gather(pump(reader, upstream_writer), pump(upstream_reader, writer))

            async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    while data := await reader.read(65_536):
                        out.write(data)
                        self.recorded_bytes += len(data)
                        writer.write(data)
                        await writer.drain()
                except ConnectionError:
                    pass
                finally:
                    writer.close()
                    if self._stop.is_set():
                        writer.transport.abort()  # Whoever does not read is not waited for.

            server = await asyncio.start_server(connection, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stop.wait()
            server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.sleep(0)  # The loop closes the sockets in its next turn.
