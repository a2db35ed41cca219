"""The curve alt_bn128 (EIP-196, EIP-197) on GMP's integers: addition, multiplication and the check of a pairing.

There is no kept library of it with wheels for Python, and py_ecc takes some 0.3 s for a pair of points, where the gas
pays for a millisecond. Nothing here is secret, so nothing takes care to run in constant time. Everything is held
against py_ecc by property tests (tests/adapters/ethereum/test_bn254.py).

How it is made fast:
- scalars are split by the curve's endomorphism (Gallant, Lambert, Vanstone), which halves the doublings;
- points of the twist stay affine: GMP inverts in the time of a few multiplications, which also leaves no room for
  degenerate coordinates: what cannot be inverted is no point of the group;
- the field of degree 12 is multiplied as long integers (bn254_fields.py);
- the pairing is the optimal ate pairing (Vercauteren), squarings shared between pairs. Its loop leaves the point
  [6u+2]Q + f(Q) - f^2(Q), f the Frobenius, which is -f^3(Q) if and only if Q has the right order: the membership test
  costs nothing. Why "only if": the resultant of that polynomial in f with f's own, f^2 - tf + p, shares only the factor
  r with the order of the twist (tested).
Sources: EIP-197; Vercauteren, "Optimal pairings"; Scott et al., "On the final exponentiation for calculating pairings".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gmpy2 import invert, mpz, pack

from adapters.ethereum.bn254_fields import (
    GAMMA,
    ONE_12,
    SLOT_BITS,
    XI,
    ZERO,
    Fp2,
    Fp12,
    P,
    R,
    U,
    final_exponentiation,
    invert_2,
    multiply_2,
    multiply_packed,
)

Point = tuple[mpz, mpz] | None
"""Affine; None is the point at infinity."""
TwistPoint = tuple[Fp2, Fp2]


class NotOnCurve(Exception):
    """The coordinates are out of range, or are no point of the group."""


# The group over the field itself.


def read_point(x: int, y: int) -> Point:
    """Return the point with these coordinates; raises NotOnCurve. (0, 0) stands for infinity."""
    if x >= P or y >= P:
        raise NotOnCurve("a coordinate is not below the field's modulus")
    if x == 0 and y == 0:
        return None
    point = mpz(x), mpz(y)
    if (point[1] * point[1] - point[0] ** 3 - 3) % P:
        raise NotOnCurve("the point is not on the curve")
    return point


def add(left: Point, right: Point) -> Point:
    """Return the sum of two points."""
    if left is None:
        return right
    if right is None:
        return left
    x1, y1 = left
    x2, y2 = right
    if x1 != x2:
        slope = (y2 - y1) * invert(x2 - x1, P) % P
    elif y1 == y2 and y1:
        slope = 3 * x1 * x1 * invert(2 * y1, P) % P
    else:
        return None
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


# Multiplying by LAMBDA is multiplying x by BETA, both third roots of one. Short vectors of the lattice of (a, b) with
# a + b * LAMBDA = 0 modulo R.
_LAMBDA = mpz(36 * U**3 + 18 * U**2 + 6 * U + 1)
_BETA = mpz(18 * U**3 + 18 * U**2 + 9 * U + 1) % P
_WINDOW_BITS = 4


def multiply(point: Point, scalar: int) -> Point:
    """Return scalar * point."""
    if point is None:
        return None
    first, second = _split(mpz(scalar) % R)
    table = _odd_multiples(point)
    turned = [(x * _BETA % P, y) for x, y in table]
    result = (mpz(1), mpz(1), ZERO)
    one, two = _digits(first), _digits(second)
    length = max(len(one), len(two))
    for position in range(length - 1, -1, -1):
        result = _double_jacobian(result)
        for digits, multiples in ((one, table), (two, turned)):
            digit = digits[position] if position < len(digits) else 0
            if digit:
                x, y = multiples[abs(digit) >> 1]
                result = _add_jacobian(result, x, y if digit > 0 else -y)
    x, y, z = result
    if not z:
        return None
    inverse = invert(z, P)
    square = inverse * inverse % P
    return x * square % P, y * square * inverse % P


_V1 = (mpz(2 * U + 1), mpz(-6 * U**2 - 2 * U))
_V2 = (mpz(6 * U**2 + 4 * U + 1), mpz(2 * U + 1))


def _split(scalar: mpz) -> tuple[mpz, mpz]:
    """Return (a, b), each of about 128 bits and either sign, with a + b * LAMBDA = scalar modulo R."""
    (a1, b1), (a2, b2) = _V1, _V2
    determinant = a1 * b2 - a2 * b1
    c1 = (2 * scalar * b2 + determinant) // (2 * determinant)
    c2 = (-2 * scalar * b1 + determinant) // (2 * determinant)
    return scalar - c1 * a1 - c2 * a2, -c1 * b1 - c2 * b2


def _digits(scalar: mpz) -> list[int]:
    """Return the scalar's digits, lowest first: zero or odd and below 2^(window - 1) (non-adjacent form)."""
    digits = []
    window, half = 1 << _WINDOW_BITS, 1 << _WINDOW_BITS - 1
    while scalar:
        digit = 0
        if scalar & 1:
            digit = int(scalar % window)
            if digit >= half:
                digit -= window
            scalar -= digit
        digits.append(digit)
        scalar >>= 1
    return digits


def _odd_multiples(point: tuple[mpz, mpz]) -> list[tuple[mpz, mpz]]:
    double = add(point, point)
    multiples: list[tuple[mpz, mpz]] = [point]
    for _ in range((1 << _WINDOW_BITS - 2) - 1):
        following = add(multiples[-1], double)
        if following is None:
            raise NotOnCurve("a point of the curve has another order than R")
        multiples.append(following)
    return multiples


Jacobian = tuple[mpz, mpz, mpz]


def _double_jacobian(point: Jacobian) -> Jacobian:
    x, y, z = point
    if not z:
        return point
    square = y * y % P
    middle = 4 * x * square % P
    slope = 3 * x * x % P
    new_x = (slope * slope - 2 * middle) % P
    return new_x, (slope * (middle - new_x) - 8 * square * square) % P, 2 * y * z % P


def _add_jacobian(point: Jacobian, x2: mpz, y2: mpz) -> Jacobian:
    x1, y1, z1 = point
    if not z1:
        return x2, y2, mpz(1)
    square = z1 * z1 % P
    width = (x2 * square - x1) % P
    height = (y2 * square * z1 - y1) % P
    if not width:
        return (mpz(1), mpz(1), ZERO) if height else _double_jacobian(point)
    width_square = width * width % P
    width_cube = width_square * width % P
    middle = x1 * width_square % P
    new_x = (height * height - width_cube - 2 * middle) % P
    return new_x, (height * (middle - new_x) - y1 * width_cube) % P, z1 * width % P


# The twist.

_B_TWIST = multiply_2((mpz(3), ZERO), invert_2(XI))


def read_twist_point(x: tuple[int, int], y: tuple[int, int]) -> TwistPoint | None:
    """Return the point with these coordinates, each (real, imaginary); raises NotOnCurve. Its order is not checked."""
    if max(*x, *y) >= P:
        raise NotOnCurve("a coordinate is not below the field's modulus")
    if not any((*x, *y)):
        return None
    point: TwistPoint = (mpz(x[0]), mpz(x[1])), (mpz(y[0]), mpz(y[1]))
    cube = multiply_2(multiply_2(point[0], point[0]), point[0])
    square = multiply_2(point[1], point[1])
    if square != ((cube[0] + _B_TWIST[0]) % P, (cube[1] + _B_TWIST[1]) % P):
        raise NotOnCurve("the point is not on the twist")
    return point


def _frobenius_of_point(point: TwistPoint) -> TwistPoint:
    (x0, x1), (y0, y1) = point
    return multiply_2((x0, -x1 % P), GAMMA[2]), multiply_2((y0, -y1 % P), GAMMA[3])


def _negative(point: TwistPoint) -> TwistPoint:
    x, (y0, y1) = point
    return x, (-y0 % P, -y1 % P)


def _slope_of_double(point: TwistPoint) -> Fp2:
    (x0, x1), (y0, y1) = point
    square = 3 * (x0 + x1) * (x0 - x1) % P, 6 * x0 * x1 % P
    return multiply_2(square, invert_2((2 * y0, 2 * y1)))


def _slope(left: TwistPoint, right: TwistPoint) -> Fp2:
    (ax, ay), (bx, by) = left, right
    return multiply_2((by[0] - ay[0], by[1] - ay[1]), invert_2((bx[0] - ax[0], bx[1] - ax[1])))


def _third(left: TwistPoint, right: TwistPoint, slope: Fp2) -> TwistPoint:
    """Return left + right, given the slope of the line through them."""
    (ax, ay), (bx, _) = left, right
    s0, s1 = slope
    x = ((s0 + s1) * (s0 - s1) - ax[0] - bx[0]) % P, (2 * s0 * s1 - ax[1] - bx[1]) % P
    y = multiply_2(slope, (ax[0] - x[0], ax[1] - x[1]))
    return x, ((y[0] - ay[0]) % P, (y[1] - ay[1]) % P)


def _line(slope: Fp2, point: TwistPoint, at: tuple[mpz, mpz]) -> mpz:
    """Return, packed, the line of this slope through a point, at a point of the curve:
    y - slope x w + (slope x' - y') w^3."""
    (x0, x1), (y0, y1) = point
    s0, s1 = slope
    x, y = at
    first1 = -s1 * x
    low, high = s0 * x0, s1 * x1
    third1 = ((s0 + s1) * (x0 + x1) - low - high - y1) % P
    third0 = low - high - y0
    return pack(
        [
            y,
            (-s0 * x - 9 * first1) % P,
            ZERO,
            (third0 - 9 * third1) % P,
            ZERO,
            ZERO,
            ZERO,
            first1 % P,
            ZERO,
            third1,
        ],
        SLOT_BITS,
    )


# The pairing.


def _signed_bits(number: int) -> list[int]:
    """Return the non-adjacent form, highest digit first."""
    digits = []
    while number:
        digit = 2 - number % 4 if number & 1 else 0
        digits.append(digit)
        number = (number - digit) >> 1
    return digits[::-1]


_LOOP = _signed_bits(6 * U + 2)[1:]


def _nothing() -> None:
    """The default of pairing_check's `check`."""


def pairing_check(pairs: Sequence[tuple[Point, TwistPoint | None]], check: Callable[[], None] = _nothing) -> bool:
    """Say whether the product of the pairings is one; raises NotOnCurve when a point of the twist has another order.

    check: called now and then, so that a caller can stop the work.
    """
    return final_exponentiation(miller(pairs, check)) == ONE_12


def miller(pairs: Sequence[tuple[Point, TwistPoint | None]], check: Callable[[], None] = _nothing) -> Fp12:
    """Return the product of the pairings before the final exponentiation."""
    work = [(at, point, _negative(point)) for at, point in pairs if point is not None]
    places = [point for _, point, _ in work]
    value = ONE_12
    try:
        for digit in _LOOP:
            packed = pack(value, SLOT_BITS)
            value = multiply_packed(packed, packed)
            for index, (at, point, negative) in enumerate(work):
                check()
                place = places[index]
                slope = _slope_of_double(place)
                if at is not None:
                    value = multiply_packed(pack(value, SLOT_BITS), _line(slope, place, at))
                place = _third(place, place, slope)
                if digit:
                    value, place = _step(value, place, point if digit > 0 else negative, at)
                places[index] = place
        for (at, point, _), place in zip(work, places, strict=True):
            check()
            first = _frobenius_of_point(point)
            second = _frobenius_of_point(first)
            value, place = _step(value, place, first, at)
            value, place = _step(value, place, _negative(second), at)
            if place != _negative(_frobenius_of_point(second)):
                raise NotOnCurve("the point of the twist is not in the group")
    except ZeroDivisionError:
        raise NotOnCurve("the point of the twist is not in the group") from None
    return value


def _step(value: Fp12, place: TwistPoint, other: TwistPoint, at: Point) -> tuple[Fp12, TwistPoint]:
    """Add a point and multiply by the line."""
    slope = _slope(place, other)
    if at is not None:
        value = multiply_packed(pack(value, SLOT_BITS), _line(slope, place, at))
    return value, _third(place, other, slope)
