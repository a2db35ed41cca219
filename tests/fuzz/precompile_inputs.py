"""Inputs for the precompiled contracts: valid ones, ones at the edges, and both of them damaged."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from random import Random

from py_ecc.bls.hash_to_curve import map_to_curve_G1, map_to_curve_G2
from py_ecc.optimized_bls12_381 import FQ, FQ2, G1, G2, multiply, normalize
from py_ecc.optimized_bn128 import FQ2 as BnFQ2
from py_ecc.optimized_bn128 import G1 as BN_G1
from py_ecc.optimized_bn128 import G2 as BN_G2
from py_ecc.optimized_bn128 import b2 as bn_b2
from py_ecc.optimized_bn128 import multiply as bn_multiply
from py_ecc.optimized_bn128 import normalize as bn_normalize

from tests.fuzz.constants import BLS_N, BLS_P, BN_N, BN_P, NUMBERS, ORDER
from tests.fuzz.signing import KEYS, sign_hash

EDGES = (0, 1, 2, 2**255, 2**256 - 1)


def precompile_input(random: Random, number: int) -> bytes:
    """Return an input for the precompile at an address, sometimes a damaged one."""
    maker = _MAKERS.get(number)
    data = random.randbytes(random.choice((0, 1, 31, 32, 33, 64, 100, 200))) if maker is None else maker(random)
    chance = random.random()
    if chance < 0.12 and data:
        place = random.randrange(len(data))
        data = data[:place] + bytes([data[place] ^ (1 << random.randrange(8))]) + data[place + 1 :]
    elif chance < 0.2:
        data = data[: random.randrange(len(data) + 1)]
    elif chance < 0.26:
        data += random.randbytes(random.choice((1, 32, 64)))
    return data


def word(value: int) -> bytes:
    return (value % 2**256).to_bytes(32, "big")


def _recover(random: Random) -> bytes:
    digest = random.randbytes(32)
    parity, r, s = sign_hash(random.randrange(KEYS), digest)
    if random.random() < 0.3:
        parity, s = 1 - parity, ORDER - s
    if random.random() < 0.25:
        r = random.choice((0, 1, ORDER - 1, ORDER, ORDER + 1, 2**256 - 1, r))
        s = random.choice((0, 1, ORDER - 1, ORDER, 2**256 - 1, s))
    v = 27 + parity if random.random() < 0.9 else random.choice((0, 1, 26, 29, 2**255 + 27))
    return digest + word(v) + word(r) + word(s)


def _modexp(random: Random) -> bytes:
    sizes = [random.choice((0, 0, 1, 1, 2, 3, 31, 32, 33, 40, 64, 96)) for _ in range(3)]
    if random.random() < 0.12:
        sizes[random.randrange(3)] = random.choice((255, 1024, 1025, 2**32, 2**64, 2**255, 2**256 - 1))
    body = b""
    for size in sizes:
        bounded = min(size, 128)
        kind = random.random()
        if kind < 0.25:
            body += bytes(bounded)
        elif kind < 0.45 and bounded:
            body += bytes(bounded - 1) + bytes([random.choice((1, 2, 3))])
        else:
            body += random.randbytes(bounded)
    return b"".join(map(word, sizes)) + body


def _bn_g1(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.2:
        return bytes(64)
    if kind < 0.35:
        return word(random.choice((0, 1, BN_P - 1, BN_P, BN_P + 1))) + word(
            random.choice((0, 1, 2, BN_P - 2, BN_P + 2))
        )
    return _bn_g1_multiple(random.choice((1, 2, 3, BN_N - 1, random.randrange(1, 100))))


@lru_cache(maxsize=128)
def _bn_g1_multiple(scalar: int) -> bytes:
    x, y = bn_normalize(bn_multiply(BN_G1, scalar))
    return word(int(x)) + word(int(y))


def _bn_g2(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.2:
        return bytes(128)
    if kind < 0.35:
        return _bn_g2_elsewhere(random.randrange(12))
    return _bn_g2_multiple(random.choice((1, 2, 3, BN_N - 1, random.randrange(1, 30))))


@lru_cache(maxsize=128)
def _bn_g2_elsewhere(seed: int) -> bytes:
    """Return a point of the twisted curve that is not in the group of the right order."""
    x = BnFQ2([seed, 1])
    while (y := _bn_square_root(x * x * x + bn_b2)) is None:
        x = x + BnFQ2([12, 0])
    return b"".join(word(int(part)) for part in (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0]))


def _bn_square_root(square: BnFQ2) -> BnFQ2 | None:
    """Adj and Rodriguez-Henriquez, "Square root computation over even extension fields", algorithm 9."""
    one = BnFQ2.one()
    first = square ** ((BN_P - 3) // 4)
    alpha, root = first * first * square, first * square
    root = BnFQ2([0, 1]) * root if alpha == -one else (one + alpha) ** ((BN_P - 1) // 2) * root
    return root if root * root == square else None


@lru_cache(maxsize=128)
def _bn_g2_multiple(scalar: int) -> bytes:
    x, y = bn_normalize(bn_multiply(BN_G2, scalar))
    return b"".join(word(int(part)) for part in (x.coeffs[1], x.coeffs[0], y.coeffs[1], y.coeffs[0]))


def _bn_pairing(random: Random) -> bytes:
    if random.random() < 0.3:
        second = _bn_g2_multiple(1)
        return _bn_g1_multiple(1) + second + _bn_g1_multiple(BN_N - 1) + second
    return b"".join(_bn_g1(random) + _bn_g2(random) for _ in range(random.choice((0, 1, 1, 2))))


def _blake2(random: Random) -> bytes:
    rounds = random.choice((0, 1, 2, 12, 12, 40, 200, 1000))
    final = random.choice((0, 1, 1, 2))
    return rounds.to_bytes(4, "big") + random.randbytes(64 + 128 + 16) + bytes([final])


def _point_evaluation(random: Random) -> bytes:
    commitment = b"\xc0" + bytes(47)
    versioned_hash = b"\x01" + hashlib.sha256(commitment).digest()[1:]
    point = word(random.choice((0, 1, 5, BLS_N - 1, BLS_N)))
    value = word(random.choice((0, 0, 0, 1, BLS_N)))
    return versioned_hash + point + value + commitment + b"\xc0" + bytes(47)


def _bls_pairing(random: Random) -> bytes:
    if random.random() < 0.35:
        # e(P, Q) * e(-P, Q) = 1
        second = _bls_g2_multiple(1)
        return _bls_g1_multiple(1) + second + _bls_g1_multiple(BLS_N - 1) + second
    return b"".join(_bls_g1(random) + _bls_g2(random) for _ in range(random.choice((0, 1, 1, 2))))


def _bls_field(value: int) -> bytes:
    return int(value).to_bytes(64, "big")


def _bls_g1(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.2:
        return bytes(128)
    if kind < 0.3:
        return _bls_field(random.choice((0, 1, BLS_P - 1, BLS_P))) + _bls_field(random.choice((0, 2, BLS_P - 2)))
    if kind < 0.36:
        # On the curve, not in the subgroup.
        return _bls_field(0) + _bls_field(2)
    if kind < 0.45:
        return _bls_g1_elsewhere(random.randrange(12))
    return _bls_g1_multiple(random.choice((1, 2, 3, BLS_N - 1, random.randrange(1, 30))))


@lru_cache(maxsize=128)
def _bls_g1_elsewhere(seed: int) -> bytes:
    """Return a point of the curve that is not in the group of the right order."""
    x, y = normalize(map_to_curve_G1(FQ(seed + 2)))
    return _bls_field(x.n) + _bls_field(y.n)


@lru_cache(maxsize=128)
def _bls_g1_multiple(scalar: int) -> bytes:
    x, y = normalize(multiply(G1, scalar))
    return _bls_field(x.n) + _bls_field(y.n)


def _bls_g2(random: Random) -> bytes:
    kind = random.random()
    if kind < 0.2:
        return bytes(256)
    if kind < 0.32:
        return _bls_g2_elsewhere(random.randrange(12))
    return _bls_g2_multiple(random.choice((1, 2, 3, BLS_N - 1, random.randrange(1, 30))))


@lru_cache(maxsize=128)
def _bls_g2_elsewhere(seed: int) -> bytes:
    x, y = normalize(map_to_curve_G2(FQ2([seed + 2, 1])))
    return b"".join(_bls_field(part) for part in (*x.coeffs, *y.coeffs))


@lru_cache(maxsize=128)
def _bls_g2_multiple(scalar: int) -> bytes:
    x, y = normalize(multiply(G2, scalar))
    return b"".join(_bls_field(part) for part in (*x.coeffs, *y.coeffs))


def _scalar(random: Random) -> bytes:
    return word(random.choice((0, 1, 2, 3, BLS_N - 1, BLS_N, BLS_N + 1, 2**256 - 1, random.getrandbits(256))))


def _bls_element(random: Random) -> bytes:
    return _bls_field(random.choice((0, 1, 5, BLS_P - 1, BLS_P, *NUMBERS, random.randrange(BLS_P))))


_MAKERS = {
    1: _recover,
    5: _modexp,
    6: lambda random: _bn_g1(random) + _bn_g1(random),
    7: lambda random: _bn_g1(random) + word(random.choice((*EDGES, BN_N, BN_N + 1, random.getrandbits(256)))),
    8: _bn_pairing,
    9: _blake2,
    10: _point_evaluation,
    11: lambda random: _bls_g1(random) + _bls_g1(random),
    12: lambda random: b"".join(_bls_g1(random) + _scalar(random) for _ in range(random.choice((0, 1, 1, 2)))),
    13: lambda random: _bls_g2(random) + _bls_g2(random),
    14: lambda random: b"".join(_bls_g2(random) + _scalar(random) for _ in range(random.choice((0, 1, 1, 2)))),
    15: _bls_pairing,
    16: lambda random: _bls_element(random),
    17: lambda random: _bls_element(random) + _bls_element(random),
}
