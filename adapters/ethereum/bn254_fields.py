"""The fields over which alt_bn128 pairs (bn254.py), on GMP's integers.

An element of the field of degree 12 is multiplied as one long integer, 512 bits for each coefficient (Kronecker).
"""

from __future__ import annotations

from collections.abc import Sequence

from gmpy2 import invert, mpz, pack, unpack

Fp2 = tuple[mpz, mpz]
"""a + bi, i^2 = -1."""
Fp12 = list[mpz]
"""Twelve coefficients of powers of w, where w^6 = 9 + i, so w^12 = 18 w^6 - 82."""

U = 4965661367192848881
"""The parameter of the family of curves (Barreto, Naehrig)."""
P = mpz(36 * U**4 + 36 * U**3 + 24 * U**2 + 6 * U + 1)
R = mpz(36 * U**4 + 36 * U**3 + 18 * U**2 + 6 * U + 1)
SLOT_BITS = 512
"""Holds a sum of twelve products of two reduced coefficients."""
XI: Fp2 = (mpz(9), mpz(1))
ZERO = mpz(0)
ONE_12: Fp12 = [mpz(1)] + [ZERO] * 11


# The field of degree 2.


def multiply_2(left: Fp2, right: Fp2) -> Fp2:
    a, b = left
    c, d = right
    low, high = a * c, b * d
    return (low - high) % P, ((a + b) * (c + d) - low - high) % P


def invert_2(value: Fp2) -> Fp2:
    """Raises ZeroDivisionError for zero."""
    a, b = value
    inverse = invert((a * a + b * b) % P, P)
    return a * inverse % P, -b * inverse % P


def power_2(value: Fp2, exponent: int) -> Fp2:
    result: Fp2 = (mpz(1), ZERO)
    for bit in bin(exponent)[2:]:
        result = multiply_2(result, result)
        if bit == "1":
            result = multiply_2(result, value)
    return result


GAMMA: tuple[Fp2, ...] = tuple(power_2(XI, power * (int(P) - 1) // 6) for power in range(6))
"""w^k to the p-th power is this times w^k."""


# The field of degree 12.


def multiply_packed(left: mpz, right: mpz) -> Fp12:
    """Multiply two packed elements."""
    product = unpack(left * right, SLOT_BITS)
    product += [ZERO] * (23 - len(product))
    # The coefficients of w^18 and above come down twice: w^18 = 242 w^6 - 1476.
    result = []
    for k in range(6):
        high = product[k + 18] if k < 5 else ZERO
        result.append((product[k] - 82 * product[k + 12] - 1476 * high) % P)
    for k in range(6):
        high = product[k + 18] if k < 5 else ZERO
        result.append((product[k + 6] + 18 * product[k + 12] + 242 * high) % P)
    return result


def multiply_12(left: Fp12, right: Fp12) -> Fp12:
    return multiply_packed(pack(left, SLOT_BITS), pack(right, SLOT_BITS))


def square_12(value: Fp12) -> Fp12:
    packed = pack(value, SLOT_BITS)
    return multiply_packed(packed, packed)


def _pairs_of(value: Fp12) -> list[Fp2]:
    """Return the six coefficients, in the field of degree 2, of the powers of w."""
    return [((value[k] + 9 * value[k + 6]) % P, value[k + 6]) for k in range(6)]


def _from_pairs(pairs: Sequence[Fp2]) -> Fp12:
    return [(a - 9 * b) % P for a, b in pairs] + [b for _, b in pairs]


def conjugate_12(value: Fp12) -> Fp12:
    """Return the p^6-th power: w becomes -w."""
    return [-one % P if k & 1 else one for k, one in enumerate(value)]


def frobenius_12(value: Fp12, times: int = 1) -> Fp12:
    pairs = _pairs_of(value)
    for _ in range(times):
        pairs = [multiply_2((a, -b % P), GAMMA[k]) for k, (a, b) in enumerate(pairs)]
    return _from_pairs(pairs)


def invert_12(value: Fp12) -> Fp12:
    """Raises ZeroDivisionError for zero."""
    conjugate = conjugate_12(value)
    a, _, b, _, c, _ = _pairs_of(multiply_12(value, conjugate))

    def by_xi(pair: Fp2) -> Fp2:
        return multiply_2(pair, XI)

    def minus(left: Fp2, right: Fp2) -> Fp2:
        return (left[0] - right[0]) % P, (left[1] - right[1]) % P

    x = minus(multiply_2(a, a), by_xi(multiply_2(b, c)))
    y = minus(by_xi(multiply_2(c, c)), multiply_2(a, b))
    z = minus(multiply_2(b, b), multiply_2(a, c))
    cy, bz, ax = multiply_2(c, y), multiply_2(b, z), multiply_2(a, x)
    twisted = by_xi(((cy[0] + bz[0]) % P, (cy[1] + bz[1]) % P))
    inverse = invert_2(((ax[0] + twisted[0]) % P, (ax[1] + twisted[1]) % P))
    nothing: Fp2 = (ZERO, ZERO)
    even = [multiply_2(one, inverse) for one in (x, y, z)]
    return multiply_12(conjugate, _from_pairs([even[0], nothing, even[1], nothing, even[2], nothing]))


def power_u(value: Fp12) -> Fp12:
    packed = pack(value, SLOT_BITS)
    result = value
    for bit in bin(U)[3:]:
        result = square_12(result)
        if bit == "1":
            result = multiply_packed(pack(result, SLOT_BITS), packed)
    return result


def final_exponentiation(value: Fp12) -> Fp12:
    """Return value to the power (p^12 - 1) / r."""
    f = multiply_12(conjugate_12(value), invert_12(value))
    f = multiply_12(frobenius_12(f, 2), f)
    fu = power_u(f)
    fu2 = power_u(fu)
    fu3 = power_u(fu2)
    multiply_all, conjugate = multiply_12, conjugate_12
    y0 = multiply_all(multiply_all(frobenius_12(f), frobenius_12(f, 2)), frobenius_12(f, 3))
    y1 = conjugate(f)
    y2 = frobenius_12(fu2, 2)
    y3 = conjugate(frobenius_12(fu))
    y4 = conjugate(multiply_all(fu, frobenius_12(fu2)))
    y5 = conjugate(fu2)
    y6 = conjugate(multiply_all(fu3, frobenius_12(fu3)))
    t0 = multiply_all(multiply_all(square_12(y6), y4), y5)
    t1 = multiply_all(multiply_all(y3, y5), t0)
    t0 = multiply_all(t0, y2)
    t1 = square_12(multiply_all(square_12(t1), t0))
    t0 = multiply_all(t1, y1)
    t1 = multiply_all(t1, y0)
    return multiply_all(square_12(t0), t1)
