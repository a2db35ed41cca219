"""What one implementation says about one transaction, and how two of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.ethereum.keccak import EMPTY_CODE_HASH, keccak
from adapters.ethereum.rlp_codec import encode, encode_int
from adapters.ethereum.tries import root

State = Mapping[bytes, tuple[int, int, bytes, Mapping[int, int]]]
"""Address -> nonce, balance, code hash, storage without zeros. Accounts that are empty in all four are left out."""


@dataclass(frozen=True, slots=True)
class Result:
    """refused: why the transaction may not be executed; all else then stays empty, save the state, which is as before.

    crash: the implementation failed itself. output: return data, revert data, or the created contract's code.
    error: in the implementation's own words, not compared. state None where only its root is known.
    """

    refused: str | None = None
    crash: str | None = None
    success: bool = False
    gas_used: int = 0
    output: bytes = b""
    logs: tuple[tuple[bytes, tuple[bytes, ...], bytes], ...] = ()
    error: str = ""
    root: bytes | None = None
    state: State | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """kind: `oracle:what`. errors: how it ended for both, to tell faults apart. transaction: its place in the case."""

    oracle: str
    what: str
    transaction: int
    detail: str
    errors: str = ""

    @property
    def kind(self) -> str:
        return f"{self.oracle}:{self.what}"

    def __str__(self) -> str:
        return f"{self.kind} in transaction {self.transaction}: {self.detail}"


def differences(oracle: str, place: int, ours: Result, theirs: Result) -> list[Difference]:
    """Compare everything that both know."""
    found = []
    ends = "/".join((side.refused or side.crash or side.error or "success").split(":")[0] for side in (ours, theirs))

    def differ(what: str, detail: str) -> None:
        found.append(Difference(oracle, what, place, detail[:1000], ends))

    if ours.crash or theirs.crash:
        if ours.crash:
            differ("ours-crash", ours.crash)
        if theirs.crash:
            differ("crash", theirs.crash)
        return found
    if (ours.refused is None) != (theirs.refused is None):
        mine, other = (side.refused or side.error or "executed" for side in (ours, theirs))
        differ("refused", f"ours {mine}, theirs {other}")
        return found
    errors = f" (ours: {ours.error or 'success'}; theirs: {theirs.error or 'success'})"
    for what in ("success", "gas_used", "output", "logs"):
        mine, other = getattr(ours, what), getattr(theirs, what)
        if mine != other:
            differ(what, f"ours {_text(mine)}, theirs {_text(other)}{errors}")
    found_state = _state_difference(ours, theirs)
    if found_state:
        differ("state", found_state + errors)
    return found


def _state_difference(ours: Result, theirs: Result) -> str:
    if ours.state is not None and theirs.state is not None:
        if ours.state == theirs.state:
            return ""
        return "; ".join(
            f"{address.hex()}: ours {_account(ours.state.get(address))}, theirs {_account(theirs.state.get(address))}"
            for address in sorted({*ours.state, *theirs.state})
            if ours.state.get(address) != theirs.state.get(address)
        )
    if ours.state is not None and theirs.root is not None:
        mine = state_root(ours.state)
        return "" if mine == theirs.root else f"roots: ours {mine.hex()}, theirs {theirs.root.hex()}"
    return ""


def state_root(state: State) -> bytes:
    """Return the Merkle-Patricia root of a state."""
    accounts = []
    for address, (nonce, balance, code_hash, storage) in state.items():
        slots = [(keccak(slot.to_bytes(32, "big")), encode_int(value)) for slot, value in storage.items()]
        accounts.append((keccak(address), encode([nonce, balance, root(slots), code_hash])))
    return root(accounts)


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)


def _account(account: tuple[int, int, bytes, Mapping[int, int]] | None) -> str:
    if account is None:
        return "absent"
    nonce, balance, code_hash, storage = account
    code = "none" if code_hash == EMPTY_CODE_HASH else code_hash.hex()[:8]
    return f"nonce {nonce} balance {balance} code {code} storage {dict(sorted(storage.items()))}"


def contract_address(sender: bytes, nonce: int) -> bytes:
    """Return where a creation by this sender with this nonce puts the contract."""
    return keccak(encode([sender, nonce]))[12:]
