"""What others hold of a ledger, against which its copies are checked: receipts and signed roots."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from core.crypto.certificates import public_key_of
from core.errors import AuthenticationFailed, MalformedMessage
from core.ledger.tables import RootSignature, TrustedNodes
from core.types import Digest, Seqno, TransactionId, View

Verify = Callable[[str | None, Sequence[TrustedNodes]], None]
"""Takes the service's certificate and what each ledger says of its nodes; raises CocoError."""


@dataclass(frozen=True, slots=True, eq=False)
class Witness:
    """A statement that this network once made. name: of its file.

    leaf: of the committed entry `transaction`; root: one that was signed, in the entry `signed_at` where that is known.
    """

    name: str
    transaction: TransactionId | None
    leaf: Digest | None
    signed_at: TransactionId | None
    root: Digest
    verify: Verify


def signed_root_witness(name: str, data: bytes) -> Witness:
    """Take a node's signature over a root, the JSON of the table of signatures; raises MalformedMessage."""
    signature = RootSignature.decode(data)
    try:
        root = Digest(bytes.fromhex(signature.root))
    except ValueError:
        raise MalformedMessage("the signed root is not hexadecimal") from None
    if len(root) != 32 or root.hex() != signature.root:
        raise MalformedMessage("the signed root is not 64 lower-case hexadecimal digits")

    def verify(service_certificate: str | None, ledgers: Sequence[TrustedNodes]) -> None:
        del service_certificate
        certificates = [nodes.certificate(signature.node) for nodes in ledgers]
        certificate = next((one for one in certificates if one is not None), None)
        if certificate is None:
            raise AuthenticationFailed("no node of this network signed it, as far as the ledgers reach")
        signature.verify(public_key_of(certificate), root)

    return Witness(name, None, None, TransactionId(View(signature.view), Seqno(signature.seqno)), root, verify)
