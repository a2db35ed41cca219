"""What a manager keeps sealed across restarts: the file `sealed/keys`, and the certificates made from it.

The file is a plain prefix with its version, then a blob that only this enclave on this platform can open. It is
written before anything uses a key in it for the first time. Its size bounds the number of restarts to some 10,000.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from core import limits
from core.crypto.certificates import issue, self_signed
from core.crypto.keys import PrivateKey, PublicKey
from core.errors import AuthenticationFailed, IncompatibleData, LimitExceeded, MalformedMessage, OlderThanSealed
from core.ledger.secrets import EpochSecret
from core.ports import Disk, Sealer
from core.types import Digest, NodeId, Seqno, View

FOLDER = "sealed"
FILE = "sealed/keys"
DATA_VERSION = 2
"""Version of the whole data directory: of this file and of the ledger beside it."""

AUTHORITY_DAYS = 3650
CLOCK_TOLERANCE = timedelta(hours=1)

_MAGIC = b"coco sealed keys "
_SEAL_CONTEXT = b"coco manager keys 1"
NEW_NETWORK_HINT = "To start a new network instead: coco network destroy, then coco network create."


@dataclass(frozen=True, slots=True)
class NodeSecrets:
    """The keys of a node, in the enclave's memory. known_seqno: the ledger was once seen to reach this entry."""

    constitution: Digest
    service_key: PrivateKey
    service_certificate: str
    front_end_key: PrivateKey
    front_end_certificate: str
    epochs: tuple[EpochSecret, ...] = field(repr=False)
    known_seqno: Seqno

    @property
    def last_view(self) -> View:
        return self.epochs[-1].first_view if self.epochs else View(0)

    def endorse_node(self, node_key: PublicKey, now: float) -> str:
        """Return a node certificate under the service key.

        It has a name of its own, which nothing resolves: X.509 verifiers, CCF's among them, refuse a leaf without one.
        """
        return issue(
            f"node {node_key.node_id()[:16]}",
            node_key,
            issuer=self.service_certificate,
            issuer_key=self.service_key,
            not_before=_from_unix(now),
            days=AUTHORITY_DAYS,
            names=(f"{node_key.node_id()[:32]}.node.invalid",),
            usage="signing",
        )

    def issue_front_end(self, key: PublicKey, network: str, names: tuple[str, ...], now: float) -> str:
        """Return a TLS certificate chain under the front-end authority, never under the service key."""
        leaf = issue(
            f"{network[:40]} front end",
            key,
            issuer=self.front_end_certificate,
            issuer_key=self.front_end_key,
            not_before=_from_unix(now),
            days=limits.FRONT_END_DAYS,
            names=names,
        )
        return leaf + self.front_end_certificate


class _SealedEpoch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    epoch: int
    first_seqno: int
    first_view: int
    node: str
    key: bytes


class _SealedState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    constitution: bytes
    service_key: bytes
    service_certificate: str
    front_end_key: bytes
    front_end_certificate: str
    epochs: tuple[_SealedEpoch, ...]
    known_seqno: int


def make_secrets(constitution: Digest, network: str, now: float) -> NodeSecrets:
    """Make the keys of a new network."""
    service_key, front_end_key = PrivateKey.generate(), PrivateKey.generate()
    start = _from_unix(now)
    return NodeSecrets(
        constitution=constitution,
        service_key=service_key,
        service_certificate=self_signed(f"{network[:40]} service", service_key, not_before=start, days=AUTHORITY_DAYS),
        front_end_key=front_end_key,
        front_end_certificate=self_signed(
            f"{network[:40]} front end authority", front_end_key, not_before=start, days=AUTHORITY_DAYS
        ),
        epochs=(),
        known_seqno=Seqno(0),
    )


async def load_secrets(disk: Disk, sealer: Sealer) -> NodeSecrets | None:
    """Return the sealed keys, None when there are none; raises IncompatibleData."""
    if not any(info.name.rpartition("/")[2] == "keys" for info in await disk.list_files(FOLDER)):
        return None
    data = await _read_whole(disk)
    if not data.startswith(_MAGIC) or len(data) == len(_MAGIC):
        raise IncompatibleData(
            f"{FILE} is not a file of sealed keys", hint=f"Restore it from a backup. {NEW_NETWORK_HINT}"
        )
    version = data[len(_MAGIC)]
    if version != DATA_VERSION:
        raise IncompatibleData(
            f"the data directory has version {version}; this build reads version {DATA_VERSION}",
            hint=f"Run the build that wrote it. {NEW_NETWORK_HINT}",
        )
    try:
        plaintext = await sealer.unseal(data[len(_MAGIC) + 1 :], context=_SEAL_CONTEXT)
        return _decode(plaintext)
    except OlderThanSealed as error:
        raise IncompatibleData(
            f"{FILE} cannot be unsealed: {error.message}", hint=f"{error.hint} {NEW_NETWORK_HINT}"
        ) from None
    except (AuthenticationFailed, MalformedMessage):
        raise IncompatibleData(
            f"{FILE} cannot be unsealed: it was sealed by another enclave, another signer's or on another platform, or "
            "it is damaged",
            hint=f"Run the build and platform that sealed it, or restore a backup. {NEW_NETWORK_HINT}",
        ) from None


async def store_secrets(disk: Disk, sealer: Sealer, secrets: NodeSecrets) -> None:
    """Seal and write, and return once it is on disk. Raises StorageFailed, LimitExceeded."""
    sealed = await sealer.seal(_encode(secrets), context=_SEAL_CONTEXT)
    if len(sealed) > limits.SEALED_BLOB_BYTES_MAX:
        raise LimitExceeded(
            f"the sealed keys of {len(secrets.epochs)} restarts exceed {limits.SEALED_BLOB_BYTES_MAX} bytes",
            hint="This ledger has reached the number of restarts it can hold.",
        )
    await disk.replace(FILE, _MAGIC + bytes([DATA_VERSION]) + sealed)


async def _read_whole(disk: Disk) -> bytes:
    parts, size = list[bytes](), 0
    while part := await disk.read(FILE, size, limits.DISK_READ_BYTES_MAX):
        parts.append(part)
        size += len(part)
        if size > 2 * limits.SEALED_BLOB_BYTES_MAX:
            raise IncompatibleData(f"{FILE} is too large to be sealed keys", hint="Restore it from a backup.")
    return b"".join(parts)


def _encode(secrets: NodeSecrets) -> bytes:
    state = _SealedState(
        constitution=secrets.constitution,
        service_key=secrets.service_key.to_pkcs8_der(),
        service_certificate=secrets.service_certificate,
        front_end_key=secrets.front_end_key.to_pkcs8_der(),
        front_end_certificate=secrets.front_end_certificate,
        epochs=tuple(
            _SealedEpoch(one.epoch, one.first_seqno, one.first_view, one.node, one.key) for one in secrets.epochs
        ),
        known_seqno=secrets.known_seqno,
    )
    return msgspec.msgpack.encode(state)


def _decode(data: bytes) -> NodeSecrets:
    try:
        state = msgspec.msgpack.decode(data, type=_SealedState)
    except msgspec.DecodeError as error:
        raise MalformedMessage(f"the sealed keys do not parse: {error}") from None
    epochs = tuple(
        EpochSecret(one.epoch, Seqno(one.first_seqno), View(one.first_view), NodeId(one.node), one.key)
        for one in state.epochs
    )
    return NodeSecrets(
        constitution=Digest(state.constitution),
        service_key=PrivateKey.from_pkcs8_der(state.service_key),
        service_certificate=state.service_certificate,
        front_end_key=PrivateKey.from_pkcs8_der(state.front_end_key),
        front_end_certificate=state.front_end_certificate,
        epochs=epochs,
        known_seqno=Seqno(state.known_seqno),
    )


def _from_unix(now: float) -> datetime:
    """The start of a validity: a little early, for clients whose clocks are behind."""
    return datetime.fromtimestamp(now, UTC) - CLOCK_TOLERANCE
