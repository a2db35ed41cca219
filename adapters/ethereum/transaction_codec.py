"""The wire forms of transactions: parsed into one shape, and hashed as their signer did. No checks but of form."""

from __future__ import annotations

from typing import NamedTuple

from adapters.ethereum.keccak import keccak
from adapters.ethereum.model import Authorization, SignedTransaction
from adapters.ethereum.rlp_codec import Item, decode, encode_bytes, encode_int, encode_list
from core.errors import MalformedMessage

_U64 = 8
_U256 = 32

AccessList = tuple[tuple[bytes, tuple[int, ...]], ...]


class ParsedTransaction(NamedTuple):
    """A transaction's fields, as model.SignedTransaction has them, with the parity in its v. raw: its encoding.

    A tuple, since one is made for each transaction in gateway and executor: a frozen dataclass of this size takes 3 us.
    """

    type: int
    chain_id: int | None
    nonce: int
    gas_limit: int
    gas_price: int
    max_fee: int
    max_priority_fee: int
    to: bytes | None
    value: int
    data: bytes
    access_list: AccessList
    authorizations: tuple[Authorization, ...]
    v: int
    y_parity: int
    r: int
    s: int
    raw: bytes

    def signed(self, sender: bytes, transaction_hash: bytes, raw: bytes) -> SignedTransaction:
        """Return the record with the sender that was recovered."""
        return SignedTransaction(
            type=self.type,
            chain_id=self.chain_id,
            nonce=self.nonce,
            gas_limit=self.gas_limit,
            gas_price=self.gas_price,
            max_fee=self.max_fee,
            max_priority_fee=self.max_priority_fee,
            to=self.to,
            value=self.value,
            data=self.data,
            access_list=self.access_list,
            authorizations=self.authorizations,
            v=self.v,
            r=self.r,
            s=self.s,
            sender=sender,
            hash=transaction_hash,
            raw=raw,
        )


def parse(raw: bytes) -> ParsedTransaction:
    """Parse a transaction of type 0, 1, 2 or 4; raises MalformedMessage on anything but a canonical encoding."""
    if not raw:
        raise MalformedMessage("typed transaction too short")
    if raw[0] >= 0xC0:
        return _parse_legacy(_list_of(decode(raw), 9, "legacy transaction"), raw)
    items = decode(raw[1:])
    match raw[0]:
        case 1:
            return _parse_access_list(_list_of(items, 11, "access list transaction"), raw)
        case 2:
            return _parse_dynamic_fee(2, _list_of(items, 12, "dynamic fee transaction"), raw)
        case 4:
            return _parse_dynamic_fee(4, _list_of(items, 13, "set code transaction"), raw)
        case _:
            raise MalformedMessage("transaction type not supported")


def signing_hash(parsed: ParsedTransaction) -> bytes:
    """Return the hash that the sender signed (EIP-155 for type 0).

    What is signed are the items before the signature. They are taken as they stand in raw: `parse` takes nothing but
    the canonical encoding, so encoding them again would give the same bytes.
    """
    payload = parsed.raw[1:] if parsed.type else parsed.raw
    start = 1 if payload[0] < 0xF8 else payload[0] - 0xF6
    signature_bytes = len(encode_int(parsed.v)) + len(encode_int(parsed.r)) + len(encode_int(parsed.s))
    body = [payload[start : len(payload) - signature_bytes]]
    if parsed.type:
        return keccak(bytes((parsed.type,)) + encode_list(body))
    if parsed.chain_id is not None:
        body += [encode_int(parsed.chain_id), b"\x80", b"\x80"]
    return keccak(encode_list(body))


def authorization_hash(authorization: Authorization) -> bytes:
    """Return the hash that the authority of an EIP-7702 authorization signed."""
    fields = (
        encode_int(authorization.chain_id),
        encode_bytes(authorization.address),
        encode_int(authorization.nonce),
    )
    return keccak(b"\x05" + encode_list(fields))


def _parse_legacy(items: list[Item], raw: bytes) -> ParsedTransaction:
    price = _integer(items[1], _U256)
    v = _integer(items[6], _U256)
    if v >= 35:
        chain_id, y_parity = (v - 35) // 2, (v - 35) % 2
    elif v in (27, 28):
        chain_id, y_parity = None, v - 27
    else:
        raise MalformedMessage("invalid transaction v, r, s values")
    return ParsedTransaction(
        type=0,
        chain_id=chain_id,
        nonce=_integer(items[0], _U64),
        gas_limit=_integer(items[2], _U64),
        gas_price=price,
        max_fee=price,
        max_priority_fee=price,
        to=_recipient(items[3]),
        value=_integer(items[4], _U256),
        data=_bytes(items[5]),
        access_list=(),
        authorizations=(),
        v=v,
        y_parity=y_parity,
        r=_integer(items[7], _U256),
        s=_integer(items[8], _U256),
        raw=raw,
    )


def _parse_access_list(items: list[Item], raw: bytes) -> ParsedTransaction:
    price = _integer(items[2], _U256)
    y_parity = _integer(items[8], _U256)
    return ParsedTransaction(
        type=1,
        chain_id=_integer(items[0], _U256),
        nonce=_integer(items[1], _U64),
        gas_limit=_integer(items[3], _U64),
        gas_price=price,
        max_fee=price,
        max_priority_fee=price,
        to=_recipient(items[4]),
        value=_integer(items[5], _U256),
        data=_bytes(items[6]),
        access_list=_access_list(items[7]),
        authorizations=(),
        v=y_parity,
        y_parity=y_parity,
        r=_integer(items[9], _U256),
        s=_integer(items[10], _U256),
        raw=raw,
    )


def _parse_dynamic_fee(kind: int, items: list[Item], raw: bytes) -> ParsedTransaction:
    """Types 2 and 4, which adds the authorizations."""
    max_fee = _integer(items[3], _U256)
    to = _recipient(items[5])
    if kind == 4 and to is None:
        raise MalformedMessage("rlp: input string too short for common.Address, a set code transaction has a recipient")
    y_parity = _integer(items[-3], _U256)
    return ParsedTransaction(
        type=kind,
        chain_id=_integer(items[0], _U256),
        nonce=_integer(items[1], _U64),
        gas_limit=_integer(items[4], _U64),
        gas_price=max_fee,
        max_fee=max_fee,
        max_priority_fee=_integer(items[2], _U256),
        to=to,
        value=_integer(items[6], _U256),
        data=_bytes(items[7]),
        access_list=_access_list(items[8]),
        authorizations=_authorizations(items[9]) if kind == 4 else (),
        v=y_parity,
        y_parity=y_parity,
        r=_integer(items[-2], _U256),
        s=_integer(items[-1], _U256),
        raw=raw,
    )


def _authorizations(item: Item) -> tuple[Authorization, ...]:
    if isinstance(item, bytes):
        raise MalformedMessage("rlp: expected input list for authorizations")
    parsed = []
    for entry in item:
        fields = _list_of(entry, 6, "authorization")
        parsed.append(
            Authorization(
                chain_id=_integer(fields[0], _U256),
                address=_fixed(fields[1], 20),
                nonce=_integer(fields[2], _U64),
                y_parity=_integer(fields[3], 1),
                r=_integer(fields[4], _U256),
                s=_integer(fields[5], _U256),
            )
        )
    return tuple(parsed)


def _access_list(item: Item) -> AccessList:
    if isinstance(item, bytes):
        raise MalformedMessage("rlp: expected input list for types.AccessList")
    parsed = []
    for entry in item:
        address, slots = _list_of(entry, 2, "access tuple")
        if isinstance(slots, bytes):
            raise MalformedMessage("rlp: expected input list for storage keys")
        keys = tuple(int.from_bytes(_fixed(slot, 32), "big") for slot in slots)
        parsed.append((_fixed(address, 20), keys))
    return tuple(parsed)


def _list_of(item: Item, size: int, what: str) -> list[Item]:
    if isinstance(item, bytes):
        raise MalformedMessage(f"rlp: expected input list for a {what}")
    if len(item) != size:
        raise MalformedMessage(f"rlp: too {'few' if len(item) < size else 'many'} elements for a {what}")
    return item


def _bytes(item: Item) -> bytes:
    if not isinstance(item, bytes):
        raise MalformedMessage("rlp: expected input string or byte")
    return item


def _fixed(item: Item, size: int) -> bytes:
    data = _bytes(item)
    if len(data) != size:
        raise MalformedMessage(f"rlp: input string of {len(data)} bytes where {size} are expected")
    return data


def _recipient(item: Item) -> bytes | None:
    return _fixed(item, 20) if item != b"" else None


def _integer(item: Item, size: int) -> int:
    if not isinstance(item, bytes):
        raise MalformedMessage("rlp: expected input string or byte")
    if len(item) > size:
        raise MalformedMessage(f"rlp: input string too long for uint{8 * size}")
    if item[:1] == b"\x00":
        raise MalformedMessage("rlp: non-canonical integer (leading zero bytes)")
    return int.from_bytes(item, "big")
