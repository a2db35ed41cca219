"""Makes signed transactions and batches as a client does, and runs them through the adapter's test bench."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2

from adapters.sawtooth.adapter import SawtoothAdapter
from adapters.sawtooth.families.intkey import intkey_address
from adapters.sawtooth.requests import COMMANDS, SubmitBatch
from adapters.sawtooth.signatures import Signer
from adapters.sawtooth.wire.messages import MESSAGES, BatchStatus, MessageType, parse
from core.adapter.harness import AdapterHarness
from core.adapter.interface import Caller

ALICE, BOB, CAROL = Caller("alice", is_member=True), Caller("bob"), Caller("carol")
INTKEY = "1cf126"
OPEN_NAMESPACES = {
    namespace: {"read": ["*"]} for namespace in (INTKEY, "5b7349", "332514", "000000", "00001d", "00b10c")
}
SETTINGS: dict[str, Any] = {"namespaces": OPEN_NAMESPACES}


@dataclass(frozen=True, slots=True)
class Signed:
    """A serialised transaction or batch with its id."""

    id: str
    data: bytes


class Client:
    """One key. seed: tells keys apart."""

    def __init__(self, seed: int = 1) -> None:
        self.signer = Signer(hashlib.sha256(b"client %d" % seed).digest())
        self._nonce = 0

    @property
    def key(self) -> str:
        return self.signer.public_key

    def transaction(
        self,
        family: str,
        payload: bytes,
        addresses: Sequence[str],
        *,
        outputs: Sequence[str] | None = None,
        version: str = "1.0",
        batcher: str | None = None,
        dependencies: Iterable[str] = (),
        **changed: Any,
    ) -> Signed:
        """Sign a transaction. addresses: its inputs, and its outputs too unless they are given."""
        self._nonce += 1
        fields = {
            "batcher_public_key": batcher or self.key,
            "signer_public_key": self.key,
            "dependencies": list(dependencies),
            "family_name": family,
            "family_version": version,
            "inputs": list(addresses),
            "outputs": list(addresses if outputs is None else outputs),
            "nonce": str(self._nonce),
            "payload_sha512": hashlib.sha512(payload).hexdigest(),
        }
        header = MESSAGES["TransactionHeader"](**(fields | changed)).SerializeToString()
        message = MESSAGES["Transaction"](header=header, header_signature=self.signer.sign(header), payload=payload)
        return Signed(message.header_signature, message.SerializeToString())

    def intkey(self, verb: str, name: str, value: int, **changed: Any) -> Signed:
        """Sign an intkey transaction."""
        payload = cbor2.dumps({"Verb": verb, "Name": name, "Value": value})
        return self.transaction("intkey", payload, [intkey_address(name)], **changed)

    def batch(self, *transactions: Signed, **changed: Any) -> Signed:
        """Sign a batch."""
        fields = {"signer_public_key": self.key, "transaction_ids": [one.id for one in transactions]}
        header = MESSAGES["BatchHeader"](**(fields | changed)).SerializeToString()
        message = MESSAGES["Batch"](header=header, header_signature=self.signer.sign(header))
        for one in transactions:
            message.transactions.add().MergeFromString(one.data)
        return Signed(message.header_signature, message.SerializeToString())

    def set(self, name: str, value: int) -> Signed:
        """Sign a batch that sets one name."""
        return self.batch(self.intkey("set", name, value))


def command(batch: Signed) -> bytes:
    """Return the command of a batch."""
    return COMMANDS.encode(SubmitBatch(batch.data))


class Bench:
    """The adapter on its test bench."""

    def __init__(self, settings: Mapping[str, Any] = SETTINGS, **bounds: Any) -> None:
        self.harness = AdapterHarness(SawtoothAdapter(settings, "test"), **bounds)

    def submit(self, *batches: Signed, caller: Caller = ALICE) -> list[Any]:
        """Run batches to their commit, together; returns a ClientBatchStatus each, None for one that is held."""
        replies = self.harness.submit_many([(command(batch), caller) for batch in batches])
        return [None if reply is None else parse("ClientBatchStatus", reply) for reply in replies]

    def commit(self, *batches: Signed, caller: Caller = ALICE) -> None:
        """Run batches that must all be committed."""
        for status in self.submit(*batches, caller=caller):
            assert status.status == BatchStatus.COMMITTED, status

    def invalid(self, batch: Signed, caller: Caller = ALICE) -> str:
        """Run a batch that must be invalid; returns the message of the transaction that made it so."""
        (status,) = self.submit(batch, caller=caller)
        assert (status.batch_id, status.status) == (batch.id, BatchStatus.INVALID)
        (found,) = status.invalid_transactions
        return str(found.message)

    def refused(self, batch: Signed, caller: Caller = ALICE) -> int:
        """Run a batch that must be refused before it runs, without an entry; returns the status."""
        entries = len(self.harness.entries)
        reply = parse("ClientBatchSubmitResponse", self.harness.submit(command(batch), caller))
        assert len(self.harness.entries) == entries
        return int(reply.status)

    def ask(self, number: MessageType, caller: Caller = ALICE, **fields: Any) -> Any:
        """Ask a question of the client protocol; returns the answer's content."""
        name = "".join(word.capitalize() for word in number.name.split("_"))
        request = MESSAGES["Message"](
            message_type=number, correlation_id="7", content=MESSAGES[name](**fields).SerializeToString()
        )
        message = parse("Message", self.harness.query(request.SerializeToString(), caller))
        answered = MessageType(message.message_type).name
        assert message.correlation_id == "7"
        return parse("".join(word.capitalize() for word in answered.split("_")), message.content)

    def value(self, name: str, caller: Caller = ALICE, root: str = "") -> int | None:
        """Return what intkey has for a name."""
        found = self.ask(MessageType.CLIENT_STATE_GET_REQUEST, caller, address=intkey_address(name), state_root=root)
        return cbor2.loads(found.value)[name] if found.status == 1 else None

    def state(self, caller: Caller = ALICE) -> dict[str, bytes]:
        """Return all state that a caller lists."""
        found, start = {}, ""
        while True:
            page = self.ask(MessageType.CLIENT_STATE_LIST_REQUEST, caller, paging={"start": start, "limit": 1000})
            found.update({entry.address: entry.data for entry in page.entries})
            start = page.paging.next
            if not start:
                return found

    def blocks(self, caller: Caller = ALICE, **fields: Any) -> list[Any]:
        """Return blocks, the newest first."""
        return list(self.ask(MessageType.CLIENT_BLOCK_LIST_REQUEST, caller, **fields).blocks)

    def root(self) -> str:
        """Return the newest block's state root."""
        return str(parse("BlockHeader", self.blocks()[0].header).state_root_hash)
