"""Strict reading of fixed structures: exact length, reserved fields zero, nothing left over."""

from __future__ import annotations

import struct
from typing import Any

from core.errors import MalformedMessage


class MalformedStructure(MalformedMessage):
    """Bytes that are not the architectural structure they should be. `structure` names it."""

    def __init__(self, structure: str, problem: str) -> None:
        super().__init__(f"{structure}: {problem}")
        self.structure = structure


def unpack_exactly(layout: struct.Struct, data: bytes, structure: str) -> tuple[Any, ...]:
    """Unpack data that is exactly as long as the layout; raises MalformedStructure."""
    if len(data) != layout.size:
        raise MalformedStructure(structure, f"{len(data)} bytes; expected {layout.size}")
    return layout.unpack(data)


def require_zero(structure: str, **fields: bytes | int) -> None:
    """Raise MalformedStructure when a reserved field is not all zero."""
    for name, value in fields.items():
        if any(value) if isinstance(value, bytes) else value != 0:
            raise MalformedStructure(structure, f"{name} is not zero")


class Cursor:
    """Reads a structure of variable length from its start; `finish` refuses trailing bytes."""

    def __init__(self, data: bytes, structure: str) -> None:
        self._data = data
        self._offset = 0
        self._structure = structure

    @property
    def offset(self) -> int:
        return self._offset

    def take(self, size_bytes: int) -> bytes:
        end = self._offset + size_bytes
        if end > len(self._data):
            raise MalformedStructure(self._structure, f"cut short at byte {len(self._data)}; {end} are needed")
        taken = self._data[self._offset : end]
        self._offset = end
        return taken

    def take_integer(self, size_bytes: int) -> int:
        """Read a little-endian integer."""
        return int.from_bytes(self.take(size_bytes), "little")

    def finish(self) -> None:
        if self._offset != len(self._data):
            raise MalformedStructure(self._structure, f"{len(self._data) - self._offset} trailing bytes")
