"""Covariances of two inputs: against quadratures of another kind, identities, bits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy import special

import fanin
from fanin import _core
from fanin.propagation._pairs import pairs_at

p = fanin.propagation

# ---- an independent truth: a product of two Gauss-Legendre rules in float64 ------------------


def logistic(x):
    return special.expit(x)


REFERENCE = {
    "tanh": (np.tanh, ()),
    "sigmoid": (logistic, ()),
    "silu": (lambda x: x * logistic(x), ()),
    "mish": (lambda x: x * np.tanh(np.logaddexp(0, x)), ()),
    "softplus": (lambda x: np.logaddexp(0, x), ()),
    "gelu": (lambda x: x * special.ndtr(x), ()),
    "gelu_tanh": (
        lambda x: x * logistic(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)),
        (),
    ),
    "erf": (special.erf, ()),
    "relu": (lambda x: np.maximum(x, 0), (0,)),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.01 * x), (0,)),
    "abs": (np.abs, (0,)),
    "squared_relu": (lambda x: np.maximum(x, 0) ** 2, (0,)),
    "elu": (lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), (0,)),
    "hardtanh": (lambda x: np.clip(x, -1, 1), (-1, 1)),
    "relu6": (lambda x: np.clip(x, 0, 6), (0, 6)),
    "hardsigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), (-3, 3)),
    "hardswish": (lambda x: x * np.clip(x + 3, 0, 6) / 6, (-3, 3)),
    "softsign": (lambda x: x / (1 + np.abs(x)), (0,)),
    "atan": (np.arctan, ()),
    "sin": (np.sin, ()),
    "cos": (np.cos, ()),
    "gaussian": (lambda x: np.exp(-x * x), ()),
}
LEGENDRE = np.polynomial.legendre.leggauss(20)


def panels(low, high, width, kinks):
    count = int(np.ceil((high - low) / width))
    ends = np.unique([*np.linspace(low, high, count + 1), *(k for k in kinks if low < k < high)])
    half, middle = np.diff(ends)[:, None] / 2, (ends[1:] + ends[:-1])[:, None] / 2
    return (middle + half * LEGENDRE[0]).ravel(), (half * LEGENDRE[1]).ravel()


def product_rule(phi, kinks, q1, q2, c):
    """E phi(u) phi(v) over (u, v) with the joint density, both axes split at the kinks."""
    narrow = np.sqrt(1 - c * c)  # of v given u, in deviations
    sides = []
    for q in (q1, q2):
        deviation = np.sqrt(q)
        width = min(1.5 * narrow * deviation, 1.0)
        sides.append(panels(-9.5 * deviation, 9.5 * deviation, width, kinks))
    (u, wu), (v, wv) = sides
    a, b = u / np.sqrt(q1), v / np.sqrt(q2)
    quadratic = (a[:, None] - c * b) ** 2 / (narrow * narrow) + b * b
    density = np.exp(-quadratic / 2) / (2 * np.pi * narrow * np.sqrt(q1 * q2))
    return (wu * phi(u)) @ density @ (wv * phi(v))


POINTS = [(1.0, 1.0, 0.3), (1.0, 1.0, 0.9), (2.0, 2.0, -0.8), (0.3, 2.0, 0.4), (0.3, 2.0, 0.8),
          (4.0, 0.7, -0.7), (0.002, 0.002, 0.95), (9.0, 9.0, 0.7)]  # fmt: skip


@pytest.mark.parametrize("name", REFERENCE)
def test_covariances_agree_with_a_product_rule(name):
    phi, kinks = REFERENCE[name]
    for q1, q2, c in POINTS:
        got = float(p.covariance(q1, q2, c, name))
        true = product_rule(phi, kinks, q1, q2, c)
        bound = np.sqrt(p.moments(q1, name).second * p.moments(q2, name).second)
        # The rule itself is good to 1e-13 of the bound: twenty nodes a panel, sums of 1e5 terms.
        assert abs(got - true) <= 1e-11 * abs(true) + 2e-13 * bound, (q1, q2, c)


@pytest.mark.parametrize("name", REFERENCE)
def test_covariance_at_the_ends_and_the_middle(name):
    for q in (1e-6, 3.0):
        m = p.moments(q, name)
        second = float(m.second)
        assert float(p.covariance(q, q, 1.0, name)) == pytest.approx(second, rel=1e-13)
        # c = 0: independent inputs. The product of means is relative to the bound.
        product = float(m.mean) * float(p.moments(0.7, name).mean)
        bound = np.sqrt(second * float(p.moments(0.7, name).second))
        assert abs(float(p.covariance(q, 0.7, 0.0, name)) - product) <= 2e-14 * bound


@pytest.mark.parametrize("name", REFERENCE)
def test_covariance_is_symmetric_and_continuous_between_methods(name):
    for c in (0.2, 0.6):
        one, other = p.covariance(0.4, 1.7, c, name), p.covariance(1.7, 0.4, c, name)
        assert float(one) == pytest.approx(float(other), rel=1e-12)
    # |c| = 1/2 parts the series from the tables: the function moves by 2^-45 E phi' phi' q there.
    for side in (-1, 1):
        inner, outer = side * (0.5 - 2.0**-46), side * (0.5 + 2.0**-46)
        gap = p.covariance(1.3, 1.3, inner, name) - p.covariance(1.3, 1.3, outer, name)
        assert abs(gap) <= 1e-12 * float(p.moments(1.3, name).second)


@pytest.mark.parametrize("name", ["tanh", "erf", "sin", "hardtanh", "softsign", "atan"])
def test_odd_activations_give_odd_covariances(name):
    c = np.array([1e-9, 1e-3, 0.3, 0.5, 0.7, 0.99, 1.0])
    up, down = p.covariance(1.5, 1.5, c, name), p.covariance(1.5, 1.5, -c, name)
    assert np.allclose(up, -down, rtol=1e-13, atol=0)
    # relative precision at small c: C / c tends to q (E phi')^2
    assert up[0] / c[0] == pytest.approx(up[1] / c[1], rel=1e-5)
    smaller = p.covariance(1.5, 1.5, 2e-9, name)
    assert float(smaller) == pytest.approx(2 * up[0], rel=1e-14)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_derivative_by_c_is_the_covariance_of_slopes(name):
    # Price: dC/dc = sqrt(q1 q2) E phi' phi'
    h = 2.0**-9
    for q1, q2 in ((0.8, 0.8), (0.5, 1.9)):
        for c in (-0.7, 0.25, 0.75):
            f = [float(p.covariance(q1, q2, c + k * h, name)) for k in (-2, -1, 1, 2)]
            rate = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
            [slopes] = pairs_at(fanin.Activation(name), q1, q2, c, slopes=True)
            size = np.sqrt(q1 * q2 * p.moments(q1, name).slope_second
                           * p.moments(q2, name).slope_second)  # fmt: skip
            # h^4/30 C^(5): derivatives grow as 4!/(1 - |c|)^4.
            assert abs(rate - np.sqrt(q1 * q2) * slopes) <= 1e-7 * float(size)


@pytest.mark.parametrize("name", sorted(set(REFERENCE) - {"cos", "gaussian"}))
def test_small_differences_keep_their_digits(name):
    # delta' / delta tends to chi q / V as delta falls: linearly for smooth activations, as the
    # square root of delta where the slope jumps.
    for q in (1e-6, 1.0, 20.0):
        m = p.moments(q, name)
        limit = float(m.slope_second) * q / float(m.second)
        delta = 1e-16
        ratio = float(p.one_minus_correlation_map(delta, q, name, weight_var=1.0)) / delta
        assert ratio == pytest.approx(limit, rel=1e-7 * max(1.0, np.sqrt(q)))


def test_relu_keeps_its_digits_as_the_series_says():
    # 1 - kappa = delta - (sin t - t cos t)/pi, t = 2 asin sqrt(delta/2)
    for delta in (1e-12, 1e-9, 1e-4):
        t = 2 * np.arcsin(np.sqrt(delta / 2))
        true = delta - (t**3 / 3 - t**5 / 30) / np.pi
        got = float(p.one_minus_correlation_map(delta, 1.0, "relu", weight_var=2.0))
        assert got == pytest.approx(true, rel=1e-13)


@pytest.mark.parametrize("name", ["tanh", "silu", "elu", "gelu"])
def test_one_minus_the_map_is_the_map_of_one_minus(name):
    delta = np.array([1e-3, 0.2, 0.6, 1.0, 1.4, 1.9])
    keywords = {"weight_var": 1.7, "bias_var": 0.2}
    missing = p.one_minus_correlation_map(delta, 0.9, name, **keywords)
    assert np.abs(missing - (1 - p.correlation_map(1 - delta, 0.9, name, **keywords))).max() < 1e-14
    other = p.one_minus_correlation_map(delta, 0.9, name, q2=0.9, **keywords)
    assert np.abs(missing - other).max() < 1e-13


@pytest.mark.parametrize("name", ["tanh", "relu", "gelu", "silu", "erf", "hardswish", "softplus"])
def test_the_correlation_map_rises_and_is_convex(name):
    c = np.linspace(0, 1, 65)
    q = 1.2
    r = p.correlation_map(c, q, name, weight_var=1.5, bias_var=0.1)
    assert r[-1] == pytest.approx(1.0, abs=1e-14)
    assert (np.diff(r) > 0).all()
    assert (np.diff(r, 2) > -1e-14).all()
    assert (p.covariance(q, q, c, name) <= p.moments(q, name).second * (1 + 1e-14)).all()


def test_sigmoid_is_tanh_in_disguise():
    # C_sigmoid(q, c) = (1 + C_tanh(q/4, c)) / 4
    c = np.array([-0.9, -0.3, 0.2, 0.8])
    sigmoid, tanh = p.covariance(2.0, 2.0, c, "sigmoid"), p.covariance(0.5, 0.5, c, "tanh")
    assert np.allclose(sigmoid, (1 + tanh) / 4, rtol=1e-13, atol=0)


@pytest.mark.parametrize("name", ["tanh", "silu", "relu", "gelu", "hardswish"])
def test_a_batch_gives_the_bits_of_its_elements_in_any_order(name):
    rng = np.random.default_rng(0)
    q1 = np.repeat(rng.uniform(0.5, 2, 20), 3)
    q2 = np.where(rng.random(60) < 0.7, q1, 1.25)
    c = rng.uniform(-1, 1, 60)
    c[np.abs(c) > 0.5] = np.where(q1 == q2, c, 0.3)[np.abs(c) > 0.5]
    together = p.covariance(q1, q2, c, name)
    order = rng.permutation(60)
    shuffled = p.covariance(q1[order], q2[order], c[order], name)
    assert shuffled.tobytes() == together[order].tobytes()
    assert [float(p.covariance(*x, name)) for x in zip(q1, q2, c, strict=True)] == together.tolist()


@pytest.mark.parametrize("name", ["tanh", "gelu", "elu"])
def test_pairs_have_the_same_bits_on_every_isa_and_thread_count(isa, name):
    q1 = np.array([0.4] * 1200)
    q2 = np.where(np.arange(1200) % 4 == 3, 0.45, q1)
    c = np.array([0.2, 0.95, -0.4, 0.5] * 300) * np.where(np.arange(1200) < 5, 0.999, 1)
    wanted = [True, True, True]

    def run(threads):
        handle = _core.activation(name, [1.0])
        return _core.activation_pairs(handle, q1, q2, c, False, wanted, threads).tobytes()

    here = run(1)
    assert run(2) == here
    _core.debug.set_isa("baseline")
    assert run(1) == here


def test_bad_points_give_nan_and_leave_the_others():
    q1 = np.array([1.0, -1.0, np.nan, 1.0, 0.0, -np.inf])
    got = p.covariance(q1, 1.0, np.array([0.5, 0.5, 0.5, 1.5, 0.5, 0.5]), "tanh")
    assert got[0] == p.covariance(1.0, 1.0, 0.5, "tanh")
    assert np.isnan(got[[1, 2, 3, 5]]).all()
    assert got[4] == 0
    assert p.covariance(0.0, 1.0, 0.5, "sigmoid") == pytest.approx(0.25, rel=1e-14)
    with pytest.raises(ValueError, match="correlation"):
        p.covariance(1.0, 1.0, 1.5, "tanh")
    assert p.covariance(1.0, 1.0, 1.0 + 1e-15, "tanh") == p.covariance(1.0, 1.0, 1.0, "tanh")


TANGENTS = {"tanh": "linear", "gelu": "linear", "elu": "linear", "relu6": "relu", "abs": "abs",
            "squared_relu": "squared_relu"}  # fmt: skip


@pytest.mark.parametrize(("name", "like"), TANGENTS.items())
def test_correlations_at_variance_zero_are_the_limit(name, like):
    # near 0 an activation is its tangent, on each side of a kink
    c = np.array([-0.8, 0.0, 0.3, 0.9, 1.0])
    got = p.correlation_map(c, 0.0, name, weight_var=1.5)
    assert np.allclose(got, p.correlation_map(c, 1.0, like, weight_var=1.5), rtol=0, atol=1e-8)
    missing = p.one_minus_correlation_map(1 - c, [0.0] * 5, name, weight_var=1.5)
    assert np.allclose(missing, 1 - got, rtol=0, atol=1e-14)
    # with biases the next layer's signals are all alike, and sigmoid(0) is a bias of its own
    assert p.correlation_map(0.3, 0.0, name, weight_var=1.5, bias_var=0.1) == 1
    assert p.correlation_map(0.3, 0.0, "sigmoid", weight_var=1.5) == 1


CLOSED = ("relu", "leaky_relu", "abs", "squared_relu", "erf", "gelu", "sin", "cos", "gaussian",
          "exp", "step", "crelu", "linear")  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_a_table_of_covariances_is_its_points(isa, name):
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 4, (37, 1)), rng.uniform(0, 4, 1300)
    c = rng.uniform(-1, 1, (37, 1300))
    first[3:7, 0], second[[7, 9]] = (0, np.inf, np.nan, -1), (np.inf, 0)
    c[0, :5], c[8, 8] = (1.1, 1 + 1e-13, -1 - 1e-13, 1, -1), np.nan
    table = p.covariance(first, second, c, name)
    q1, q2 = (np.array(x) for x in np.broadcast_arrays(first, second))
    assert_array_equal(table, p.covariance(q1, q2, c, name))
    one = p.covariance(1.5, q2, c, name)
    assert_array_equal(one, p.covariance(np.full_like(c, 1.5), q2, c, name))
    for at in np.ndindex(9, 12):
        assert_array_equal(table[at], p.covariance(*([x[at]] for x in (q1, q2, c)), name)[0])
    # With the slopes a point is served by another way.
    wanted = {"covariance": True, "slopes": True}
    assert_array_equal(table, pairs_at(fanin.Activation(name), q1, q2, c, **wanted)[0])
    _core.debug.set_isa("baseline")
    assert_array_equal(table, p.covariance(first, second, c, name))


def test_a_table_without_a_closed_form_is_its_points():
    q1, q2 = np.linspace(0.5, 2, 3)[:, None], np.linspace(0.6, 3, 20)
    c = np.linspace(-0.5, 0.5, 60).reshape(3, 20)
    points = p.covariance(*(np.array(x) for x in np.broadcast_arrays(q1, q2)), c, "tanh")
    assert_array_equal(p.covariance(q1, q2, c, "tanh"), points)
