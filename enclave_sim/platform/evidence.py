"""What a node shows of its platform: files for verifiers (DIR/node0/evidence), and a part of the service's information.

The files: root.pem and collateral.json, with which the node's quote verifies; manager.sgxs and worker.sgxs, whose
SHA-256 are the measurements; code.json, the digests behind them. The host adds `quote` once the node runs. All of it
is public, and none of it needs to be believed: the quote binds it.

Collateral holds for a year and is made anew, while the node runs, when a third of that is left.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from core.errors import StorageFailed
from enclave_sim.pki.pem import encode_chain
from enclave_sim.platform.cpu import COLLATERAL_DAYS, EnclaveKind
from enclave_sim.platform.fuses import ROOT_FILE
from enclave_sim.platform.launching import SignedBy
from enclave_sim.platform.machine import Machine
from enclave_sim.platform.measurement import Measured, code_manifest
from enclave_sim.verify.collateral_file import write_any_collateral

COLLATERAL_FILE = "collateral.json"
CODE_FILE = "code.json"
QUOTE_FILE = "quote"
CHECK_SECONDS = 3600.0


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class NodeCode:
    """The measured enclaves of a node, and who signed each."""

    manager: Measured
    worker: Measured
    signed_by: Mapping[EnclaveKind, SignedBy]


class Evidence:
    """What one machine shows of a node; kept fresh by `run`. clock: returns the time in UTC."""

    def __init__(self, machine: Machine, folder: Path, code: NodeCode, clock: Callable[[], datetime] = _now) -> None:
        self._machine = machine
        self._folder = folder
        self._code = code
        self._clock = clock
        self._made_at = clock()
        self._collateral = write_any_collateral(machine.collateral(self._made_at))

    def published(self) -> bytes:
        """Return the JSON that the node adds to its service's information: `code`, `signers` and `collateral`."""
        signers = {
            kind: {"signer": one.signer.hex(), "development": one.is_development}
            for kind, one in self._code.signed_by.items()
        }
        return msgspec.json.encode(
            {
                "code": msgspec.Raw(code_manifest(self._code.manager, self._code.worker)),
                "signers": signers,
                "collateral": msgspec.Raw(self._collateral),
            }
        )

    def write(self) -> None:
        """Write all files but the quote, which is removed until the node runs; raises StorageFailed."""
        code = self._code
        files = {
            ROOT_FILE: encode_chain((self._machine.root_certificate,)),
            COLLATERAL_FILE: self._collateral,
            CODE_FILE: msgspec.json.format(code_manifest(code.manager, code.worker), indent=2),
            "manager.sgxs": code.manager.sgxs,
            "worker.sgxs": code.worker.sgxs,
        }
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self._folder / QUOTE_FILE).unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from None
        for name, data in files.items():
            self._replace(name, data)

    def is_due(self) -> bool:
        """Say whether less than a third of the collateral's validity is left, or its time is not come yet."""
        age = self._clock() - self._made_at
        return not timedelta(days=-1) < age < timedelta(days=COLLATERAL_DAYS) * 2 / 3

    def renew(self) -> None:
        """Make the collateral anew, and replace its file atomically; raises StorageFailed and keeps the old one."""
        made_at = self._clock()
        collateral = write_any_collateral(self._machine.collateral(made_at))
        self._replace(COLLATERAL_FILE, collateral)
        self._made_at, self._collateral = made_at, collateral

    async def run(self, tell: Callable[[str], Awaitable[None]], sleep: Callable[[float], Awaitable[None]]) -> None:
        """Renew whenever it is due, until cancelled; a disk that fails is tried again. tell: takes log lines."""
        while True:
            await sleep(CHECK_SECONDS)
            if not self.is_due():
                continue
            try:
                self.renew()
            except StorageFailed as error:
                await tell(f"the collateral is not renewed: {error.message}")
            else:
                await tell(f"the collateral is renewed; it holds for {COLLATERAL_DAYS} days")

    def _replace(self, name: str, data: bytes) -> None:
        aside = self._folder / f"{name}.new"
        try:
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._folder / name)
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> StorageFailed:
        return StorageFailed(
            f"the node's evidence cannot be written to {self._folder}: {error.strerror}",
            hint="Check permissions and free space of the node's directory.",
        )
