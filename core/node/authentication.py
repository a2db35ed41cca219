"""Who is behind a request: a bearer token, a TLS client certificate, or nobody. DESIGN section 8.

Tokens are known by their SHA-256 digests only. A certificate acts as an actor when it is the actor's own, or was issued
under it: directly, or through authorities of the actor's that the client shows in the handshake. So an actor's
certificate can be its organisation's intermediate authority, and whom it issues to stays its own business. The nearest
actor above a certificate is the one it acts for. Credentials that contradict one another are refused.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.adapter.interface import ANONYMOUS, Caller
from core.crypto.certificates import expires_at, fingerprint, from_der, verify_issued_under
from core.errors import AuthenticationFailed, MalformedMessage
from core.governance.constitution import Constitution, Identity

TOKEN_BYTES_MAX = 512
CHAIN_CERTIFICATES_MAX = 8
_BUCKET_BYTES = 8
_HINT = "Send the token the network's administrator gave you, or connect with your actor's certificate."


@dataclass(frozen=True, slots=True)
class Peer:
    """The actor behind a TLS client certificate, until it expires (Unix seconds)."""

    identity: Identity
    expires_at: float


class Authenticator:
    """The credentials that a constitution admits."""

    def __init__(self, constitution: Constitution) -> None:
        self._by_digest: dict[bytes, list[tuple[bytes, Identity]]] = {}
        self._by_fingerprint: dict[str, Identity] = {}
        for identity in constitution.identities:
            for text in identity.token_digests:
                self._add_token(text, identity)
            try:
                self._by_fingerprint[fingerprint(identity.certificate)] = identity
            except MalformedMessage:
                continue  # An actor without a usable certificate can still use tokens.

    def _add_token(self, text: str, identity: Identity) -> None:
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            return
        if len(digest) == hashlib.sha256().digest_size:
            self._by_digest.setdefault(digest[:_BUCKET_BYTES], []).append((digest, identity))

    def peer(self, chain: Sequence[bytes]) -> Peer:
        """Return the actor of a client certificate. Raises AuthenticationFailed.

        chain: the certificate and those above it (DER), as TLS has verified them; one alone counts when it was issued
        directly under an actor's.
        """
        try:
            pems = [from_der(certificate) for certificate in chain[:CHAIN_CERTIFICATES_MAX]]
            until = math.inf
            for position, pem in enumerate(pems):
                if position:
                    verify_issued_under(pems[position - 1], pem, at=None)
                until = min(until, expires_at(pem).timestamp())
                found = self._by_fingerprint.get(fingerprint(pem))
                if found is not None:
                    return Peer(found, until)
            for identity in self._by_fingerprint.values() if len(pems) == 1 else ():
                if _is_issued_under(pems[0], identity.certificate):
                    return Peer(identity, min(until, expires_at(identity.certificate).timestamp()))
        except (MalformedMessage, AuthenticationFailed):
            pass
        raise AuthenticationFailed("the certificate belongs to no actor of this network", hint=_HINT)

    def verify_token(self, token: str) -> Identity:
        """Return the actor of a bearer token; raises AuthenticationFailed."""
        raw = token.encode("utf-8", "surrogateescape")
        if 0 < len(raw) <= TOKEN_BYTES_MAX:
            digest = hashlib.sha256(raw).digest()
            for known, identity in self._by_digest.get(digest[:_BUCKET_BYTES], ()):
                if hmac.compare_digest(known, digest):
                    return identity
        raise AuthenticationFailed("the token is not accepted", hint=_HINT)

    def verify_request(
        self, authorization: str | None, path_token: str | None, peer: Peer | None, now: float
    ) -> Caller:
        """Return who sends a request. now: Unix seconds.

        Raises AuthenticationFailed for a credential that is not accepted, or for two of different actors.
        """
        found: list[Identity] = []
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise AuthenticationFailed("only bearer tokens are accepted", hint=_HINT)
            found.append(self.verify_token(token.strip()))
        if path_token is not None:
            found.append(self.verify_token(path_token))
        by_token = bool(found)
        if peer is not None:
            if now > peer.expires_at:
                raise AuthenticationFailed("the client certificate has expired", hint="Issue a new one and reconnect.")
            found.append(peer.identity)
        if not found:
            return ANONYMOUS
        if any(identity.name != found[0].name for identity in found):
            raise AuthenticationFailed("the credentials belong to different actors", hint="Send those of one actor.")
        return Caller(found[0].name, found[0].role == "member", "token" if by_token else "certificate")


def bearer_token(authorization: str | None, path_token: str | None) -> str:
    """Return the token that `verify_request` has accepted; "" when there was none.

    For the leader's manager, which verifies it again. It goes nowhere else.
    """
    if authorization is not None:
        return authorization.partition(" ")[2].strip()
    return path_token or ""


def _is_issued_under(pem: str, issuer: str) -> bool:
    try:
        verify_issued_under(pem, issuer, at=None)
    except AuthenticationFailed:
        return False
    return True
