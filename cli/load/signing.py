"""Signs Ethereum transactions ahead of the load: type 2 (EIP-1559), by libsecp256k1, about 0.1 ms each."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from coincurve import PrivateKey

from adapters.ethereum.keccak import keccak
from adapters.ethereum.rlp_codec import encode_bytes, encode_int, encode_list

TRANSFER_SELECTOR = bytes.fromhex("a9059cbb")
BALANCE_SELECTOR = bytes.fromhex("70a08231")


@dataclass(frozen=True, slots=True)
class Fees:
    """What a transaction offers, in wei for a unit of gas."""

    max_fee: int = 0
    tip: int = 0


class Signer:
    """One account. key: 32 secret bytes."""

    def __init__(self, key: bytes, chain_id: int) -> None:
        self._key = PrivateKey(key)
        self._chain_id = encode_int(chain_id)
        self.address = keccak(self._key.public_key.format(compressed=False)[1:])[12:]

    def sign(
        self, nonce: int, to: bytes | None, *, value: int = 0, data: bytes = b"", gas: int, fees: Fees
    ) -> tuple[bytes, bytes]:
        """Return a signed transaction and its hash. to: None creates a contract."""
        body = [
            self._chain_id,
            encode_int(nonce),
            encode_int(fees.tip),
            encode_int(fees.max_fee),
            encode_int(gas),
            encode_bytes(to or b""),
            encode_int(value),
            encode_bytes(data),
            b"\xc0",
        ]
        signature = self._key.sign_recoverable(keccak(b"\x02" + encode_list(body)), hasher=None)
        body += [
            encode_int(signature[64]),
            encode_int(int.from_bytes(signature[:32], "big")),
            encode_int(int.from_bytes(signature[32:64], "big")),
        ]
        raw = b"\x02" + encode_list(body)
        return raw, keccak(raw)


def derive_keys(secret: bytes, count: int) -> list[bytes]:
    """Return keys of accounts that only who knows the secret can find, the same ones each time."""
    return [hmac.digest(secret, b"coco bench account %d" % number, hashlib.sha256) for number in range(count)]


def transfer_data(to: bytes, amount: int) -> bytes:
    """Return the data of ERC-20's transfer(to, amount)."""
    return TRANSFER_SELECTOR + to.rjust(32, b"\0") + amount.to_bytes(32, "big")


def balance_data(owner: bytes) -> bytes:
    """Return the data of ERC-20's balanceOf(owner)."""
    return BALANCE_SELECTOR + owner.rjust(32, b"\0")
