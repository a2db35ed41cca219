"""Latency against load as an SVG file, written by hand: two axes and three lines need no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 110, 48, 52
SERIES = (("p50", "#1b7837"), ("p90", "#b8860b"), ("p99", "#b2182b"))


def latency_plot(report: dict[str, Any]) -> str:
    """Return an SVG of the report's runs: confirmed items a second against latency in milliseconds (logarithmic).

    A closed loop stands at the right as a dashed line: the most that got through.
    """
    opened = sorted((run for run in report["runs"] if run["rate"] is not None), key=lambda run: float(run["rate"]))
    closed = [run for run in report["runs"] if run["rate"] is None]
    runs = opened or closed
    points = {
        name: [
            (float(run["confirmed_per_second"]), max(0.05, float((run["confirmation_ms"] or run["latency_ms"])[name])))
            for run in runs
        ]
        for name, _ in SERIES
    }
    most = max(float(run["confirmed_per_second"]) for run in report["runs"])
    axes = _Axes(most, [latency for line in points.values() for _, latency in line])
    title = f"{report['target']}: {report['workload']}, {report['connections']} connections"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(WIDTH / 2, 24, title, "middle", size=14),
        *axes.grid(f"confirmed {report['counts']} a second"),
    ]
    for run in closed if opened else []:
        x = axes.x(float(run["confirmed_per_second"]))
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#555" stroke-dasharray="5 4"/>'
        )
        parts.append(_text(x, TOP - 6, "closed loop", "middle", colour="#555"))
    for name, colour in SERIES:
        parts += _line(axes, points[name], name, colour)
    return "\n".join([*parts, "</svg>"]) + "\n"


class _Axes:
    def __init__(self, most: float, latencies: Sequence[float]) -> None:
        self._step = _nice_step(max(most, 1.0))
        self._right = self._step * math.ceil(max(most, 1.0) / self._step)
        self._low = math.floor(math.log10(min(latencies)))
        self._high = max(math.ceil(math.log10(max(latencies))), self._low + 1)

    def x(self, rate: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * rate / self._right

    def y(self, latency_ms: float) -> float:
        share = (math.log10(latency_ms) - self._low) / (self._high - self._low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def grid(self, label: str) -> list[str]:
        parts = []
        for exponent in range(self._low, self._high + 1):
            y = self.y(10.0**exponent)
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            parts.append(_text(LEFT - 8, y + 4, f"{10.0**exponent:g}", "end"))
        for number in range(round(self._right / self._step) + 1):
            x = self.x(number * self._step)
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#eee"/>')
            parts.append(_text(x, HEIGHT - BOTTOM + 18, f"{number * self._step:,.0f}", "middle"))
        middle = (TOP + HEIGHT - BOTTOM) / 2
        parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, label, "middle"))
        parts.append(
            f'<text x="18" y="{middle}" text-anchor="middle" transform="rotate(-90 18 {middle})">latency, ms</text>'
        )
        return parts


def _nice_step(most: float) -> float:
    """Return a round distance between marks that gives three to eight of them."""
    power = 10.0 ** math.floor(math.log10(most))
    return float(next(step * power for step in (0.2, 0.5, 1.0, 2.0) if most / (step * power) <= 6))


def _line(axes: _Axes, points: Sequence[tuple[float, float]], name: str, colour: str) -> list[str]:
    placed = [(axes.x(rate), axes.y(latency)) for rate, latency in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed]
    x, y = placed[-1]
    parts.append(_text(x + 8, y + 4, name, "start", colour=colour))
    return parts


def _text(x: float, y: float, text: str, anchor: str, *, size: int = 12, colour: str = "#222") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}">{escape(text)}</text>'
    )
