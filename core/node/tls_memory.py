"""Gives a TLS context its certificates and key from memory. Python's own `load_cert_chain` takes names of files only.

OpenSSL has the calls, and they are called in the very library that Python's ssl module is linked with, on the context's
SSL_CTX: the first field of the object in CPython 3.11 to 3.13 (PySSLContext in Modules/_ssl.c). Whether that holds is
found out once, on a context of our own, before it is relied on; where it does not, `is_possible` says so. So a gateway
can take up new certificates when it may open no file any more.
"""

from __future__ import annotations

import ctypes
import importlib
import ssl
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization

_VERSIONS = ((3, 11), (3, 12), (3, 13))
_SSL_CTRL_CHAIN_CERT = 89
_ADD_REFERENCE = 1


def is_possible() -> bool:
    """Whether `load` works in this interpreter."""
    return _library() is not None


def load(context: ssl.SSLContext, chain: Sequence[bytes], key_pem: bytes) -> None:
    """Give a context its certificates (DER, the leaf first) and its private key.

    Raises ValueError when they do not parse or do not fit together; the context is of no use then.
    """
    library = _library()
    if library is None:
        raise ValueError("this interpreter's TLS library takes certificates from files only")
    private = serialization.load_pem_private_key(key_pem, password=None)
    key = private.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pointer = _pointer(context)
    try:
        _check(chain and library.SSL_CTX_use_certificate_ASN1(pointer, len(chain[0]), chain[0]), "the certificate")
        for each in chain[1:]:
            _add(library, pointer, each)
        _use_key(library, pointer, key)
        _check(library.SSL_CTX_check_private_key(pointer), "certificate and key together")
    finally:
        # Errors that stay in OpenSSL's queue would be taken for those of the thread's next call.
        library.ERR_clear_error()


def _add(library: ctypes.CDLL, pointer: ctypes.c_void_p, certificate: bytes) -> None:
    parsed = _parsed(library.d2i_X509, certificate)
    _check(parsed.value, "a certificate of the chain")
    try:
        added = library.SSL_CTX_ctrl(pointer, _SSL_CTRL_CHAIN_CERT, _ADD_REFERENCE, parsed)
        _check(added, "a certificate of the chain")
    finally:
        library.X509_free(parsed)


def _use_key(library: ctypes.CDLL, pointer: ctypes.c_void_p, key: bytes) -> None:
    parsed = _parsed(library.d2i_AutoPrivateKey, key)
    _check(parsed.value, "the private key")
    try:
        _check(library.SSL_CTX_use_PrivateKey(pointer, parsed), "the private key")
    finally:
        library.EVP_PKEY_free(parsed)


def _parsed(parse: Callable[..., int | None], data: bytes) -> ctypes.c_void_p:
    """Call one of OpenSSL's d2i functions, which moves the pointer that it is given."""
    return ctypes.c_void_p(parse(None, ctypes.byref(ctypes.c_char_p(data)), len(data)))


def _check(done: object, what: str) -> None:
    if not done:
        raise ValueError(f"OpenSSL does not take {what}")


def _pointer(context: ssl.SSLContext) -> ctypes.c_void_p:
    """Return its SSL_CTX, a place inside the object: the caller keeps that."""
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__)


@cache
def _library() -> ctypes.CDLL | None:
    """Return what Python's ssl module is linked with, or None where it, or the context, is not as expected."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in _VERSIONS:
        return None
    file = getattr(importlib.import_module("_ssl"), "__file__", None)
    if file is None:
        return None
    try:
        library = ctypes.CDLL(file)
        _declare(library)
    except (OSError, AttributeError):
        return None  # Linked into the module, with names that are not to be seen.
    # The method is a place in the library that made the context, so another copy of the library is found out as well.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    return library if library.SSL_CTX_get_ssl_method(_pointer(context)) == library.TLS_server_method() else None


def _declare(library: ctypes.CDLL) -> None:
    """Declare the calls (OpenSSL 1.1.1 and 3). Raises AttributeError for one that is not there."""
    pointer, number, size, data = ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p
    calls: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "SSL_CTX_get_ssl_method": (pointer, (pointer,)),
        "TLS_server_method": (pointer, ()),
        "SSL_CTX_use_certificate_ASN1": (number, (pointer, number, data)),
        "SSL_CTX_ctrl": (size, (pointer, number, size, pointer)),
        "SSL_CTX_use_PrivateKey": (number, (pointer, pointer)),
        "SSL_CTX_check_private_key": (number, (pointer,)),
        "d2i_X509": (pointer, (pointer, pointer, size)),
        "d2i_AutoPrivateKey": (pointer, (pointer, pointer, size)),
        "X509_free": (None, (pointer,)),
        "EVP_PKEY_free": (None, (pointer,)),
        "ERR_clear_error": (None, ()),
    }
    for name, (result, arguments) in calls.items():
        call = getattr(library, name)
        call.restype, call.argtypes = result, arguments
