"""Our alt_bn128 against py_ecc's, which the execution specs use, and the argument that its membership test rests on."""

from __future__ import annotations

import math

import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st
from py_ecc import optimized_bn128 as reference

from adapters.ethereum import bn254
from adapters.ethereum import bn254_fields as fields
from adapters.ethereum.bn254 import NotOnCurve, Point

P, R, U = int(bn254.P), int(bn254.R), bn254.U
TRACE = P + 1 - R
SCALARS = st.one_of(st.integers(0, 2**256 - 1), st.integers(0, 20), st.integers(R - 10, R + 10))


def theirs(point: Point) -> tuple[int, int] | None:
    return None if point is None else (int(point[0]), int(point[1]))


def multiple(scalar: int) -> tuple[int, int] | None:
    point = reference.multiply(reference.G1, scalar)
    if reference.is_inf(point):
        return None
    x, y = reference.normalize(point)
    return int(x), int(y)


def ours(scalar: int) -> Point:
    found = multiple(scalar % R)
    return None if found is None else bn254.read_point(*found)


def twisted(scalar: int) -> bn254.TwistPoint | None:
    x, y = reference.normalize(reference.multiply(reference.G2, scalar))
    return bn254.read_twist_point(tuple(map(int, x.coeffs)), tuple(map(int, y.coeffs)))


def outside_the_group() -> bn254.TwistPoint:
    """Return a point of the twist whose order is not R: nearly all are."""
    for number in range(1, 100):
        x = (mpz(number), mpz(1))
        cube = fields.multiply_2(fields.multiply_2(x, x), x)
        square = (cube[0] + bn254._B_TWIST[0]) % P, (cube[1] + bn254._B_TWIST[1]) % P
        # A root by Adj and Rodriguez-Henriquez; P is 3 modulo 4.
        first = fields.power_2(square, (P - 3) // 4)
        alpha = fields.multiply_2(fields.multiply_2(first, first), square)
        root = fields.multiply_2(first, square)
        if alpha == (P - 1, 0):
            y = (-root[1] % P, root[0])
        else:
            y = fields.multiply_2(fields.power_2(((alpha[0] + 1) % P, alpha[1]), (P - 1) // 2), root)
        if fields.multiply_2(y, y) == square:
            return x, y
    raise AssertionError("no point found")


def test_the_curve_is_the_one_of_eip_196() -> None:
    assert (reference.field_modulus, reference.curve_order) == (P, R)
    assert TRACE == 6 * U * U + 1


def test_the_membership_test_admits_only_the_group() -> None:
    """f = the polynomial of the loop's remainder, chi = f^2 - tf + p: their resultant kills whatever passes."""
    # X^2 = tX - p and X^3 = (t^2 - p)X - tp modulo chi.
    constant = 6 * U + 2 + P - TRACE * P
    linear = 1 - TRACE + TRACE * TRACE - P
    resultant = constant**2 + constant * linear * TRACE + linear**2 * P
    order_of_twist = R * (2 * P - R)
    assert math.gcd(resultant, order_of_twist) == R


def test_the_twist_has_the_order_that_this_rests_on() -> None:
    (x, y) = outside_the_group()
    point = reference.FQ2([int(x[0]), int(x[1])]), reference.FQ2([int(y[0]), int(y[1])]), reference.FQ2.one()
    assert reference.is_on_curve(point, reference.b2)
    assert not reference.is_inf(reference.multiply(point, R))
    assert reference.is_inf(reference.multiply(point, R * (2 * P - R)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, R - 1), SCALARS)
def test_multiply(point: int, scalar: int) -> None:
    assert theirs(bn254.multiply(ours(point), scalar)) == multiple(point * scalar % R)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, R - 1), st.integers(0, R - 1))
def test_add(left: int, right: int) -> None:
    assert theirs(bn254.add(ours(left), ours(right))) == multiple((left + right) % R)


def test_add_of_the_same_and_the_opposite() -> None:
    assert theirs(bn254.add(ours(5), ours(5))) == multiple(10)
    assert bn254.add(ours(5), ours(R - 5)) is None
    assert theirs(bn254.add(None, ours(5))) == theirs(bn254.add(ours(5), None)) == multiple(5)
    assert bn254.add(None, None) is None


@pytest.mark.parametrize(("x", "y"), [(1, 3), (P, 0), (0, P), (P + 1, 2), (1, P + 2), (0, 1)])
def test_coordinates_that_are_no_point(x: int, y: int) -> None:
    with pytest.raises(NotOnCurve):
        bn254.read_point(x, y)


@pytest.mark.parametrize("changed", range(4))
def test_coordinates_that_are_no_point_of_the_twist(changed: int) -> None:
    generator = twisted(1)
    assert generator is not None
    for value in (P, 12345):
        coordinates = [int(one) for pair in generator for one in pair]
        coordinates[changed] = value if value != P else coordinates[changed] + P
        with pytest.raises(NotOnCurve):
            bn254.read_twist_point((coordinates[0], coordinates[1]), (coordinates[2], coordinates[3]))


def test_a_pairing_is_py_eccs() -> None:
    found = fields.final_exponentiation(bn254.miller([(ours(5), twisted(7))]))
    expected = reference.pairing(reference.multiply(reference.G2, 7), reference.multiply(reference.G1, 5))
    assert [int(one) for one in found] == [int(one) for one in expected.coeffs]


@settings(max_examples=15, deadline=None)
@given(st.integers(1, R - 1), st.integers(1, R - 1), st.integers(0, 1))
def test_a_product_of_pairings(first: int, second: int, wrong: int) -> None:
    pairs = [(ours(first), twisted(second)), (ours(-first * second + wrong), twisted(1))]
    assert bn254.pairing_check(pairs) is (wrong == 0)


def test_points_at_infinity_pair_to_one() -> None:
    assert bn254.pairing_check([])
    assert bn254.pairing_check([(None, twisted(3)), (ours(3), None), (None, None)])
    assert not bn254.pairing_check([(None, twisted(3)), (ours(3), twisted(1))])


@pytest.mark.parametrize("with_point", [True, False])
def test_a_point_of_the_twist_with_another_order_is_refused(with_point: bool) -> None:
    at = ours(3) if with_point else None
    with pytest.raises(NotOnCurve, match="not in the group"):
        bn254.pairing_check([(ours(1), twisted(2)), (at, outside_the_group())])


def test_the_check_is_asked_while_it_works() -> None:
    class Stop(Exception):
        pass

    def stop() -> None:
        raise Stop

    with pytest.raises(Stop):
        bn254.pairing_check([(ours(3), twisted(3))], stop)


def test_inverse_and_frobenius() -> None:
    value = bn254.miller([(ours(2), twisted(3))])
    assert fields.multiply_12(value, fields.invert_12(value)) == fields.ONE_12
    power = fields.ONE_12
    for bit in bin(P)[2:]:
        power = fields.square_12(power)
        if bit == "1":
            power = fields.multiply_12(power, value)
    assert power == fields.frobenius_12(value)
