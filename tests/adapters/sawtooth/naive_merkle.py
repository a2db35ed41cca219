"""State roots the slow way, for comparison: the whole tree is built anew, node by node, with a CBOR library.

Written from the text of the protocol, without a line of the adapter's tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import cbor2


def naive_root(state: Mapping[str, bytes]) -> str:
    """Return the root of the tree over these addresses (in hexadecimal digits) and their data."""
    return _hash_of({address: cbor2.dumps(data) for address, data in state.items()})


def _hash_of(leaves: Mapping[str, bytes]) -> str:
    groups: dict[str, dict[str, bytes]] = {}
    for address, value in leaves.items():
        if address:
            groups.setdefault(address[:2], {})[address[2:]] = value
    node = {"v": leaves.get(""), "c": {token: _hash_of(group) for token, group in groups.items()}}
    return hashlib.sha512(cbor2.dumps(node, canonical=True)).hexdigest()[:64]
