"""Root certificates of the makers of TEEs, by their SHA-256 (of the DER): evidence brings the certificates along.

Intel SGX Root CA: certificates.trustedservices.intel.com. AMD Root Keys (ARK): kdsintf.amd.com, product names Milan and
Genoa.
"""

from __future__ import annotations

INTEL_SGX_ROOT = bytes.fromhex("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3")

AMD_ROOTS = {
    "AMD ARK-Milan": bytes.fromhex("69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"),
    "AMD ARK-Genoa": bytes.fromhex("4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1"),
}
