"""Terms of order 1/width against drawn networks, and the hints that say when they matter."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin

p = fanin.propagation


def drawn(activation, depth, width, weight_var, bias_var, networks):
    """Mean squares of the last pre-activations and of the gradient of the first, a network each."""
    rng, phi, rows = np.random.default_rng(3), fanin.Activation(activation), []
    for _ in range(networks):
        signals, weights = [rng.standard_normal(width)], []
        for _ in range(depth):
            weights.append(rng.standard_normal((width, width)) * math.sqrt(weight_var / width))
            bias = rng.standard_normal(width) * math.sqrt(bias_var)
            signals.append(weights[-1] @ phi(signals[-1]) + bias)
        gradient = rng.standard_normal(width)
        for u, w in zip(signals[-2::-1], weights[::-1], strict=True):
            gradient = phi.derivative(u) * (w.T @ gradient)
        rows.append([(signals[-1] ** 2).mean(), (gradient**2).mean()])
    return np.array(rows)


@pytest.mark.parametrize(
    ("activation", "depth", "width", "weight_var", "bias_var", "networks"),
    [("silu", 4, 60, 2.8, 0.1, 6000), ("tanh", 4, 30, 2.5, 0.1, 6000),
     ("relu", 3, 30, 2.0, 0.2, 6000)],
)  # fmt: skip
def test_means_over_networks_move_as_the_first_order_says(
    activation, depth, width, weight_var, bias_var, networks
):
    given = {"weight_var": weight_var, "bias_var": bias_var}
    theory = p.propagate(activation, depth, **given)
    found = drawn(activation, depth, width, weight_var, bias_var, networks)
    first = p.width_correction(activation, depth, width, **given)
    moved = found.mean(0) / [theory.q[-1], theory.grad[0]] - 1
    error = found.std(0, ddof=1) / math.sqrt(networks) / [theory.q[-1], theory.grad[0]]
    expected = np.array([first.q[-1], first.grad])
    # The next order is about the square of the first, and of the spread times depth/width.
    room = 4 * error + expected**2 + first.spread[-1] ** 2 * depth / width
    assert (abs(moved - expected) < room).all(), (moved, expected, error)


def test_the_first_order_is_in_proportion_to_one_over_width_and_zero_for_relu():
    one = p.width_correction("silu", 6, 100, weight_var=2.6, bias_var=0.05)
    two = p.width_correction("silu", 6, 400, weight_var=2.6, bias_var=0.05)
    assert_allclose(one.grad, 4 * two.grad, rtol=1e-12)
    assert_allclose(one.q, 4 * two.q, rtol=1e-12)
    assert_allclose(one.spread, 2 * two.spread, rtol=1e-12)
    assert one.grad > 0.1
    # relu: V is linear and the slope's mean does not depend on q. Each layer adds
    # (E phi^4/(E phi^2)^2 - 1)/width = 5/width to the relative variance of q (Hanin 2018).
    relu = p.width_correction("relu", 10, 50, weight_var=2.0)
    assert_allclose([*relu.q, relu.grad], 0.0, atol=1e-13)
    assert_allclose(relu.spread**2, np.arange(11) * 5 / 50, rtol=1e-12, atol=1e-300)


def test_a_linear_net_has_the_means_of_infinite_width():
    found = p.width_correction("linear", 8, 20, weight_var=1.0)
    assert_allclose([*found.q, found.grad], 0.0, atol=1e-13)


def test_a_profile_says_where_finite_width_matters():
    point = p.critical("silu", q=1.0)
    given = {"weight_var": float(point.weight_var), "bias_var": float(point.bias_var)}
    profile = p.propagate("silu", 20, widths=[600] * 21, **given)
    [hint] = profile.hints
    assert "simulate" in hint and "%" in hint and profile.table().endswith(hint)
    assert pickle.loads(pickle.dumps(profile)).hints == profile.hints
    assert p.propagate("silu", 20, widths=[10**6] * 21, **given).hints == ()
    assert p.propagate("silu", 20, **given).hints == ()
    layers = ["silu", p.Dense(**given)] * 20
    assert p.Network(layers, width=600).propagate().hints == profile.hints
    assert p.Network(layers).propagate().hints == ()
    # Other layers: the squared norm's fluctuation, five over the width a rectified layer.
    conv = ["relu", p.Conv(8, 3, 2.0)] * 4
    [hint] = p.Network(conv, width=8, image=(2, 2)).propagate().hints
    assert "0.63 in all" in hint and "Network.simulate" in hint
    assert p.Network(conv, width=8, image=(64, 64)).propagate().hints == ()


@pytest.mark.parametrize(
    "change",
    [{"width": 0}, {"depth": 0}, {"q0": 0.0}, {"weight_var": -1.0}, {"activation": "step"}],
)  # fmt: skip
def test_impossible_corrections_are_refused(change):
    given = {"activation": "tanh", "depth": 3, "width": 10, "weight_var": 1.0, **change}
    with pytest.raises(ValueError):
        p.width_correction(given.pop("activation"), given.pop("depth"), given.pop("width"), **given)
