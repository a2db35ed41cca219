"""Runs scenario files: commands to a cluster of engines, each with what it must print; etcd's datadriven style.

A file is blocks of a command line, `----`, and what it prints, ended by an empty line; `#` begins a comment. Nodes are
numbered; messages wait on their link, from one node to another, until they are delivered. Nothing happens by itself:
there is no time but `tick`.

    nodes 3 [learners=4]     start nodes 1 to 3, voters; node 4, a learner
    start 5                  start a node that is in nobody's configuration yet, from the first configuration
    log 1 1 1 4              give node 1 entries of terms 1, 1 and 4, before anything else; term 1 1 4 sets its term
    campaign 1 | tick 1 [3]  stand for election; let time pass (election timeout: 9 and the node's number; heartbeat: 1)
    propose 1 hello          propose a block; change 1 +4 ~5 -2 [joint|explicit|leave] [block] a configuration change
    read 1 name | transfer 1 2 | compact 1 5 | unreachable 1 2
    deliver [1 2] [n]        deliver what waits on link 1-2 (or on all) when the command begins, at most n messages
    duplicate 1 2 | drop 1 2 | reorder 1 2    what waits: deliver it and keep it; lose it; turn it round
    cut 1 2 | cut 1 | heal   lose all that is sent from 1 to 2, or from and to 1; stop that
    disk 2 hold|one|go       keep the writes of node 2 waiting; let one be done, or all
    ship 1 2 | fail-ship 1 2 ship the snapshot that node 1 was asked for, or report that it failed
    replay 1 2 name          deliver again the message kept by `keep 1 2 name`
    stabilize [1 2]          let all (or these) exchange messages until nothing waits
    status | raft-log 1 | progress 1 | messages | config 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from core.consensus.configuration import (
    ChangeKind,
    Configuration,
    ConfigurationChange,
    NodeChange,
    SnapshotReference,
    Transition,
    decode_change,
    encode_change,
    encode_snapshot,
    sorted_nodes,
)
from core.consensus.engine import LogEntry, Ready
from core.consensus.raft.engine import RaftEngine
from core.consensus.raft.settings import RaftSettings
from core.errors import CocoError, InvariantBroken
from core.types import NodeId, View
from tests.consensus.wording import NAMES, describe_message, node_id

SEPARATOR = "----"


@dataclass(slots=True)
class Block:
    """A command with its place in the file and what it is expected to print. comments: the lines before it."""

    line: int
    command: str
    expected: list[str]
    comments: list[str]


def parse(text: str) -> tuple[list[Block], list[str]]:
    """Return a file's blocks, and the comments at its end."""
    blocks: list[Block] = []
    comments: list[str] = []
    lines = text.splitlines()
    place = 0
    while place < len(lines):
        line = lines[place]
        if not line.strip() or line.startswith("#"):
            comments.append(line)
            place += 1
            continue
        if place + 1 >= len(lines) or lines[place + 1] != SEPARATOR:
            raise ValueError(f"line {place + 1}: {SEPARATOR} must follow a command")
        end = place + 2
        while end < len(lines) and lines[end].strip():
            end += 1
        blocks.append(Block(place + 1, line, lines[place + 2 : end], comments))
        comments, place = [], end
    return blocks, comments


def run_file(path: Path, engine_class: type[RaftEngine] = RaftEngine) -> list[tuple[Block, list[str]]]:
    """Run a scenario; returns each block with what it printed."""
    scenario = Scenario(engine_class)
    blocks, _ = parse(path.read_text())
    return [(block, scenario.run(block.command)) for block in blocks]


def rewrite(path: Path) -> bool:
    """Write what the commands print into the file; returns whether it changed. Authors then read every line."""
    _, rest = parse(path.read_text())
    lines: list[str] = []
    for block, printed in run_file(path):
        lines += [*block.comments, block.command, SEPARATOR, *printed]
    text = "\n".join([*lines, *rest]).rstrip("\n") + "\n"
    changed = text != path.read_text()
    path.write_text(text)
    return changed


class Scenario:
    """The cluster of a scenario. Output of a command is collected in `lines`."""

    def __init__(self, engine_class: type[RaftEngine]) -> None:
        self._engine_class = engine_class
        self.engines: dict[int, RaftEngine] = {}
        self.links: dict[tuple[int, int], list[bytes]] = {}
        self.cut: set[tuple[int, int]] = set()
        self.held: dict[int, list[Ready]] = {}
        self.shipping: set[tuple[int, int]] = set()
        self.kept: dict[str, tuple[int, int, bytes]] = {}
        self.seen: dict[int, tuple[object, ...]] = {}
        self.lines: list[str] = []
        self.bytes_max = 1000
        self.first: Configuration | None = None

    def run(self, line: str) -> list[str]:
        """Run a command; returns what it prints, `ok` for nothing."""
        self.lines = []
        name, *words = line.split()
        command: Callable[..., None] = getattr(self, "do_" + name.replace("-", "_"))
        try:
            command(*words)
        except InvariantBroken as error:
            self.lines.append(f"STOPPED: {self._named(str(error))}")
        except CocoError as error:
            self.lines.append(f"refused: {self._named(error.message)}")
        return self.lines or ["ok"]

    def _named(self, text: str) -> str:
        for node, name in NAMES.items():
            text = text.replace(node, name).replace(node[:16], name)
        return text

    # Setting up.

    def do_nodes(self, count: str, *options: str) -> None:
        learners: set[NodeId] = set()
        for option in options:
            key, _, value = option.partition("=")
            if key == "learners":
                learners = {node_id(int(one)) for one in value.split(",")}
            elif key == "append-bytes":
                self.bytes_max = int(value)
            else:
                raise ValueError(option)
        voters = {node_id(number + 1) for number in range(int(count))}
        self.first = Configuration(sorted_nodes(voters), (), sorted_nodes(learners))
        for node in sorted(voters | learners):
            self.do_start(NAMES[node])

    def do_start(self, name: str) -> None:
        assert self.first is not None
        number = int(name)
        settings = RaftSettings(append_bytes_max=self.bytes_max, inflight_messages_max=3, uncommitted_bytes_max=100)
        self.engines[number] = self._engine_class(
            node_id(number),
            settings,
            lambda low, high: min(low + number - 1, high),
            snapshot=encode_snapshot(SnapshotReference(0, 0, self.first)),
        )
        self._observe(number, silently=True)

    def do_log(self, name: str, *terms: str) -> None:
        """As if it had been written long ago."""
        engine = self.engines[int(name)]
        for index, term in enumerate(terms, 1):
            engine.log.append(LogEntry(index, View(int(term)), f"{index}/{term}".encode()))
        engine.term = View(max(engine.term, *map(int, terms)))
        engine.log.hand_out(1)
        engine.log.complete()
        self._observe(int(name), silently=True)

    def do_term(self, name: str, term: str) -> None:
        self.engines[int(name)].term = View(int(term))
        self._observe(int(name), silently=True)

    # Engines.

    def _call(self, number: int, call: Callable[[], object]) -> None:
        """Call an engine and carry out what it hands out."""
        try:
            call()
        finally:
            self._pump(number)

    def _pump(self, number: int) -> None:
        engine = self.engines[number]
        self._observe(number)
        while engine.has_ready():
            ready = engine.ready()
            for message in ready.messages:
                link = number, int(NAMES[message.to])
                if link not in self.cut and link[1] in self.engines:
                    self.links.setdefault(link, []).append(message.payload)
            for entry in ready.committed:
                self._apply(number, entry)
            for context, index in ready.reads:
                self.lines.append(f"{number} may read {context.decode()} at {index}")
            for context in ready.dropped_reads:
                self.lines.append(f"{number} drops read {context.decode()}")
            for needed in ready.snapshots:
                self.shipping.add((number, int(NAMES[needed.to])))
                self.lines.append(f"{number} needs a snapshot at {needed.index} or later for {NAMES[needed.to]}")
            if number in self.held:
                self.held[number].append(ready)
            else:
                engine.advance()
            self._observe(number)

    def _apply(self, number: int, entry: LogEntry) -> None:
        text = entry.data.decode() or ("-" if not entry.change else "")
        if entry.change:
            self.engines[number].apply_conf_change(entry.change)
            text = f"{self._change(entry.change)} {text}".strip()
        self.lines.append(f"{number} applies {entry.index}/{entry.term} {text}")
        if entry.change:
            self.lines.append(f"{number} is in {self.engines[number].configuration.describe(NAMES)}")

    @staticmethod
    def _change(data: bytes) -> str:
        signs = {ChangeKind.ADD_VOTER: "+", ChangeKind.ADD_LEARNER: "~", ChangeKind.REMOVE: "-"}
        changes = decode_change(data).changes
        return " ".join(signs[one.kind] + NAMES[one.node] for one in changes) or "leave"

    def _observe(self, number: int, *, silently: bool = False) -> None:
        """Print a change of role, term or leader."""
        engine = self.engines[number]
        leader = NAMES[engine.leader] if engine.leader else "none"
        now = (engine.role.value, engine.term, leader)
        if now != self.seen.get(number) and not silently:
            self.lines.append(f"{number} is {engine.role.value} in term {engine.term}, leader {leader}")
        self.seen[number] = now

    def do_campaign(self, name: str) -> None:
        self._call(int(name), self.engines[int(name)].campaign)

    def do_tick(self, name: str, count: str = "1") -> None:
        for _ in range(int(count)):
            self._call(int(name), self.engines[int(name)].tick)

    def do_propose(self, name: str, *words: str) -> None:
        self._call(int(name), lambda: self.engines[int(name)].propose(" ".join(words).encode()))

    def do_change(self, name: str, *words: str) -> None:
        kinds = {"+": ChangeKind.ADD_VOTER, "~": ChangeKind.ADD_LEARNER, "-": ChangeKind.REMOVE}
        changes = [NodeChange(kinds[word[0]], node_id(int(word[1:]))) for word in words if word[0] in kinds]
        others = [word for word in words if word[0] not in kinds and word != "leave"]
        transition = Transition.AUTO
        if others and others[0] in ("joint", "explicit"):
            transition = Transition[others.pop(0).upper()]
        change = encode_change(ConfigurationChange(tuple(changes), transition))
        block = " ".join(others).encode()
        self._call(int(name), lambda: self.engines[int(name)].propose_conf_change(change, block))

    def do_read(self, name: str, context: str) -> None:
        self._call(int(name), lambda: self.engines[int(name)].read_index(context.encode()))

    def do_transfer(self, name: str, to: str) -> None:
        self._call(int(name), lambda: self.engines[int(name)].transfer_leadership(node_id(int(to))))

    def do_compact(self, name: str, index: str) -> None:
        self._call(int(name), lambda: self.engines[int(name)].compact(int(index)))

    def do_unreachable(self, name: str, other: str) -> None:
        self._call(int(name), lambda: self.engines[int(name)].report_unreachable(node_id(int(other))))

    def do_ship(self, name: str, to: str) -> None:
        snapshot = self.engines[int(name)].snapshot()
        self.shipping.remove((int(name), int(to)))
        self._call(int(to), lambda: self.engines[int(to)].restore(snapshot))
        self._call(int(name), lambda: self.engines[int(name)].report_snapshot(node_id(int(to)), delivered=True))

    def do_fail_ship(self, name: str, to: str) -> None:
        self.shipping.remove((int(name), int(to)))
        self._call(int(name), lambda: self.engines[int(name)].report_snapshot(node_id(int(to)), delivered=False))

    def do_disk(self, name: str, what: str) -> None:
        number = int(name)
        if what == "hold":
            self.held[number] = []
            return
        done = self.held.pop(number)
        if what == "one":
            first = next((place for place, ready in enumerate(done) if ready.entries), len(done) - 1)
            self.held[number] = done[first + 1 :]
            done = done[: first + 1]
        for _ in done:
            self.engines[number].advance()
            self._observe(number)
        self._pump(number)

    def do_stop(self, name: str) -> None:
        """End a node for good."""
        number = int(name)
        del self.engines[number]
        self.links = {link: waiting for link, waiting in self.links.items() if number not in link}

    # Links.

    def _links(self, words: Iterable[str]) -> list[tuple[int, int]]:
        numbers = [int(word) for word in words]
        if numbers:
            return [(numbers[0], numbers[1])]
        return sorted(self.links)

    def _deliver(self, link: tuple[int, int], payload: bytes) -> None:
        sender, to = link
        self.lines.append(f"{sender}->{to} {describe_message(payload)}")
        if to in self.engines:
            self._call(to, lambda: self.engines[to].step(node_id(sender), payload))

    def do_deliver(self, *words: str) -> None:
        limit = int(words[2]) if len(words) > 2 else 1000
        waiting = [(link, list(self.links.get(link, []))[:limit]) for link in self._links(words[:2])]
        for link, payloads in waiting:
            for payload in payloads:
                self.links[link].pop(0)
                self._deliver(link, payload)

    def do_duplicate(self, *words: str) -> None:
        for link in self._links(words):
            for payload in list(self.links.get(link, [])):
                self._deliver(link, payload)

    def do_keep(self, sender: str, to: str, name: str) -> None:
        """Take the first message off a link, for `replay`."""
        self.kept[name] = (int(sender), int(to), self.links[int(sender), int(to)].pop(0))

    def do_replay(self, name: str) -> None:
        sender, to, payload = self.kept[name]
        self._deliver((sender, to), payload)

    def do_drop(self, *words: str) -> None:
        for link in self._links(words):
            self.links.pop(link, None)

    def do_reorder(self, sender: str, to: str) -> None:
        self.links[int(sender), int(to)].reverse()

    def do_cut(self, *words: str) -> None:
        numbers = [int(word) for word in words]
        everyone = range(1, 10)
        if len(numbers) == 1:
            found = {(numbers[0], one) for one in everyone} | {(one, numbers[0]) for one in everyone}
        else:
            found = {(numbers[0], numbers[1])}
        self.cut |= found
        for link in found:
            self.links.pop(link, None)

    def do_heal(self) -> None:
        self.cut = set()

    def do_stabilize(self, *words: str) -> None:
        among = {int(word) for word in words} or set(self.engines)
        for _ in range(1000):
            busy = [link for link in sorted(self.links) if self.links[link] and set(link) <= among]
            if not busy:
                return
            for link in busy:
                for payload in list(self.links[link]):
                    self.links[link].pop(0)
                    self._deliver(link, payload)
        raise AssertionError("the scenario does not come to rest")

    # Looking.

    def do_status(self) -> None:
        for number, engine in sorted(self.engines.items()):
            status = engine.status()
            vote = NAMES[engine.vote] if engine.vote else "none"
            self.lines.append(
                f"{number} {status.role.value} term {status.term} vote {vote} last {engine.log.last_term}"
                f"@{status.last_index} commit {status.commit_index} applied {status.applied_index}"
            )

    def do_raft_log(self, name: str) -> None:
        log = self.engines[int(name)].log
        entries = log.entries(log.first_index, log.last_index)
        self.lines.append(" ".join(f"{entry.index}/{entry.term}" for entry in entries) or "empty")

    def do_progress(self, name: str) -> None:
        for node, progress in sorted(self.engines[int(name)].progress.items()):
            text = f"{NAMES[node]} {progress.state.value} match {progress.match} next {progress.next}"
            text += f" inflight {progress.inflight}" if progress.inflight else ""
            self.lines.append(text + (" paused" if progress.is_paused() else ""))

    def do_config(self, name: str) -> None:
        self.lines.append(self.engines[int(name)].configuration.describe(NAMES))

    def do_messages(self) -> None:
        for (sender, to), waiting in sorted(self.links.items()):
            self.lines += [f"{sender}->{to} {describe_message(payload)}" for payload in waiting]
