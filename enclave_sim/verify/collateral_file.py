"""Collateral files: the JSON shape that DCAP tools share for SGX and TDX, and our own for VBS and SEV-SNP.

{"kind": "vsm", "chain": PEM, "root_revocation_list": hex, "ca_revocation_list": hex}
{"kind": "snp", "vcek": hex, "ask": hex, "ark": hex, "revocation_list": hex or null}
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from core.errors import LimitExceeded, MalformedMessage
from enclave_sim.pki.collateral import COLLATERAL_BYTES_MAX, parse_collateral
from enclave_sim.verify.errors import CollateralMalformed
from enclave_sim.verify.evidence import AnyCollateral
from enclave_sim.verify.snp import SnpCollateral
from enclave_sim.verify.vsm import VsmCollateral

_Hex = Annotated[str, msgspec.Meta(pattern="^(?:[0-9A-Fa-f]{2})+$")]


class _Vsm(msgspec.Struct, tag_field="kind", tag="vsm", forbid_unknown_fields=True):
    chain: str
    root_revocation_list: _Hex
    ca_revocation_list: _Hex


class _Snp(msgspec.Struct, tag_field="kind", tag="snp", forbid_unknown_fields=True):
    vcek: _Hex
    ask: _Hex
    ark: _Hex
    revocation_list: _Hex | None = None


class _Kind(msgspec.Struct):
    kind: str | None = None


def parse_any_collateral(data: bytes) -> AnyCollateral:
    """Parse a collateral file of any kind; raises CollateralMalformed."""
    if len(data) > COLLATERAL_BYTES_MAX:
        raise CollateralMalformed(f"collateral of {len(data)} bytes; at most {COLLATERAL_BYTES_MAX} are read")
    try:
        if msgspec.json.decode(data, type=_Kind).kind is None:
            return parse_collateral(data)
        shape = msgspec.json.decode(data, type=_Vsm | _Snp)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CollateralMalformed(f"the collateral is not the expected JSON: {error}") from None
    except (MalformedMessage, LimitExceeded) as error:
        raise CollateralMalformed(error.message) from None
    if isinstance(shape, _Vsm):
        lists = bytes.fromhex(shape.root_revocation_list), bytes.fromhex(shape.ca_revocation_list)
        return VsmCollateral(shape.chain.encode(), *lists)
    revocation_list = None if shape.revocation_list is None else bytes.fromhex(shape.revocation_list)
    vcek, ask, ark = (bytes.fromhex(text) for text in (shape.vcek, shape.ask, shape.ark))
    return SnpCollateral(vcek, ask, ark, revocation_list)


def write_any_collateral(collateral: AnyCollateral) -> bytes:
    """Return the file's content. Minimum versions are the verifier's own and are not written."""
    match collateral:
        case VsmCollateral():
            lists = collateral.root_revocation_list.hex(), collateral.ca_revocation_list.hex()
            return msgspec.json.encode(_Vsm(collateral.chain_pem.decode(), *lists))
        case SnpCollateral():
            vcek, ask, ark = (one.hex() for one in (collateral.vcek, collateral.ask, collateral.ark))
            revocation_list = None if collateral.revocation_list is None else collateral.revocation_list.hex()
            return msgspec.json.encode(_Snp(vcek, ask, ark, revocation_list))
        case _:
            return collateral.to_json()
