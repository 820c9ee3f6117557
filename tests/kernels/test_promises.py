"""The accuracy that the documentation promises of everything but E phi^2 and E phi'^2, on a grid.

Truths are mpmath's, or a product rule in float64 where its own error is far below the promise.
"""

from __future__ import annotations

import activations_truth
import mpmath as mp
import numpy as np
import pytest
from activations_truth import TRUTH, expectation

import fanin

p = fanin.propagation
NAMES = [n for n in fanin.activations() if n not in ("step", "sign")]
JUMPING = {n for n in NAMES if np.isinf(p.moments(1.0, n).curvature_second)}
PROMISED = 1e-11


def close(got, true, bound, promised=PROMISED):
    """Relative where the value is above 1e-8 of its bound, else to rounding of the bound."""
    promised *= abs(true) if abs(true) > mp.mpf(1e-8) * bound else 1e-4 * bound
    return abs(float(got) - true) <= promised


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_the_other_moments_keep_eleven_digits_on_a_grid(name):
    phi, slope, _ = TRUTH[name]
    for q in (1e-6, 3.3e-4, 0.02, 0.7, 1.0, 5.5, 130.0, 1e3):
        if q > {"sin": 50, "cos": 50, "exp": 6}.get(name, 1e4):
            continue  # beyond the panels of the truth
        u, weight = activations_truth.gaussian_rule(q, name)
        values, slopes = (activations_truth.values_at(f, u) for f in (phi, slope))
        centred = values - float(phi(mp.mpf(0)))
        got = p.moments(q, name)
        second, slope_second = weight @ values**2, weight @ slopes**2
        assert close(got.mean, weight @ values, np.sqrt(second)), ("mean", q)
        assert close(got.slope_fourth, weight @ slopes**4, 0), ("slope_fourth", q)
        # dF/dq = E phi phi' u / q, also where phi' jumps; bounded by E phi'^2 and the like
        growth = weight @ (values * slopes * u) / q
        bound = np.sqrt(second * (weight @ (slopes * u) ** 2)) / q
        assert close(p.variance_slope(q, name, weight_var=1.0), growth, bound), ("growth", q)
        variance = weight @ centred**2 - (weight @ centred) ** 2
        if name != "linear" or variance > 0:
            assert close(fanin.gain(name, q=q, kind="std"), 1 / np.sqrt(variance), 0), ("std", q)
        if name not in JUMPING and name != "squared_relu":
            bends = activations_truth.values_at(lambda x: mp.diff(slope, x), u)
            assert close(got.curvature_second, weight @ bends**2, slope_second / q), ("bend", q)


# ---- covariances -------------------------------------------------------------------------------

ODD = [n for n in NAMES if fanin.activations()[n].parity == -1 and n != "linear"]


def product_rule(name, q1, q2, c):
    """E phi(u) phi(v) over the joint density; good to a few 1e-15 of the bound."""
    narrow = np.sqrt((1 - c) * (1 + c))
    sides = [np.sqrt(q) for q in (q1, q2)]
    kinks = [float(k) for k in TRUTH[name][2]]
    (u, wu), (v, wv) = (activations_truth.panels(s, 1.5 * narrow * s, kinks) for s in sides)
    a, b = u / sides[0], v / sides[1]
    density = np.exp(-((a[:, None] - c * b) ** 2 / narrow**2 + b * b) / 2)
    density /= 2 * np.pi * narrow * sides[0] * sides[1]
    # tests/kernels/test_activations.py checks its values; moments of crelu are those of one unit
    phi = fanin.Activation("relu" if name == "crelu" else name)
    return (wu * phi(u)) @ density @ (wv * phi(v))


VARIANCES = [(1e-6, 1e-6), (1e-3, 0.2), (0.4, 0.4), (1.0, 1.0), (4.0, 30.0), (1e3, 1e3), (5.0, 1e3)]


@pytest.mark.long
@pytest.mark.parametrize("variances", VARIANCES)
@pytest.mark.parametrize("name", [n for n in NAMES if n != "exp"])
def test_covariances_keep_eleven_digits_on_a_grid(name, variances):
    q1, q2 = variances
    if name in ("sin", "cos") and max(variances) > 50:
        return  # 1e-500 and less: the closed forms underflow as they must
    bound = float(np.sqrt(p.moments(q1, name).second * p.moments(q2, name).second))
    for c in (-0.99, -0.7, -0.4, 0.05, 0.3, 0.6, 0.9, 0.99):
        got, true = float(p.covariance(q1, q2, c, name)), product_rule(name, q1, q2, c)
        # The rule is no truth for values below a thousandth of the bound: 1e-14 of it is.
        allowed = PROMISED * abs(true) if abs(true) > 1e-3 * bound else 2e-14 * bound
        assert abs(got - true) <= allowed, c


@pytest.mark.long
@pytest.mark.parametrize("name", ODD)
def test_small_covariances_of_odd_activations_keep_eleven_digits(name):
    # C = a_1^2 c + a_3^2 c^3 + ...; the fifth term is c^4 = 1e-24 of the first
    phi, _, kinks = TRUTH[name]
    for q1, q2 in ((1e-6, 1e-6), (0.3, 2.0), (1.0, 1.0), (40.0, 40.0)):
        first = third = mp.mpf(1)
        for q in (q1, q2):
            root = mp.sqrt(mp.mpf(q))
            first *= expectation(lambda u: phi(u) * u, q, kinks, 20) / root  # noqa: B023
            cubic = lambda u: phi(u) * ((u / root) ** 3 - 3 * u / root)  # noqa: B023, E731
            third *= expectation(cubic, q, kinks, 20) / mp.sqrt(6)
        for c in (1e-6, -1e-6):
            true = first * c + third * mp.mpf(c) ** 3
            assert close(p.covariance(q1, q2, c, name), true, 0), (q1, q2, c)


# ---- 1 - c -------------------------------------------------------------------------------------


def half_square_difference(name, q, delta):
    """E (phi(u) - phi(v))^2 / 2 in 40 digits, so that nothing is lost in the difference.

    u, v = sqrt(q) (a s +- b t); 24 nodes in t, panels in s that end where u or v is at a kink.
    """
    phi, _, kinks = TRUTH[name]
    with mp.workdps(40):
        q, delta = mp.mpf(q), mp.mpf(delta)
        root, a, b = mp.sqrt(q), mp.sqrt(1 - delta / 2), mp.sqrt(delta / 2)
        usual = [end / root for end in activations_truth.edges(q, (), 10)]
        total = mp.mpf(0)
        for low, high in ((0, 2), (2, 4.5), (4.5, 8)):
            for x, w in zip(*np.polynomial.legendre.leggauss(10), strict=True):
                t = (low + high) / mp.mpf(2) + (high - low) / mp.mpf(2) * mp.mpf(x)
                ends = sorted(
                    {*usual, *((k / root + sign * b * t) / a for k in kinks for sign in (-1, 1))}
                )
                inner = mp.mpf(0)
                for left, right in zip(ends, ends[1:], strict=False):
                    half, middle = (right - left) / 2, (right + left) / 2
                    for node, weight in zip(*activations_truth.LEGENDRE, strict=True):
                        s = middle + half * mp.mpf(node)
                        apart = phi(root * (a * s + b * t)) - phi(root * (a * s - b * t))
                        inner += half * mp.mpf(weight) * apart**2 * mp.npdf(s)
                total += 2 * (high - low) / mp.mpf(2) * mp.mpf(w) * mp.npdf(t) * inner
        return total / 2


@pytest.mark.long
@pytest.mark.parametrize("q", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("name", NAMES)
def test_one_minus_the_correlation_keeps_eight_digits_at_one_in_a_billion(name, q):
    if name == "exp" and q > 1:
        return  # E exp(2u) lives near u = 2q, beyond the panels of this truth
    true = half_square_difference(name, q, 1e-9)
    second = expectation(lambda u: TRUTH[name][0](u) ** 2, q, TRUTH[name][2], 20)
    got = p.one_minus_correlation_map(1e-9, q, name, weight_var=1.3, bias_var=0.2)
    true = mp.mpf(1.3) * true / (mp.mpf(1.3) * second + mp.mpf(0.2))
    assert abs(float(got) / true - 1) <= 1e-8


# ---- fixed and critical points -----------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("exp", "squared_relu")])
def test_fixed_points_keep_ten_digits(name):
    phi, _, kinks = TRUTH[name]
    for weight_var, bias_var in ((0.9, 0.3), (1.7, 0.02), (2.5, 0.0), (1.2, 1e-6)):
        found = p.fixed_points(name, weight_var=weight_var, bias_var=bias_var)
        for q, slope in zip(found.roots, found.root_slopes, strict=True):
            if not q > 0:
                continue
            second = expectation(lambda u: phi(u) ** 2, float(q), kinks, 20)
            residual = mp.mpf(weight_var) * second + mp.mpf(bias_var) - mp.mpf(float(q))
            # the root is off by residual / (1 - V')
            assert abs(residual / (1 - float(slope))) <= 1e-10 * q


@pytest.mark.long
@pytest.mark.parametrize("name", ["tanh", "erf", "sin", "elu", "gelu", "silu", "softsign", "relu6"])
def test_critical_points_keep_ten_digits(name):
    phi, slope, kinks = TRUTH[name]
    s = slope(mp.mpf(0))
    for bias_var in (1e-12, 1e-6, 1e-3, 0.05):
        found = p.critical(name, bias_var=bias_var)
        if found.status == "none":
            continue

        def bias_at(q):
            # q E phi'^2 - E phi^2 is the same for phi - s u (Stein 1981), and cancels less
            excess = expectation(
                lambda u: q * (slope(u) - s) ** 2 - (phi(u) - s * u) ** 2, q, kinks, 30
            )
            return excess / expectation(lambda u: slope(u) ** 2, q, kinks, 30)

        q = mp.mpf(float(found.q))
        step = q * mp.mpf(1e-6)
        rate = (bias_at(q + step) - bias_at(q - step)) / (2 * step)
        assert abs((bias_at(q) - mp.mpf(bias_var)) / rate) <= 1e-10 * q, bias_var
        slopes = expectation(lambda u: slope(u) ** 2, q, kinks, 30)
        assert abs(float(found.weight_var) * slopes - 1) <= 1e-12
