"""A key-value store with a log, as a Coco adapter: the smallest whole example of how a protocol plugs in.

Who sees what: a key belongs to the identity that first wrote it, and for anybody else it does not exist; two may use
one name and never learn of it. Keys that start with "shared:" are the exception: everybody reads, the owner writes.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from core.adapter import interface as coco
from core.adapter.interface import Executed

NAME_BYTES_MAX = 200
OWNER_BYTES = 32  # An owner is written as the SHA-256 of the identity's name, so that all are of one length.
SHARED = bytes(OWNER_BYTES)  # Stands in the owner's place in front of shared keys.


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """What one request changes: all of it, or nothing when any part is refused. It is the body of POST /batch, too."""

    put: dict[str, str] = {}
    delete: list[str] = []
    log: list[str] = []


def digest_of(caller: coco.Caller) -> bytes:
    return sha256(str(caller.identity).encode()).digest()


def place(name: str, owner: bytes) -> bytes:
    """Return where a key stands in the table: among the shared ones, or among its owner's."""
    return (SHARED if name.startswith("shared:") else owner) + name.encode()


class KeyValueLogger(coco.Adapter):
    """One object of this class lives in each gateway, where `routes` is used, and one in the executor: the rest."""

    # Both tables are scanned by owner. Saying so here makes the scans quick, however many owners there are.
    info = coco.AdapterInfo("kv", "1.0.0", "Owned keys, and a log", {"keys": OWNER_BYTES, "log": OWNER_BYTES})

    def routes(self) -> Sequence[coco.Route]:
        """Served under /kv. Coco has verified who calls, and lets nobody through who has no identity."""
        reads = [coco.Route("GET", path, self.read) for path in ("/keys", "/keys/{name}", "/log")]
        writes = [("PUT", "/keys/{name}"), ("DELETE", "/keys/{name}"), ("POST", "/batch"), ("POST", "/log")]
        return reads + [coco.Route(method, path, self.write) for method, path in writes]

    async def write(self, request: coco.Request, backend: coco.Backend) -> coco.Response:
        """Turn a request into a command and submit it: the answer comes when it is committed, to disk at the least."""
        try:
            name, text = request.parameters.get("name", ""), request.body.decode()
            simple = {"PUT": Command(put={name: text}), "DELETE": Command(delete=[name]), "POST": Command(log=[text])}
            command = msgspec.json.decode(text, type=Command) if request.path == "/batch" else simple[request.method]
        except ValueError:  # Not UTF-8, or not a batch. Errors say what is wrong and never repeat the content.
            return coco.Response(400, b'{"error":"the body is neither text nor a batch"}')
        outcome = await backend.submit(msgspec.json.encode(command), request.caller)
        if outcome.transaction_id is None:  # Rejected: nothing stands in the ledger.
            return coco.Response(404 if b"no such key" in outcome.reply else 409, outcome.reply)
        return coco.Response(200, msgspec.json.encode({"transaction": str(outcome.transaction_id)}))

    async def read(self, request: coco.Request, backend: coco.Backend) -> coco.Response:
        """Ask for one key, or list the keys or the log lines of the caller. Queries see committed state only."""
        question = (request.path == "/log", request.parameters.get("name"))
        reply = await backend.query(msgspec.json.encode(question), request.caller)
        return coco.Response(200, reply) if reply else coco.Response(404, b'{"error":"no such key"}')

    def execute(self, transaction: coco.ScopedTransaction, payload: bytes, context: coco.ExecutionContext) -> Executed:
        """Run a command. What it writes becomes one ledger entry, encrypted; CommandRejected undoes all of it."""
        command, owner = msgspec.json.decode(payload, type=Command), digest_of(context.caller)
        keys, log = transaction.table("keys"), transaction.table("log")
        for name in (*command.put, *command.delete):
            known = keys.get(place(name, owner)) if 0 < len(name.encode()) <= NAME_BYTES_MAX else b"nobody's"
            if known is None and name in command.delete:
                raise coco.CommandRejected(b'{"error":"no such key"}')
            if known is not None and known[:OWNER_BYTES] != owner:
                raise coco.CommandRejected(b'{"error":"this key cannot be written"}')
        for name, value in command.put.items():
            keys.put(place(name, owner), owner + value.encode())
        for name in command.delete:
            keys.delete(place(name, owner))
        for number, line in enumerate(command.log):  # The ledger's sequence number keeps the lines in order.
            log.put(owner + context.seqno.to_bytes(8) + number.to_bytes(4), line.encode())
        return Executed(b"")

    def query(self, payload: bytes, context: coco.QueryContext) -> bytes:
        """Answer from the committed state. What the caller may not see is answered like what does not exist."""
        wants_log, name = msgspec.json.decode(payload, type=tuple[bool, str | None])
        owner = digest_of(context.caller)
        table = context.transaction.table("log" if wants_log else "keys")
        if name is not None:
            stored = table.get(place(name, owner))
            return b"" if stored is None else msgspec.json.encode({"value": stored[OWNER_BYTES:].decode()})
        if wants_log:
            return msgspec.json.encode([(table.get(key) or b"").decode() for key in table.keys(owner)])
        seen = (key[OWNER_BYTES:].decode() for who in (owner, SHARED) for key in table.keys(who))
        return msgspec.json.encode(list(seen))
