"""The front end's TLS: 1.2 or better, HTTP/1.1 only, with optional client certificates of the network's actors.

The private key never touches a disk in the clear: OpenSSL is given it in memory (tls_memory.py). Where that cannot be,
it reads it through an anonymous file in memory, or, where the platform has none, from a temporary file that holds it
encrypted under a password that only this process knows.
"""

from __future__ import annotations

import os
import secrets
import ssl
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.x509 import load_pem_x509_certificates

from core.crypto.certificates import to_der
from core.errors import CocoError, MalformedMessage
from core.node import tls_memory

_DESCRIPTORS = Path("/proc/self/fd")
_ENCODING_DER = 2
"""X509_FILETYPE_ASN1, OpenSSL's constant for DER."""


def server_context(chain: bytes, key: bytes, trusted: Iterable[str]) -> ssl.SSLContext:
    """Return a server's context. chain, key: PEM, the leaf first. trusted: actors' certificates (PEM).

    A client may show one of the trusted certificates, or one issued under them, with the certificates in between; any
    other fails the handshake. A trusted certificate need not be a root: what stands above it admits nobody. One that
    does not parse admits nobody either. Raises CocoError when chain and key do not fit together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # No tickets: a ticket keeps a client's certificate but not those it was verified under, and its key would outlive
    # the forward secrecy of many connections.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    try:
        if tls_memory.is_possible():
            certificates = load_pem_x509_certificates(chain)
            tls_memory.load(context, [one.public_bytes(serialization.Encoding.DER) for one in certificates], key)
        elif hasattr(os, "memfd_create") and _DESCRIPTORS.is_dir():
            _load_from_memory_file(context, chain, key)
        else:
            _load_encrypted(context, chain, key)
    except (ssl.SSLError, ValueError) as error:
        raise CocoError(
            f"the front end's certificate and key do not work: {error}", hint="Start the node again."
        ) from None
    anchors = b"".join(_anchors(trusted))
    if anchors:
        context.load_verify_locations(cadata=anchors)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    return context


def verified_chain(connection: ssl.SSLObject) -> Sequence[bytes]:
    """Return the client's certificate and those it was verified under, up to a trusted one (DER); [] without one.

    OpenSSL has checked signatures, validity, authority and path length of each, name constraints and purpose. A TLS 1.2
    session that is resumed by its id gives the client's own certificate only.
    """
    own = connection.getpeercert(binary_form=True)
    if own is None:
        return []
    if sys.version_info >= (3, 13):
        chain = connection.get_verified_chain()
    else:
        # Python's own method is public from 3.13 only.
        raw: Any = getattr(connection, "_sslobj")  # noqa: B009
        chain = [certificate.public_bytes(_ENCODING_DER) for certificate in raw.get_verified_chain() or ()]
    return chain or [own]


def _anchors(trusted: Iterable[str]) -> Iterable[bytes]:
    for pem in trusted:
        try:
            yield to_der(pem)
        except MalformedMessage:
            continue


def _load_from_memory_file(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    descriptor = os.memfd_create("front-end", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(chain.rstrip() + b"\n" + key)
        path = _DESCRIPTORS / str(descriptor)
        context.load_cert_chain(path)
    finally:
        os.close(descriptor)


def _load_encrypted(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    password = secrets.token_hex(32)
    loaded = serialization.load_pem_private_key(key, password=None)
    encrypted = loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password.encode()),
    )
    with tempfile.TemporaryDirectory(prefix="coco-") as folder:
        path = Path(folder) / "front-end.pem"
        path.write_bytes(chain.rstrip() + b"\n" + encrypted)
        context.load_cert_chain(path, password=password)
