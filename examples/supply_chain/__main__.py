"""`make run`: start a local network, play the supply-chain story on it, show what each party sees, keep serving.

    python -m examples.supply_chain [--home DIR] [--once]

The network is made afresh in DIR (.coco by default). --once stops after the story.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_defunct

from cli.connection import connect
from cli.evidence import verify_service
from cli.genesis import read_constitution
from cli.store import Store
from cli.wallet import Wallet
from examples.supply_chain.story import SECRETS, Party, View, play, view_of

NETWORK = "supply-chain"
EVIDENCE = Path("networks", NETWORK, "node0", "evidence")
USUAL_PORT = 8443
PARTIES = ("manufacturer", "carrier", "retailer", "competitor")


def coco(home: Path, *arguments: str, show: bool = True) -> None:
    """Run a `coco` command as a user would, and show it."""
    if show:
        print(f"  $ coco {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "cli.main", "--home", str(home), *arguments]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr.strip() or f"coco {' '.join(arguments)} failed")


def start_network(home: Path) -> None:
    """Make and start a fresh network with four organisations, each with a funded account of its own name."""
    if home.exists():
        subprocess.run(
            [sys.executable, "-m", "cli.main", "--home", str(home), "network", "stop", NETWORK],
            capture_output=True, check=False,
        )  # fmt: skip
        shutil.rmtree(home)
    options = [word for name in PARTIES for word in ("--organisation", name, "--fund", f"{name}=100")]
    coco(home, "network", "create", NETWORK, *options, "--port", str(free_port()))
    coco(home, "network", "start", NETWORK)


def free_port() -> int:
    """Return the usual port, or 0 (the host picks a free one) while something else uses it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return 0
    return USUAL_PORT


def join(home: Path, name: str) -> Party:
    """Connect as one organisation and prove its account's address to its identity (EIP-4361)."""
    connection = connect(NETWORK, name, home=home)
    account = Wallet(Store(home).client(NETWORK).accounts_directory).unlock(name, "")
    message = connection.rpc("coco_bindMessage", account.address)
    signature = Account.sign_message(encode_defunct(text=message), account.key).signature
    connection.rpc("coco_bind", message, "0x" + bytes(signature).hex())
    print(f"  {name:<13} {account.address}  proved to be its own")
    return Party(name, connection.web3(), account)


def show_views(views: list[View]) -> None:
    print(f"  {'party':<13} {'transactions':>12} {'receipts':>9} {'logs':>5}  status")
    for view in views:
        counts = f"{view.transactions_found:>12} {view.receipts_found:>9} {view.logs:>5}"
        print(f"  {view.party:<13} {counts}  {view.status}")
    for view in views:
        print(f"  {view.party:<13} leg:   {view.leg}\n  {'':<13} goods: {view.goods}")


def search_disk(home: Path) -> str:
    """Look for the story's plaintexts in everything the host stores."""
    files = [path for path in (home / "networks" / NETWORK).rglob("*") if path.is_file()]
    content = [path.read_bytes() for path in files]
    hits = sum(secret.encode() in data for secret in SECRETS for data in content)
    return f"{hits} of {len(SECRETS)} plaintexts found in {len(files)} files, {sum(map(len, content)):,} bytes"


def show_attestation(home: Path) -> None:
    """Verify the running node's quote as a client does, under the pinned root and the constitution's manifests."""
    service = connect(NETWORK, PARTIES[0], home=home).get("/node/network")
    constitution = read_constitution(Store(home), NETWORK)
    verdict = verify_service(service, Store(home).client(NETWORK).pinned_root(), constitution=constitution)
    simulated = " (SIMULATED)" if verdict.simulated else ""
    print(f"  attestation: verified, {verdict.tee.upper()}{simulated}, {verdict.tcb_status.value}")
    print("    admitted by the constitution's TEE and code manifests")
    print(f"    {verdict.measurement.hex()}  {home / EVIDENCE / 'manager.sgxs'} (sha256sum)")


def show_connection(home: Path) -> None:
    """Print how to use the running network."""
    client = Store(home).client(NETWORK)
    identity = client.identity("manufacturer")
    wallet = Wallet(client.accounts_directory)
    print("\nThe network keeps serving. Stop it with Ctrl-C.\n")
    print(f"  URL          {client.url()}\n  certificate  {client.ca_file.resolve()}")
    for account in wallet.all():
        print(f"  account      {account.name:<13} {account.address}  100 ether, keystore without a password")
    print(f"  coco         export COCO_HOME={home.resolve()}; .venv/bin/coco network status")
    print("\nPaste this into .venv/bin/python to use it as the manufacturer:\n")
    print("from web3 import Web3")
    print(f'w3 = Web3(Web3.HTTPProvider("{client.url()}", request_kwargs={{')
    token = f'open("{identity.directory.resolve()}/token").read().strip()'
    print(f'    "headers": {{"Authorization": "Bearer " + {token}}},')
    print(f'    "verify": "{client.ca_file.resolve()}"}}))')
    print('print(w3.eth.chain_id, w3.eth.block_number, w3.eth.get_block("latest")["transactions"])')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".coco"))
    parser.add_argument("--once", action="store_true")
    arguments = parser.parse_args()
    home: Path = arguments.home
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    print("1. A network of four organisations, one node")
    start_network(home)
    try:
        status = json.loads((home / "networks" / NETWORK / "node0" / "status.json").read_text())
        print("  processes: " + ", ".join(f"{role} {pid}" for role, pid in status["pids"].items()))
        show_attestation(home)
        print("2. Each organisation proves its Ethereum address to its identity")
        parties = {name: join(home, name) for name in PARTIES}
        print("3. A shipment, by web3.py over TLS")
        manufacturer, carrier, retailer, competitor = parties.values()
        hashes = play(manufacturer, carrier, retailer, [competitor], lambda line: print("  " + line))
        print("4. What each party sees")
        show_views([view_of(party, hashes) for party in parties.values()])
        print("5. What the host's disk holds")
        print("  " + search_disk(home))
        if not arguments.once and not stop.is_set():
            show_connection(home)
            sys.stdout.flush()
            stop.wait()
    finally:
        print("\nStopping the network")
        coco(home, "network", "stop", NETWORK, show=False)


if __name__ == "__main__":
    main()
