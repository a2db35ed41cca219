"""The error documents of Sawtooth's REST API: code, HTTP status, title and message, as that API has them.

Source: Sawtooth 1.2's REST API specification, "Error Response".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class ErrorDocument:
    """One documented error. code never changes; status is the HTTP one."""

    code: int
    status: int
    title: str
    message: str


class RestError(Enum):
    """Every error that this REST API answers with."""

    UNKNOWN_VALIDATOR_ERROR = ErrorDocument(
        10,
        500,
        "Unknown Validator Error",
        "An unknown error occurred with the validator while processing your request.",
    )
    NOT_READY = ErrorDocument(
        15,
        503,
        "Validator Not Ready",
        "The validator has no genesis block, and is not yet ready to be queried. Try your request again later.",
    )
    TIMED_OUT = ErrorDocument(
        17,
        503,
        "Validator Timed Out",
        "The request timed out while waiting for a response from the validator. "
        "Your request may or may not have been processed.",
    )
    DISCONNECTED = ErrorDocument(
        18,
        503,
        "Validator Disconnected",
        "The validator disconnected before sending a response. Try your request again later.",
    )
    RESPONSE_INVALID = ErrorDocument(
        20,
        500,
        "Invalid Validator Response",
        "The response from the validator could not be decoded. It may have been corrupted or compromised.",
    )
    RESOURCE_HEADER_INVALID = ErrorDocument(
        21,
        500,
        "Invalid Resource Header",
        "The resource fetched from the validator had an invalid header, and may be corrupted.",
    )
    STATUSES_MISSING = ErrorDocument(
        27,
        500,
        "Unable to Fetch Statuses",
        "An unknown error occurred while attempting to fetch batch statuses, and nothing was returned.",
    )
    BATCHES_INVALID = ErrorDocument(
        30,
        400,
        "Submitted Batches Invalid",
        "The submitted BatchList was rejected by the validator. It was poorly formed, or has an invalid signature.",
    )
    QUEUE_FULL = ErrorDocument(
        31,
        429,
        "Unable to Accept Batches",
        "The validator cannot currently accept more batches, due to a full queue.  Please submit your request again.",
    )
    NO_BATCHES = ErrorDocument(
        34,
        400,
        "No Batches Submitted",
        "The protobuf BatchList you submitted was empty and contained no Batches. You must submit at least one Batch.",
    )
    NOT_PROTOBUF = ErrorDocument(
        35,
        400,
        "Protobuf Not Decodable",
        "The protobuf BatchList you submitted was malformed and could not be read.",
    )
    SUBMISSION_CONTENT_TYPE = ErrorDocument(
        42,
        400,
        "Wrong Content Type",
        "Batches must be submitted in a BatchList protobuf binary, "
        "with a 'Content-Type' header of 'application/octet-stream'.",
    )
    STATUSES_CONTENT_TYPE = ErrorDocument(
        43,
        400,
        "Wrong Content Type",
        "Requests for batch statuses sent as a POST must have a 'Content-Type' header of 'application/json'.",
    )
    STATUSES_BODY = ErrorDocument(
        46,
        400,
        "Bad Status Request",
        "Requests for batch statuses sent as a POST must have a JSON formatted body "
        "with an array of at least one id string.",
    )
    HEAD_NOT_FOUND = ErrorDocument(
        50,
        404,
        "Head Not Found",
        "There is no block with the id specified in the 'head' query parameter.",
    )
    COUNT_INVALID = ErrorDocument(
        53,
        400,
        "Invalid Count Query",
        "The 'count' query parameter must be a positive, non-zero integer.",
    )
    PAGING_INVALID = ErrorDocument(
        54,
        400,
        "Invalid Paging Query",
        "Paging request failed as written. One or more of the 'min', 'max', or 'count' query parameters "
        "were invalid or out of range.",
    )
    SORT_INVALID = ErrorDocument(
        57,
        400,
        "Invalid Sort Query",
        "The sort request failed as written. Some of the keys specified were not valid.",
    )
    ID_INVALID = ErrorDocument(
        60,
        400,
        "Invalid Resource Id",
        "Blockchain items are identified by 128 character hex-strings. "
        "A submitted block, batch, or transaction id was invalid: ",
    )
    ADDRESS_INVALID = ErrorDocument(
        62,
        400,
        "Invalid State Address",
        "The state address submitted was invalid. To fetch specific state data, "
        "you must submit the full 70-character address.",
    )
    STATUSES_ID_QUERY = ErrorDocument(
        66,
        400,
        "Id Query Invalid or Missing",
        "Requests for batch statuses sent as a GET request must have an 'id' query parameter "
        "with a comma-separated list of at least one batch id.",
    )
    BLOCK_NOT_FOUND = ErrorDocument(
        70, 404, "Block Not Found", "There is no block with the id specified in the blockchain."
    )
    BATCH_NOT_FOUND = ErrorDocument(
        71, 404, "Batch Not Found", "There is no batch with the id specified in the blockchain."
    )
    TRANSACTION_NOT_FOUND = ErrorDocument(
        72, 404, "Transaction Not Found", "There is no transaction with the id specified in the blockchain."
    )
    STATE_NOT_FOUND = ErrorDocument(75, 404, "State Not Found", "There is no state data at the address specified.")
    RECEIPT_NOT_FOUND = ErrorDocument(
        80,
        404,
        "Transaction Receipt Not Found",
        "There is no transaction receipt for the transaction id specified in the receipt store.",
    )
    RECEIPTS_CONTENT_TYPE = ErrorDocument(
        81,
        400,
        "Wrong Content Type",
        "Requests for transaction receipts sent as a POST must have a 'Content-Type' header of 'application/json'.",
    )
    RECEIPTS_BODY = ErrorDocument(
        82,
        400,
        "Bad Receipts Request",
        "Requests for transaction receipts sent as a POST must have a JSON formatted body "
        "with an array of at least one id string.",
    )
    RECEIPTS_ID_QUERY = ErrorDocument(
        83,
        400,
        "Id Query Invalid or Missing",
        "Requests for transaction receipts sent as a GET request must have an 'id' query parameter "
        "with a comma-separated list of at least one transaction id.",
    )


class RestFailure(Exception):
    """Ends a request with one of the documented errors. addition: what follows its message."""

    def __init__(self, error: RestError, addition: str = "") -> None:
        super().__init__(error.value.title)
        self.error = error
        self.addition = addition
