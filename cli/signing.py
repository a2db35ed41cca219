"""What an organisation signs to govern a network, where its key is: messages to the network, and what is read of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.connection import Connection, refusal
from cli.errors import NotFound, StateDamaged, WrongUse
from cli.files import read_private
from cli.store import ClientStore, Identity
from core.crypto.keys import PrivateKey
from core.errors import CocoError
from core.types import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.governance.messages import Action

HIDDEN = 404
"""What a node answers to those who may not know that there is something."""
PREFIX_DIGITS_MIN = 4


@dataclass(frozen=True, slots=True)
class Signer:
    """An organisation whose key is here. network: the constitution's digest."""

    client: ClientStore
    actor: Identity
    network: Digest

    @classmethod
    def of(cls, client: ClientStore, identity: str | None) -> Signer:
        """Return the named organisation, or the one that is meant; raises NotFound, StateDamaged."""
        return cls(client, client.identity(identity), constitution_digest(client))

    def credentials(self) -> dict[str, Any]:
        """Return the arguments `certificate`, `key` and `created_at` of what signs; raises NotFound."""
        certificate, key = read_private(self.actor.certificate_file), read_private(self.actor.key_file)
        if certificate is None or key is None:
            raise NotFound(
                f"the key of {self.actor.name} is not on this machine", hint=f"It belongs in {self.actor.key_file}."
            )
        return {
            "certificate": certificate.decode("ascii", "replace"),
            "key": PrivateKey.from_pem(key),
            "created_at": int(time.time()),
        }

    def propose(self, connection: Connection, actions: Sequence[Action]) -> str:
        """Send a proposal and return its id; raises Refused with the network's reason."""
        from core.governance.messages import proposal_id, sign_message

        message = sign_message(actions, network=self.network, **self.credentials())
        self._send(connection, message)
        return proposal_id(message).hex()

    def vote(self, connection: Connection, proposal: str, approve: bool) -> None:
        """Send a ballot; raises Refused with the network's reason."""
        from core.governance.messages import sign_ballot

        name = Digest(bytes.fromhex(proposal))
        self._send(connection, sign_ballot(name, approve, network=self.network, **self.credentials()))

    def withdraw(self, connection: Connection, proposal: str) -> None:
        """Take a proposal back; raises Refused with the network's reason."""
        from core.governance.messages import sign_withdrawal

        name = Digest(bytes.fromhex(proposal))
        self._send(connection, sign_withdrawal(name, network=self.network, **self.credentials()))

    def _send(self, connection: Connection, message: bytes) -> None:
        status, body = connection.request("POST", "/node/governance", message, "application/cose")
        if status not in (200, 202, 204):
            refused = refusal(status, body, f"{connection.url}/node/governance")
            if status == HIDDEN:
                refused.hint = f"Only members administer a network; {self.actor.name} is none. Give --identity MEMBER."
            raise refused


def constitution_digest(client: ClientStore) -> Digest:
    """Return the digest by which a network's constitution is known here; raises StateDamaged."""
    text = client.defaults().constitution
    try:
        digest = bytes.fromhex(text or "")
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise StateDamaged(
            f"the digest of network {client.network}'s constitution is not known here",
            hint=f"Copy `constitution` from the current.json of the machine that made it to {client.directory}.",
        )
    return Digest(digest)


@dataclass(frozen=True, slots=True)
class GovernanceView:
    """What the network says of its governance (core/node/governance_view.py)."""

    members: list[str]
    slots: dict[str, dict[str, Any]]
    proposals: list[dict[str, Any]]

    @classmethod
    def read(cls, connection: Connection) -> GovernanceView:
        """Ask the network; raises Refused, Unreachable, CocoError."""
        shown = connection.get("/node/governance")
        try:
            slots = {str(one["slot"]): dict(one) for one in shown["slots"]}
            return cls(list(shown["members"]), slots, [dict(one) for one in shown["proposals"]])
        except (KeyError, TypeError, ValueError):
            raise CocoError("the node does not say what is proposed", hint="Is it of another version?") from None

    def find(self, text: str) -> dict[str, Any]:
        """Return the proposal with this id, or whose id begins so; raises NotFound, WrongUse."""
        prefix = text.lower()
        if len(prefix) < PREFIX_DIGITS_MIN or not set(prefix) <= set("0123456789abcdef"):
            raise WrongUse(f"not a proposal's id: {text[:80]!r}", hint="coco governance proposals shows the ids.")
        found = [one for one in self.proposals if str(one["id"]).startswith(prefix)]
        if not found:
            raise NotFound(f"there is no proposal {text[:80]}", hint="coco governance proposals shows the ids.")
        if len(found) > 1:
            raise WrongUse(f"{len(found)} proposals begin with {text}", hint="Give more digits of the one you mean.")
        return found[0]


def describe_action(action: dict[str, Any]) -> str:
    """Return an action in words."""
    name, arguments = action.get("name"), action.get("args", {})
    match name:
        case "admit_node":
            return f"admit {arguments.get('slot')}: a node of {arguments.get('member')} at {arguments.get('address')}"
        case "remove_node":
            return f"remove {arguments.get('slot')}"
        case "set_default_adapter":
            return f"make {arguments.get('adapter')} the default adapter"
        case _:
            return f"{name} {arguments}"
