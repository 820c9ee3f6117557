"""Variances from the smallest double to the largest: the same digits and the same cost."""

from __future__ import annotations

import time
import warnings

import activations_truth
import mpmath as mp
import numpy as np
import pytest

import fanin

p = fanin.propagation
NAMES = [name for name in fanin.activations() if name not in ("step", "sign")]
# Neither closed forms nor oscillating.
BY_QUADRATURE = {
    "tanh": (np.tanh, ()),
    "sigmoid": (lambda x: 0.5 * (1 + np.tanh(0.5 * x)), ()),
    "silu": (lambda x: x * 0.5 * (1 + np.tanh(0.5 * x)), ()),
    "mish": (lambda x: x * np.tanh(np.logaddexp(0, x)), ()),
    "softplus": (lambda x: np.logaddexp(0, x), ()),
    "gelu_tanh": (
        lambda x: x * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        (),
    ),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), (0.0,)),
    "hardtanh": (lambda x: np.clip(x, -1, 1), (-1.0, 1.0)),
    "relu6": (lambda x: np.clip(x, 0, 6), (0.0, 6.0)),
    "hardswish": (lambda x: x * np.clip(x + 3, 0, 6) / 6, (-3.0, 3.0)),
    "softsign": (lambda x: x / (1 + np.abs(x)), (0.0,)),
    "atan": (np.arctan, ()),
}
LEGENDRE = np.polynomial.legendre.leggauss(20)


def panels(deviation, widest, kinks):
    """Nodes within 9.5 deviations: a unit long at 0, half their distance further out."""
    ends, at = [0.0], 0.0
    while at < 9.5 * deviation:
        at += min(widest, max(1.0, 0.5 * at))
        ends.append(at)
    ends = np.unique([*ends, *(-np.array(ends)), *kinks])
    half, middle = np.diff(ends)[:, None] / 2, (ends[1:] + ends[:-1])[:, None] / 2
    return (middle + half * LEGENDRE[0]).ravel(), (half * LEGENDRE[1]).ravel()


def product_rule(phi, kinks, q1, q2, c):
    """E phi(u) phi(v) over (u, v) with the joint density."""
    narrow = np.sqrt(1 - c * c)
    (u, wu), (v, wv) = (panels(np.sqrt(q), narrow * np.sqrt(q), kinks) for q in (q1, q2))
    a, b = u / np.sqrt(q1), v / np.sqrt(q2)
    quadratic = (a[:, None] - c * b) ** 2 / (narrow * narrow) + b * b
    density = np.exp(-quadratic / 2) / (2 * np.pi * narrow * np.sqrt(q1 * q2))
    with np.errstate(over="ignore"):
        return (wu * phi(u)) @ density @ (wv * phi(v))


@pytest.mark.parametrize("name", BY_QUADRATURE)
@pytest.mark.parametrize("q", [70.0, 1e4, 1e12])
def test_covariances_of_large_variances_agree_with_a_product_rule(name, q):
    phi, kinks = BY_QUADRATURE[name]
    for other, c in ((q, 0.3), (q, 0.9), (q, -0.8), (3 * q, 0.7), (3 * q, -0.6)):
        true = product_rule(phi, kinks, q, other, c)
        got = float(p.covariance(q, other, c, name))
        bound = float(np.sqrt(p.moments(q, name).second * p.moments(other, name).second))
        # The promise; the rule's sums of 1e6 terms are good to 1e-13 of the bound.
        assert abs(got - true) <= 1e-12 * bound, (other, c)


def test_neighbours_of_a_large_variance_differ_as_a_formula_says():
    # The integral of (tanh(s + d/2) - tanh(s - d/2))^2 over s is 4 (d coth d - 1), the density of
    # s is 1/sqrt(2 pi q) throughout, and d ~ N(0, 2 q delta).
    for q in (1e31, 1e60, 1e200, 1e300):
        for square in (1e-6, 0.3, 7.0):
            z, weight = np.polynomial.hermite_e.hermegauss(150)
            d = np.sqrt(square) * z
            with np.errstate(invalid="ignore"):
                shape = np.where(np.abs(d) < 1e-2, d * d / 3 - d**4 / 45, d / np.tanh(d) - 1)
            half = 2 * (shape @ weight) / weight.sum() / np.sqrt(2 * np.pi * q)
            got = float(p.one_minus_correlation_map(square / (2 * q), q, "tanh", weight_var=1.0))
            # Hermite's rule sees the poles of coth at i pi: its 150 nodes are good to 2e-12.
            assert got == pytest.approx(half, rel=1e-11), (q, square)


@pytest.mark.parametrize("q", [1e32, 1e100, 1e300])
def test_signals_without_bound_see_the_tails_only(q):
    c = np.array([-0.9, -0.2, 0.4, 0.7, 0.999])
    for like, names in {
        "sign": ["tanh", "erf", "hardtanh", "softsign", "atan"],
        "relu": ["silu", "gelu", "mish", "softplus", "hardswish", "elu"],
        "step": ["sigmoid", "hardsigmoid", "relu6"],
    }.items():
        true = p.correlation_map(c, 1.0, like, weight_var=1.0)
        for name in names:
            got = p.correlation_map(c, q, name, weight_var=1.0)
            # log(r)/r at r = sqrt(q), for softsign and atan
            assert np.abs(got - true).max() <= 1e-13, name


@pytest.mark.parametrize("name", NAMES)
def test_maps_go_on_beyond_the_tables_as_within(name):
    if name in ("exp", "sin", "cos", "gaussian", "squared_relu"):
        return  # they overflow, or tend to 0
    for edge in (2.0**-112, 2.0**105):
        for c in (-0.7, 0.3, 0.8):
            near, far = (
                p.correlation_map(c, edge * x, name, weight_var=1.0) for x in (1 - 2**-50, 1)
            )
            assert float(near) == pytest.approx(float(far), rel=1e-12), (edge, c)


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_vanishing_signals_keep_their_correlation_to_the_smallest_double(name):
    # Far below 1 a layer is linear: q falls to a quarter, correlations change no more.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        passed = p.propagate(name, 500, weight_var=1.0, c0=0.5)
    assert passed.q[-1] < 1e-300  # and not 0 from 1e-215 on, where squares underflow
    assert np.allclose(passed.q[61:] / passed.q[60:-1], 0.25, rtol=1e-12, atol=0)
    assert np.ptp(passed.c[60:]) < 1e-11


@pytest.mark.parametrize("name", ["sigmoid", "softplus", "hardsigmoid", "silu", "tanh", "elu"])
@pytest.mark.parametrize("q", [1e-30, 1e-24, 1e-21, 1e-14])
def test_covariances_of_slopes_keep_their_digits_at_tiny_variances(name, q):
    # Within abs c <= 1/2 they come from Hermite's series of phi, where phi(0) hides the rest.
    slope, step = activations_truth.TRUTH[name][1], mp.mpf("1e-20")
    with mp.workdps(50):
        left, right = slope(-step), slope(step)
        bends = [float((slope(2 * x) - slope(x)) / x) for x in (-step, step)]
    # The next terms: of order q, or sqrt(q) where phi'' jumps.
    rest = 4 * q if abs(bends[0] - bends[1]) < 1e-9 else 4 * max(map(abs, bends)) * np.sqrt(q)
    for c in (-0.4, 0.0, 0.3):
        alike = 0.25 + mp.asin(c) / (2 * mp.pi)  # that both are positive
        true = float((left**2 + right**2) * alike + 2 * left * right * (0.5 - alike))
        got = float(p.slope_covariance(q, q, c, name))
        assert abs(got / true - 1) <= 1e-12 + rest, c


def test_moments_of_tiny_variances_do_not_underflow_before_the_doubles_end():
    q = np.array([1e-30, 1e-100, 1e-220, 1e-300, 5e-324])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.allclose(p.moments(q, "tanh").second, q, rtol=1e-12, atol=0)
        assert np.allclose(p.moments(q, "silu").second, q / 4, rtol=1e-12, atol=5e-324)
        assert np.allclose(p.moments(q, "sigmoid").second, 0.25, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_maps_at_variance_zero_and_infinity_are_limits(name):
    # Against the far end of float64, where they have been reached to 1e-12; not where the signal
    # overflows on its way.
    c = np.array([-0.9, -0.2, 0.0, 0.4, 0.7, 0.999])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for end, near in ((np.inf, 1e300), (0.0, 1e-300)):
            there, before = p.moments(end, name), p.moments(near, name)
            for field in ("mean", "second", "slope_second", "slope_fourth"):
                limit, value = (float(getattr(m, field)) for m in (there, before))
                grows = end == np.inf and abs(value) > 1e100
                falls = abs(value) < 1e-70
                expected = np.copysign(np.inf, value) if grows else 0.0 if falls else value
                assert limit == pytest.approx(expected, rel=1e-12), (field, end)
            finite = float(before.second) < np.inf
            if finite:
                at_end = p.correlation_map(c, end, name, weight_var=1.5)
                inner = 1e-100 if near < 1 else 2.0**100  # squares stay numbers
                at_near = p.correlation_map(c, inner, name, weight_var=1.5)
                assert np.allclose(at_end, at_near, rtol=0, atol=1e-12), end
                apart = p.one_minus_correlation_map(1 - c, end, name, weight_var=1.5)
                assert np.allclose(apart, 1 - at_end, rtol=0, atol=1e-12), end
            passed = p.propagate(name, 5, weight_var=1.5, q0=end, c0=0.3)
            assert not np.isnan(passed.q).any() and not np.isnan(passed.chi).any()
            if finite and name != "exp":  # it overflows on its way
                assert not np.isnan(passed.c).any()


def test_tiny_distances_at_an_infinite_variance_are_distances_of_signs():
    for delta in (1e-3, 1e-30, 1e-250):
        got = float(p.one_minus_correlation_map(delta, np.inf, "tanh", weight_var=1.0))
        # 1 - (2/pi) asin(1 - delta)
        assert got == pytest.approx(2 / np.pi * np.sqrt(2 * delta) * (1 + delta / 12), rel=1e-6)
    assert float(p.one_minus_correlation_map(0.0, np.inf, "tanh", weight_var=1.0)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_equal_variances_far_from_1_are_their_neighbours(name):
    # Of equal variances there are polynomials, of others a quadrature for each point.
    numbers = np.random.default_rng(5)
    for q, apart in zip(
        10 ** numbers.uniform(-12, 12, 40), 10 ** numbers.uniform(-9, -0.31, 40), strict=True
    ):
        for c in (1 - apart, apart - 1):
            size, slopes = (
                float(getattr(p.moments(q, name), of)) for of in ("second", "slope_second")
            )
            beside = np.nextafter(q, np.inf)
            got, true = (float(p.covariance(q, other, c, name)) for other in (q, beside))
            assert got == true or abs(got - true) <= 1e-12 * size, (q, c)  # exp's are inf
            got, true = (float(p.slope_covariance(q, other, c, name)) for other in (q, beside))
            assert got == true or abs(got - true) <= 1e-12 * slopes, (q, c)


@pytest.mark.parametrize("name", ["sigmoid", "hardsigmoid", "tanh"])
def test_slopes_of_opposite_inputs_keep_their_digits(name):
    # phi' is even, and 1 + c is known as well as 1 - c.
    for q, apart in ((3e6, 6e-7), (1.1e11, 3.5e-9), (1e12, 1e-11)):
        there, here = (float(p.slope_covariance(q, q, c, name)) for c in (apart - 1, 1 - apart))
        assert there == pytest.approx(here, rel=1e-12), (q, apart)


def test_a_lane_that_runs_away_alone_is_the_same_lane_in_a_batch():
    weight = np.array([0.4, 1.0, 2.0, 3.0, 7.9, 8.0, 8.1, 30.0])
    for name in ("silu", "elu", "sigmoid"):
        together = p.propagate(fanin.Activation(name), 40, weight_var=weight, c0=0.6)
        for lane, one in enumerate(weight):
            alone = p.propagate(fanin.Activation(name), 40, weight_var=one, c0=0.6)
            for field in ("q", "c", "one_minus_c"):
                got, true = (getattr(x, field) for x in (together, alone))
                assert got[lane].tobytes() == true.tobytes(), (name, one, field)


def least_times(calls, enough):
    """The least time of each call, all in turn until `enough(times)`, from 2 to 12 rounds."""
    times = [np.inf] * len(calls)
    for number in range(12):
        for i, call in enumerate(calls):
            start = time.perf_counter()
            call()
            times[i] = min(times[i], time.perf_counter() - start)
        if number > 0 and enough(times):
            break
    return times


@pytest.mark.timing
@pytest.mark.parametrize("name", NAMES)
def test_no_variance_costs_more_than_three_times_the_variance_one(name):
    fanin.runtime.set_threads(1)
    variances = [1.0, 1e-300, 1e-100, 1e-20, 1e-6, 30.0, 1e3, 1e6, 1e12, 1e30, 1e100, 1e300]
    c = np.linspace(-0.9, 0.99, 8)
    calls = {
        "moments": lambda q, phi: p.moments(q, phi),
        "covariance": lambda q, phi: p.covariance(q, q, 0.9, phi),
        "covariance of two": lambda q, phi: p.covariance(q, 2 * q, 0.9, phi),
        "correlation": lambda q, phi: p.correlation_map(c, q, phi, weight_var=1.0),
        "difference": lambda q, phi: p.one_minus_correlation_map(0.1, q, phi, weight_var=1.0),
        "layers": lambda q, phi: p.propagate(phi, 100, weight_var=1.0, q0=q).q,
    }
    # A quarter of a millisecond covers what Python does around a call.

    def within(times):
        return max(times[1:]) <= 3 * times[0] + 2.5e-4

    for what, call in calls.items():
        # First a new activation, whose tables are not made yet; then one that has them.
        fresh = [lambda q=q, call=call: call(q, fanin.Activation(name)) for q in variances]
        known = [lambda q=q, call=call: call(q, name) for q in variances]
        for way, timed in (("fresh", fresh), ("known", known)):
            times = least_times(timed, within)
            assert within(times), (what, way, dict(zip(variances, times, strict=True)))


@pytest.mark.timing
@pytest.mark.parametrize("name", ["silu", "elu", "softplus", "gelu_tanh"])
def test_layers_that_run_away_cost_no_table_each(name):
    fanin.runtime.set_threads(1)

    def layers():
        p.propagate(fanin.Activation(name), 60, weight_var=8.0, c0=0.5)

    def table():
        p.correlation_map(0.9, 1.0, fanin.Activation(name), weight_var=1.0)

    # Some while q is moderate, then one for each halving of 1 - c; 60 layers took 55 of them.
    bound = 25
    whole, one = least_times([layers, table], lambda times: times[0] <= bound * times[1])
    assert whole <= bound * one
