"""The contracts that every block of the network counts on, with the code that the standards give for them.

EIP-4788 (beacon roots) and EIP-2935 (block hashes) are called at the opening of a block. EIP-7002 (withdrawals) and
EIP-7251 (consolidations) ask validators of a beacon chain, which there is none of: their queues stay inhibited, as
their constructors leave them, so that they refuse every request and a block's list of requests is always empty. The
CREATE2 factory is the keyless deployer at its address of other chains.
"""

from __future__ import annotations

from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS as _BEACON_ROOTS_ADDRESS
from eth.vm.forks.cancun.constants import BEACON_ROOTS_CONTRACT_CODE
from eth.vm.forks.prague.constants import (
    CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
    HISTORY_STORAGE_CONTRACT_CODE,
    WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS,
)
from eth.vm.forks.prague.constants import HISTORY_STORAGE_ADDRESS as _HISTORY_STORAGE_ADDRESS

from adapters.ethereum.multicall import MULTICALL3_ADDRESS, multicall3_code
from adapters.ethereum.settings import AllocatedAccount, Settings

BEACON_ROOTS_ADDRESS: bytes = bytes(_BEACON_ROOTS_ADDRESS)
HISTORY_STORAGE_ADDRESS: bytes = bytes(_HISTORY_STORAGE_ADDRESS)
WITHDRAWAL_REQUESTS_ADDRESS: bytes = bytes(WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS)
CONSOLIDATION_REQUESTS_ADDRESS: bytes = bytes(CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS)
CREATE2_FACTORY_ADDRESS = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")

EXCESS_INHIBITOR = 2**256 - 1
"""In slot 0 of the two request contracts: no request is taken."""

CREATE2_FACTORY_CODE = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe0"
    "3601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)

# EIP-7002, section "Bytecode".
WITHDRAWAL_REQUESTS_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807f"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "146101f457600182026001905f5b5f8211156068578101908302848302900491"
    "6001019190604d565b909390049250505036603814608857366101f457346101"
    "f4575f5260205ff35b34106101f4576001546001016001556003548060030260"
    "04013381556001015f35815560010160203590553360601b5f5260385f601437"
    "604c5fa0600101600355005b6003546002548082038060101160df575060105b"
    "5f5b8181146101835782810160030260040181604c02815460601b8152601401"
    "816001015481526020019060020154807fffffffffffffffffffffffffffffff"
    "ff00000000000000000000000000000000168252906010019060401c90816038"
    "1c81600701538160301c81600601538160281c81600501538160201c81600401"
    "538160181c81600301538160101c81600201538160081c816001015353600101"
    "60e1565b910180921461019557906002556101a0565b90505f6002555f600355"
    "5b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffff14156101cd57505f5b6001546002828201116101e25750505f6101"
    "e8565b01600290035b5f555f600155604c025ff35b5f5ffd"
)

# EIP-7251, section "Bytecode".
CONSOLIDATION_REQUESTS_CODE = bytes.fromhex(
    "3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807f"
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "1461019a57600182026001905f5b5f8211156068578101908302848302900491"
    "6001019190604d565b9093900492505050366060146088573661019a57346101"
    "9a575f5260205ff35b341061019a576001546001016001556003548060040260"
    "04013381556001015f358155600101602035815560010160403590553360601b"
    "5f5260605f60143760745fa0600101600355005b600354600254808203806002"
    "1160e7575060025b5f5b81811461012957828101600402600401816074028154"
    "60601b8152601401816001015481526020018160020154815260200190600301"
    "54905260010160e9565b910180921461013b5790600255610146565b90505f60"
    "02555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffffffff141561017357505f5b600154600182820111610188"
    "5750505f61018e565b01600190035b5f555f6001556074025ff35b5f5ffd"
)


def genesis_contracts(settings: Settings) -> dict[bytes, AllocatedAccount]:
    """Return the contracts that the genesis holds beside the configured accounts. Contracts have nonce 1."""
    contracts = {BEACON_ROOTS_ADDRESS: AllocatedAccount(nonce=1, code=BEACON_ROOTS_CONTRACT_CODE)}
    if settings.is_prague:
        inhibited = {0: EXCESS_INHIBITOR}
        contracts[HISTORY_STORAGE_ADDRESS] = AllocatedAccount(nonce=1, code=HISTORY_STORAGE_CONTRACT_CODE)
        contracts[WITHDRAWAL_REQUESTS_ADDRESS] = AllocatedAccount(
            nonce=1, code=WITHDRAWAL_REQUESTS_CODE, storage=inhibited
        )
        contracts[CONSOLIDATION_REQUESTS_ADDRESS] = AllocatedAccount(
            nonce=1, code=CONSOLIDATION_REQUESTS_CODE, storage=inhibited
        )
    if settings.predeploy:
        contracts[CREATE2_FACTORY_ADDRESS] = AllocatedAccount(nonce=1, code=CREATE2_FACTORY_CODE)
        contracts[MULTICALL3_ADDRESS] = AllocatedAccount(nonce=1, code=multicall3_code())
    return contracts
