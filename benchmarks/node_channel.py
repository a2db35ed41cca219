"""What a channel between two nodes costs: `python benchmarks/node_channel.py`. Both ends run here, one after the other.

Platforms are simulated: the quotes in mode join are made in this process too, and are counted. Times are
processor time.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.node.attested_tls.connection import State
from core.node.attested_tls.hello import Mode
from tests.support.attested_tls import End, ends, settings

HANDSHAKES = 60
DATA_BYTES = 16 * 1024 * 1024
FIRST, SECOND = settings(), settings()


def opened(mode: Mode) -> tuple[End, End]:
    first, second = ends(mode, initiator=FIRST, responder=SECOND)
    data = first.take()
    while data:
        answer = second.step(data)
        data = first.step(answer) if answer else b""
    if first.connection.state is not State.OPEN or second.connection.state is not State.OPEN:
        raise SystemExit("the channel did not open")
    return first, second


def main() -> None:
    for mode in Mode:
        times_ms = []
        for _ in range(HANDSHAKES):
            start = time.process_time()
            first, second = opened(mode)
            times_ms.append((time.process_time() - start) * 1000)
        print(
            f"{mode.name.lower():7} {statistics.median(times_ms):5.1f} ms for both ends, "
            f"{len(first.sent) + len(second.sent):,} bytes"
        )
    first, second = opened(Mode.PINNED)
    start = time.process_time()
    first.connection.send(bytes(DATA_BYTES))
    second.connection.receive(first.take())
    seconds = time.process_time() - start
    print(f"open    {DATA_BYTES / seconds / 1e6:5.0f} MB/s, sent and received on one core")


if __name__ == "__main__":
    main()
