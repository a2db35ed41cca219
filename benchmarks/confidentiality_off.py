"""A copy of the product's source in which encryption, signing and TLS do nothing, for benchmarks/confidentiality.py.

The product has no switch for this, and this module is not part of it: it edits a copy in a directory of its own. Every
edit names the text that it replaces; where the source no longer has that text, exactly once, nothing is measured.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("core", "adapters", "enclave_sim", "cli")


@dataclass(frozen=True, slots=True)
class Edit:
    """file: within the source. what: what is off by it."""

    what: str
    file: str
    old: str
    new: str


EDITS = (
    Edit(
        "encryption of the ledger's private domains and of snapshots (AES-256-GCM)",
        "core/crypto/aead.py",
        "return self._cipher.encrypt(nonce, plaintext, associated)",
        "return plaintext + bytes(TAG_BYTES)",
    ),
    Edit(
        "and their decryption",
        "core/crypto/aead.py",
        "return self._cipher.decrypt(nonce, ciphertext, associated)",
        "return bytes(ciphertext[:-TAG_BYTES])",
    ),
    Edit(
        "encryption of the channels between a node's enclaves (AES-256-GCM)",
        "core/node/pairing.py",
        "frame = self._seal.encrypt(_nonce(self._sent), message, None)",
        "frame = message",
    ),
    Edit(
        "and their decryption",
        "core/node/pairing.py",
        "plaintext = self._open.decrypt(_nonce(self._received), await self._transport.receive(), None)",
        "plaintext = await self._transport.receive()",
    ),
    Edit(
        "the node's signature of each block (ECDSA P-256)",
        "core/ledger/tables.py",
        "base64.b64encode(key.sign_digest(root))",
        "base64.b64encode(bytes(71))",
    ),
    Edit(
        "the service's signature of each block (COSE)",
        "core/ledger/cose.py",
        "self._key.sign_raw(to_be_signed(protected, root))",
        "bytes(2 * self._public.curve.coordinate_bytes)",
    ),
    Edit(
        "the verification of the service's signature",
        "core/ledger/cose.py",
        "    key.verify_raw(message[-size:], to_be_signed(protected, root))\n",
        "",
    ),
    Edit(
        "TLS, for clients that do not begin with a handshake",
        "core/node/http_server.py",
        """            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
""",
        """            while True:
                try:
                    first = accepted.recv(1, socket.MSG_PEEK)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.001)
            if first != b"\\x16":
                await loop.connect_accepted_socket(lambda: connection, accepted)
                return
            await loop.connect_accepted_socket(
                lambda: connection,
                accepted,
                ssl=self._context,
""",
    ),
    Edit(
        "TLS in the load generator",
        "cli/load/runner.py",
        "return ssl.create_default_context(cafile=endpoint.ca_file) if endpoint.tls else None",
        "return None",
    ),
)


def copy_source(to: Path, edits: tuple[Edit, ...] = ()) -> None:
    """Copy the packages and edit the copy; raises ValueError where an edit does not fit."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, to / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", to)
    for edit in edits:
        file = to / edit.file
        text = file.read_text("utf-8")
        if text.count(edit.old) != 1:
            raise ValueError(f"{edit.file} no longer has the text that turns off {edit.what}")
        file.write_text(text.replace(edit.old, edit.new), "utf-8")
