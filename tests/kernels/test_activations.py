"""Values and derivatives of the activations against mpmath, on every instruction set."""

from __future__ import annotations

import activations_truth
import mpmath as mp
import numpy as np
import pytest

import fanin
from fanin import _core

NAMES = list(fanin.activations())
SMOOTH_POINTS = np.concatenate(
    [np.linspace(-11.7, 11.9, 60), np.geomspace(1e-8, 40, 12), -np.geomspace(1e-8, 30, 12)]
)
# Units of rounding. Values: a handful of correctly rounded operations after functions of at most
# 9 ulp (the normal distribution function). Slopes are compared with the size of the terms that
# make them, because slopes of gated activations change sign.
VALUE_ULPS, SLOPE_ULPS = 16, 32


def truth_at(function, x):
    with mp.workdps(40):
        return np.array([float(function(mp.mpf(float(value)))) for value in x])


def test_every_activation_has_a_truth():
    assert set(NAMES) == set(activations_truth.TRUTH)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_accurate(name):
    phi, _, _ = activations_truth.TRUTH[name]
    x = SMOOTH_POINTS
    # exp of a rounded square or cube has the relative error of its argument.
    allowed = VALUE_ULPS * np.spacing(1.0) * (1 + (x * x if name in CURVED else 0))
    values = truth_at(phi, x)
    got = _values(name, x)
    assert (np.abs(got - values) <= allowed * np.abs(values) + floor(name)).all()


CURVED = {"gelu", "gelu_tanh", "gaussian"}


def floor(name):
    """sin and cos have zeros between the points; of the others what is not normal is lost."""
    return 4 * np.spacing(1.0) if name in ("sin", "cos") else np.finfo(np.float64).tiny


def _values(name, x):
    return _core.activation_values(fanin.Activation(name).handle, x)[0]


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("step", "sign")])
def test_derivatives_are_accurate(name):
    phi, slope, _ = activations_truth.TRUTH[name]
    x = SMOOTH_POINTS
    true = truth_at(slope, x)
    got = fanin.Activation(name).derivative(x)
    # The terms of a gated slope, gate + x gate', are both bounded by the gate and |x| gate'.
    size = np.abs(true) + (np.abs(truth_at(phi, x) / x) if name in GATED else 0)
    squares = 1 + x * x if name in SQUARES else 1.0
    allowed = SLOPE_ULPS * np.spacing(1.0) * squares * size + floor(name)
    assert (np.abs(got - true) <= allowed).all()


GATED = {"silu", "gelu", "gelu_tanh", "mish", "hardswish"}
# exp(-x^2) has the relative error of its argument: x^2 units; gelu_tanh's argument is cubic.
SQUARES = {"gelu", "erf", "erf_scaled", "gaussian", "gelu_tanh", "silu", "mish"}


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("step", "sign")])
def test_second_derivatives_are_the_derivative_of_the_first(name):
    activation = fanin.Activation(name)
    x = np.linspace(-5.13, 5.21, 173)
    for kink in activation.kinks:
        x = x[np.abs(x - kink) > 0.01]
    h = 2.0**-10
    # Central differences of fourth order: h^4/30 |phi^(5)| <= 3e-14 * 500 and eps / h = 2e-13.
    f = activation.derivative
    rate = (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)
    scale = 1 + np.abs(activation.second_derivative(x))
    assert (np.abs(rate - activation.second_derivative(x)) <= 5e-11 * scale).all()


def test_derivatives_at_kinks_are_those_of_the_frameworks():
    assert fanin.Activation("relu").derivative(0.0) == 0
    assert fanin.Activation("abs").derivative(0.0) == 0
    assert fanin.Activation("relu")(np.array([-np.inf, np.inf])).tolist() == [0, np.inf]


@pytest.mark.parametrize("name", NAMES)
def test_nan_stays_nan_and_infinities_have_limits(name):
    values = _core.activation_values(fanin.Activation(name).handle, np.array([np.nan]))
    assert np.isnan(values).all()
    if name not in ("sin", "cos"):
        ends = _values(name, np.array([-np.inf, np.inf]))
        far = _values(name, np.array([-1e9, 1e9]))
        bounded = np.abs(far) < 100
        assert np.allclose(ends[bounded], far[bounded], atol=1e-8)
        assert (ends[~bounded] == np.sign(far[~bounded]) * np.inf).all()


@pytest.mark.parametrize("name", NAMES)
def test_values_have_the_same_bits_on_every_isa(isa, name):
    x = np.concatenate([SMOOTH_POINTS, [0.0, -0.0, 1e300, -1e300, np.inf, -np.inf, 1e-310]])
    x = x[np.abs(x) < 1e6] if name in ("sin", "cos") else x
    handle = fanin.Activation(name).handle
    here = _core.activation_values(handle, x)
    each = np.stack([_core.activation_values(handle, x[i : i + 1])[:, 0] for i in range(9)], axis=1)
    assert here[:, :9].tobytes() == each.tobytes()  # whole vectors and the padded rest
    _core.debug.set_isa("baseline")
    assert here.tobytes() == _core.activation_values(handle, x).tobytes()


def test_gelu_and_its_tanh_form_differ():
    assert abs(fanin.Activation("gelu")(2.0) - fanin.Activation("gelu_tanh")(2.0)) > 1e-5


def test_limits_of_families_meet():
    x = np.linspace(-3, 3, 101)
    leaky = fanin.Activation("leaky_relu", negative_slope=1.0)
    assert np.array_equal(leaky(x), x)
    assert np.array_equal(fanin.Activation("leaky_relu", negative_slope=-1.0)(x), np.abs(x))
    tiny = fanin.Activation("elu", alpha=1e-12)(x)
    assert np.abs(tiny - np.maximum(x, 0)).max() <= 1e-12
    assert np.array_equal(
        fanin.Activation("silu", beta=2.0)(x), fanin.Activation("silu")(2 * x) / 2
    )
