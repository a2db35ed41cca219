"""How a node comes by the keys of epochs that begin while it runs: from the ledger, wrapped to its own key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from core.crypto.keys import PrivateKey
from core.errors import MalformedMessage
from core.kv.write_set import decode_domain
from core.ledger.epoch_records import EPOCHS
from core.ledger.key_wrapping import EPOCH_KEYS, epoch_key_row, unwrap_epoch_key
from core.ledger.secrets import EpochSecret
from core.node.replication.head import LedgerHead, OpenEpochs
from core.types import NodeId, Seqno, View


def opener(head: LedgerHead, own: PrivateKey) -> OpenEpochs:
    """Return what opens the epochs that an entry records; raises MalformedMessage, AuthenticationFailed.

    An epoch that the node has already, since it began one itself or was given it when it joined, is left out; so is
    one that was not wrapped to it, whose entries it will not be able to read.
    """
    node = own.public_key().node_id()

    def open_epochs(public: bytes) -> Sequence[EpochSecret]:
        tables = decode_domain(public)
        wrapped = tables.get(EPOCH_KEYS, {})
        known = {secret.epoch for secret in head.keyring.epochs}
        found = []
        for number, value in tables.get(EPOCHS, {}).items():
            epoch = int(number)
            row = wrapped.get(epoch_key_row(epoch, node))
            if epoch in known or row is None or value is None:
                continue
            record = _decode(value)
            network = head.state.constitution.digest()
            key = unwrap_epoch_key(row, own, network=network, epoch=epoch)
            found.append(
                EpochSecret(epoch, Seqno(record["first_seqno"]), View(record["view"]), NodeId(record["node"]), key)
            )
        return found

    return open_epochs


def _decode(value: bytes) -> dict[str, Any]:
    try:
        record = msgspec.json.decode(value, type=dict[str, Any])
        if not isinstance(record["first_seqno"], int) or not isinstance(record["view"], int):
            raise MalformedMessage("an epoch's record does not have its form")
        return record
    except (msgspec.DecodeError, KeyError):
        raise MalformedMessage("an epoch's record does not parse") from None
