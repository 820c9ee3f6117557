"""The elementary functions and the roundings, against mpmath and integer arithmetic.

The bounds are those that cpp/kernels states on each function: 2 ulp for logarithm and inverse
distribution functions, 1 ulp for sine and cosine. Where those of float32 come from:
  sine, cosine    one rounding of the sum (1/2), the rest below a quarter of it: 1
  squared sine    t^2 is rounded (times pi^2/4: pi^2/16 of an ulp of the result, 0.62), the sum is
                  rounded (1/2), the rest is below a quarter of it and costs three roundings: 1.5
  within 2 sigma  z = slope v + bend, rounded once (1/2); the bend is at most 0.4 z and costs about
                  4 roundings, in float32 never more than 2 in all
  upper half      z = P/2 - m P, rounded once (1/2); P is rounded once, which counts up to twice as
                  much where z lies at the end of a binade (1), and follows the logarithm's last
                  rounding with less than half its size (1/2): 2
"""

import math
from fractions import Fraction

import ml_dtypes
import mpmath
import numpy as np
import oracle
import pytest
from scipy import special

from fanin import _core

POINTS = 1500
TWO_SIGMA = 0.477249  # a little less than Phi(2) - 1/2


def uniform(low, high):
    return lambda rng, count=POINTS: rng.uniform(low, high, count)


def powers(low, high):
    """Numbers whose exponents are uniform."""
    return lambda rng, count=POINTS: np.exp2(rng.uniform(low, high, count))


def quarter(function):
    return lambda t: function(t * mpmath.pi / 2)


def sine_square(t):
    return quarter(mpmath.sin)(t) ** 2


def mills(x):
    if x > 1e4:  # the asymptotic series, to x**-9 relative: below 1e-35
        return sum((-1) ** n * mpmath.fac2(2 * n - 1) / x ** (2 * n + 1) for n in range(5))
    return oracle.upper_tail(x) / mpmath.npdf(x)


def quantile_from_median(v):
    return -oracle.upper_quantile(mpmath.mpf(1) / 2 + v)


# function, dtype, where, truth, largest error in ulp
TABLE = [
    ("log", "float32", powers(-126, 127), mpmath.log, 2),
    ("log", "float32", uniform(0.5, 2), mpmath.log, 2),
    ("log", "float64", powers(-1022, 1023), mpmath.log, 2),
    ("log", "float64", uniform(0.5, 2), mpmath.log, 2),
    ("sine_square_quarter", "float32", uniform(-0.5, 0.5), sine_square, 1.5),
    ("sine_square_quarter", "float32", powers(-60, -1), sine_square, 1.5),
    ("sine_square_quarter", "float64", uniform(-0.5, 0.5), sine_square, 1.5),
    ("sine_square_quarter", "float64", powers(-60, -1), sine_square, 1.5),
    ("sin_quarter", "float64", uniform(-0.5, 0.5), quarter(mpmath.sin), 1),
    ("sin_quarter", "float64", powers(-60, -1), quarter(mpmath.sin), 1),
    ("cos_quarter", "float64", uniform(-0.5, 0.5), quarter(mpmath.cos), 1),
    ("ndtri_two_sigma", "float32", uniform(-TWO_SIGMA, TWO_SIGMA), quantile_from_median, 2),
    ("ndtri_two_sigma", "float32", powers(-60, -2), quantile_from_median, 2),
    ("ndtri_two_sigma", "float64", uniform(-TWO_SIGMA, TWO_SIGMA), quantile_from_median, 2),
    ("ndtri_two_sigma", "float64", powers(-60, -2), quantile_from_median, 2),
    ("ndtri_upper", "float32", uniform(0.01, 0.5), oracle.upper_quantile, 2),
    ("ndtri_upper", "float32", powers(-88, -3), oracle.upper_quantile, 2),
    ("ndtri_upper", "float64", uniform(0.01, 0.5), oracle.upper_quantile, 2),
    ("ndtri_upper", "float64", powers(-46, -3), oracle.upper_quantile, 2),
    ("ndtri_upper", "float64", powers(-1022, -46), oracle.upper_quantile, 2),
    ("exp", "float64", uniform(-708, 709), mpmath.exp, 1),
    ("exp", "float64", uniform(-1, 1), mpmath.exp, 1),
    ("exp", "float64", uniform(-744, -708), mpmath.exp, 1),
    ("mills", "float64", uniform(0, 40), mills, 4),
    ("mills", "float64", powers(-40, 900), mills, 4),
    ("ndtr_upper", "float64", uniform(0, 37), oracle.upper_tail, 8),
]
LABELS = [f"{row[0]}-{row[1]}-{place}" for place, row in enumerate(TABLE)]


@pytest.mark.parametrize(("name", "dtype", "where", "truth", "bound"), TABLE, ids=LABELS)
def test_functions_are_accurate(name, dtype, where, truth, bound):
    x = where(np.random.default_rng(len(name))).astype(dtype)
    got = _core.debug.apply(name, x)
    errors = oracle.ulps(got, [truth(mpmath.mpf(float(value))) for value in x], dtype)
    assert errors.max() <= bound, f"{errors.max():.2f} ulp at {x[errors.argmax()]!r}"


# A million points in float32; the truth in float64 is off by 2^-28 of its ulp.
MANY = [
    ("log", uniform(0.5, 2), np.log, 2),
    ("log", powers(-126, 127), np.log, 2),
    ("sine_square_quarter", uniform(-0.5, 0.5), lambda t: np.sin(t * np.pi / 2) ** 2, 1.5),
    ("ndtri_two_sigma", uniform(0.001, TWO_SIGMA), lambda v: -special.ndtri(0.5 - v), 2),
    ("ndtri_upper", uniform(0.125, 0.49), lambda m: -special.ndtri(m), 2),
    ("ndtri_upper", uniform(0.02, 0.125), lambda m: -special.ndtri(m), 2),
    ("ndtri_upper", powers(-88, -3), lambda m: -special.ndtri(m), 2),
]


@pytest.mark.parametrize(("name", "where", "truth", "bound"), MANY, ids=[row[0] for row in MANY])
def test_float32_functions_are_accurate_at_a_million_points(name, where, truth, bound):
    x = where(np.random.default_rng(2), 1_000_000).astype(np.float32)
    true = truth(x.astype(np.float64))
    errors = np.abs(_core.debug.apply(name, x) - true) / np.spacing(np.abs(true).astype(np.float32))
    assert errors.max() <= bound, f"{errors.max():.2f} ulp at {x[errors.argmax()]!r}"


def test_every_function_has_a_row():
    assert {row[0] for row in TABLE} == set(_core.debug.functions())


# The arguments that the extreme words lead to.
EXACT = [
    ("log", 1.0, 0.0),
    ("sine_square_quarter", 0.0, 0.0),
    ("ndtri_two_sigma", 0.0, 0.0),
    ("ndtri_upper", 0.5, 0.0),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "x", "value"), EXACT)
def test_exact_points_are_exact(isa, name, x, value, dtype):
    assert _core.debug.apply(name, np.array([x], dtype))[0] == value


@pytest.mark.parametrize("row", TABLE, ids=LABELS)
def test_functions_have_the_same_bits_on_every_isa(isa, row):
    name, dtype, where, *_ = row
    x = where(np.random.default_rng(1)).astype(dtype)
    here = _core.debug.apply(name, x)
    _core.debug.set_isa("baseline")
    assert here.tobytes() == _core.debug.apply(name, x).tobytes()


@pytest.mark.parametrize("name", ["log", "exp"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 15, 16, 17, 33])
def test_the_rest_after_whole_vectors_is_computed_too(isa, name, count):
    x = np.linspace(0.25, 9, count)
    together = _core.debug.apply(name, x)
    assert together.tolist() == [_core.debug.apply(name, x[i : i + 1])[0] for i in range(count)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inverse_distribution_functions_rise(dtype):
    # The grid is much coarser than the error bounds, so every step must be a step forward.
    v = np.linspace(-TWO_SIGMA, TWO_SIGMA, 100_001).astype(dtype)
    assert (np.diff(_core.debug.apply("ndtri_two_sigma", v)) > 0).all()
    m = np.geomspace(1e-26, 0.5, 100_001).astype(dtype)
    z = _core.debug.apply("ndtri_upper", m)
    assert (np.diff(z) < 0).all()
    assert math.isclose(z[0], oracle.upper_quantile(mpmath.mpf(float(m[0]))), rel_tol=1e-6)
    assert z[-1] == 0


def test_log_of_the_smallest_probabilities_is_right():
    # 2^-33 and 2^-65: the first words of the float32 and float64 tails.
    for dtype, power in (("float32", -33), ("float64", -65)):
        got = _core.debug.apply("log", np.array([2.0**power], dtype))[0]
        assert math.isclose(got, power * math.log(2), rel_tol=2 * np.finfo(dtype).eps)


# ---- contraction ---------------------------------------------------------------------------------


def test_the_compiler_forms_no_fused_product(isa):
    # (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: the product rounds (a tie, to even) to 1 + 2^-11, so the
    # plain
    # sum is exactly 0 and the fused one 2^-24.
    a, c = 1 + 2**-12, -(1 + 2**-11)
    assert a * a + c == 2.0**-24
    assert _core.debug.contraction(a, a, c) == 0.0


# ---- half types ----------------------------------------------------------------------------------

TYPES = {"float16": np.dtype(np.float16), "bfloat16": np.dtype(ml_dtypes.bfloat16)}
#: lower half words around the ties of both types
LOWER = [0, 1, 2, 0xFFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x3001, 0x7FFF, 0x8000, 0x8001, 0xFFFF]


def half_patterns():
    """Every upper half word with some lower ones, as float32."""
    upper = np.arange(2**16, dtype=np.uint32)[:, None] << 16
    return (upper | np.array(LOWER, np.uint32)).reshape(-1).view(np.float32)


@pytest.mark.parametrize("dtype", TYPES)
def test_halves_are_rounded_to_nearest_even(isa, dtype):
    x = half_patterns()
    x = x[~np.isnan(x)]
    with np.errstate(over="ignore"):
        expected = x.astype(TYPES[dtype])
    assert np.array_equal(_core.debug.to_half(x, dtype), expected.view(np.uint16))


@pytest.mark.parametrize("dtype", TYPES)
def test_halves_keep_the_sign_and_payload_of_nan(isa, dtype):
    payload_bits, top = (10, 0x7C00) if dtype == "float16" else (7, 0x7F80)
    x = half_patterns()
    x = x[np.isnan(x)]
    bits = x.view(np.uint32)
    kept = (bits >> (23 - payload_bits)) & ((1 << payload_bits) - 1)
    quiet = 1 << (payload_bits - 1)
    expected = (bits >> 31 << 15) | top | kept | quiet
    assert np.array_equal(_core.debug.to_half(x, dtype), expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_halves_agree_with_exact_rounding(isa, dtype):
    rng = np.random.default_rng(3)
    x = (rng.standard_normal(3000) * np.exp2(rng.integers(-30, 13, 3000))).astype(np.float32)
    got = _core.debug.to_half(x, dtype).view(TYPES[dtype])
    expected = [float(oracle.nearest(Fraction(float(value)), dtype)) for value in x]
    assert got.astype(np.float64).tolist() == expected


@pytest.mark.long
@pytest.mark.parametrize("dtype", TYPES)
def test_every_float32_is_rounded_to_nearest_even(isa, dtype):
    size = 1 << 24
    for first in range(0, 1 << 32, size):
        x = np.arange(first, first + size, dtype=np.uint32).view(np.float32)
        got = _core.debug.to_half(x, dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            expected = x.astype(TYPES[dtype])
        wrong = got != expected.view(np.uint16)
        if (
            wrong.any()
        ):  # other libraries may choose the bits of NaN; only there may anything differ
            assert np.isnan(x[wrong]).all()
            exponent = 0x7C00 if dtype == "float16" else 0x7F80
            assert ((got[wrong] & 0x7FFF) > exponent).all()
