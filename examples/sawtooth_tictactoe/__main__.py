"""Tic-tac-toe of two organisations, with Sawtooth's family xo, on a network whose third one sees nothing of it.

    python -m examples.sawtooth_tictactoe [--home DIR]

Makes a network of three organisations in DIR (.coco-tictactoe by default), lets two of them play, shows what each party
sees of the game, and stops the network. That xo is north's and south's is one line of the constitution.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from adapters.sawtooth.signatures import Signer
from cli.connection import connect
from cli.errors import Refused
from cli.sawtooth_client import SawtoothClient, make_batch, make_transaction
from examples.supply_chain.__main__ import coco, free_port, make_afresh

NETWORK = "tictactoe"
PLAYERS, OUTSIDER = ("north", "south"), "east"
FAMILY = ("xo", "1.0")
NAMESPACE = hashlib.sha512(b"xo").hexdigest()[:6]
GAME = "lunch"
MOVES = (("north", 5), ("south", 1), ("north", 3), ("south", 2), ("south", 9), ("north", 7))
"""South moves twice in the middle, which the family refuses."""


@dataclass(frozen=True, slots=True)
class Party:
    """An organisation, with the Sawtooth key that it plays with."""

    name: str
    client: SawtoothClient
    signer: Signer

    def act(self, *words: str) -> dict[str, str]:
        """Send an xo transaction; returns what became of its batch."""
        transaction = make_transaction(self.signer, FAMILY, ",".join(words).encode(), [address_of(words[0])])
        (status,) = self.client.submit([make_batch(self.signer, [transaction])])
        why = [one["message"] for one in status.get("invalid_transactions", ())]
        return {"id": status["id"], "status": status["status"], "why": "; ".join(why)}


def address_of(game: str) -> str:
    return NAMESPACE + hashlib.sha512(game.encode()).hexdigest()[:64]


def start_network(home: Path) -> None:
    make_afresh(home, NETWORK)
    organisations = [word for name in (*PLAYERS, OUTSIDER) for word in ("--organisation", name)]
    readers = json.dumps({NAMESPACE: {"read": list(PLAYERS)}}, separators=(",", ":"))
    options = ("--adapter", "sawtooth", "--setting", f"sawtooth.namespaces={readers}", "--port", str(free_port()))
    coco(home, "network", "create", NETWORK, *organisations, *options)
    coco(home, "network", "start", NETWORK)


def play(parties: dict[str, Party]) -> list[str]:
    """Play the game; returns the ids of its batches."""
    batches = [parties["north"].act(GAME, "create", "")["id"]]
    for name, space in MOVES:
        done = parties[name].act(GAME, "take", str(space))
        batches.append(done["id"])
        print(f"  {name} takes space {space}: {done['status'].lower()}{' - ' + done['why'] if done['why'] else ''}")
    return batches


def show_board(party: Party) -> None:
    stored = party.client.state(address_of(GAME))
    if stored is None:
        print(f"  {party.name} sees no game")
        return
    _, board, state, *_ = stored.decode().split(",")
    print(f"  {party.name} sees: {state}")
    for row in range(0, 9, 3):
        print("    " + " | ".join(board[row : row + 3]))


def show_sight(party: Party, batches: list[str]) -> None:
    """Count what a party sees of the game by each kind of question."""
    found = 0
    for one in batches:
        try:
            party.client.get(f"/batches/{one}")
            found += 1
        except Refused:
            pass  # for this party there is no such batch
    entries = sum(1 for _ in party.client.entries("/state", address=NAMESPACE))
    transactions = sum(1 for _ in party.client.entries("/transactions"))
    print(f"  {party.name:6} {found} of {len(batches)} batches, {transactions} transactions, {entries} state entries")


def main() -> None:
    parser = argparse.ArgumentParser(description="Tic-tac-toe of two organisations.")
    parser.add_argument("--home", type=Path, default=Path(".coco-tictactoe"))
    home = parser.parse_args().home.absolute()
    print("A network of three organisations; the family xo may be read by north and south:")
    start_network(home)
    try:
        names = (*PLAYERS, OUTSIDER)
        connections = {name: connect(NETWORK, name, home=home) for name in names}
        parties = {
            name: Party(name, SawtoothClient(connections[name]), Signer(secrets.token_bytes(32))) for name in names
        }
        print("The game:")
        batches = play(parties)
        print("What each party sees of it:")
        for party in parties.values():
            show_board(party)
        for party in parties.values():
            show_sight(party, batches)
        for connection in connections.values():
            connection.close()
    finally:
        print("Stopping the network")
        coco(home, "network", "stop", NETWORK, show=False)


if __name__ == "__main__":
    main()
