"""What consensus costs the processor: three Raft engines in one process, without disk and network.

    python benchmarks/consensus.py [--blocks N] [--bytes B]

Proposes blocks one at a time, and in batches of 16, until all three nodes have applied them, and prints microseconds
per block (processor time) of all three nodes together, and of the leader alone, which is loaded most.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from core.consensus.configuration import Configuration, SnapshotReference, encode_snapshot
from core.consensus.engine import PeerMessage
from core.consensus.raft.engine import RaftEngine
from core.consensus.raft.settings import RaftSettings
from core.types import NodeId

NODES = tuple(NodeId(f"{number:064x}") for number in (1, 2, 3))


class Cluster:
    """Three engines whose messages arrive at once. seconds: what each node's engine has used."""

    def __init__(self) -> None:
        snapshot = encode_snapshot(SnapshotReference(0, 0, Configuration(NODES)))
        self.engines = {
            node: RaftEngine(node, RaftSettings(), lambda low, high: low, snapshot=snapshot) for node in NODES
        }
        self.seconds = dict.fromkeys(NODES, 0.0)

    def settle(self) -> None:
        """Carry out what the engines hand out until they hand out nothing more."""
        busy = True
        while busy:
            busy = False
            for node, engine in self.engines.items():
                began = time.process_time()
                messages = list[PeerMessage]()
                while engine.has_ready():
                    messages += engine.ready().messages
                    engine.advance()
                self.seconds[node] += time.process_time() - began
                busy = busy or bool(messages)
                for message in messages:
                    began = time.process_time()
                    self.engines[message.to].step(node, message.payload)
                    self.seconds[message.to] += time.process_time() - began


def measure(blocks: int, size_bytes: int, batch: int) -> tuple[float, float]:
    """Return microseconds per block: of all nodes, and of the leader."""
    cluster = Cluster()
    leader = cluster.engines[NODES[0]]
    leader.campaign()
    cluster.settle()
    cluster.seconds = dict.fromkeys(NODES, 0.0)
    block = bytes(size_bytes)
    for done in range(0, blocks, batch):
        began = time.process_time()
        for _ in range(batch):
            leader.propose(block)
        cluster.seconds[NODES[0]] += time.process_time() - began
        cluster.settle()
        for engine in cluster.engines.values():
            if done % 1024 == 0:
                engine.compact(engine.status().applied_index)
    return sum(cluster.seconds.values()) / blocks * 1e6, cluster.seconds[NODES[0]] / blocks * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=4096)
    parser.add_argument("--bytes", type=int, default=10_000)
    arguments = parser.parse_args()
    for batch in (1, 16):
        total, leader = min(measure(arguments.blocks, arguments.bytes, batch) for _ in range(5))
        print(f"{batch:2} at a time: {total:.0f} us per block for three nodes, {leader:.0f} us for the leader")


if __name__ == "__main__":
    main()
