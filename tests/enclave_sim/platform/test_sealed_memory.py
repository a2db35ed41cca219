"""Sealed memory holds what it was given, and nobody changes it."""

from __future__ import annotations

import fcntl
import mmap
import os

import pytest

from core.errors import CocoError
from enclave_sim.platform.sealed_memory import sealed


def test_it_cannot_be_changed() -> None:
    descriptor = sealed("test", b"some bytes")
    try:
        assert os.pread(descriptor, 100, 0) == b"some bytes"
        for change in (
            lambda: os.pwrite(descriptor, b"x", 0),
            lambda: os.ftruncate(descriptor, 3),
            lambda: os.ftruncate(descriptor, 300),
            lambda: mmap.mmap(descriptor, 10, mmap.MAP_SHARED, mmap.PROT_WRITE),
            lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE),
        ):
            with pytest.raises(OSError):
                change()
        again = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR)
        with pytest.raises(OSError):
            os.write(again, b"x")
        os.close(again)
        assert os.pread(descriptor, 100, 0) == b"some bytes"
        assert not os.get_inheritable(descriptor)
    finally:
        os.close(descriptor)


def test_a_system_without_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(CocoError, match="enclaves need Linux"):
        sealed("test", b"")
