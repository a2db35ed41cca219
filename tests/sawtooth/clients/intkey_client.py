"""An application of Sawtooth as its documentation shows one: signs with the SDK, speaks REST and ZeroMQ.

Runs in the SDK's environment. Arguments: the URLs of REST and of the validator. Prints a JSON document of what it saw.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
import urllib.error
import urllib.request

import asyncio_of_its_time

asyncio_of_its_time.install()

from sawtooth_sdk.messaging.stream import Stream  # noqa: E402
from sawtooth_sdk.protobuf import (  # noqa: E402
    batch_pb2,
    client_batch_submit_pb2,
    client_event_pb2,
    client_state_pb2,
    events_pb2,
    transaction_pb2,
)
from sawtooth_sdk.protobuf.validator_pb2 import Message  # noqa: E402
from sawtooth_signing import CryptoFactory, create_context  # noqa: E402

SECONDS_MAX = 30
NAMESPACE = hashlib.sha512(b"intkey").hexdigest()[:6]


def address(name: str) -> str:
    return NAMESPACE + hashlib.sha512(name.encode()).hexdigest()[-64:]


def text(value: str) -> bytes:
    return bytes([0x60 + len(value)]) + value.encode()


def payload(verb: str, name: str, value: int) -> bytes:
    """Encode {"Verb", "Name", "Value"} in CBOR."""
    assert value < 24
    return b"\xa3" + text("Verb") + text(verb) + text("Name") + text(name) + text("Value") + bytes([value])


class Application:
    def __init__(self, rest: str, validator: str) -> None:
        context = create_context("secp256k1")
        self.signer = CryptoFactory(context).new_signer(context.new_random_private_key())
        self.rest = rest
        self.stream = Stream(validator)

    def batch(self, verb: str, name: str, value: int) -> batch_pb2.Batch:
        return self.sign("intkey", payload(verb, name, value), address(name))

    def sign(self, family: str, data: bytes, used: str) -> batch_pb2.Batch:
        """Return a batch of one transaction that uses one address."""
        key = self.signer.get_public_key().as_hex()
        header = transaction_pb2.TransactionHeader(
            signer_public_key=key,
            batcher_public_key=key,
            family_name=family,
            family_version="1.0",
            inputs=[used],
            outputs=[used],
            nonce=str(time.time()),
            payload_sha512=hashlib.sha512(data).hexdigest(),
        ).SerializeToString()
        transaction = transaction_pb2.Transaction(
            header=header, header_signature=self.signer.sign(header), payload=data
        )
        batch_header = batch_pb2.BatchHeader(
            signer_public_key=key, transaction_ids=[transaction.header_signature]
        ).SerializeToString()
        return batch_pb2.Batch(
            header=batch_header, header_signature=self.signer.sign(batch_header), transactions=[transaction]
        )

    def get(self, url: str) -> dict:
        try:
            with urllib.request.urlopen(url, timeout=SECONDS_MAX) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def post(self, body: bytes) -> dict:
        headers = {"Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"{self.rest}/batches", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:
                return {"status": answer.status, **json.load(answer)}
        except urllib.error.HTTPError as error:
            return {"status": error.code, **json.load(error)}

    def ask(self, kind: int, request: object, response: object) -> object:
        answer = self.stream.send(kind, request.SerializeToString()).result(SECONDS_MAX)
        response.ParseFromString(answer.content)
        return response


def over_rest(application: Application) -> dict:
    """Submit, follow the link, read the state, list what there is."""
    batch = application.batch("set", "rest", 7)
    submitted = application.post(batch_pb2.BatchList(batches=[batch]).SerializeToString())
    status = application.get(submitted["link"] + "&wait=20")
    state = application.get(f"{application.rest}/state/{address('rest')}")
    changed = application.batch("set", "other", 1)
    changed.transactions[0].payload = payload("set", "other", 2)
    blocks = application.get(f"{application.rest}/blocks?limit=1")
    return {
        "submitted": submitted["status"],
        "status": status["data"][0]["status"],
        "value": base64.b64decode(state["data"]).hex(),
        "link_followed": application.get(state["link"])["data"] == state["data"],
        "newest_block": int(blocks["data"][0]["header"]["block_num"]),
        "second_page": len(application.get(blocks["paging"]["next"])["data"]),
        "batch": application.get(f"{application.rest}/batches/{batch.header_signature}")["data"]["header_signature"]
        == batch.header_signature,
        "wrong_payload": application.post(batch_pb2.BatchList(batches=[changed]).SerializeToString())["error"]["code"],
        "no_state": application.get(f"{application.rest}/state/{address('none')}")["error"]["code"],
    }


def over_zmq(application: Application) -> dict:
    """Do the same with the validator's own messages."""
    batch = application.batch("set", "zmq", 9)
    submitted = application.ask(
        Message.CLIENT_BATCH_SUBMIT_REQUEST,
        client_batch_submit_pb2.ClientBatchSubmitRequest(batches=[batch]),
        client_batch_submit_pb2.ClientBatchSubmitResponse(),
    )
    statuses = application.ask(
        Message.CLIENT_BATCH_STATUS_REQUEST,
        client_batch_submit_pb2.ClientBatchStatusRequest(batch_ids=[batch.header_signature], wait=True, timeout=20),
        client_batch_submit_pb2.ClientBatchStatusResponse(),
    )
    state = application.ask(
        Message.CLIENT_STATE_GET_REQUEST,
        client_state_pb2.ClientStateGetRequest(address=address("zmq")),
        client_state_pb2.ClientStateGetResponse(),
    )
    return {
        "submitted": client_batch_submit_pb2.ClientBatchSubmitResponse.Status.Name(submitted.status),
        "status": client_batch_submit_pb2.ClientBatchStatus.Status.Name(statuses.batch_statuses[0].status),
        "value": state.value.hex(),
    }


def events(application: Application) -> dict:
    """Subscribe, commit something, and see its block and its state delta."""
    subscribed = application.ask(
        Message.CLIENT_EVENTS_SUBSCRIBE_REQUEST,
        client_event_pb2.ClientEventsSubscribeRequest(
            subscriptions=[
                events_pb2.EventSubscription(event_type="sawtooth/block-commit"),
                events_pb2.EventSubscription(
                    event_type="sawtooth/state-delta",
                    filters=[
                        events_pb2.EventFilter(
                            key="address",
                            match_string=f"{NAMESPACE}.*",
                            filter_type=events_pb2.EventFilter.REGEX_ANY,
                        )
                    ],
                ),
            ]
        ),
        client_event_pb2.ClientEventsSubscribeResponse(),
    )
    application.post(batch_pb2.BatchList(batches=[application.batch("set", "event", 3)]).SerializeToString())
    message = application.stream.receive().result(SECONDS_MAX)
    while message.message_type == Message.PING_REQUEST:
        application.stream.send_back(Message.PING_RESPONSE, message.correlation_id, b"")
        message = application.stream.receive().result(SECONDS_MAX)
    found = events_pb2.EventList()
    found.ParseFromString(message.content)
    return {
        "subscribed": client_event_pb2.ClientEventsSubscribeResponse.Status.Name(subscribed.status),
        "pushed": message.message_type == Message.CLIENT_EVENTS,
        "types": [one.event_type for one in found.events],
        "addresses": [
            attribute.value for one in found.events for attribute in one.attributes if attribute.key == "address"
        ]
        == [address("event")],
    }


def main() -> None:
    application = Application(sys.argv[1], sys.argv[2])
    parts = {"rest": over_rest, "zmq": over_zmq, "events": events}
    try:
        print(json.dumps({name: parts[name](application) for name in sys.argv[3:]}))
    finally:
        application.stream.close()


if __name__ == "__main__":
    main()
