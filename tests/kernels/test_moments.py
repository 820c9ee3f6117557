"""One-dimensional Gaussian moments against mpmath, from q = 1e-12 to 1e12."""

from __future__ import annotations

import time

import activations_truth
import mpmath as mp
import numpy as np
import pytest

import fanin
from fanin import _core

p = fanin.propagation
NAMES = [n for n in fanin.activations() if n not in ("step", "sign")]
# Every activation meets small, middling and large variances; the long test has a finer grid.
FEW = (1e-12, 0.0371, 3.1, 1e12)
MANY = [float(f"{x:.3g}") for x in np.geomspace(1e-12, 1e12, 41)]
# sin and cos oscillate, exp overflows: closed forms, compared where mpmath's panels resolve them.
LARGEST = {"sin": 50.0, "cos": 50.0, "exp": 5.0}
PROMISED = 1e-12


def check(name, variances):
    phi, slope, kinks = activations_truth.TRUTH[name]
    # Digits well beyond the promise; E phi^2 of squared_relu is 1e-24 at q = 1e-12.
    digits = 40 if name == "squared_relu" else 14
    for q in variances:
        if q > LARGEST.get(name, np.inf):
            continue
        got = p.moments(q, name)
        second = activations_truth.expectation(lambda u: phi(u) ** 2, q, kinks, digits)
        slopes = activations_truth.expectation(lambda u: slope(u) ** 2, q, kinks, digits)
        assert abs(float(got.second / second - 1)) <= PROMISED, f"{name} second at {q}"
        assert abs(float(got.slope_second / slopes - 1)) <= PROMISED, f"{name} slope at {q}"


@pytest.mark.parametrize("name", NAMES)
def test_second_moments_keep_twelve_digits(name):
    check(name, FEW)


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_second_moments_keep_twelve_digits_on_a_fine_grid(name):
    phi, slope, _ = activations_truth.TRUTH[name]
    for q in MANY:
        if q > LARGEST.get(name, np.inf):
            continue
        u, weight = activations_truth.gaussian_rule(q, name)
        second, slopes = (activations_truth.values_at(f, u) ** 2 @ weight for f in (phi, slope))
        got = p.moments(q, name)
        assert abs(got.second / second - 1) <= PROMISED, q
        assert abs(got.slope_second / slopes - 1) <= PROMISED, q


@pytest.mark.parametrize("q", [1e-6, 0.3, 900.0])
@pytest.mark.parametrize("name", ["tanh", "elu", "softplus", "mish"])
def test_the_other_moments_keep_eleven_digits(name, q):
    phi, slope, kinks = activations_truth.TRUTH[name]
    got = p.moments(q, name)
    mean = activations_truth.expectation(phi, q, kinks, 14)
    fourth = activations_truth.expectation(lambda u: slope(u) ** 4, q, kinks, 14)
    bound = float(mp.sqrt(activations_truth.expectation(lambda u: phi(u) ** 2, q, kinks, 14)))
    assert abs(float(got.mean - mean)) <= 1e-11 * max(abs(float(mean)), 1e-8 * bound)
    assert abs(float(got.slope_fourth / fourth - 1)) <= 1e-11


def all_moments(name, q):
    """E phi, E phi^2, E phi'^2, E phi'^4, E phi''^2, dE phi^2/dq, Var phi, q E phi'^2 - E phi^2."""
    parameters = list(fanin.activations()[name].parameters.values())
    handle = _core.activation(name, parameters)
    return _core.activation_moments(handle, np.array([q]), list(range(8)), 1).ravel()


# Series of small variances end at 2^-7, those of large ones begin at 2^6: on either side of both.
EDGES = (1e-12, 1e-5, 2.0**-7 * (1 - 2**-30), 2.0**-7, 2.0**6 * (1 - 2**-30), 2.0**6, 1e4)


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "elu", "gelu", "hardtanh", "atan"])
def test_moments_are_right_on_either_side_of_where_series_begin(name):
    phi, slope, kinks = activations_truth.TRUTH[name]
    for q in EDGES:
        got = all_moments(name, q)

        def mean(g, q=q):
            return float(activations_truth.expectation(g, q, kinks, 30))

        def precise(g, q=q):  # the truth of differences that cancel
            return activations_truth.expectation(g, q, kinks, 40)

        with mp.workdps(60):
            at_zero, exact = phi(mp.mpf(0)), mp.mpf(q)
            second, slopes = precise(lambda u: phi(u) ** 2), precise(lambda u: slope(u) ** 2)
            first = precise(lambda u, zero=at_zero: phi(u) - zero)
            centred = precise(lambda u, zero=at_zero: (phi(u) - zero) ** 2)
            growth = precise(lambda u, q=exact: phi(u) ** 2 * (u * u / q - 1) / (2 * q))
            variance, excess = centred - first**2, exact * slopes - second
        assert abs(got[1] / float(second) - 1) <= PROMISED, q
        assert abs(got[2] / float(slopes) - 1) <= PROMISED, q
        assert abs(got[3] / mean(lambda u: slope(u) ** 4) - 1) <= PROMISED, q
        assert abs(got[5] / float(growth) - 1) <= 1e-11, q
        assert abs(got[6] / float(variance) - 1) <= 1e-10, q
        # Far below its kinks hardtanh is a line but for e^(-1/2q), no power of q.
        floor = 1e-20 * float(second) if name == "hardtanh" else 0
        assert abs(got[7] - float(excess)) <= 1e-10 * abs(float(excess)) + floor, q


# catalogue (f): E phi, E phi^2 and the two gains to 8 digits; E phi'^2 of the closed forms.
TABLE = {
    "relu": (0.39894228, 0.5, 1.41421356, 1.71285855),
    "leaky_relu": (0.39495286, 0.50005, 1.41414286, 1.70483163),
    "tanh": (0, 0.39429449, 1.59253742, 1.59253742),
    "sigmoid": (0.5, 0.29337904, 1.84622855, 4.80131337),
    "erf": (0, 0.46455905, 1.46716695, 1.46716695),
    "gelu": (0.28209479, 0.42522148, 1.53353044, 1.70092624),
    "gelu_tanh": (0.28203859, 0.42519371, 1.53358052, 1.70091656),
    "silu": (0.20662096, 0.35577552, 1.67653247, 1.78718722),
    "selu": (0, 1, 1, 1),
    "elu": (0.16052057, 0.64494542, 1.24519830, 1.27084342),
    "mish": (0.24040389, 0.45234219, 1.48684758, 1.59202538),
    "softplus": (0.80605918, 0.92124591, 1.04186684, 1.91912598),
    "sin": (0, 0.43233236, 1.52086662, 1.52086662),
    "hardtanh": (0, 0.51605855, 1.39203614, 1.39203614),
    "squared_relu": (0.5, 1.5, 0.81649658, 0.89442719),
    "softsign": (0, 0.18301402, 2.33753336, 2.33753336),
    "hardswish": (0.16621670, 0.33156738, 1.73665721, 1.81387147),
}


@pytest.mark.parametrize("name", TABLE)
def test_constants_at_variance_one_are_the_exact_ones(name):
    mean, second, forward, std = TABLE[name]
    got = p.moments(1.0, name)
    # rounded to the eighth decimal
    assert float(got.mean) == pytest.approx(mean, abs=6e-9)
    assert float(got.second) == pytest.approx(second, abs=6e-9)
    assert fanin.gain(name) == pytest.approx(forward, abs=6e-9)
    assert fanin.gain(name, kind="std") == pytest.approx(std, abs=6e-9)


# Two closed forms, evaluated in 40 digits.
def test_elu_and_hardtanh_agree_with_their_closed_forms():
    for q in (0.01, 1.0, 31.0):
        with mp.workdps(40):
            x = mp.mpf(q)

            def erfcx(t):
                return mp.exp(t * t) * mp.erfc(t)

            elu = x / 2 + erfcx(mp.sqrt(2 * x)) / 2 - erfcx(mp.sqrt(x / 2)) + mp.mpf(1) / 2
            b = 1 / mp.sqrt(x)
            bell = mp.sqrt(2 / mp.pi) * b * mp.exp(-b * b / 2)
            hardtanh = x * (mp.erf(b / mp.sqrt(2)) - bell) + mp.erfc(b / mp.sqrt(2))
        assert abs(float(p.moments(q, "elu").second / elu - 1)) < PROMISED
        assert abs(float(p.moments(q, "hardtanh").second / hardtanh - 1)) < PROMISED


@pytest.mark.parametrize("name", NAMES)
def test_slope_of_the_variance_map_is_its_derivative(name):
    q = np.geomspace(0.02, 30, 23)
    h = q * 2.0**-9
    f = [p.variance_map(q + k * h, name, weight_var=1.0) for k in (-2, -1, 1, 2)]
    rate = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
    # h^4/30 q^5 |F^(5)| <= (2^-9)^4 * 24 * scale and eps / 2^-9 * F / (q F').
    slope = p.variance_slope(q, name, weight_var=1.0)
    size = np.abs(slope) + p.variance_map(q, name, weight_var=1.0) / q
    if name == "exp":
        size = size * (1 + q) ** 5
    assert (np.abs(rate - slope) <= 1e-9 * size).all()


def test_the_variance_of_phi_keeps_its_digits_at_tiny_q():
    # sigmoid(x) - 1/2 = x/4 - x^3/48: std = sqrt(q)/4 (1 - q/8 + ...), x/8 for the series' rest
    for q in (1e-12, 1e-9, 1e-6):
        expected = 4 / np.sqrt(q)
        assert fanin.gain("sigmoid", q=q, kind="std") == pytest.approx(expected, rel=1e-9 + q)


def test_zero_and_bad_variances():
    got = p.moments([0.0, -1.0, np.nan, -np.inf], "tanh")
    assert got.second[0] == 0 and got.slope_second[0] == 1
    assert np.isnan(got.second[1:]).all()
    assert p.moments(0.0, "relu").slope_second == 0.5
    assert p.moments(0.0, "sigmoid").second == 0.25
    with pytest.raises(ValueError, match="variance"):
        p.moments(-1.0, "tanh")


@pytest.mark.parametrize("name", NAMES)
def test_moments_go_over_to_their_limits_outside_the_tables(name):
    # 2^-112 and 2^105 bound the tables; both sides agree to the change of the moment in between.
    if name == "exp":
        return
    for edge in (2.0**-112, 2.0**105):
        inner, outer = edge * (1 + 2**-50), edge * (1 - 2**-50)
        a, b = p.moments(inner, name), p.moments(outer, name)
        assert float(a.second) == pytest.approx(float(b.second), rel=1e-13)
        assert float(a.slope_second) == pytest.approx(float(b.slope_second), rel=1e-13)


@pytest.mark.parametrize("name", NAMES)
def test_moments_have_the_same_bits_on_every_isa(isa, name):
    q = np.geomspace(1e-14, 1e14, 67)
    columns = list(range(7))
    parameters = list(fanin.activations()[name].parameters.values())
    here = _core.activation_moments(_core.activation(name, parameters), q, columns, 1)
    _core.debug.set_isa("baseline")
    there = _core.activation_moments(_core.activation(name, parameters), q, columns, 1)
    assert here.tobytes() == there.tobytes()


# ---- many layers at once ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tanh", "relu", "elu"])
def test_many_layers_are_the_variance_map_again_and_again(name):
    rng = np.random.default_rng(0)
    # more lanes than a block, some of them hopeless
    q0 = rng.uniform(0.01, 30, 1300)
    q0[[3, 700, 701, 1299]] = np.nan, -1.0, np.inf, 0.0
    weight, bias = rng.uniform(0.5, 2, 1300), rng.uniform(0, 0.2, 1300)
    weight[9], bias[10] = -1, np.nan
    together = p.propagate(name, 5, weight_var=weight, bias_var=bias, q0=q0).q
    q = q0
    for layer in range(5):
        assert together[:, layer].tobytes() == np.ascontiguousarray(q).tobytes()
        q = p.variance_map(q, name, weight_var=weight, bias_var=bias)
    assert np.isnan(together[[3, 9, 10, 700], 1]).all()
    grows = name in ("relu", "elu")
    assert together[701, 1] == np.inf if grows else together[701, 1] < 3
    assert np.isfinite(np.delete(together, [3, 9, 10, 700, 701], axis=0)).all()


def test_many_layers_have_the_same_bits_on_every_isa_and_thread_count(isa):
    q = np.geomspace(1e-20, 1e20, 3000)
    one = np.ones(1)

    def run(threads):
        handle = _core.activation("tanh", [])
        return _core.propagated_variances(handle, q, one, 0.1 * one, one, True, threads).tobytes()

    here = run(1)
    assert run(2) == here
    _core.debug.set_isa("baseline")
    assert run(1) == here


def test_a_function_of_ones_own_goes_through_many_layers_too():
    own = fanin.Activation(np.tanh)
    got = p.propagate(own, 20, weight_var=1.5, bias_var=0.1, q0=np.linspace(0.5, 2, 7)).q
    true = p.propagate("tanh", 20, weight_var=1.5, bias_var=0.1, q0=np.linspace(0.5, 2, 7)).q
    assert np.allclose(got, true, rtol=1e-12, atol=0)


@pytest.mark.timing
def test_a_million_variances_pass_a_hundred_layers_within_a_second():
    fanin.runtime.set_threads(2)
    q0 = np.random.default_rng(0).uniform(0.1, 4, 1_000_000)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        p.propagate("tanh", 100, weight_var=1.5, bias_var=0.1, q0=q0)
        times.append(time.perf_counter() - start)
    assert min(times) <= 1.0
