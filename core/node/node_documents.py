"""What a node tells about itself: JSON in CCF's shape, and metrics for Prometheus.

Source: CCF 6, node end points (`/node/state`, `/node/network/nodes`, `/node/commit`); the Prometheus text format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.node.node_news import NodeNews
from core.types import TransactionId

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """Of an executor, as of now. committed: id of the newest committed entry. started: the newest one at the start.

    queued: commands by adapter. forwarded: commands that wait for the leader, or for its answer.
    """

    node_id: str
    leads: bool
    committed: TransactionId
    head: int
    started: int
    blocks: int
    blocks_in_flight: int
    unresolved_blocks: int
    queued: Mapping[str, int]
    queries: int
    forwarded: int
    unanswered: int
    readers: int
    stopping: bool


def status_document(figures: NodeFigures, news: NodeNews, leader: str) -> dict[str, Any]:
    """Return the executor's part of what /node/status answers. leader: whom it follows, "" for none that is known."""
    return {
        "role": "leader" if figures.leads else news.role or "follower",
        "leader": figures.node_id if figures.leads else leader,
        "view": figures.committed.view,
        "committed": figures.committed.seqno,
        "head": figures.head,
        "blocks": figures.blocks,
        "blocks_in_flight": figures.blocks_in_flight,
        "queued": figures.queued,
        "forwarded": figures.forwarded,
        "readers": figures.readers,
        "clock_behind_seconds": news.clock_behind_seconds,
        "stopping": figures.stopping,
    }


def state_document(figures: NodeFigures) -> dict[str, Any]:
    """Return what /node/state answers."""
    return {
        "node_id": figures.node_id,
        "state": "PartOfNetwork",
        "last_signed_seqno": figures.committed.seqno,
        "startup_seqno": figures.started,
        "stop_notice": figures.stopping,
    }


def nodes_document(news: NodeNews) -> dict[str, Any]:
    """Return what /node/network/nodes answers."""
    return {
        "nodes": [
            {
                "node_id": node.node_id,
                "status": node.status,
                "primary": node.node_id == news.leader,
                "role": node.role,
                "address": node.address,
                "node_data": {"slot": node.slot, "member": node.member},
            }
            for node in news.nodes
        ]
    }


def metrics_text(figures: NodeFigures, news: NodeNews) -> str:
    """Return what /node/metrics answers; the gateway adds its own."""
    singles = [
        ("coco_leader", "gauge", "1 while this node leads.", int(figures.leads)),
        ("coco_view", "gauge", "View of the newest committed entry.", figures.committed.view),
        ("coco_committed_seqno", "gauge", "The newest committed entry, applied here.", figures.committed.seqno),
        ("coco_head_seqno", "gauge", "The newest entry made here; beyond the committed one in a leader.", figures.head),
        ("coco_blocks_total", "counter", "Blocks since the node's start.", figures.blocks),
        ("coco_blocks_in_flight", "gauge", "Blocks proposed and not committed.", figures.blocks_in_flight),
        ("coco_blocks_unresolved", "gauge", "Blocks of a lost leadership of unknown fate.", figures.unresolved_blocks),
        ("coco_queries_queued", "gauge", "Queries that wait in the executor.", figures.queries),
        ("coco_commands_forwarded", "gauge", "Commands that wait for the leader or its answer.", figures.forwarded),
        ("coco_commands_unanswered", "gauge", "Commands that are not answered yet.", figures.unanswered),
        ("coco_readers", "gauge", "Readers that are fed.", figures.readers),
        ("coco_clock_behind_seconds", "gauge", "Blocks are dated that far ahead.", news.clock_behind_seconds),
        ("coco_nodes", "gauge", "Trusted nodes.", sum(node.status == "Trusted" for node in news.nodes)),
    ]
    lines = [line for name, kind, text, value in singles for line in metric(name, kind, text, value)]
    lines += ["# HELP coco_commands_queued Commands that wait to run.", "# TYPE coco_commands_queued gauge"]
    lines += [f'coco_commands_queued{{adapter="{name}"}} {count}' for name, count in sorted(figures.queued.items())]
    return "\n".join(lines) + "\n"


def metric(name: str, kind: str, text: str, value: int) -> list[str]:
    """Return the lines of a metric without labels."""
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
