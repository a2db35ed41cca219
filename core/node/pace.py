"""When an open block closes, while nothing else makes it: how many commands it waits for, and how long.

What a block costs is spread over its commands: a signature, a write to the disk, a round of messages to manager,
readers and other nodes. So a block waits for as many commands as the one before it held, up to a bound, and no longer
than a time. An idle network's blocks hold one command, and the next one closes with its first; under load blocks grow
until they hold what comes within the time.
"""

from __future__ import annotations


class BlockPace:
    """See the module. Times are monotonic seconds.

    commands_enough: a block never waits for more. wait_s: nor longer than this after its first command; 0: it never
    waits.
    """

    __slots__ = ("_expected", "_opened_s", "_wait_s", "commands_enough")

    def __init__(self, commands_enough: int, wait_s: float) -> None:
        self.commands_enough = commands_enough
        self._wait_s = wait_s
        self._expected = 1
        self._opened_s = 0.0

    def opened(self, now_s: float) -> None:
        """Take note of the first command of a block."""
        self._opened_s = now_s

    def closed(self, commands: int) -> None:
        """Take note of how many commands a block held when it closed."""
        self._expected = min(commands, self.commands_enough)

    def waits(self, commands: int, now_s: float) -> bool:
        """Say whether a block of so many commands, of which no more are ready, is to wait for another."""
        return commands < self._expected and now_s < self._opened_s + self._wait_s

    @property
    def deadline_s(self) -> float:
        """When the open block waits no longer."""
        return self._opened_s + self._wait_s
