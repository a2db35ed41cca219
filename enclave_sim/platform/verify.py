"""Verify a simulated quote. It says (SIMULATED): it proves who knows a file's 32 bytes, not what hardware runs."""

from __future__ import annotations

from collections.abc import Collection

from core.errors import AuthenticationFailed
from core.ports import ReportClaims
from enclave_sim.platform.cpu import unpack_quote


def verify_quote(quote: bytes, *, trusted_platforms: Collection[str], report_data: bytes | None = None) -> ReportClaims:
    """Return the claims of a quote by one of these platforms (hexadecimal ids); raises AuthenticationFailed.

    report_data: when given, the 64 bytes the quote must be about. The measurement is for the caller to judge.
    """
    claims = unpack_quote(quote)
    if claims.platform not in trusted_platforms:
        raise AuthenticationFailed(
            f"the quote is of platform {claims.platform} (SIMULATED), which is not trusted",
            hint="Approve the platform in the constitution, or ask its operator which one it is.",
        )
    if report_data is not None and claims.report_data != report_data:
        raise AuthenticationFailed("the quote is about other data")
    return claims
