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
from core.errors import CocoError, IncompatibleData
from core.governance.manifests import CodeEntry, TeeEntry, check_admitted, check_manifests
from core.ports import ReportClaims
from core.types import Digest, check_adapter_name

CONSTITUTION_VERSION = 2
"""Version 1 had no manifests. Its networks are refused, since nothing in them says which platforms are admitted."""


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An actor: a key pair and an X.509 certificate (PEM). Certificates issued under it act as the same actor.

    token_digests: hexadecimal SHA-256 of the bearer tokens that act as this actor.
    """

    name: str
    role: Literal["member", "participant"]
    certificate: str
    token_digests: tuple[str, ...] = ()


class Constitution(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See the module. `adapters` maps the names of the live adapters to their settings (JSON values).

    tee_manifest, code_manifest: on which platforms and with which code a node may run (manifests.py); empty, on none.
    restart: whether members take part when the network starts again (restarts.py), and how many: more than half of
    them unless restart_members says otherwise.
    """

    version: int
    network: str
    identities: tuple[Identity, ...]
    adapters: dict[str, dict[str, Any]]
    default_adapter: str
    restart: Literal["sealed", "members"] = "sealed"
    tee_manifest: tuple[TeeEntry, ...] = ()
    code_manifest: tuple[CodeEntry, ...] = ()
    restart_members: int | msgspec.UnsetType = msgspec.UNSET
    """Left out of the JSON where it is not set, so that the digests of older constitutions stay."""
    reads: Literal["linearizable", "session"] | msgspec.UnsetType = msgspec.UNSET
    """What a read of `latest` promises (docs/consensus.md). Not said, it is "linearizable"."""

    @property
    def reads_are_linearizable(self) -> bool:
        return self.reads != "session"

    @property
    def members(self) -> list[str]:
        """The names of those who vote."""
        return [identity.name for identity in self.identities if identity.role == "member"]

    @property
    def restart_approvals(self) -> int:
        """How many members must approve where members take part in a restart."""
        chosen = self.restart_members
        return len(self.members) // 2 + 1 if isinstance(chosen, msgspec.UnsetType) else chosen

    def encode(self) -> bytes:
        """Return the canonical JSON."""
        return msgspec.json.encode(self, order="sorted")

    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON."""
        return Digest(hashlib.sha256(self.encode()).digest())

    @classmethod
    def decode(cls, data: bytes) -> Constitution:
        """Decode and check; raises CocoError that names what is wrong, IncompatibleData for another version."""
        if len(data) > limits.GOVERNANCE_MESSAGE_BYTES_MAX * 16:
            raise CocoError(f"the constitution is {len(data)} bytes long", hint="Give fewer identities at genesis.")
        try:
            version = msgspec.json.decode(data, type=_Versioned).version
            if version != CONSTITUTION_VERSION:
                raise IncompatibleData(
                    f"the constitution is of version {version}; this build reads version {CONSTITUTION_VERSION}",
                    hint="Run the build that made the network, or create a new one.",
                )
            constitution = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise CocoError(f"the constitution does not parse: {error}", hint="See docs/governing.md.") from None
        constitution.check()
        return constitution

    def check(self) -> None:
        """Raise CocoError for a constitution no network can run under."""
        names = [identity.name for identity in self.identities]
        if self.version != CONSTITUTION_VERSION:
            raise IncompatibleData(f"constitution version {self.version}; this build reads {CONSTITUTION_VERSION}")
        if self.default_adapter not in self.adapters:
            raise CocoError(f"the default adapter {self.default_adapter!r} is not among {sorted(self.adapters)}")
        for name in self.adapters:
            check_adapter_name(name)
        if len(set(names)) != len(names) or len(names) > limits.IDENTITIES_MAX:
            raise CocoError("identities repeat or are too many", hint="Each identity needs a name of its own.")
        if not self.members:
            raise CocoError("a network needs at least one member", hint="Give an identity the role member.")
        if not 1 <= self.restart_approvals <= len(self.members):
            raise CocoError(
                f"a restart needs {self.restart_approvals} of {len(self.members)} members: that cannot be",
                hint=f"Set restart_members to 1 to {len(self.members)}, or leave it out for more than half of them.",
            )
        if self.restart == "members" and self.restart_approvals > limits.RESTART_APPROVALS_MAX:
            raise CocoError(
                f"a restart needs {self.restart_approvals} members; {limits.RESTART_APPROVALS_MAX} is the most",
                hint="Set restart_members to fewer.",
            )
        check_manifests(self.tee_manifest, self.code_manifest)
        approved = {entry.name for entry in self.code_manifest}
        if approved and (missing := sorted(set(self.adapters) - approved)):
            raise CocoError(
                f"the code manifest approves no code for the live adapter {missing[0]!r}",
                hint="Each live adapter is code of its own: add an entry of its name.",
            )

    def check_admitted(self, claims: ReportClaims, name: str) -> None:
        """Check verified evidence on the code `name` against the manifests; raises a ManifestRefused."""
        check_admitted(claims, name, tee_manifest=self.tee_manifest, code_manifest=self.code_manifest)


class _Versioned(msgspec.Struct):
    version: int
