"""The simulated provisioning authority: certificates, revocation lists and signed collateral."""
