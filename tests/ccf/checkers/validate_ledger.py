"""Runs in CCF's environment: judges a ledger, and changed copies of it, with ccf.ledger.LedgerValidator.

Input: {"directory", "uncommitted", "changes": [[file name, offset, XOR mask], ...]}. Output: {"sound": what is said of
the ledger as it is, "changed": per change what is said of the ledger with that one byte changed}; what is said is null
for a ledger that verifies, else the error. Files are changed in memory only, at the one place where the package reads
them.
"""

import json
import sys

from ccf import ledger as ccf_ledger
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

changed_bytes: dict[str, tuple[int, int]] = {}
contents: dict[str, bytes] = {}


def from_file(filename: str) -> ccf_ledger.SimpleBuffer:
    if filename not in contents:
        with open(filename, "rb") as file:
            contents[filename] = file.read()
    data = contents[filename]
    change = changed_bytes.get(filename.rpartition("/")[2])
    if change is not None:
        offset, mask = change
        data = data[:offset] + bytes([data[offset] ^ mask]) + data[offset + 1 :]
    return ccf_ledger.SimpleBuffer(filename, data)


ccf_ledger.SimpleBuffer.from_file = staticmethod(from_file)

# The package verifies COSE signatures in pure Python; what was verified once, byte for byte, need not be again.
validate = ccf_ledger.validate_cose_sign1
verified: set[tuple[bytes, bytes, bytes]] = set()


def validate_once(pubkey: ec.EllipticCurvePublicKey, cose_sign1: bytes, payload: bytes) -> None:
    known = (pubkey.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), cose_sign1, payload)
    if known not in verified:
        validate(pubkey=pubkey, cose_sign1=cose_sign1, payload=payload)
        verified.add(known)


ccf_ledger.validate_cose_sign1 = validate_once


def judge(directory: str, *, uncommitted: bool) -> dict[str, object]:
    validator = ccf_ledger.LedgerValidator(accept_deprecated_entry_types=False)
    # The package keeps both in the class, so that a second validator would know what the first one learned.
    validator.node_certificates, validator.node_activity_status = {}, {}
    entries, error = 0, None
    try:
        for chunk in ccf_ledger.Ledger([directory], committed_only=not uncommitted):
            for transaction in chunk:
                validator.add_transaction(transaction)
                entries += 1
    except Exception as raised:  # noqa: BLE001 - whatever it raises is its verdict
        error = f"{type(raised).__name__}: {raised}"
    return {
        "error": error,
        "entries": entries,
        "signatures": validator.signature_count,
        "verified": str(validator.last_verified_txid()),
        "root": validator.merkle.get_merkle_root().hex(),
    }


request = json.load(sys.stdin)
found = []
sound = judge(request["directory"], uncommitted=request["uncommitted"])
for name, offset, mask in request["changes"]:
    changed_bytes.clear()
    changed_bytes[name] = (offset, mask)
    found.append(judge(request["directory"], uncommitted=request["uncommitted"])["error"])
json.dump({"sound": sound, "changed": found}, sys.stdout)
