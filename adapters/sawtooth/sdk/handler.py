"""What a transaction family is. Source of names: sawtooth_sdk.processor.handler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class TransactionHandler(ABC):
    """One transaction family. namespaces: prefixes of addresses, in hexadecimal digits."""

    @property
    @abstractmethod
    def family_name(self) -> str: ...

    @property
    @abstractmethod
    def family_versions(self) -> Sequence[str]: ...

    @property
    @abstractmethod
    def namespaces(self) -> Sequence[str]: ...

    @abstractmethod
    def apply(self, transaction: Any, context: Any) -> None:
        """Run a transaction. Raises InvalidTransaction or InternalError; what it set is undone then."""
