"""The constitution's TEE manifest and code manifest: on which platforms, and with which code, a node may run.

Verifying evidence says what is genuine (ReportClaims); the manifests say what is admitted. An entry admits when all it
names holds; one entry that admits is enough. An empty manifest admits nothing, and no entry can admit an enclave that
its host may inspect. Roots, measurements and signers are hexadecimal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from core import limits
from core.errors import AuthenticationFailed, CocoError
from core.ports import ReportClaims

MANAGER = "manager"
WORKER = "worker"

TcbStatusName = Literal[
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
]
"""What a manifest may accept. A revoked platform is refused whatever it says."""

_VERSIONS: dict[str, frozenset[str]] = {
    "sgx": frozenset({"tcb_evaluation"}),
    "tdx": frozenset({"tcb_evaluation"}),
    "vsm": frozenset({"secure_kernel", "platform"}),
    "snp": frozenset({"boot_loader", "tee", "snp", "microcode"}),
}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MEASUREMENT = re.compile(r"[0-9a-f]{64}(?:[0-9a-f]{32})?")
_HINT = "See the manifests in docs/governing.md."


class ManifestRefused(AuthenticationFailed):
    """Genuine evidence that the constitution does not admit. Never raised itself."""

    exit_code = 6
    reason: ClassVar[str]


class TeeNotAdmitted(ManifestRefused):
    """The TEE manifest names no platform of this kind."""

    reason = "tee-not-admitted"


class SimulatedNotAdmitted(ManifestRefused):
    """The evidence is simulated, and the TEE manifest admits hardware only."""

    reason = "simulated-not-admitted"


class RootNotAdmitted(ManifestRefused):
    """The evidence leads to a root that the TEE manifest does not name."""

    reason = "root-not-admitted"


class TcbStatusNotAdmitted(ManifestRefused):
    """The platform's TCB status is not among those that the TEE manifest accepts."""

    reason = "tcb-status-not-admitted"


class PlatformVersionNotAdmitted(ManifestRefused):
    """A version of the platform is below the TEE manifest's minimum, or unknown."""

    reason = "platform-version-too-low"


class DebugNotAdmitted(ManifestRefused):
    """The enclave's host may read and change its memory."""

    reason = "debug-enclave"


class CodeNotListed(ManifestRefused):
    """The code manifest has no entry of this name."""

    reason = "code-not-listed"


class MeasurementNotAdmitted(ManifestRefused):
    """The code's measurement is not an approved one."""

    reason = "measurement-not-admitted"


class SignerNotAdmitted(ManifestRefused):
    """The code is signed by another key than the approved one."""

    reason = "signer-not-admitted"


class ProductNotAdmitted(ManifestRefused):
    """The code is another product of the same signer."""

    reason = "product-not-admitted"


class SecurityVersionNotAdmitted(ManifestRefused):
    """The code's security version is below the approved minimum."""

    reason = "security-version-too-low"


class TeeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An accepted platform. roots: SHA-256 of the root certificates (DER) that its evidence may lead to.

    simulated: whether these roots are of simulated platforms; such an entry admits no hardware. versions_min: the
    least versions, of `tcb_evaluation` (sgx, tdx), `secure_kernel` and `platform` (vsm), or `boot_loader`, `tee`, `snp`
    and `microcode` (snp). debug: always false; it stands there to be read.
    """

    tee: Literal["sgx", "vsm", "tdx", "snp"]
    roots: tuple[str, ...]
    simulated: bool = False
    tcb_statuses: tuple[TcbStatusName, ...] = ("UpToDate",)
    versions_min: dict[str, int] = {}
    debug: bool = False

    def check(self) -> None:
        """Raise CocoError for an entry that means nothing."""
        what = f"an entry for {self.tee} of the TEE manifest"
        if not self.roots or len(self.roots) > limits.MANIFEST_VALUES_MAX:
            raise CocoError(f"{what} names {len(self.roots)} roots", hint=_HINT)
        for root in self.roots:
            if _SHA256.fullmatch(root) is None:
                raise CocoError(f"{what} names a root that is no SHA-256: {root[:80]!r}", hint=_HINT)
        if self.debug:
            raise CocoError(f"{what} admits debug enclaves: their hosts read their memory", hint=_HINT)
        if not self.tcb_statuses:
            raise CocoError(f"{what} accepts no TCB status", hint=_HINT)
        for name, least in self.versions_min.items():
            if name not in _VERSIONS[self.tee] or least < 0:
                known = ", ".join(sorted(_VERSIONS[self.tee]))
                raise CocoError(f"{what} has a minimum {name[:40]!r} of {least}; known: {known}", hint=_HINT)


class CodeEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Approved code. name: `manager`, `worker`, or an adapter's; an adapter is measured by the digest of its files.

    measurements: if any, the code has one of them. signer: if any, the code is signed by it, as this product
    (ISVPRODID, image id), with this security version or a newer one. version: for people.
    """

    name: str
    measurements: tuple[str, ...] = ()
    signer: str = ""
    product: int | None = None
    security_version_min: int = 0
    version: str = ""

    def check(self) -> None:
        """Raise CocoError for an entry that means nothing, or approves more than one code."""
        what = f"the entry for {self.name[:40]!r} of the code manifest"
        if not self.measurements and not self.signer:
            raise CocoError(f"{what} names neither a measurement nor a signer", hint=_HINT)
        if len(self.measurements) > limits.MANIFEST_VALUES_MAX:
            raise CocoError(f"{what} names {len(self.measurements)} measurements", hint=_HINT)
        for one in self.measurements:
            if _MEASUREMENT.fullmatch(one) is None:
                raise CocoError(f"{what} has a measurement of another form: {one[:100]!r}", hint=_HINT)
        if self.signer and _SHA256.fullmatch(self.signer) is None:
            raise CocoError(f"{what} has a signer that is no SHA-256: {self.signer[:80]!r}", hint=_HINT)
        if self.name in (MANAGER, WORKER) and self.signer and not self.measurements and self.product is None:
            # One key signs manager and worker: without the product, a worker would pass for a manager.
            raise CocoError(f"{what} names a signer, but not which product of it", hint=_HINT)


EntryT = TypeVar("EntryT", TeeEntry, CodeEntry)


def check_manifests(tee_manifest: Sequence[TeeEntry], code_manifest: Sequence[CodeEntry]) -> None:
    """Raise CocoError for manifests that no network can run under."""
    if max(len(tee_manifest), len(code_manifest)) > limits.MANIFEST_ENTRIES_MAX:
        raise CocoError(f"a manifest has more than {limits.MANIFEST_ENTRIES_MAX} entries", hint=_HINT)
    for tee in tee_manifest:
        tee.check()
    for code in code_manifest:
        code.check()


def parse_manifest(data: bytes, kind: type[EntryT]) -> tuple[EntryT, ...]:
    """Parse a manifest of a file: a JSON list of entries. Raises CocoError that names what is wrong."""
    if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX:
        raise CocoError(f"the manifest is {len(data)} bytes long", hint=_HINT)
    shape: Any = tuple[kind, ...]  # type: ignore[valid-type]
    try:
        entries: tuple[EntryT, ...] = msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CocoError(f"the manifest does not parse: {error}", hint=_HINT) from None
    for entry in entries:
        entry.check()
    return entries


def check_admitted(
    claims: ReportClaims, name: str, *, tee_manifest: Sequence[TeeEntry], code_manifest: Sequence[CodeEntry]
) -> None:
    """Check verified evidence on the code `name` against both manifests; raises the ManifestRefused it fails by."""
    check_platform(claims, tee_manifest)
    check_code(claims, name, code_manifest)


def check_platform(claims: ReportClaims, tee_manifest: Sequence[TeeEntry]) -> None:
    """Check on what the enclave runs; raises a ManifestRefused."""
    check_kind(claims.tee, claims.simulated, tee_manifest)
    if claims.debug:
        raise DebugNotAdmitted("the enclave can be inspected by its host (debug)")
    root = claims.root.hex()
    entries = [one for one in tee_manifest if (one.tee, one.simulated) == (claims.tee, claims.simulated)]
    named = [one for one in entries if root in one.roots]
    if not named:
        raise RootNotAdmitted(
            f"the evidence leads to the root {root or 'of nobody'}, which the constitution does not name",
            hint="It was made on another machine, or the machine's authority was made anew.",
        )
    fresh = [one for one in named if claims.tcb_status in one.tcb_statuses]
    if not fresh:
        accepted = sorted({status for one in named for status in one.tcb_statuses})
        raise TcbStatusNotAdmitted(
            f"the platform's TCB status is {claims.tcb_status or 'unknown'}; the constitution admits "
            f"{', '.join(accepted)}",
            hint="Update the machine's firmware and microcode.",
        )
    low = [_too_low(claims, one) for one in fresh]
    if all(low):
        raise PlatformVersionNotAdmitted(low[0], hint="Update the machine's firmware and microcode.")


def check_kind(tee: str, simulated: bool, tee_manifest: Sequence[TeeEntry]) -> None:
    """Check that platforms of this kind are admitted at all; raises TeeNotAdmitted, SimulatedNotAdmitted."""
    if simulated and not any(one.simulated for one in tee_manifest):
        raise SimulatedNotAdmitted(
            "this node's evidence is simulated, and the constitution admits hardware only",
            hint="Simulated platforms protect nothing. Run the node on hardware that the TEE manifest names.",
        )
    of_this_tee = [one for one in tee_manifest if one.tee == tee]
    if not of_this_tee:
        named = sorted({one.tee for one in tee_manifest})
        raise TeeNotAdmitted(
            f"this node runs on {tee}; the constitution admits {', '.join(named) or 'no platform'}",
            hint="Run it on a platform that the TEE manifest names.",
        )
    if simulated and not any(one.simulated for one in of_this_tee):
        raise SimulatedNotAdmitted(
            f"this node's evidence is simulated, and the constitution admits hardware only for {tee}",
            hint="Run the node on hardware that the TEE manifest names.",
        )


def _too_low(claims: ReportClaims, entry: TeeEntry) -> str:
    """Return which minimum the platform misses, "" for none."""
    shown = dict(claims.platform_versions)
    for name, least in entry.versions_min.items():
        if name not in shown or shown[name] < least:
            found = shown.get(name, "unknown")
            return f"the platform's version {name} is {found}; the constitution asks for {least} at least"
    return ""


def check_code(claims: ReportClaims, name: str, code_manifest: Sequence[CodeEntry]) -> None:
    """Check that this enclave is the approved code of that name; raises a ManifestRefused."""
    _check_entries(claims, claims.measurement.hex(), name, code_manifest)


def check_adapter(worker: ReportClaims, digest: str, name: str, code_manifest: Sequence[CodeEntry]) -> None:
    """Check that an adapter is approved code; raises a ManifestRefused.

    worker: the enclave it is part of, whose signer signed it too. digest: of its files, "" when none is known.
    """
    _check_entries(worker, digest, name, code_manifest, is_adapter=True)


def _check_entries(
    claims: ReportClaims, measurement: str, name: str, code_manifest: Sequence[CodeEntry], *, is_adapter: bool = False
) -> None:
    refusals: list[ManifestRefused] = []
    for entry in code_manifest:
        if entry.name == name:
            refusal = _refusal(claims, measurement, entry, is_adapter=is_adapter)
            if refusal is None:
                return
            refusals.append(refusal)
    if refusals:
        raise refusals[-1]
    raise CodeNotListed(f"the constitution's code manifest approves no code for {name!r}", hint=_HINT)


def _refusal(claims: ReportClaims, measurement: str, entry: CodeEntry, *, is_adapter: bool) -> ManifestRefused | None:
    """Return why this entry does not admit the code, None when it does."""
    if entry.measurements and measurement not in entry.measurements:
        return MeasurementNotAdmitted(
            f"the code of {entry.name!r} measures {measurement or 'nothing'}, which the constitution does not approve",
            hint="Run the build that was approved, byte for byte: "
            + (entry.version or "coco enclave measure shows what is here."),
        )
    if entry.signer and claims.signer.hex() != entry.signer:
        return SignerNotAdmitted(
            f"the code of {entry.name!r} is signed by {claims.signer.hex()}, which the constitution does not name",
            hint="Run code that the approved key has signed.",
        )
    if entry.product is not None and not is_adapter and claims.product != entry.product:
        return ProductNotAdmitted(
            f"the code is product {claims.product} of its signer; {entry.name!r} is product {entry.product}"
        )
    if claims.security_version < entry.security_version_min:
        return SecurityVersionNotAdmitted(
            f"the code of {entry.name!r} has security version {claims.security_version}; the constitution asks for "
            f"{entry.security_version_min} at least",
            hint="Run a newer build.",
        )
    return None
