"""Finds the handler of a request among an adapter's routes. A path is made of segments; `{name}` stands for any one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from core.adapter.interface import Route
from core.errors import CocoError

QUERY_PARAMETERS_MAX = 64


@dataclass(frozen=True, slots=True)
class Match:
    """A route that matches, and the decoded `{name}` segments of the path."""

    route: Route
    parameters: Mapping[str, str]


class RouteTable:
    """The routes of one adapter."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._fixed: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[list[str], Route]] = []
        for route in routes:
            if not route.path.startswith("/"):
                raise CocoError(f"the route {route.path!r} does not start with /")
            if "{" in route.path:
                self._patterns.append((route.path.split("/"), route))
            else:
                self._fixed.setdefault(route.path, {})[route.method] = route

    def match(self, method: str, path: str) -> Match | None:
        """Return the route for a method and a path, None when there is none. path: without the query string."""
        fixed = self._fixed.get(path)
        if fixed is not None and method in fixed:
            return Match(fixed[method], {})
        segments = path.split("/")
        for pattern, route in self._patterns:
            if route.method == method and len(pattern) == len(segments):
                parameters = _parameters(pattern, segments)
                if parameters is not None:
                    return Match(route, parameters)
        return None

    def methods(self, path: str) -> list[str]:
        """Return the methods a path can be asked with, sorted; empty for an unknown path."""
        found = set(self._fixed.get(path, ()))
        segments = path.split("/")
        for pattern, route in self._patterns:
            if len(pattern) == len(segments) and _parameters(pattern, segments) is not None:
                found.add(route.method)
        return sorted(found)


def path_parameters(pattern: str, path: str) -> Mapping[str, str] | None:
    """Return the decoded `{name}` segments of a path that matches a route's path, None for one that does not."""
    expected, segments = pattern.split("/"), path.split("/")
    return _parameters(expected, segments) if len(expected) == len(segments) else None


def parse_query(text: str) -> dict[str, str]:
    """Return the first value of each name of a query string; raises CocoError for too many parameters."""
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_PARAMETERS_MAX)
    except ValueError:
        raise CocoError(f"more than {QUERY_PARAMETERS_MAX} query parameters") from None
    found: dict[str, str] = {}
    for name, value in pairs:
        found.setdefault(name, value)
    return found


def _parameters(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    parameters: dict[str, str] = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{") and expected.endswith("}"):
            if not segment:
                return None
            parameters[expected[1:-1]] = unquote(segment)
        elif expected != segment:
            return None
    return parameters
