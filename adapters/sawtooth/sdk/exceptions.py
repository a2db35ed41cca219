"""What a transaction family raises. Source of names and arguments: sawtooth_sdk.processor.exceptions."""

from __future__ import annotations


class TransactionError(Exception):
    """extended_data: bytes for the client, beside the text."""

    def __init__(self, message: str, extended_data: bytes | None = None) -> None:
        super().__init__(message)
        if extended_data is not None and not isinstance(extended_data, bytes):
            raise TypeError("extended_data must be byte-encoded")
        self.extended_data = extended_data


class InvalidTransaction(TransactionError):
    """The transaction is not valid; its batch has no effect."""


class InternalError(TransactionError):
    """The family cannot go on. Here too, the batch has no effect."""


class AuthorizationException(Exception):
    """An address was used that the transaction's header does not name."""


class LocalConfigurationError(Exception):
    """Never raised here; families may import it."""
