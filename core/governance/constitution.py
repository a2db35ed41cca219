"""The genesis constitution: who takes part, which adapters are live and with which settings.

It is the content of the first ledger entry (table `public:coco.constitution`) and its digest names the network: every
node and client that was told the digest can tell another network from this one. Bearer tokens stand in it as SHA-256
digests only.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from core import limits
from core.errors import CocoError
from core.types import Digest, check_adapter_name

CONSTITUTION_VERSION = 1


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An actor: a key pair and an X.509 certificate (PEM). Certificates issued under it act as the same actor.

    token_digests: hexadecimal SHA-256 of the bearer tokens that act as this actor.
    """

    name: str
    role: Literal["member", "participant"]
    certificate: str
    token_digests: tuple[str, ...] = ()


class Constitution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See the module. `adapters` maps the names of the live adapters to their settings (JSON values)."""

    version: int
    network: str
    identities: tuple[Identity, ...]
    adapters: dict[str, dict[str, Any]]
    default_adapter: str
    restart: Literal["sealed", "members"] = "sealed"

    def encode(self) -> bytes:
        """Return the canonical JSON."""
        return msgspec.json.encode(self, order="sorted")

    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON."""
        return Digest(hashlib.sha256(self.encode()).digest())

    @classmethod
    def decode(cls, data: bytes) -> Constitution:
        """Decode and check; raises CocoError that names what is wrong."""
        if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX * 16:
            raise CocoError(f"the constitution is {len(data)} bytes long", hint="Give fewer identities at genesis.")
        try:
            constitution = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CocoError(f"the constitution does not parse: {error}", hint="See docs/governing.md.") from None
        constitution.check()
        return constitution

    def check(self) -> None:
        """Raise CocoError for a constitution no network can run under."""
        names = [identity.name for identity in self.identities]
        if self.version != CONSTITUTION_VERSION:
            raise CocoError(f"constitution version {self.version}; this build reads {CONSTITUTION_VERSION}")
        if self.default_adapter not in self.adapters:
            raise CocoError(f"the default adapter {self.default_adapter!r} is not among {sorted(self.adapters)}")
        for name in self.adapters:
            check_adapter_name(name)
        if len(set(names)) != len(names) or len(names) > limits.IDENTITIES_MAX:
            raise CocoError("identities repeat or are too many", hint="Each identity needs a name of its own.")
        if not any(identity.role == "member" for identity in self.identities):
            raise CocoError("a network needs at least one member", hint="Give an identity the role member.")
