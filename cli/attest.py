"""`coco attest`: shows and verifies evidence on enclaves: SGX and TDX quotes, VBS and SEV-SNP reports.

Quotes may be raw or hexadecimal, with or without the zero padding of the kernel's buffer.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.errors import NotFound, WrongUse
from cli.options import json_option
from cli.output import note, print_fields, print_json
from core.errors import CocoError

if TYPE_CHECKING:
    from core.governance.constitution import Constitution
    from core.governance.manifests import ManifestRefused
    from enclave_sim.verify.errors import EvidenceRefused
    from enclave_sim.verify.policy import Policy
    from enclave_sim.verify.trust import TrustStore
    from enclave_sim.verify.verdict import Verdict

FILE_BYTES_MAX = 1024 * 1024
STATUSES = (
    "UpToDate",
    "SWHardeningNeeded",
    "ConfigurationNeeded",
    "ConfigurationAndSWHardeningNeeded",
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
)
_HEX_TEXT = re.compile(rb"\s*(?:0x)?((?:[0-9A-Fa-f]{2})+)\s*")
_FILE = click.Path(path_type=Path, dir_okay=False)


class NotAccepted(CocoError):
    """Evidence that is refused, or genuine but not acceptable to the policy."""


@click.group()
def attest() -> None:
    """Look at evidence on enclaves: SGX and TDX quotes, VBS and SEV-SNP reports."""


@attest.command()
@click.argument("file", type=_FILE)
@json_option
def show(file: Path, as_json: bool) -> None:
    """Show what the evidence in FILE says. Nothing is verified: anyone can write such bytes."""
    fields = _describe(_read_evidence(file))
    if as_json:
        print_json(fields)
        return
    print_fields(fields)
    note("Nothing was verified; for that: coco attest verify")


@attest.command()
@click.argument("file", type=_FILE)
@click.option("--collateral", type=_FILE, help="Default: FILE_collateral.json, or collateral.json, beside it.")
@click.option("--root", type=_FILE, help="A root certificate (PEM or DER) to trust instead of Intel's and AMD's.")
@click.option("--constitution", type=_FILE, help="A network's constitution (genesis.json): apply its manifests.")
@click.option("--at", "at_text", metavar="TIME", help="When: ISO 8601 or Unix seconds. Default: now.")
@click.option("--accept-status", multiple=True, type=click.Choice(STATUSES), help="Accept this TCB status as well.")
@click.option("--allow-debug", is_flag=True, help="Accept a debug enclave.")
@click.option("--measurement", multiple=True, metavar="HEX", help="Accept only this measurement (repeatable).")
@click.option("--signer", multiple=True, metavar="HEX", help="Accept only this signer (repeatable).")
@json_option
def verify(
    file: Path,
    collateral: Path | None,
    root: Path | None,
    constitution: Path | None,
    at_text: str | None,
    accept_status: tuple[str, ...],
    allow_debug: bool,
    measurement: tuple[str, ...],
    signer: tuple[str, ...],
    as_json: bool,
) -> None:
    """Verify the evidence in FILE: genuine, and acceptable? Exit code 0 only if both.

    Prints the verdict and every reason for a refusal. With --constitution, the roots are those that its TEE manifest
    names, and the code must be a node's manager enclave that its code manifest approves.
    """
    from core.governance import manifests
    from enclave_sim.verify.collateral_file import parse_any_collateral
    from enclave_sim.verify.errors import EvidenceRefused
    from enclave_sim.verify.evidence import verify_evidence
    from enclave_sim.verify.manifest import verify_by_manifest
    from enclave_sim.verify.policy import policy_refusals

    at = _parse_time(at_text)
    policy = _policy(accept_status, allow_debug, measurement, signer)
    evidence = _read_evidence(file)
    collateral_bytes = _read(collateral or _collateral_beside(file), "Give the collateral: --collateral FILE")
    network = None if constitution is None else _read_constitution(constitution, root)
    store = _trust_store(root)
    verdict: Verdict | None = None
    reasons: Sequence[EvidenceRefused | ManifestRefused]
    try:
        parsed = parse_any_collateral(collateral_bytes)
        if network is None:
            verdict = verify_evidence(evidence, parsed, at=at, trust_store=store)
            reasons = policy_refusals(verdict, policy)
        else:
            verdict = verify_by_manifest(evidence, parsed, at=at, tee_manifest=network.tee_manifest)
            network.check_admitted(verdict.claims(), manifests.MANAGER)
            reasons = []
    except (EvidenceRefused, manifests.ManifestRefused) as refusal:
        reasons = [refusal]
    fields = _describe_verdict(verdict, reasons, at)
    if as_json:
        print_json(fields | {"reasons": [{"reason": one.reason, "message": one.message} for one in reasons]})
    else:
        print_fields(fields | {f"reason {i}": f"{one.reason}: {one.message}" for i, one in enumerate(reasons, 1)})
    if reasons:
        hint = next((one.hint for one in reasons if one.hint), "")
        raise NotAccepted(f"{file} is {'genuine, but not acceptable' if verdict else 'refused'}", hint=hint)


def _collateral_beside(file: Path) -> Path:
    """Return where the collateral is expected: FILE_collateral.json, or as nodes write it, collateral.json."""
    own, nodes = file.with_name(f"{file.name}_collateral.json"), file.with_name("collateral.json")
    return nodes if not own.is_file() and nodes.is_file() else own


def _read_constitution(file: Path, root: Path | None) -> Constitution:
    from core.governance.constitution import Constitution

    if root is not None:
        raise WrongUse("--root and --constitution exclude each other", hint="The constitution names its roots.")
    return Constitution.decode(_read(file, "Name a network's constitution: networks/NAME/genesis.json"))


def _read_evidence(file: Path) -> bytes:
    from enclave_sim.sgx.quote import without_padding

    data = _read(file, "Name a file with a quote or a report.")
    text = _HEX_TEXT.fullmatch(data)
    raw = bytes.fromhex(text[1].decode()) if text else data
    unpadded = without_padding(raw)
    if len(unpadded) < len(raw):
        note(f"{len(raw) - len(unpadded)} zero bytes after the quote are left out.")
    return unpadded


def _describe(data: bytes) -> dict[str, object]:
    from enclave_sim.sgx.quote import parse_quote
    from enclave_sim.snp.report import SNP_REPORT_BYTES
    from enclave_sim.vsm.report import HEADER_BYTES

    if len(data) == SNP_REPORT_BYTES:
        return _describe_snp(data)
    if len(data) > HEADER_BYTES and int.from_bytes(data[:4], "little") == len(data):
        return _describe_vbs(data)
    quote = parse_quote(data)
    fields = _describe_body(quote.body.encode(), quote.header.version)
    qe, header = quote.signature.qe_report, quote.header
    return fields | {
        "quoting enclave signer": qe.mrsigner.hex(),
        "quoting enclave version": qe.isvsvn,
        "quoting enclave user data": header.user_data.hex(),
        "attestation key": quote.signature.attestation_key.hex(),
        **_describe_chain(quote.signature.pck_chain_pem),
    }


def _describe_body(body: bytes, version: int) -> dict[str, object]:
    from enclave_sim.sgx.quote import TDX_VERSION
    from enclave_sim.sgx.report import parse_report_body
    from enclave_sim.sgx.tdx import parse_td_report_body

    if version == TDX_VERSION:
        td = parse_td_report_body(body)
        return {
            "evidence": "TDX quote, version 4",
            "MRTD": td.mrtd.hex(),
            **{f"RTMR{number}": value.hex() for number, value in enumerate(td.rtmrs)},
            "MROWNER": td.mrowner.hex(),
            "MRSEAM": td.mrseam.hex(),
            "TEE TCB SVN": td.tee_tcb_svn.hex(),
            "debug": td.debug,
            "TD attributes": f"{td.td_attributes:#018x}",
            "XFAM": f"{td.xfam:#018x}",
            "report data": td.report_data.hex(),
        }
    report = parse_report_body(body)
    return {
        "evidence": "SGX quote, version 3",
        "MRENCLAVE": report.mrenclave.hex(),
        "MRSIGNER": report.mrsigner.hex(),
        "product": report.isvprodid,
        "security version": report.isvsvn,
        "debug": report.attributes.debug,
        "attributes": f"{report.attributes.flags:#018x}",
        "XFRM": f"{report.attributes.xfrm:#018x}",
        "CPUSVN": report.cpusvn.hex(),
        "report data": report.report_data.hex(),
    }


def _describe_chain(pem: bytes) -> dict[str, object]:
    from enclave_sim.pki.der import MalformedDer
    from enclave_sim.pki.pck_extension import SGX_EXTENSION, parse_pck_extension
    from enclave_sim.verify.certificates import read_chain
    from enclave_sim.verify.errors import ChainInvalid

    try:
        chain = read_chain(pem, 3, "the PCK chain")
        extension = parse_pck_extension(chain[0].extensions.get(SGX_EXTENSION, b""))
    except (ChainInvalid, MalformedDer) as error:
        return {"PCK chain": f"does not parse: {error.message}"}
    return {
        "PCK chain": " < ".join(certificate.common_name for certificate in chain),
        "PCK holds until": f"{chain[0].window.end:%Y-%m-%d}",
        "FMSPC": extension.fmspc.hex().upper(),
        "PPID": extension.ppid.hex(),
        "TCB components": " ".join(str(svn) for svn in extension.tcb_components),
        "PCESVN": extension.pce_svn,
    }


def _describe_vbs(data: bytes) -> dict[str, object]:
    from enclave_sim.vsm.report import parse_package

    package = parse_package(data)
    identity = package.identity
    return {
        "evidence": "VBS enclave report, version 1",
        "unique id": identity.unique_id.hex(),
        "author id": identity.author_id.hex(),
        "owner id": identity.owner_id.hex(),
        "family id": identity.family_id.hex(),
        "image id": identity.image_id.hex(),
        "security version": identity.enclave_svn,
        "secure kernel version": identity.secure_kernel_svn,
        "platform version": identity.platform_svn,
        "debug": identity.flags != 0,
        "modules": len(package.modules),
        "report data": package.enclave_data.hex(),
    }


def _describe_snp(data: bytes) -> dict[str, object]:
    from enclave_sim.snp.report import parse_snp_report

    report = parse_snp_report(data)
    tcb = report.reported_tcb
    return {
        "evidence": f"SEV-SNP report, version {report.version}",
        "measurement": report.measurement.hex(),
        "identity key digest": report.id_key_digest.hex(),
        "host data": report.host_data.hex(),
        "security version": report.guest_svn,
        "VMPL": report.vmpl,
        "policy": f"{report.policy:#x}",
        "debug": report.debug,
        "TCB": f"boot loader {tcb.boot_loader}, TEE {tcb.tee}, SNP {tcb.snp}, microcode {tcb.microcode}",
        "chip id": report.chip_id.hex(),
        "report data": report.report_data.hex(),
    }


def _describe_verdict(verdict: Verdict | None, reasons: Sequence[object], at: datetime) -> dict[str, object]:
    fields: dict[str, object] = {
        "verdict": "accepted" if not reasons else "genuine, not acceptable" if verdict else "refused",
        "at": f"{at:%Y-%m-%d %H:%M:%S} UTC",
    }
    if verdict is None:
        return fields
    return fields | {
        "TEE": verdict.tee,
        "root": verdict.root,
        "simulated": verdict.simulated,
        "measurement": verdict.measurement.hex(),
        "signer": verdict.signer.hex(),
        "product": verdict.product_id,
        "security version": verdict.security_version,
        "debug": verdict.debug,
        "TCB status": verdict.tcb_status.value,
        "advisories": ", ".join(verdict.advisory_ids) or None,
        "TCB date": f"{verdict.tcb_date:%Y-%m-%d}" if verdict.tcb_date else None,
        "TCB evaluation": verdict.tcb_evaluation_number,
        "FMSPC": verdict.fmspc or None,
        "platform": verdict.platform,
        "report data": verdict.report_data.hex(),
        "holds until": f"{verdict.valid_until:%Y-%m-%d %H:%M:%S} UTC",
    }


def _policy(statuses: Sequence[str], allow_debug: bool, measurements: Sequence[str], signers: Sequence[str]) -> Policy:
    from enclave_sim.pki.documents import TcbStatus
    from enclave_sim.verify.policy import UP_TO_DATE_ONLY, Policy

    return Policy(
        tcb_statuses=UP_TO_DATE_ONLY | {TcbStatus(status) for status in statuses},
        allow_debug=allow_debug,
        measurements=_hex_set(measurements, "--measurement"),
        signers=_hex_set(signers, "--signer"),
    )


def _hex_set(texts: Sequence[str], option: str) -> frozenset[bytes] | None:
    try:
        return frozenset(bytes.fromhex(text.removeprefix("0x")) for text in texts) or None
    except ValueError:
        raise WrongUse(f"{option} takes hexadecimal bytes") from None


def _trust_store(root: Path | None) -> TrustStore:
    """Return the vendors' roots, or only the given one; one that is not a vendor's counts as simulated."""
    from enclave_sim.pki.pem import MalformedPem, parse_chain
    from enclave_sim.verify.trust import TrustStore, hardware_roots, simulated_root

    vendors = hardware_roots()
    if root is None:
        return TrustStore(vendors)
    data = _read(root, "Name a file with a root certificate.")
    if data.startswith(b"-----"):
        try:
            [data] = parse_chain(data)
        except (MalformedPem, ValueError):
            raise WrongUse(f"{root} does not hold exactly one PEM certificate") from None
    known = tuple(one for one in vendors if one.digest == hashlib.sha256(data).digest())
    simulated = tuple(simulated_root(kind, data) for kind in ("sgx", "snp", "vsm"))
    return TrustStore(known or simulated, accept_simulated=True)


def _parse_time(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        if text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        time = datetime.fromisoformat(text)
        return (time.replace(tzinfo=UTC) if time.tzinfo is None else time).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        raise WrongUse(
            f"--at {text} is no time", hint="For example --at 2026-01-31T12:00:00Z or --at 1750420000"
        ) from None


def _read(file: Path, hint: str) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}", hint=hint) from None
    if len(data) > FILE_BYTES_MAX:
        raise WrongUse(f"{file} has more than {FILE_BYTES_MAX} bytes", hint=hint)
    return data
