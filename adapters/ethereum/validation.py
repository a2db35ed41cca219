"""What makes a transaction invalid on a state: checked by us, since py-evm leaves some of it out. Texts are geth's.

EIP-2681 (nonce bound), EIP-3607 (sender with code; EIP-7702 delegations excepted), and the full upfront cost: gas limit
times max fee, plus value. On a free network only the value is needed.
"""

from __future__ import annotations

from adapters.ethereum.account_db import AccountDatabase
from adapters.ethereum.fees import FeeRules
from adapters.ethereum.model import SignedTransaction
from adapters.ethereum.settings import Settings
from adapters.jsonrpc import RpcError

REJECTED = -32000
NONCE_TOO_LOW = "nonce too low"
NONCE_TOO_HIGH = "nonce too high"
NONCE_MAX = "nonce has max value"
SENDER_NOT_EOA = "sender not an eoa"
INSUFFICIENT_FUNDS = "insufficient funds for gas * price + value"
FEE_TOO_LOW = "max fee per gas less than block base fee"
EXCEEDS_BLOCK_GAS_LIMIT = "exceeds block gas limit"

DELEGATION_PREFIX = b"\xef\x01\x00"
"""EIP-7702: what stands before the address in the code of an account that delegates."""


def delegation_target(code: bytes) -> bytes | None:
    """Return the address an account's code delegates to, None for other code."""
    return code[3:] if len(code) == 23 and code.startswith(DELEGATION_PREFIX) else None


def check_nonce(next_nonce: int, nonce: int) -> None:
    """Raise RpcError unless the nonce is the sender's next."""
    if nonce < next_nonce:
        raise RpcError(REJECTED, f"{NONCE_TOO_LOW}: next nonce {next_nonce}, tx nonce {nonce}")
    if nonce > next_nonce:
        raise RpcError(REJECTED, f"{NONCE_TOO_HIGH}: next nonce {next_nonce}, tx nonce {nonce}")
    if nonce >= 2**64 - 1:
        raise RpcError(REJECTED, f"{NONCE_MAX}: nonce {nonce}")


def check_transaction(database: AccountDatabase, signed: SignedTransaction, settings: Settings, fees: FeeRules) -> None:
    """Raise RpcError when the transaction may not be executed on this state."""
    sender = signed.sender
    check_nonce(database.get_nonce(sender), signed.nonce)
    code = database.get_code(sender)
    if code and not (settings.is_prague and delegation_target(code) is not None):
        raise RpcError(REJECTED, f"{SENDER_NOT_EOA}: address 0x{sender.hex()}, len(code): {len(code)}")
    if fees.charged and signed.max_fee < fees.base_fee:
        raise RpcError(
            REJECTED,
            f"{FEE_TOO_LOW}: address 0x{sender.hex()}, maxFeePerGas: {signed.max_fee}, baseFee: {fees.base_fee}",
        )
    if signed.gas_limit > settings.block_gas_limit:
        raise RpcError(REJECTED, EXCEEDS_BLOCK_GAS_LIMIT)
    cost = signed.value + (signed.gas_limit * signed.max_fee if fees.charged else 0)
    balance = database.get_balance(sender)
    if balance < cost:
        short = cost - balance
        raise RpcError(REJECTED, f"{INSUFFICIENT_FUNDS}: balance {balance}, tx cost {cost}, overshot {short}")
