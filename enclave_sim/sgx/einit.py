"""EINIT: an enclave starts only under a SIGSTRUCT that fits what was measured (Intel SDM volume 3D, chapter 38).

From here on the signed card says who the enclave is: MRSIGNER is the hash of its key, and product, security version
and attributes are those that were signed. As on processors with flexible launch control, any key may sign.
"""

from __future__ import annotations

from core.errors import AuthenticationFailed
from enclave_sim.sgx.attributes import AttributeFlag, Attributes
from enclave_sim.sgx.cpu import Enclave
from enclave_sim.sgx.fields import MalformedStructure
from enclave_sim.sgx.sigstruct import parse_sigstruct


class LaunchRefused(AuthenticationFailed):
    """EINIT refuses. `code` is the architectural error."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{code}: {message}", hint=hint)
        self.code = code


def einit(mrenclave: bytes, attributes: Attributes, sigstruct: bytes) -> Enclave:
    """Return the enclave that was measured and is signed by this SIGSTRUCT (1808 bytes); raises LaunchRefused.

    attributes: those it was created with, so without INIT, which a successful EINIT sets.
    """
    try:
        signed = parse_sigstruct(sigstruct)
    except MalformedStructure as error:
        raise LaunchRefused("SGX_INVALID_SIG_STRUCT", error.message) from None
    except AuthenticationFailed as error:
        raise LaunchRefused("SGX_INVALID_SIGNATURE", error.message) from None
    identity = signed.identity
    if identity.mrenclave != mrenclave:
        raise LaunchRefused(
            "SGX_INVALID_MEASUREMENT",
            f"the SIGSTRUCT signs {identity.mrenclave.hex()}; the code here measures {mrenclave.hex()}",
            hint="Run the code that was signed, or have this code signed: coco enclave measure, coco enclave sign.",
        )
    if not identity.admits(attributes, 0):
        what = "a debug enclave" if identity.attributes.debug else "another configuration"
        raise LaunchRefused(
            "SGX_INVALID_ATTRIBUTE",
            f"the SIGSTRUCT signs {what} (ATTRIBUTES {identity.attributes.flags:#x})",
            hint="Sign it with coco enclave sign.",
        )
    return Enclave(
        mrenclave=mrenclave,
        mrsigner=signed.mrsigner,
        attributes=Attributes(attributes.flags | AttributeFlag.INIT, attributes.xfrm),
        isvprodid=identity.isvprodid,
        isvsvn=identity.isvsvn,
        isvextprodid=identity.isvextprodid,
        isvfamilyid=identity.isvfamilyid,
    )
