"""The family xo: tic-tac-toe. Source: Sawtooth's XO specification, version 1.0.

Payload: name,action,space in UTF-8; actions are create, take and delete. State: name,board,state,player1,player2 of
each game at the address, in order, `|` between them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal

from adapters.sawtooth.addresses import family_namespace
from adapters.sawtooth.sdk.context import Context, Transaction
from adapters.sawtooth.sdk.exceptions import InternalError, InvalidTransaction
from adapters.sawtooth.sdk.handler import TransactionHandler

NAMESPACE = family_namespace("xo")
_LINES = ("012", "345", "678", "036", "147", "258", "048", "246")
_ENDED = ("P1-WIN", "P2-WIN", "TIE")


def xo_address(name: str) -> str:
    """Return where a game is kept."""
    return NAMESPACE + hashlib.sha512(name.encode()).hexdigest()[:64]


@dataclass(frozen=True, slots=True)
class Game:
    """board: nine of `-`, `X` and `O`. Players are public keys, empty until they take a space."""

    name: str
    board: str = "-" * 9
    state: str = "P1-NEXT"
    player1: str = ""
    player2: str = ""

    def to_text(self) -> str:
        return ",".join((self.name, self.board, self.state, self.player1, self.player2))


class XoHandler(TransactionHandler):
    """See the module."""

    family_name = "xo"
    family_versions = ("1.0",)
    namespaces = (NAMESPACE,)

    def apply(self, transaction: Transaction, context: Context) -> None:
        """Run a transaction."""
        name, action, space = _payload(transaction.payload)
        address = xo_address(name)
        games = _games(context, address)
        game = games.get(name)
        if action == "create":
            if game is not None:
                raise InvalidTransaction(f"Invalid action: Game already exists: {name}")
            games[name] = Game(name)
        elif game is None:
            raise InvalidTransaction(
                "Invalid action: game does not exist"
                if action == "delete"
                else "Invalid action: Take requires an existing game"
            )
        elif action == "delete":
            del games[name]
        else:
            games[name] = _take(game, space, transaction.header.signer_public_key)
        if games:
            context.set_state({address: "|".join(sorted(one.to_text() for one in games.values())).encode()})
        else:
            context.delete_state([address])


def _payload(payload: bytes) -> tuple[str, Literal["create", "take", "delete"], int]:
    try:
        name, action, text = payload.decode().split(",")
    except ValueError:
        raise InvalidTransaction("Invalid payload serialization") from None
    if not name:
        raise InvalidTransaction("Name is required")
    if "|" in name:
        raise InvalidTransaction('Name cannot contain "|"')
    if not action:
        raise InvalidTransaction("Action is required")
    if action not in ("create", "take", "delete"):
        raise InvalidTransaction(f"Invalid action: {action}")
    if action != "take":
        return name, "create" if action == "create" else "delete", 0
    try:
        space = int(text)
    except ValueError:
        space = 0
    if not 1 <= space <= 9:
        raise InvalidTransaction("Space must be an integer from 1 to 9")
    return name, "take", space


def _take(game: Game, space: int, signer: str) -> Game:
    if game.state in _ENDED:
        raise InvalidTransaction("Invalid Action: Game has ended")
    is_first = game.state == "P1-NEXT"
    player = game.player1 if is_first else game.player2
    if player and player != signer:
        raise InvalidTransaction(f"Not this player's turn: {signer[:6]}")
    if game.board[space - 1] != "-":
        raise InvalidTransaction(f"Invalid Action: space {space} already taken")
    if not game.player1:
        game = replace(game, player1=signer)
    elif not game.player2:
        game = replace(game, player2=signer)
    mark = "X" if is_first else "O"
    board = game.board[: space - 1] + mark + game.board[space:]
    if any(all(board[int(place)] == mark for place in line) for line in _LINES):
        state = "P1-WIN" if is_first else "P2-WIN"
    elif "-" not in board:
        state = "TIE"
    else:
        state = "P2-NEXT" if is_first else "P1-NEXT"
    return replace(game, board=board, state=state)


def _games(context: Context, address: str) -> dict[str, Game]:
    entries = context.get_state([address])
    if not entries:
        return {}
    try:
        games = [Game(*text.split(",")) for text in entries[0].data.decode().split("|")]
    except (TypeError, ValueError):
        raise InternalError("Failed to deserialize game data") from None
    return {game.name: game for game in games}
