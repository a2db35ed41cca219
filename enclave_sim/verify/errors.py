"""Why evidence is refused: one class per reason. `reason` is the short name that programs and users see."""

from __future__ import annotations

from typing import ClassVar

from core.errors import AuthenticationFailed


class EvidenceRefused(AuthenticationFailed):
    """Evidence on an enclave that is not believed. Never raised itself."""

    reason: ClassVar[str]


class EvidenceMalformed(EvidenceRefused):
    """The evidence is not the structure it should be: version, length, reserved bits, trailing bytes."""

    reason = "malformed-evidence"


class CollateralMalformed(EvidenceRefused):
    """The collateral does not parse, or is of the wrong kind for this evidence."""

    reason = "malformed-collateral"


class UnknownRoot(EvidenceRefused):
    """The chain ends in a root that the trust store does not hold."""

    reason = "unknown-root"

    def __init__(self, message: str, *, hint: str = "", says_simulated: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.says_simulated = says_simulated
        """Whether the root's own name says (SIMULATED): nobody's word, good for the reason only."""


class SimulatedRootOff(EvidenceRefused):
    """The chain ends in a simulated root, and simulated platforms are not turned on."""

    reason = "simulated-root-off"
    says_simulated = True


class ChainInvalid(EvidenceRefused):
    """A certificate chain has a wrong shape, name, key or signature."""

    reason = "invalid-chain"


class RevocationListInvalid(EvidenceRefused):
    """A revocation list does not parse, or its signature or issuer is wrong."""

    reason = "invalid-revocation-list"


class NotYetValid(EvidenceRefused):
    """A certificate, list or document starts to hold only later."""

    reason = "not-yet-valid"


class Expired(EvidenceRefused):
    """A certificate, list or document holds no longer."""

    reason = "expired"


class CertificateRevoked(EvidenceRefused):
    """A certificate stands on its issuer's revocation list."""

    reason = "certificate-revoked"


class DocumentSignatureInvalid(EvidenceRefused):
    """TCB info or QE identity are not the bytes that were signed."""

    reason = "invalid-document-signature"


class DocumentInvalid(EvidenceRefused):
    """TCB info or QE identity are signed but not what this evidence needs: id, version, content."""

    reason = "wrong-document"


class PlatformMismatch(EvidenceRefused):
    """The collateral is about another platform: FMSPC, PCEID or certificate authority."""

    reason = "platform-mismatch"


class QeReportSignatureInvalid(EvidenceRefused):
    """The quoting enclave's report is not signed by the platform's certified key."""

    reason = "invalid-qe-report-signature"


class AttestationKeyUnbound(EvidenceRefused):
    """The quoting enclave's report does not bind the key that signed the quote."""

    reason = "attestation-key-unbound"


class QuoteSignatureInvalid(EvidenceRefused):
    """The evidence itself is not signed by the key that should have signed it."""

    reason = "invalid-signature"


class QeIdentityMismatch(EvidenceRefused):
    """The quoting enclave is not the one that the vendor names."""

    reason = "qe-identity-mismatch"


class TdxModuleMismatch(EvidenceRefused):
    """The TDX module is not one that the vendor names."""

    reason = "tdx-module-mismatch"


class TdAttributesUnsafe(EvidenceRefused):
    """The trust domain may be confused by its host: #VE on pending pages is not disabled."""

    reason = "unsafe-td-attributes"


class TcbLevelUnknown(EvidenceRefused):
    """The platform's TCB is below every level that the vendor rates."""

    reason = "no-tcb-level"


class TcbRevoked(EvidenceRefused):
    """The vendor revoked this TCB level; no policy can accept it."""

    reason = "tcb-revoked"


class PolicyRefused(EvidenceRefused):
    """Evidence that is genuine but not acceptable to this policy. Never raised itself."""


class TeeRefused(PolicyRefused):
    """The policy does not accept this kind of TEE."""

    reason = "tee-refused"


class TcbStatusRefused(PolicyRefused):
    """The policy does not accept this TCB status."""

    reason = "tcb-status-refused"


class AdvisoryRefused(PolicyRefused):
    """A security advisory that the policy does not accept applies to the platform."""

    reason = "advisory-refused"


class DebugRefused(PolicyRefused):
    """The enclave can be inspected by its host."""

    reason = "debug-enclave"


class SecurityVersionRefused(PolicyRefused):
    """The enclave's security version is below the policy's minimum."""

    reason = "security-version-too-low"


class EvaluationNumberRefused(PolicyRefused):
    """The collateral's TCB evaluation data number is below the policy's minimum."""

    reason = "tcb-evaluation-too-old"


class MeasurementRefused(PolicyRefused):
    """The measurement is not among the allowed ones."""

    reason = "measurement-not-allowed"


class SignerRefused(PolicyRefused):
    """The signer is not among the allowed ones."""

    reason = "signer-not-allowed"


class ProductRefused(PolicyRefused):
    """The product id is not among the allowed ones."""

    reason = "product-not-allowed"
