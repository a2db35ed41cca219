"""AMD SEV-SNP attestation reports and a simulated secure processor."""
