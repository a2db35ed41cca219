"""`coco deploy`, `coco call` and `coco send`: contracts by name or address, with arguments typed by their ABI."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson

from cli.errors import NotFound, WrongUse
from cli.files import read_private
from cli.options import (
    account_option,
    choose_account,
    identity_option,
    json_option,
    network_option,
    open_connection,
    password_file_option,
    unlock,
)
from cli.output import note, print_fields, print_json, progress
from cli.store import ClientStore, ContractRecord, Store, check_contract_name
from cli.values import parse_integer
from cli.wallet import Wallet

DEFAULT_FORK = "cancun"
"""What contracts are compiled for when the network's fork is not known: every fork that Coco runs can execute it."""


@dataclass(frozen=True, slots=True)
class Target:
    """A contract to call. name: None when only its address was given."""

    name: str | None
    address: str
    abi: list[dict[str, Any]]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("arguments", nargs=-1)
@click.option("--args", "_args", is_flag=True, help="What follows are the constructor's arguments; may be left out.")
@click.option("--contract", metavar="NAME", help="Which contract of the file.")
@click.option("--name", "remember_as", metavar="NAME", help="Remember it by this name. Default: the contract's.")
@click.option("--value", default="0", metavar="AMOUNT", help="Ether sent along, such as 1ether; a plain number is wei.")
@click.option("--gas", type=click.IntRange(21_000), help="Gas limit. Default: estimated.")
@click.option("--soljson", type=click.Path(path_type=Path, dir_okay=False), help="A soljson.js to compile with.")
@click.option("--evm-version", metavar="FORK", help="Compile for it. Default: the network's fork.")
@network_option
@identity_option
@account_option
@password_file_option
@json_option
@click.pass_obj
def deploy(store: Store, /, file: Path, arguments: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Deploy a contract from Solidity source or a compiled artifact.

    FILE is X.sol (compiled for the network's fork), an artifact of Hardhat, Foundry or solc, or X.abi beside X.bin.
    The contract is remembered by its name, for call and send.
    """
    from cli.abi import constructor, encode_arguments, parse_address
    from cli.solidity.compile import compile_solidity
    from cli.transact import transact

    client = store.client(options["network"])
    entry = choose_account(client, options["account_name"])
    value = _amount(options["value"])
    with progress(f"compiling {file.name}"):
        artifact = compile_solidity(
            file,
            evm_version=options["evm_version"] or client.defaults().fork or DEFAULT_FORK,
            contract=options["contract"],
            soljson=options["soljson"],
            report=note,
        )
    name = check_contract_name(options["remember_as"] or artifact.contract_name)
    data = artifact.bytecode + encode_arguments(constructor(artifact.abi), arguments, partial(_address, client))
    account = unlock(client, entry, options["password_file"])
    with open_connection(client, options["identity"]) as connection:
        receipt = transact(connection, account, to=None, data=data, value=value, gas=options["gas"], abi=artifact.abi)
    address, transaction = parse_address(str(receipt["contractAddress"])), str(receipt["transactionHash"])
    shown = {
        "contract": name,
        "address": address,
        "transaction": transaction,
        "block": int(receipt["blockNumber"], 16),
        "gas_used": int(receipt["gasUsed"], 16),
    }
    try:
        client.add_contract(ContractRecord(name=name, address=address, abi=artifact.abi, transaction=transaction))
    finally:
        # It is on the ledger, whatever this machine's disk says: the address is never lost.
        print_json(shown) if as_json else print_fields(shown)


@click.command()
@click.argument("contract")
@click.argument("function")
@click.argument("arguments", nargs=-1)
@click.option(
    "--abi", "abi_file", type=click.Path(path_type=Path, dir_okay=False), help="ABI or artifact of an address."
)
@click.option("--value", default="0", metavar="AMOUNT", help="Ether the call pretends to send.")
@click.option("--block", default="latest", metavar="NUMBER|TAG", help="At which block; the last 128 are kept.")
@network_option
@identity_option
@account_option
@json_option
@click.pass_obj
def call(
    store: Store, /, contract: str, function: str, arguments: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Call a contract's function without a transaction, and print what it returns.

    CONTRACT is a deployed contract's name or an address; arguments are typed by the ABI, and an address may be the name
    of an account or contract. The caller is --account,
    else the identity's first bound address. Put -- before a negative number.
    """
    from cli.abi import as_text, decode_outputs, encode_call, find_function
    from cli.transact import call as eth_call

    client = store.client(options["network"])
    target = find_target(client, contract, options["abi_file"])
    entry = find_function(target.abi, function, len(arguments))
    data = encode_call(entry, arguments, partial(_address, client))
    name = options["account_name"]
    sender = choose_account(client, name).address if name else None
    block = _block(options["block"])
    value = _amount(options["value"])
    with open_connection(client, options["identity"]) as connection:
        returned = eth_call(
            connection, to=target.address, data=data, sender=sender, value=value, block=block, abi=target.abi
        )
    values = decode_outputs(entry, returned)
    outputs = entry.get("outputs", [])
    if as_json:
        names = [str(part.get("name") or "") for part in outputs]
        print_json({"contract": target.address, "function": entry["name"], "names": names, "values": values})
        return
    for part, shown in zip(outputs, values, strict=True):
        label = f"{part['name']}: " if part.get("name") and len(outputs) > 1 else ""
        click.echo(f"{label}{as_text(shown)}")


@click.command()
@click.argument("contract")
@click.argument("function", required=False)
@click.argument("arguments", nargs=-1)
@click.option(
    "--abi", "abi_file", type=click.Path(path_type=Path, dir_okay=False), help="ABI or artifact of an address."
)
@click.option("--value", default="0", metavar="AMOUNT", help="Ether to send, such as 1.5ether; a plain number is wei.")
@click.option("--gas", type=click.IntRange(21_000), help="Gas limit. Default: estimated.")
@network_option
@identity_option
@account_option
@password_file_option
@json_option
@click.pass_obj
def send(
    store: Store, /, contract: str, function: str | None, arguments: tuple[str, ...], as_json: bool, **options: Any
) -> None:
    """Send a transaction to a contract's function, or ether to an address or account.

    Where an address is expected, the name of an account or of a deployed contract will do.

    \b
    coco send Token transfer bob 10ether
    coco send bob --value 1ether
    """
    from cli.abi import encode_call, find_function
    from cli.transact import log_count, transact

    client = store.client(options["network"])
    value = _amount(options["value"])
    entry = choose_account(client, options["account_name"])
    if function is None:
        target, data = Target(None, _address(client, contract), []), b""
        if value == 0:
            raise WrongUse("nothing to send", hint="Name a function, or give --value 1ether.")
    else:
        target = find_target(client, contract, options["abi_file"])
        called = find_function(target.abi, function, len(arguments))
        data = encode_call(called, arguments, partial(_address, client))
    account = unlock(client, entry, options["password_file"])
    with open_connection(client, options["identity"]) as connection:
        receipt = transact(
            connection, account, to=target.address, data=data, value=value, gas=options["gas"], abi=target.abi
        )
    shown = {
        "transaction": str(receipt["transactionHash"]),
        "block": int(receipt["blockNumber"], 16),
        "gas_used": int(receipt["gasUsed"], 16),
        "logs": log_count(receipt),
    }
    print_json(shown) if as_json else print_fields(shown)


def find_target(client: ClientStore, contract: str, abi_file: Path | None) -> Target:
    """Return the contract that a name or an address means; raises NotFound, WrongUse."""
    from cli.abi import parse_address

    if contract.startswith("0x"):
        address = parse_address(contract)
        if abi_file is not None:
            return Target(None, address, read_abi(abi_file))
        for name in client.contracts():
            record = client.contract(name)
            if record is not None and record.address.lower() == address.lower():
                return Target(name, address, record.abi)
        raise WrongUse(f"the ABI of {address} is not known here", hint="Give --abi FILE (an ABI or an artifact).")
    record = client.contract(contract)
    if record is None:
        known = ", ".join(client.contracts()) or "none"
        raise NotFound(
            f"no contract {contract[:128]} of network {client.network} was deployed from here",
            hint=f"Known: {known}. Or give an address and --abi FILE."
            + client.elsewhere(Path("contracts", f"{contract}.json")),
        )
    return Target(contract, parse_address(record.address), read_abi(abi_file) if abi_file is not None else record.abi)


def read_abi(path: Path) -> list[dict[str, Any]]:
    """Read a JSON ABI, or the ABI of an artifact; raises WrongUse."""
    data = read_private(path)
    if data is None:
        raise WrongUse(f"there is no file {path}")
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WrongUse(f"{path} is not JSON: {error}") from None
    abi = document.get("abi") if isinstance(document, dict) else document
    if not isinstance(abi, list) or not all(isinstance(entry, dict) for entry in abi):
        raise WrongUse(f"{path} holds no ABI", hint="Give a JSON ABI, or an artifact with a member `abi`.")
    return abi


def _address(client: ClientStore, text: str) -> str:
    """Return the address that an address, an account's name or a contract's name means; raises NotFound, WrongUse."""
    from cli.abi import parse_address

    if text.startswith("0x"):
        return parse_address(text)
    wallet = Wallet(client.accounts_directory, client.network)
    account = wallet.find(text).address if text in wallet.names() else None
    record = client.contract(text)
    contract = parse_address(record.address) if record is not None else None
    if account is not None and contract is not None:
        raise WrongUse(
            f"{text} is both an account and a contract of network {client.network}",
            hint=f"Give the address: {account} is the account's, {contract} the contract's.",
        )
    found = account or contract
    if found is None:
        raise NotFound(
            f"{text[:64]} is no account or contract of network {client.network}",
            hint="Give its address, or see `coco account list`.",
        )
    return found


def _amount(text: str) -> int:
    value = parse_integer(text)
    if not 0 <= value < 2**256:
        raise WrongUse(f"{text} is no amount", hint="Write an amount such as 1ether, 20gwei or 1000.")
    return value


def _block(text: str) -> str:
    if text in ("latest", "pending", "safe", "finalized", "earliest"):
        return text
    number = parse_integer(text)
    if not 0 <= number < 2**63:
        raise WrongUse(f"{text} is no block number")
    return hex(number)
