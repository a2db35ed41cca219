"""Processes that are started as enclaves are, and run a probe instead of a role."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from enclave_sim.platform.code_list import CodeFile, CodeList
from enclave_sim.platform.code_service import CodeService, CodeStore
from enclave_sim.platform.starting import start_enclave


@dataclass(frozen=True, slots=True)
class Ended:
    """How a probe ended. text: its standard error; refused: what the platform refused it."""

    status: int
    text: str
    refused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Probes:
    """Makes code lists, and runs a measured module's main() as an enclave's process."""

    worker: CodeList
    folder: Path

    def code(self, contents: Mapping[str, bytes]) -> CodeList:
        """Return the worker's code, and these files, which are written and measured."""
        files = dict(self.worker.files)
        for path, data in contents.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            files[path] = CodeFile(path, file, hashlib.sha256(data).digest())
        return replace(self.worker, files=files)

    async def run(self, code: CodeList, module: str = "probe") -> Ended:
        store, refused = CodeStore(), list[str]()
        with tempfile.TemporaryFile() as errors:
            try:
                process, serving = await start_enclave(
                    CodeService(code, store),
                    module,
                    [],
                    descriptors=[],
                    error_fd=errors.fileno(),
                    on_refused=refused.append,
                )
                status = await asyncio.wait_for(process.wait(), 60)
                await serving
            finally:
                store.close()
            errors.seek(0)
            return Ended(status, errors.read().decode(), tuple(refused))
