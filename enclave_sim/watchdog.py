"""Ends this process when it stops coming back to its work: for readers, which another one replaces.

A query that is stuck in compiled code holds the interpreter's lock, so that no Python code can end it. Two things need
no lock: the kernel's limit on processor time (RLIMIT_CPU, raised at every beat; processor time, as adapters measure
their own limits, so that a busy machine ends nobody), and faulthandler's thread, for what is stuck without computing.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import time
from typing import IO

_REARM_SECONDS = 0.5


class Watchdog:
    """`beat` arms it: the process ends after so many seconds of its processor time, or of time, without another beat.

    Seconds are rounded up. It says nothing: a traceback could go where nobody may read it.
    """

    def __init__(self, *, processor_seconds_max: int, seconds_max: float) -> None:
        self._processor_seconds_max = processor_seconds_max
        self._seconds_max = seconds_max
        self._nowhere: IO[str] = open(os.devnull, "w")  # noqa: SIM115 - open for as long as the process lives
        self._armed_s: float | None = None

    def beat(self) -> None:
        now_s = time.monotonic()
        if self._armed_s is not None and now_s - self._armed_s < _REARM_SECONDS:
            return
        self._armed_s = now_s
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        end_s = int(time.process_time() + _REARM_SECONDS) + 1 + self._processor_seconds_max
        resource.setrlimit(resource.RLIMIT_CPU, (end_s if hard == resource.RLIM_INFINITY else min(end_s, hard), hard))
        faulthandler.dump_traceback_later(self._seconds_max + _REARM_SECONDS, exit=True, file=self._nowhere)
