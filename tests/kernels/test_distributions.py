"""The laws: exact or accurate values against the oracle."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import oracle
import pytest
from driver import core_fill
from oracle import TYPES, as_float

import fanin
from fanin import _core

FULL = ["float32", "float64"]
HALF = ["float16", "bfloat16"]
INF = math.inf
KEY = oracle.seed_key(11)


# ---- values, against the oracle ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (-3, 5), (0.1, 0.7), (-1e30, 2e30), (1, 1.0000001), (7, 7), (0, 1e-33), (0, 3e-310)],
)
def test_uniform_values_are_exact(isa, dtype, low, high):
    if dtype == "float16" and high > 1e5:
        low, high = -6e4, 5e4
    if low < high and oracle.nearest(Fraction(low), dtype) == oracle.nearest(Fraction(high), dtype):
        # No number of the dtype lies between: refused, and what a Generator returns is low.
        with pytest.raises(ValueError, match="round to one number"):
            fanin.uniform(320, low, high, seed=11, dtype=dtype)
        got = fanin.default_rng(11).uniform(low, high, 320, dtype=dtype)
        assert set(as_float(got).tolist()) == {float(oracle.nearest(Fraction(low), dtype))}
        return
    got = fanin.uniform(320, low, high, seed=11, dtype=dtype)
    assert as_float(got).tolist() == oracle.uniform(KEY, 0, 320, dtype, low, high)


# The value is rounded once (1/2 ulp). What is under the root has the errors of the logarithm (1.1
# units of 2^-24 of itself), the squared sine (2) and the product (1), each at its largest only
# where its significand is smallest; the root halves them, and such a unit is up to one ulp of the
# value: 2.6 at the very worst, above 2 once in 10^7 values (docs/numerics.md).
@pytest.mark.parametrize("dtype", FULL)
def test_normal_values_are_accurate(isa, dtype):
    got = fanin.normal(2000, seed=11, dtype=dtype)
    assert oracle.ulps(got, oracle.normal(KEY, 0, 2000, dtype), dtype).max() <= 2


def test_a_normal_is_loc_plus_scale_times_the_standard_one_rounded_once():
    loc, scale = np.float32(-0.3), np.float32(1.7)
    z = fanin.normal(300, seed=11)
    numbers = [[Fraction(float(x)) for x in (v, scale, loc)] for v in z]
    expected = [oracle.fma(*number, "float32") for number in numbers]
    assert fanin.normal(300, loc, scale, seed=11).tolist() == [float(v) for v in expected]


BOUNDS = [
    (-2, 2),
    (-1, 2),
    (0, 2),
    (-3, 3),
    (1, 4),
    (0, INF),
    (-INF, 1),
    (-INF, INF),
    (5, INF),
    (7.5, 9),
    (8.5, 9),
    (-INF, -1.5),
    (-INF, -7),
    (0.5, 0.5001),
    (-2.5, 1.9),
    (40, 41),
    (-13, -12),
    (37, INF),
    (1000, INF),
    (-1e6, -1e5),
]


def plan(low, high, dtype):
    return _core.debug.truncated_plan(low, high, dtype != "float64")


# 2 ulp, as for the inverse distribution functions (test_math.py); the limits are exact. Far out the
# growth is below 10 % of the radicand: root 1/2, product 1/2, the rest below 1.
@pytest.mark.parametrize("dtype", FULL)
@pytest.mark.parametrize(("low", "high"), BOUNDS)
def test_truncated_normal_values_are_accurate(dtype, low, high):
    law, shape = plan(low, high, dtype)
    count = 512
    words = oracle.value_words(KEY, 0, count, dtype)
    true = [oracle.TRUNCATED[law](word, shape, dtype) for word in words]
    true = [min(max(z, mpmath.mpf(low)), mpmath.mpf(high)) for z in true]
    got = fanin.truncated_normal(count, low=low, high=high, seed=11, dtype=dtype)
    assert oracle.ulps(got, true, dtype).max() <= 2


def test_the_constants_of_truncated_laws_are_accurate():
    # Each is a sum or difference of at most two tails that are good to 8 ulp.
    used = set()
    for low, high in BOUNDS:
        a, b = mpmath.mpf(low), mpmath.mpf(high)
        near, far = (a, b) if a > 0 or b > 0 else (-b, -a)
        mass = oracle.upper_tail(near) - oracle.upper_tail(far)
        law, shape = plan(low, high, "float64")
        used.add(law)
        if law == "truncated_two_sigma":
            middle = (mpmath.mpf(1) - oracle.upper_tail(a) - oracle.upper_tail(b)) / 2
            assert abs(shape[0] - middle) < 1e-16
            true, got = [mass / 2], [shape[1]]
        elif law == "truncated":
            true = [oracle.upper_tail(-a), oracle.upper_tail(b), mass]
            got = shape[:3]
        else:
            assert shape[0] == near and shape[4] == (1 if a > 0 else -1)
            ratio = oracle.upper_tail(far) / oracle.upper_tail(near)
            true, got = [1 - ratio], [shape[3]]
            assert abs(shape[2] - ratio) <= 16 * 2.3e-16 * max(ratio, mpmath.mpf("1e-300"))
        for exact, value in zip(true, got, strict=True):
            assert abs(value - exact) <= 16 * 2.3e-16 * exact
    assert used == set(oracle.TRUNCATED)


# Half of the logarithm's 2 ulp stay after its scaling by 1/2 is exact: 2 ulp.
@pytest.mark.parametrize("dtype", FULL)
@pytest.mark.parametrize(
    ("law", "arguments", "value"),
    [
        ("exponential", (0.0, 1.0), oracle.exponential_value),
        ("laplace", (0.0, 1.0), oracle.laplace_value),
    ],
)
def test_values_of_the_other_laws_are_accurate(isa, law, arguments, value, dtype):
    words = oracle.value_words(KEY, 0, 1000, dtype)
    true = [mpmath.mpf(value(word, dtype)) for word in words]
    got = core_fill(law, arguments, 1000, dtype, 11)
    assert oracle.ulps(got, true, dtype).max() <= 2


def test_every_law_of_the_core_is_checked_here():
    here = {"uniform", "uniform_narrow", "normal", "exponential", "laplace", *oracle.TRUNCATED}
    assert set(_core.debug.laws()) == here


@pytest.mark.parametrize("dtype", HALF)
def test_half_normals_are_the_rounded_float32_normals(isa, dtype):
    full = fanin.normal(100_003, 0.5, 3.0, seed=4)
    half = fanin.normal(100_003, 0.5, 3.0, seed=4, dtype=dtype)
    assert np.array_equal(half, full.astype(TYPES[dtype]))


@pytest.mark.parametrize("dtype", HALF)
def test_half_truncated_normals_are_rounded_and_then_limited(isa, dtype):
    # The bounds themselves are not representable, and the nearest number of either half lies
    # outside of them: the limits are the outermost values inside.
    low, high, scale = -1.939, 1.73, 0.02
    full = fanin.truncated_normal(100_003, 0.0, scale, low, high, seed=4)
    half = fanin.truncated_normal(100_003, 0.0, scale, low, high, seed=4, dtype=dtype)
    top = float(
        oracle.below(Fraction(scale * high) + oracle.spacing(Fraction(scale * high), dtype), dtype)
    )
    while top > scale * high:
        top = float(oracle.below(Fraction(top), dtype))
    bottom = -top
    step = float(oracle.spacing(Fraction(scale * low), dtype))
    while bottom - step >= scale * low:
        bottom -= step
    while bottom < scale * low:
        bottom += step
    expected = np.clip(as_float(full.astype(TYPES[dtype])), bottom, top)
    assert np.array_equal(as_float(half), expected)
    assert half.min() == bottom and half.max() == top
    free = as_float(full.astype(TYPES[dtype]))
    assert free.min() < bottom and free.max() > top


def test_the_largest_normals_are_the_documented_ones():
    # Word 0 with low bits 0: u = 2^-9 words: sqrt(-2 log 2^-41) = 7.54 and sqrt(-2 log 2^-73) =
    # 10.06.
    for dtype, bits, largest in (("float32", 32, 7.54), ("float64", 64, 10.06)):
        cosine, _ = oracle.normal_pair(0, 0, dtype)
        assert math.isclose(cosine, largest, abs_tol=0.005)
        assert math.isclose(cosine, math.sqrt(2 * (bits + 9) * math.log(2)), rel_tol=1e-7)
        assert oracle.normal_pair(2**bits - 1, 0, dtype)[0] < 1e-3  # and the largest word: near 0


@pytest.mark.parametrize("dtype", FULL)
def test_the_ends_of_the_unit_interval_are_the_documented_ones(dtype):
    bits, digits = (32, 24) if dtype == "float32" else (64, 53)
    for word in (0, 1, 2 ** (bits - digits) - 1):
        assert oracle.unit(word, dtype) == 0
    for word in (2**bits - 1, 2**bits - 2 ** (bits - digits)):
        assert oracle.unit(word, dtype) == 1 - Fraction(1, 2**digits)
    assert oracle.unit(2 ** (bits - 1), dtype) == Fraction(1, 2)


#: Addresses of the first 2^32 words of seed 11 where the word is extreme, found by reading them
# all:
#: 1, 1, 3, 6, 10 as the radius of a normal, 1 more as an angle, and the three largest, 2^32 - 2.
EXTREME = [789648073, 1659455429, 3281806254, 363402991, 283181962, 3567847295]
EXTREME += [4253234141, 2846640300, 932076731]


@pytest.mark.parametrize("address", EXTREME)
def test_extreme_words_give_the_right_values(isa, address):
    (word,) = oracle.value_words(KEY, address, 1, "float32")
    assert word <= 10 or word == 2**32 - 2
    part = {"seed": 11, "index": address}
    assert fanin.random(2**33, **part) == float(oracle.unit(word, "float32")) < 1
    assert fanin.uniform(2**33, -2, 3, **part) == float(
        oracle.uniform_value(word, -2, 3, "float32")
    )
    z = fanin.normal(2**33, **part)
    assert oracle.ulps([z], oracle.normal(KEY, address, 1, "float32"), "float32") <= 2
    for low, high in [(-2, 2), (-3, 3), (0, INF), (5, INF), (-INF, -7), (40, INF)]:
        law, shape = plan(low, high, "float32")
        true = oracle.TRUNCATED[law](word, shape, "float32")
        true = min(max(true, mpmath.mpf(low)), mpmath.mpf(high))
        z = fanin.truncated_normal(2**33, low=low, high=high, **part)
        assert oracle.ulps([z], [true], "float32") <= 2


def test_the_radius_keeps_bits_below_its_word():
    # Word 1: -2 log of (1 + b / 256 + 1 / 512) / 2^32 is between 6.56 and 6.66 squared; without
    # the bits of the angle word every such radius would be the same.
    tails = []
    for address in EXTREME[:2]:
        partner = address + 16
        pair = [float(fanin.normal(2**33, seed=11, index=a)) for a in (address, partner)]
        tails.append(math.hypot(*pair))
    assert all(6.55 < tail < 6.67 for tail in tails) and abs(tails[0] - tails[1]) > 1e-3
