"""The neutral core: attested execution, confidential consensus, sealed ledger, governance. Knows no protocol."""
