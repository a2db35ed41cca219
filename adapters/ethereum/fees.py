"""What gas costs. Three sets of rules: a free network, a priced one, and the calls of eth_call.

EIP-1559, with a base fee that the network's settings fix instead of one that follows demand.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FeeRules:
    """base_fee: wei per gas, as headers and the BASEFEE opcode show it. charged: whether offered prices are paid.

    Where nothing is charged the effective price is 0 whatever is offered, and no balance is needed for gas.
    """

    base_fee: int
    charged: bool

    def effective_price(self, max_fee: int, max_priority_fee: int) -> int:
        """Return the price per gas that is paid (wei)."""
        return min(max_fee, self.base_fee + max_priority_fee) if self.charged else 0

    def tip(self, max_fee: int, max_priority_fee: int) -> int:
        """Return the part of the effective price that goes to the coinbase (wei)."""
        return self.effective_price(max_fee, max_priority_fee) - self.base_fee if self.charged else 0


FREE = FeeRules(0, charged=False)
