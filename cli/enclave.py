"""`coco enclave`: what a node's enclaves measure, and the signed identity card (SIGSTRUCT) of an image."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.errors import NotFound, WrongUse
from cli.files import write_private
from cli.options import json_option
from cli.output import note, print_fields, print_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from enclave_sim.sgx.sgxs import EnclaveImage
    from enclave_sim.sgx.sigstruct import SigStruct

FILE_BYTES_MAX = 256 * 1024 * 1024
_FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def enclave() -> None:
    """Measure, sign and inspect enclaves: `.sgxs` images and SIGSTRUCTs."""


@enclave.command()
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Write manager.sgxs and worker.sgxs here."
)
@json_option
def measure(out: Path | None, as_json: bool) -> None:
    """Measure the manager and worker enclaves of the code installed here (MRENCLAVE).

    The measurement covers Coco's files, the adapters', the Python interpreter's and every library's, and no folder
    names: the same code measures the same on any machine. It is the SHA-256 of the `.sgxs` file.
    """
    from enclave_sim.platform.measurement import code_manifest, measure_node

    manager, worker = measure_node()
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        for one in (manager, worker):
            write_private(out / f"{one.kind}.sgxs", one.sgxs)
    manifest: dict[str, Any] = json.loads(code_manifest(manager, worker))
    if as_json:
        print_json(manifest)
        return
    adapters = {f"adapter {one['name']}": one["sha256"] for one in manifest["worker"]["adapters"]}
    adapters |= {f"family {one['name']}": one["sha256"] for one in manifest["worker"]["families"]}
    print_fields(
        {"manager": manager.mrenclave.hex(), "worker": worker.mrenclave.hex()}
        | adapters
        | {
            "interpreter": manifest["manager"]["interpreter"]["sha256"],
            "libraries": len(manifest["worker"]["libraries"]),
            "written to": str(out) if out is not None else None,
        }
    )


@enclave.command()
@click.argument("image", type=_FILE)
@click.option("--key", type=_FILE, required=True, help="The signer's RSA-3072 key with exponent 3 (PEM).")
@click.option("--out", type=_FILE, help="Where the SIGSTRUCT goes. Default: IMAGE with .sigstruct for .sgxs.")
@click.option("--date", "date_text", metavar="YYYY-MM-DD", help="The date it bears. Default: today (UTC).")
@json_option
def sign(image: Path, key: Path, out: Path | None, date_text: str | None, as_json: bool) -> None:
    """Sign IMAGE, a `.sgxs` file that `coco enclave measure` wrote: makes its SIGSTRUCT (1808 bytes).

    MRSIGNER is the hash of the key. Make a key with: openssl genrsa -3 3072
    """
    from enclave_sim.platform.launching import ATTRIBUTE_MASK, SIGNED_ATTRIBUTES
    from enclave_sim.platform.measurement import image_records
    from enclave_sim.sgx.sgxs import parse_sgxs
    from enclave_sim.sgx.sigstruct import EnclaveIdentity, sign_enclave

    data = _read(image)
    configuration = _configuration(image_records(parse_sgxs(data)))
    identity = EnclaveIdentity(
        mrenclave=_sha256(data),
        attributes=SIGNED_ATTRIBUTES,
        attribute_mask=ATTRIBUTE_MASK,
        built=_date(date_text),
        isvprodid=int(configuration["product"]),
        isvsvn=int(configuration["security_version"]),
    )
    try:
        signed = sign_enclave(identity, _load_key(key))
    except (ValueError, TypeError) as error:
        raise WrongUse(f"{key}: {error}", hint="Make one: openssl genrsa -3 3072") from None
    target = out or image.with_suffix(".sigstruct")
    write_private(target, signed.encode())
    fields = _describe_sigstruct(signed) | {"written to": str(target)}
    print_json(fields) if as_json else print_fields(fields)


@enclave.command()
@click.argument("file", type=_FILE)
@json_option
def inspect(file: Path, as_json: bool) -> None:
    """Show what a SIGSTRUCT (its signature is verified) or an `.sgxs` image holds."""
    from enclave_sim.sgx.sgxs import parse_sgxs
    from enclave_sim.sgx.sigstruct import SIGSTRUCT_BYTES, parse_sigstruct

    data = _read(file)
    if len(data) == SIGSTRUCT_BYTES:
        fields = _describe_sigstruct(parse_sigstruct(data))
    else:
        fields = _describe_image(parse_sgxs(data), _sha256(data))
    print_json(fields) if as_json else print_fields(fields)
    if not as_json and len(data) == SIGSTRUCT_BYTES:
        note("The signature verifies under the key in the file; whose key it is, MRSIGNER says.")


def _describe_sigstruct(signed: SigStruct) -> dict[str, object]:
    identity = signed.identity
    return {
        "form": "SIGSTRUCT",
        "MRENCLAVE": identity.mrenclave.hex(),
        "MRSIGNER": signed.mrsigner.hex(),
        "product": identity.isvprodid,
        "security version": identity.isvsvn,
        "date": identity.built.isoformat(),
        "debug": identity.attributes.debug,
        "attributes": f"{identity.attributes.flags:#018x}",
        "attribute mask": identity.attribute_mask.hex(),
        "XFRM": f"{identity.attributes.xfrm:#018x}",
        "MISCSELECT": f"{identity.miscselect:#010x}",
        "vendor": f"{identity.vendor:#06x}",
    }


def _describe_image(image: EnclaveImage, mrenclave: bytes) -> dict[str, object]:
    from core.errors import CocoError
    from enclave_sim.platform.measurement import image_records

    measured = [page for page in image.pages if page.content is not None]
    fields: dict[str, object] = {
        "form": "SGXS",
        "MRENCLAVE": mrenclave.hex(),
        "size": image.size_bytes,
        "pages": len(image.pages),
        "measured pages": len(measured),
    }
    try:
        records = image_records(image)
    except CocoError:
        return fields | {"content": "not an image of Coco's"}
    configuration = _configuration(records)
    return fields | {
        "enclave": configuration["enclave"],
        "product": configuration["product"],
        "security version": configuration["security_version"],
        "files": len(records) - 1,
        "interpreter": configuration["interpreter"]["sha256"],
        "libraries": len(configuration["libraries"]),
        **{f"adapter {one['name']}": one["sha256"] for one in configuration["adapters"]},
    }


def _configuration(records: Mapping[str, bytes]) -> dict[str, Any]:
    from enclave_sim.platform.measurement import CONFIGURATION

    try:
        configuration: dict[str, Any] = json.loads(records[CONFIGURATION])
        _ = configuration["enclave"], configuration["product"], configuration["security_version"]
        _ = configuration["interpreter"]["sha256"], configuration["libraries"]
        _ = [(one["name"], one["sha256"]) for one in configuration["adapters"]]
    except (KeyError, TypeError, ValueError):
        raise WrongUse("the image has no configuration of Coco's", hint="coco enclave measure writes images.") from None
    return configuration


def _load_key(file: Path) -> RSAPrivateKey:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(_read(file), password=None)
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key


def _date(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise WrongUse(f"--date {text} is no date", hint="For example --date 2026-01-31") from None


def _sha256(data: bytes) -> bytes:
    from enclave_sim.sgx.sgxs import measure as measure_stream

    return measure_stream([data])


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise WrongUse(f"{file} has more than {FILE_BYTES_MAX} bytes")
    return data
