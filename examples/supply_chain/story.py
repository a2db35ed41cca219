"""The story: a shipment goes from a manufacturer by a carrier to a retailer, on a network that a competitor shares.

Everything here is ordinary web3.py: an HTTPS provider with a bearer token and a pinned certificate. What each party
may see is decided in the enclave, by Coco's rules and by the contract's own check-access method.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eth_account.signers.local import LocalAccount
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import ContractCustomError, TransactionNotFound

ARTIFACT = Path(__file__).parent / "artifacts" / "SupplyChain.json"
STATUS = ("none", "created", "accepted", "in transit", "delivered", "received")

SHIPMENT = Web3.keccak(text="shipment 2017-08")
GOODS = "insulin pens, lot QX-7731"
PICKUP = "Unit 9, Harbour Estate, Cork"
DESTINATION = "Kestrel Pharmacy, Lindengasse 4, Vienna"
CONDITION = "sealed, 4.6 degrees, shock-free"
QUANTITY, PRICE_CENTS = 12_000, 1_849_00
SECRETS = (GOODS, PICKUP, DESTINATION, CONDITION)


@dataclass(slots=True)
class Party:
    """An organisation: its connection to the network (as its identity) and its Ethereum account."""

    name: str
    web3: Web3
    account: LocalAccount
    contract: Contract = field(init=False)

    def use(self, address: str, abi: list[dict[str, Any]]) -> None:
        self.contract = self.web3.eth.contract(address=Web3.to_checksum_address(address), abi=abi)

    def transact(self, function: Any) -> Any:
        """Sign, send and wait; the answer comes once the transaction is on disk. Raises on a revert."""
        transaction = function.build_transaction(
            {
                "from": self.account.address,
                "nonce": self.web3.eth.get_transaction_count(self.account.address, "pending"),
                "maxFeePerGas": 0,
                "maxPriorityFeePerGas": 0,
            }
        )
        signed = self.account.sign_transaction(transaction)
        receipt = self.web3.eth.wait_for_transaction_receipt(self.web3.eth.send_raw_transaction(signed.raw_transaction))
        if receipt["status"] != 1:
            raise RuntimeError(f"{function} failed")
        return receipt

    def read(self, name: str) -> str:
        """Call a reading method of the contract as this party; what it refuses reads as the contract's error."""
        try:
            return str(self.contract.functions[name](SHIPMENT).call({"from": self.account.address}))
        except ContractCustomError as error:
            names = {Web3.keccak(text=f"{each}()")[:4].hex(): each for each in ("NotAParty", "NotForYourRole")}
            return f"refused ({names[str(error.data)[2:10]]})"


@dataclass(frozen=True, slots=True)
class View:
    """What one party can find out about the shipment, by every route there is."""

    party: str
    leg: str
    goods: str
    status: str
    logs: int
    block_transactions: int
    transactions_found: int
    receipts_found: int


def deploy(manufacturer: Party) -> tuple[str, bytes]:
    """Deploy the contract; returns its address and the transaction's hash."""
    artifact = json.loads(ARTIFACT.read_text())
    factory = manufacturer.web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    receipt = manufacturer.transact(factory.constructor())
    return receipt["contractAddress"], receipt["transactionHash"]


def play(manufacturer: Party, carrier: Party, retailer: Party, others: list[Party], say: Any) -> list[bytes]:
    """Play the story and return the hashes of its transactions."""
    address, deployed = deploy(manufacturer)
    say(f"manufacturer deployed the contract at {address}")
    abi = json.loads(ARTIFACT.read_text())["abi"]
    for party in (manufacturer, carrier, retailer, *others):
        party.use(address, abi)
    steps = (
        (manufacturer, "createShipment", (SHIPMENT, carrier.account.address, retailer.account.address, GOODS, QUANTITY,
                                          PRICE_CENTS, PICKUP, DESTINATION)),
        (carrier, "accept", (SHIPMENT,)),
        (carrier, "pickUp", (SHIPMENT,)),
        (carrier, "deliver", (SHIPMENT, CONDITION)),
        (retailer, "confirmReceipt", (SHIPMENT,)),
    )  # fmt: skip
    hashes = [deployed]
    for party, name, arguments in steps:
        receipt = party.transact(party.contract.functions[name](*arguments))
        hashes.append(receipt["transactionHash"])
        say(f"{party.name:<13} {name:<15} block {receipt['blockNumber']}, gas {receipt['gasUsed']}")
    return hashes


def view_of(party: Party, hashes: list[bytes]) -> View:
    """Collect what a party sees."""
    eth = party.web3.eth
    last = eth.block_number
    logs = eth.get_logs({"fromBlock": 0, "toBlock": last, "address": party.contract.address})
    counts = [len(eth.get_block(number)["transactions"]) for number in range(last + 1)]
    status = party.read("statusOf")
    if status.startswith("["):
        code, condition = party.contract.functions.statusOf(SHIPMENT).call({"from": party.account.address})
        status = f"{STATUS[code]} ({condition})"
    return View(
        party.name,
        party.read("legOf"),
        party.read("goodsOf"),
        status,
        len(logs),
        sum(counts),
        sum(_found(eth.get_transaction, each) for each in hashes),
        sum(_found(eth.get_transaction_receipt, each) for each in hashes),
    )


def _found(look_up: Any, transaction_hash: bytes) -> bool:
    try:
        return look_up(transaction_hash) is not None
    except TransactionNotFound:
        return False
