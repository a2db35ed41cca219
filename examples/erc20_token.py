"""An OpenZeppelin ERC-20 on Coco, by nothing but web3.py: deploy, transfer, read logs, see why a call fails.

    python examples/erc20_token.py URL TOKEN_FILE CA_FILE PRIVATE_KEY_FILE

URL and the two files are what `make run` and `coco network start` print; the key (hexadecimal) may be of any account:
the script proves it to the token's identity first. The network is free by default, so the account needs no ether.

(The file is not called token.py: a script's folder comes first on Python's path, and the standard library has a module
of that name.)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.messages import encode_defunct
from web3 import Web3
from web3.exceptions import ContractCustomError
from web3.types import RPCEndpoint

ARTIFACT = Path(__file__).parent / "contracts" / "artifacts" / "Token.json"


def main(url: str, token_file: str, ca_file: str, key_file: str) -> None:
    token = Path(token_file).read_text().strip()
    provider = Web3.HTTPProvider(
        url, request_kwargs={"headers": {"Authorization": f"Bearer {token}"}, "verify": ca_file}
    )
    w3 = Web3(provider)
    account = Account.from_key(Path(key_file).read_text().strip())

    # Only addresses that an identity has proved to be its own may send (EIP-4361). `coco account bind` does the same.
    message = provider.make_request(RPCEndpoint("coco_bindMessage"), [account.address])["result"]
    signature = account.sign_message(encode_defunct(text=message)).signature
    provider.make_request(RPCEndpoint("coco_bind"), [message, Web3.to_hex(signature)])

    def transact(function: Any) -> Any:
        nonce = w3.eth.get_transaction_count(account.address)
        fields = {"from": account.address, "nonce": nonce, "maxFeePerGas": 0, "maxPriorityFeePerGas": 0}
        signed = account.sign_transaction(function.build_transaction(fields))
        return w3.eth.wait_for_transaction_receipt(w3.eth.send_raw_transaction(signed.raw_transaction))

    artifact = json.loads(ARTIFACT.read_text())
    factory = w3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    receipt = transact(factory.constructor("Example", "EXM", 1_000_000))
    contract = w3.eth.contract(address=receipt["contractAddress"], abi=artifact["abi"])
    print("deployed at", contract.address, "in block", receipt["blockNumber"])

    friend = Account.create().address
    receipt = transact(contract.functions.transfer(friend, 250))
    (event,) = contract.events.Transfer().process_receipt(receipt)
    print("transferred", event["args"]["value"], "for", receipt["gasUsed"], "gas")
    print("balance of the friend:", contract.functions.balanceOf(friend).call())
    print("logs:", len(w3.eth.get_logs({"address": contract.address, "fromBlock": 0})))

    try:
        contract.functions.transfer(friend, 10**9).call({"from": account.address})
    except ContractCustomError as error:
        selector = Web3.keccak(text="ERC20InsufficientBalance(address,uint256,uint256)")[:4].hex()
        print("a transfer of too much reverts with", "ERC20InsufficientBalance" if selector in str(error) else error)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
