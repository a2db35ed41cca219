"""A bound on the processor time that one execution takes: what goes over it is stopped, wherever it is.

In the main thread a timer (ITIMER_PROF) interrupts the work, so that the bytecode pays nothing for being watched. In
other threads, where Python delivers no signals, the work asks: the interpreter's loop and the longer precompiles call
`Deadline.check`. Either way the clock is the thread's own processor time: what else runs on the machine does not count.

Only one node executes a transaction, so stopping by the clock need not be deterministic; but what is stopped leaves
nothing. The caller undoes what the work did, as it does for any other exception: TimeExceeded may come between any two
of its instructions. It is no Exception, since py-evm and libraries catch those.

Invariants: nothing is raised outside `run`; the timer and handler found by `run` are there again when it returns,
save that a default handler (which would end the process) is not put back under a signal that might still be on its way.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

REPEAT_SECONDS = 0.25
"""After which the work is interrupted again: an exception raised inside a finalizer is lost."""
TIMER_SECONDS_MIN = 0.001
_PROFILE = int(signal.SIGPROF)
_set_handler = _signal.signal
"""What signal.signal wraps: turning numbers into enums and back takes it longer than a transfer's storage does."""

_ResultT = TypeVar("_ResultT")


class TimeExceeded(BaseException):
    """The work took more than `seconds` of processor time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"more than {seconds:g} s of processor time")
        self.seconds = seconds


class Deadline:
    """Runs work within `seconds` of the thread's processor time.

    Used by one thread at a time; runs of different deadlines may nest.
    polling: whether the work has to call `check`, because no signal will come.
    """

    __slots__ = ("_armed", "_ends", "polling", "seconds")

    def __init__(self, seconds: float) -> None:
        if seconds <= 0:
            raise ValueError("a deadline must be in the future")
        self.seconds = seconds
        self.polling = False
        self._armed = False
        self._ends = 0.0

    def check(self) -> None:
        """Raise TimeExceeded when the time of a polled run is up."""
        if self.polling and time.thread_time() > self._ends:
            raise TimeExceeded(self.seconds)

    def run(self, work: Callable[[], _ResultT]) -> _ResultT:
        """Return what `work` returns; raises TimeExceeded, even at its last instruction."""
        self._ends = time.thread_time() + self.seconds
        if threading.current_thread() is threading.main_thread():
            return self._run_with_timer(work)
        self.polling = True
        try:
            return work()
        finally:
            self.polling = False

    def _run_with_timer(self, work: Callable[[], _ResultT]) -> _ResultT:
        began = time.thread_time()
        delay, interval = signal.setitimer(signal.ITIMER_PROF, 0)
        handler = _set_handler(_PROFILE, self._on_signal)
        try:
            self._armed = True
            signal.setitimer(signal.ITIMER_PROF, self.seconds, REPEAT_SECONDS)
            try:
                return work()
            finally:
                self._armed = False  # A signal in this line raises; the lines below run disarmed all the same.
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_PROF, 0)
            # Setting a handler first runs the one for a signal that has already come, which does nothing by now.
            _set_handler(_PROFILE, _ignore if handler in (signal.SIG_DFL, None) else handler)
            if delay or interval:
                left = delay - (time.thread_time() - began)
                signal.setitimer(signal.ITIMER_PROF, max(left, TIMER_SECONDS_MIN), interval)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        """Interrupt the work. The timer counts every thread of the process: when it was early, it is set again."""
        if not self._armed:
            return
        left = self._ends - time.thread_time()
        if left > 0:
            signal.setitimer(signal.ITIMER_PROF, max(left, TIMER_SECONDS_MIN), REPEAT_SECONDS)
            return
        raise TimeExceeded(self.seconds)


def _ignore(signum: int, frame: FrameType | None) -> None:
    """Stand in for the default handler of SIGPROF."""
