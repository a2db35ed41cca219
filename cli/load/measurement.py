"""One run of a load, from the first signature to the last receipt."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from cli.load.block_watch import BlockWatch
from cli.load.client import Client
from cli.load.histogram import Histogram
from cli.load.processes import Usage, usages
from cli.load.requests import Confirmation, Endpoint
from cli.load.runner import Outcome
from cli.load.schedule import Schedule
from cli.load.speedometer import Speedometer
from cli.load.workers import Workers
from cli.load.workload import CONFIRM_MAX, Recipe, Target

WARM_UP_REQUESTS = 60
"""Of each connection, at most."""
WARM_UP_SECONDS = 2.0
CLOSED_LOOP_MARGIN = 1.6
"""How much faster than the warm-up a closed loop may turn out without running out of requests."""
CONFIRM_THREADS = 4


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run gave. rate: that was asked for; None: a closed loop.

    seconds: from the start to the last confirmation. answers: latencies of requests; confirmations: of items, from when
    each was due until it was seen in a block, where that is not the same. node: used during the run, by role.
    """

    rate: float | None
    seconds: float
    requests: int
    items: int
    accepted: int
    confirmed: int
    errors: dict[str, int]
    answers: Histogram
    confirmations: Histogram | None
    ran_out: bool
    client_cpu_s: float
    client_lag_ms_max: float
    made_s: float
    node: dict[str, Usage] = field(default_factory=dict)

    @property
    def confirmed_per_second(self) -> float:
        return self.confirmed / self.seconds if self.seconds > 0 else 0.0


class Load:
    """A prepared target and the processes that load it; each run goes on where the one before ended."""

    def __init__(self, target: Target, recipe: Recipe, workers: Workers, lanes: int, *, watch_blocks: bool) -> None:
        self._target = target
        self._recipe = recipe
        self._workers = workers
        self._lanes = lanes
        self._watch_blocks = watch_blocks

    def warm_up(self) -> float:
        """Run a short closed loop; returns the requests a second that were answered."""
        self._workers.make(WARM_UP_REQUESTS)
        outcomes = self._workers.run(Schedule(WARM_UP_SECONDS, self._lanes), lambda tick: None, lambda: None)
        seconds = max(outcome.last - outcome.start for outcome in outcomes)
        return sum(outcome.requests for outcome in outcomes) / seconds if seconds > 0 else 0.0

    def run(self, duration_s: float, rate: float | None, warm_rate: float, display: Speedometer) -> Measurement:
        """Make the requests, run them, confirm what was accepted. rate: requests a second; None: closed loop."""
        schedule = Schedule(duration_s, self._lanes, rate)
        display.say("signing")
        made_s = self._workers.make(schedule.requests_per_lane(warm_rate * CLOSED_LOOP_MARGIN))
        before: dict[str, Usage] = {}
        with ExitStack() as stack:
            watch = stack.enter_context(BlockWatch(self._target.endpoint)) if self._watch_blocks else None

            def began() -> None:
                before.update(usages(self._target.pids))
                display.start()

            outcomes = self._workers.run(schedule, display.tick, began)
            display.say("confirming")
            if watch is not None:
                watch.wait_for(key for outcome in outcomes for key in outcome.keys)
                if watch.failure is not None:
                    raise watch.failure
            node = used(before, usages(self._target.pids))
        seen = None if watch is None else watch.seen
        confirmation = confirm_all(self._recipe, self._target.endpoint, [key for one in outcomes for key in one.keys])
        return summarise(outcomes, confirmation, seen, rate, made_s, node)


def confirm_all(recipe: Recipe, endpoint: Endpoint, keys: Sequence[bytes]) -> Confirmation:
    """Have the recipe confirm all keys, a few connections at a time."""
    parts = [keys[first : first + CONFIRM_MAX] for first in range(0, len(keys), CONFIRM_MAX)]
    size = max(1, math.ceil(len(parts) / CONFIRM_THREADS))

    def confirm(some: Sequence[Sequence[bytes]]) -> list[Confirmation]:
        with Client(endpoint) as client:
            return [recipe.confirm(client, part) for part in some]

    with ThreadPoolExecutor(CONFIRM_THREADS) as pool:
        shares = [parts[first : first + size] for first in range(0, len(parts), size)]
        done = [one for share in pool.map(confirm, shares) for one in share]
    return Confirmation(sum(one.confirmed for one in done), tuple(error for one in done for error in one.errors))


def summarise(
    outcomes: Sequence[Outcome],
    confirmation: Confirmation,
    seen: Mapping[bytes, float] | None,
    rate: float | None,
    made_s: float,
    node: dict[str, Usage],
) -> Measurement:
    """Add up what the processes did. seen: when each item was first seen in a block; None: the answer says it."""
    answers, confirmations = Histogram(), None if seen is None else Histogram()
    errors: Counter[str] = Counter(confirmation.errors)
    start = min(outcome.start for outcome in outcomes)
    last = max(outcome.last for outcome in outcomes)
    for outcome in outcomes:
        answers.add(outcome.latencies)
        errors.update(outcome.errors)
        if seen is not None and confirmations is not None:
            for key, due in zip(outcome.keys, outcome.due, strict=True):
                if key in seen:
                    confirmations.record(round((seen[key] - due) * 1e6))
                    last = max(last, seen[key])
    return Measurement(
        rate=rate,
        seconds=last - start,
        requests=sum(outcome.requests for outcome in outcomes),
        items=sum(outcome.items for outcome in outcomes),
        accepted=sum(len(outcome.keys) for outcome in outcomes),
        confirmed=confirmation.confirmed,
        errors=dict(errors.most_common()),
        answers=answers,
        confirmations=confirmations,
        ran_out=any(outcome.ran_out for outcome in outcomes),
        client_cpu_s=sum(outcome.cpu_s for outcome in outcomes),
        client_lag_ms_max=max(outcome.lag_us_max for outcome in outcomes) / 1000,
        made_s=made_s,
        node=node,
    )


def used(before: Mapping[str, Usage], after: Mapping[str, Usage]) -> dict[str, Usage]:
    """Return what was used in between. The peak of memory is that of the process's whole life."""
    return {
        role: Usage(usage.cpu_s - before[role].cpu_s, usage.memory_peak_bytes)
        for role, usage in after.items()
        if role in before
    }
