"""Errors that Coco raises. Expected failures derive from CocoError and say what to do; see STYLE rule 9."""

from __future__ import annotations


class CocoError(Exception):
    """An expected failure: `message` says what happened, `hint` names the next step.

    Subclasses carry their facts as fields. `exit_code` is what the command line exits with.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class InvariantBroken(Exception):
    """A broken invariant of our own. The node stops; it is never caught and carried on from."""


class MalformedMessage(CocoError):
    """Bytes that do not parse as what the boundary carries (unknown type, wrong shape, trailing bytes)."""


class LimitExceeded(CocoError):
    """A request, message, file or queue is larger than its bound in core/limits.py."""


class AuthenticationFailed(CocoError):
    """A MAC, signature, certificate or token did not verify."""


class OlderThanSealed(AuthenticationFailed):
    """Sealed data that a newer enclave or platform sealed. Carries what is older, and both security versions."""

    def __init__(self, what: str, own: int, sealed: int) -> None:
        super().__init__(
            f"security version {sealed} of the {what} sealed it; this {what} has {own}",
            hint="Run a build and a platform at least as new as those that sealed the data.",
        )
        self.what = what
        self.own = own
        self.sealed = sealed


class LedgerDamaged(CocoError):
    """A ledger file holds a record that is complete but wrong.

    Carries file, offset (bytes), entry (seqno) and what, the part of the message that says what is wrong there.
    """

    exit_code = 4

    def __init__(
        self, message: str, *, file: str, offset: int, entry: int | None = None, what: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.what = what or message
        self.file = file
        self.offset = offset
        self.entry = entry


class StorageFailed(CocoError):
    """A write or fsync failed, or the disk is full. The node stops before acknowledging anything more."""

    exit_code = 5


class IncompatibleData(CocoError):
    """A data directory of another version, network or platform."""

    exit_code = 6


class ChannelClosed(CocoError):
    """The other end of a channel is gone."""


class NodeStopped(CocoError):
    """An enclave of this node died, so the node stops as a whole."""

    exit_code = 3
