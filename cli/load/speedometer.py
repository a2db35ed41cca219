"""The live display of a load: one moving line on a terminal, a plain line a second elsewhere. On standard error."""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

from cli.load.histogram import Histogram
from cli.load.runner import Tick

_BARS = "▁▂▃▄▅▆▇█"
_WINDOW_SECONDS = 1.0
_REDRAW_SECONDS = 0.25
_CURVE_POINTS = 24


class Speedometer:
    """See the module. clock: seconds, monotonic. Rates and latencies are those of the last second."""

    def __init__(
        self, out: TextIO, counts: str, duration_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._out = out
        self._counts = counts
        self._duration_s = duration_s
        self._clock = clock
        self._live = out.isatty()
        self._recent: deque[tuple[float, Tick]] = deque()
        self._curve: deque[float] = deque(maxlen=_CURVE_POINTS)
        self._began = self._drawn = clock()
        self._errors = 0
        self._shown = False

    def start(self) -> None:
        """The load begins now."""
        self._began = self._drawn = self._clock()

    def tick(self, tick: Tick) -> None:
        """Take what happened in a process since its last tick, and draw when it is time."""
        now = self._clock()
        self._recent.append((now, tick))
        self._errors += tick.errors
        while self._recent and self._recent[0][0] <= now - _WINDOW_SECONDS:
            self._recent.popleft()
        if now - self._drawn >= (_REDRAW_SECONDS if self._live else _WINDOW_SECONDS):
            self._drawn = now
            self._draw(now)

    def say(self, text: str) -> None:
        """Show what is being done when there is no load."""
        if self._live:
            self._out.write(f"\r\x1b[K{text} ...")
            self._out.flush()
            self._shown = True

    def done(self) -> None:
        """Take the moving line away."""
        if self._live and self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _draw(self, now: float) -> None:
        elapsed = now - self._began
        histogram = Histogram()
        for _, tick in self._recent:
            histogram.add(tick.latencies)
        rate = sum(tick.accepted for _, tick in self._recent) / min(_WINDOW_SECONDS, max(elapsed, 0.05))
        p50, p99 = (histogram.percentile_us(percent) / 1000 for percent in (50, 99))
        text = f"{rate:,.0f} {self._counts}/s  p50 {p50:.1f} ms  p99 {p99:.1f} ms  errors {self._errors:,}"
        left = f"{min(elapsed, self._duration_s):.0f}/{self._duration_s:g} s"
        if not self._live:
            self._out.write(f"{left}  {text}\n")
            self._out.flush()
            return
        self._curve.append(rate)
        line = f"{_curve(self._curve)} {text}  {left}"
        self._out.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
        self._out.flush()
        self._shown = True


def _curve(rates: deque[float]) -> str:
    most = max(max(rates), 1.0)
    return "".join(_BARS[min(len(_BARS) - 1, int(rate / most * len(_BARS)))] for rate in rates)
