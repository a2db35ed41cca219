"""web3.py's own test suite, web3._utils.module_testing, against a public network with a price for gas.

The suite was written for a geth that mines at its leisure and holds unlocked keys. Here keys are the client's: web3's
own signing middleware signs, and a wallet's middleware names its addresses. What fails for a reason is in EXPECTED,
each with its reason; a test listed there that passes is an error, so that the list stays true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from eth_account import Account
from hexbytes import HexBytes
from web3 import HTTPProvider, Web3
from web3._utils.contract_sources.contract_data.emitter_contract import EMITTER_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.math_contract import MATH_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.offchain_lookup import OFFCHAIN_LOOKUP_DATA
from web3._utils.contract_sources.contract_data.panic_errors_contract import PANIC_ERRORS_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.revert_contract import REVERT_CONTRACT_DATA
from web3._utils.contract_sources.contract_data.storage_contract import STORAGE_CONTRACT_DATA
from web3._utils.module_testing import EthModuleTest, NetModuleTest, Web3ModuleTest
from web3._utils.module_testing.utils import RequestMocker
from web3.middleware import SignAndSendRawMiddlewareBuilder, Web3Middleware

from tests.tools.network import ToolNetwork, start_network

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:web3.*", "ignore::UserWarning:eth_utils.*")

CHAIN_ID = 131277322940537
"""The suite expects its fixture's."""
LOG_DOUBLE_WITH_INDEX = 9
NO_KEYS = "the node holds no keys: eth_accounts is [], and eth_sign, eth_signTransaction and eth_signTypedData are none"
NOTHING_PENDS = "eth_sendRawTransaction answers when the transaction is committed: there is nothing left to replace"
PENDING_IS_LATEST = "the tag pending means the latest committed block"
STORAGE = "storage is not readable, except for the slots of ERC-1967"
STRATEGY = (
    "web3.py's own signing middleware adds the strategy's gasPrice to a type 2 transaction; it never reaches the node"
)
EXPECTED: dict[str, str] = {
    "test_eth_accounts": NO_KEYS,
    "test_eth_sign": NO_KEYS,
    "test_eth_sign_ens_names": NO_KEYS,
    "test_eth_sign_typed_data": NO_KEYS,
    "test_invalid_eth_sign_typed_data": NO_KEYS,
    "test_eth_sign_transaction_legacy": NO_KEYS,
    "test_eth_sign_transaction": NO_KEYS,
    "test_eth_sign_transaction_hex_fees": NO_KEYS,
    "test_eth_sign_transaction_ens_names": NO_KEYS,
    "test_eth_replace_transaction_legacy": NOTHING_PENDS,
    "test_eth_replace_transaction": NOTHING_PENDS,
    "test_eth_replace_transaction_underpriced": NOTHING_PENDS,
    "test_eth_replace_transaction_gas_price_defaulting_minimum": NOTHING_PENDS,
    "test_eth_replace_transaction_gas_price_defaulting_strategy_higher": NOTHING_PENDS,
    "test_eth_replace_transaction_gas_price_defaulting_strategy_lower": NOTHING_PENDS,
    "test_eth_modify_transaction_legacy": NOTHING_PENDS,
    "test_eth_modify_transaction": NOTHING_PENDS,
    "test_eth_get_transaction_receipt_unmined": NOTHING_PENDS,
    "test_eth_wait_for_transaction_receipt_unmined": NOTHING_PENDS,
    "test_eth_getBlockByHash_pending": PENDING_IS_LATEST,
    "test_eth_getBlockByNumber_pending": PENDING_IS_LATEST,
    "test_eth_get_storage_at": STORAGE,
    "test_eth_get_storage_at_ens_name": STORAGE,
    "test_gas_price_from_strategy_bypassed_for_dynamic_fee_txn": STRATEGY,
    "test_eth_get_balance_with_block_identifier": "asks that a miner earned; nobody is paid for blocks here",
    "test_eth_simulate_v1": "eth_simulateV1 is not served",
}


@pytest.fixture(scope="module")
def public_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolNetwork]:
    made = start_network(
        tmp_path_factory.mktemp("web3"), "public", "--policy", "public", "-o", "alice", "--chain-id", str(CHAIN_ID),
        "--base-fee", "0.1", "--fund", "alice-key=1000000",
    )  # fmt: skip
    try:
        made.unlock("alice-key")
        made.coco("account", "bind", "alice-key", "--identity", "alice")
        yield made
    finally:
        made.close()


def _connect(network: ToolNetwork, *, with_wallet: bool = True) -> Web3:
    headers = {"Authorization": "Bearer " + network.token("alice"), "Content-Type": "application/json"}
    w3 = Web3(HTTPProvider(network.url, request_kwargs={"headers": headers, "verify": str(network.ca_file)}))
    account = network.accounts["alice-key"]

    class Wallet(Web3Middleware):
        """Names the wallet's addresses, as every wallet does; the node has none."""

        def wrap_make_request(self, make_request: Any) -> Any:
            def answer(method: Any, params: Any) -> Any:
                if method == "eth_accounts":
                    return {"jsonrpc": "2.0", "id": 1, "result": [account.address]}
                return make_request(method, params)

            return answer

    if with_wallet:
        w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
        w3.middleware_onion.add(Wallet)
    return w3


@pytest.fixture(scope="module")
def shared_w3(public_network: ToolNetwork) -> Web3:
    """The client that deploys."""
    return _connect(public_network)


@pytest.fixture
def w3(public_network: ToolNetwork, request: pytest.FixtureRequest) -> Web3:
    """The test's client: a new one each time, since the suite changes its middleware."""
    return _connect(public_network, with_wallet=request.node.originalname != "test_eth_accounts")


@dataclass(frozen=True, slots=True)
class Deployed:
    """Where a contract of the suite's is; every test makes its own client of it."""

    address: str
    abi: Any
    transaction: HexBytes

    def by(self, w3: Web3) -> Any:
        return w3.eth.contract(address=Web3.to_checksum_address(self.address), abi=self.abi)


def _deploy(w3: Web3, data: Any) -> Deployed:
    factory = w3.eth.contract(abi=data["abi"], bytecode=data["bytecode"])
    transaction = factory.constructor().transact({"from": w3.eth.accounts[0]})
    receipt = w3.eth.wait_for_transaction_receipt(transaction)
    return Deployed(receipt["contractAddress"], data["abi"], transaction)


@pytest.fixture(scope="module")
def emitter(shared_w3: Web3) -> tuple[Deployed, HexBytes]:
    """The emitter, and the hash of the network's first transaction with a log: the suite looks for no earlier one."""
    deployed = _deploy(shared_w3, EMITTER_CONTRACT_DATA)
    log = deployed.by(shared_w3).functions.logDouble(LOG_DOUBLE_WITH_INDEX, 12345, 54321)
    return deployed, log.transact({"from": shared_w3.eth.accounts[0]})


@pytest.fixture(scope="module")
def contracts(shared_w3: Web3, emitter: object) -> dict[str, Deployed]:
    """The suite's other contracts."""
    sources = {
        "math": MATH_CONTRACT_DATA,
        "revert": REVERT_CONTRACT_DATA,
        "storage": STORAGE_CONTRACT_DATA,
        "panic_errors": PANIC_ERRORS_CONTRACT_DATA,
        "offchain_lookup": OFFCHAIN_LOOKUP_DATA,
    }
    return {name: _deploy(shared_w3, data) for name, data in sources.items()}


@pytest.fixture(scope="module")
def mined_txn_hash(shared_w3: Web3, emitter: object) -> HexBytes:
    me = shared_w3.eth.accounts[0]
    return shared_w3.eth.send_transaction({"from": me, "to": me, "value": 1, "gas": 21_000, "gasPrice": 10**9})


@pytest.fixture
def keyfile_account_pkey(public_network: ToolNetwork) -> str:
    return "0x" + bytes(public_network.accounts["alice-key"].key).hex()


@pytest.fixture
def keyfile_account_address(keyfile_account_pkey: str) -> str:
    return str(Account.from_key(keyfile_account_pkey).address)


@pytest.fixture
def keyfile_account_address_dual_type(keyfile_account_address: str) -> str:
    return keyfile_account_address


@pytest.fixture
def emitter_contract(w3: Web3, emitter: tuple[Deployed, HexBytes]) -> Any:
    return emitter[0].by(w3)


@pytest.fixture
def emitter_contract_address(emitter_contract: Any) -> str:
    return str(emitter_contract.address)


@pytest.fixture
def txn_hash_with_log(emitter: tuple[Deployed, HexBytes]) -> HexBytes:
    return emitter[1]


@pytest.fixture
def block_with_txn_with_log(w3: Web3, txn_hash_with_log: HexBytes) -> Any:
    return w3.eth.get_block(w3.eth.get_transaction_receipt(txn_hash_with_log)["blockNumber"])


@pytest.fixture
def math_contract(w3: Web3, contracts: dict[str, Deployed]) -> Any:
    return contracts["math"].by(w3)


@pytest.fixture
def math_contract_address(math_contract: Any) -> str:
    return str(math_contract.address)


@pytest.fixture
def math_contract_deploy_txn_hash(contracts: dict[str, Deployed]) -> HexBytes:
    return contracts["math"].transaction


@pytest.fixture
def revert_contract(w3: Web3, contracts: dict[str, Deployed]) -> Any:
    return contracts["revert"].by(w3)


@pytest.fixture
def storage_contract(w3: Web3, contracts: dict[str, Deployed]) -> Any:
    return contracts["storage"].by(w3)


@pytest.fixture
def panic_errors_contract(w3: Web3, contracts: dict[str, Deployed]) -> Any:
    return contracts["panic_errors"].by(w3)


@pytest.fixture
def offchain_lookup_contract(w3: Web3, contracts: dict[str, Deployed]) -> Any:
    return contracts["offchain_lookup"].by(w3)


@pytest.fixture
def block_with_txn(w3: Web3, mined_txn_hash: HexBytes) -> Any:
    return w3.eth.get_block(w3.eth.get_transaction_receipt(mined_txn_hash)["blockNumber"])


@pytest.fixture
def empty_block(w3: Web3) -> Any:
    """The genesis block: blocks without transactions are not made."""
    return w3.eth.get_block(0)


@pytest.fixture(scope="module")
def request_mocker() -> type[RequestMocker]:
    return RequestMocker


@pytest.fixture
def skip_if_testrpc() -> Any:
    return lambda w3: None


@pytest.fixture(autouse=True)
def expected_failure(request: pytest.FixtureRequest) -> None:
    """Mark what EXPECTED lists, by `test` or `test[parameters]`."""
    reason = EXPECTED.get(request.node.name) or EXPECTED.get(request.node.originalname)
    if reason is not None:
        request.node.add_marker(pytest.mark.xfail(strict=True, reason=reason))


class TestEth(EthModuleTest):
    pass


class TestNet(NetModuleTest):
    pass


class TestWeb3(Web3ModuleTest):
    def _check_web3_client_version(self, client_version: str) -> None:  # type: ignore[override]
        assert client_version.startswith("Coco/")
