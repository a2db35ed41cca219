"""kill -9 at random moments, again and again, on one network: under load, during starts, with and without snapshots.

After each kill the ledger must be whole (judged without keys, as by `coco ledger verify`), the node must start, and
what was answered before the kill must be there; at the end, everything that ever was. `make crash KILLS=200` runs more
of it than `make test`. A run prints its seed; SEED=n repeats its choices, though not the machine's timing. It prints
what was done after each kill, so that a run that is cut short counts for that; it ends at the first loss or damage.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from eth_account import Account
from eth_account.signers.local import LocalAccount

from cli.ledger_disk import ReadOnlyDisk
from cli.main import root
from core.node.audit import audit_ledgers
from tests.scenarios.conftest import ROOT, Network, send_value
from tests.support.crash_load import HONEST_REFUSALS, ROLES, Load, processes, unlock, until_gone

CHAIN_ID = 77_002
SENDERS = 4
KILLS = int(os.environ.get("KILLS", "8"))
SEED = int(os.environ.get("SEED", "0")) or random.randrange(1, 2**31)
MOMENT_SECONDS_MAX = 2.5
START_SECONDS_MAX = 6.0
SHARE_DURING_START = 0.25
KILLS_THAT_MEET_A_SNAPSHOT = 20
"""After so many there was a start from a snapshot, on a network that writes them: each start is one, but the first."""


class Story:
    """One network under kills. snapshot_entries: as in network.json."""

    def __init__(self, network: Network, snapshot_entries: int, seed: int) -> None:
        self.network = network
        self.random = random.Random(seed)
        self.answered: list[str] = []
        self.counts: Counter[str] = Counter()
        self.senders: list[LocalAccount] = []
        config = network.host_directory / "network.json"
        settings = json.loads(config.read_bytes()) | {"snapshot_entries": snapshot_entries, "readers": 0}
        config.write_text(json.dumps(settings))

    def prepare(self) -> None:
        """Start, and fund the senders."""
        network = self.network
        network.coco("network", "start", network.name)
        connection = network.connect("alpha")
        network.coco("account", "bind", "purse", "--network", network.name)
        purse = unlock(network, "purse")
        self.senders = [Account.create() for _ in range(SENDERS)]
        for nonce, account in enumerate(self.senders):
            network.bind(connection, account)
            self.answered.append(send_value(connection, purse, CHAIN_ID, nonce, account.address, value=10**18))

    def kill_under_load(self) -> None:
        """Kill one process, or all at once, of a node that runs; what was answered just before must survive."""
        load = Load(self.network, self.senders, CHAIN_ID)
        load.start()
        time.sleep(self.random.uniform(0, MOMENT_SECONDS_MAX))
        running = processes(self.network)
        victims = self.random.choice([*((role,) for role in ROLES), ROLES])
        for role in victims:
            for name, pid in running.items():
                if name.startswith(role):
                    os.kill(pid, signal.SIGKILL)
        load.join()
        assert [each for each in load.surprises if not any(said in each for said in HONEST_REFUSALS)] == []
        until_gone(self.network, list(running.values()))
        self.answered += load.answered
        self.counts[victims[0] if len(victims) == 1 else "all"] += 1
        self.verify()
        self.start()
        self.look_up(load.answered)

    def kill_during_start(self) -> None:
        """Kill all of it, start it and kill it again a moment later: before, while or after it reads the ledger."""
        running = processes(self.network)
        for pid in running.values():
            os.kill(pid, signal.SIGKILL)
        until_gone(self.network, list(running.values()))
        command = [sys.executable, "-m", "enclave_sim.host", str(self.network.host_directory)]
        host = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(self.random.uniform(0, START_SECONDS_MAX))
        host.kill()
        host.wait()
        self.counts["during a start"] += 1
        self.verify()
        self.start()

    def start(self) -> None:
        """As `coco network start`, in this process, since an interpreter of its own takes longer than the start."""
        runner = CliRunner(env={"COCO_HOME": str(self.network.home), "COCO_PASSWORD": ""})
        done = runner.invoke(root, ["network", "start", self.network.name])
        assert done.exit_code == 0, done.output

    def verify(self) -> None:
        """Judge the ledger that the kill left behind, which a start has not touched yet."""
        disk = ReadOnlyDisk(self.network.host_directory / "node0" / "disk" / "ledger")
        report = asyncio.run(audit_ledgers([("kills", disk)]))
        assert report.is_sound, [str(finding) for finding in report.all_findings]

    def look_up(self, hashes: list[str]) -> None:
        """See that transactions are there."""
        connection = self.network.connect("alpha")
        lost = [each for each in hashes if connection.rpc("eth_getTransactionReceipt", each) is None]
        assert not lost, f"{len(lost)} answered transactions are lost (seed {SEED})"
        for each in self.network.connections:
            each.close()
        self.network.connections.clear()

    def report(self, kills: int) -> None:
        """Print what was done so far, after so many kills of which none lost or damaged anything."""
        done = {
            "kills": kills,
            "seed": SEED,
            "answered": len(self.answered),
            "lost": 0,
            "damaged": 0,
            "killed": dict(self.counts),
            "started_from_snapshots": self.started_from_snapshots(),
        }
        sys.stdout.write(json.dumps(done) + "\n")
        sys.stdout.flush()

    def started_from_snapshots(self) -> int:
        folder = self.network.host_directory / "node0"
        return sum(log.read_text().count("started from snapshots/") for log in folder.glob("host.log*"))


@pytest.mark.parametrize("snapshot_entries", [0, 25], ids=["without snapshots", "with snapshots"])
def test_nothing_answered_is_lost_at_any_moment(make_network: Callable[..., Network], snapshot_entries: int) -> None:
    kills = KILLS // 2
    options = ("--organisation", "alpha", "--chain-id", str(CHAIN_ID), "--fund", "purse=1000")
    story = Story(make_network("kills", *options, start=False), snapshot_entries, SEED + snapshot_entries)
    story.prepare()
    for number in range(kills):
        if story.random.random() < SHARE_DURING_START:
            story.kill_during_start()
        else:
            story.kill_under_load()
        story.report(number + 1)
    story.look_up(story.answered)
    sys.stdout.write(f"after {kills} kills, each of {len(story.answered)} answered transactions is there\n")
    started = story.started_from_snapshots()
    assert not started if not snapshot_entries else started or kills < KILLS_THAT_MEET_A_SNAPSHOT
