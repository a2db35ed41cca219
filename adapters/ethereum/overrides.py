"""Which accounts a call may take to be otherwise than they are (the state overrides of eth_call and others).

An override must not open what is hidden. In a public network nothing is: everybody can compute every state. Elsewhere
only the caller's own addresses may be overridden, and nothing of any contract, not even of one's own making:

- code at an address runs as that address. At somebody's account, or at one that a contract names and nobody holds yet,
  it would ask contracts in that account's name, which is why `from` must be bound, too;
- a contract with other code or other storage tells what its storage holds, which its own code tells only to some; who
  deployed it has no more right to that than others. With all of its storage replaced, it still asks others in its name;
- a balance or nonce of another's account decides what contracts do for it, as its owner only may.

What tools use overrides for most, funds for the sender of a simulation, is one of the things allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.ethereum.formatting import checksum_address
from adapters.ethereum.model import AccountOverride
from adapters.ethereum.settings import Policy
from adapters.jsonrpc import SERVER_ERROR, RpcError


def check_overrides(overrides: Sequence[AccountOverride], policy: Policy, addresses: Sequence[bytes]) -> None:
    """Raise RpcError unless every override is of an account that the caller may override.

    The text is the same whether the account exists or not. addresses: those bound to the caller.
    """
    if policy == "public":
        return
    own = frozenset(addresses)
    for one in overrides:
        if one.address not in own:
            raise RpcError(
                SERVER_ERROR,
                f"state override of {checksum_address(one.address)} refused: "
                "only addresses bound to your identity may be overridden on this network",
            )
