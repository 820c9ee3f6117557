"""Recurrent layers against closed forms, sums over nodes and drawn networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin
from fanin.propagation._nodes import gaussian_nodes

p = fanin.propagation

#: Moments of some steps, each good to 1e-12.
CLOSE = 1e-11


def network(*layers, steps=5, width=32):
    return p.Network(list(layers), width=width, image=(steps,))


def test_without_recurrent_weights_an_rnn_is_a_dense_layer_and_an_activation():
    given = {"weight_var": 1.4, "bias_var": 0.3}
    found = network(p.RNN(48, recurrent_var=0.0, activation="gelu", **given)).propagate(c0=0.4)
    dense = p.Network([p.Dense(48, **given), "gelu"], width=32).propagate(c0=0.4)
    assert_allclose(found.position_map(1), dense.q[2], rtol=CLOSE)
    assert_allclose([found.c[1], found.one_minus_c[1]], [dense.c[2], dense.one_minus_c[2]],
                    rtol=CLOSE)  # fmt: skip
    assert_allclose(found.grad[0], dense.grad[0], rtol=CLOSE)


def test_a_linear_rnn_is_a_geometric_sum():
    # u_t = W x_t + U u_(t-1): the loss of every step reaches all before it.
    w, r, steps = 0.7, 0.8, 6
    found = network(p.RNN(weight_var=w, recurrent_var=r, activation="linear"), steps=steps)
    profile = found.propagate(q0=2.0, c0=0.25)
    sums = np.array([sum(r**k for k in range(t + 1)) for t in range(steps)])
    assert_allclose(profile.position_map(1), 2.0 * w * sums, rtol=CLOSE)
    assert_allclose(profile.c[1], 0.25, rtol=CLOSE)
    assert_allclose(profile.position_map(0, "grad"), w * sums[::-1], rtol=CLOSE)
    # Gradients of different steps of a linear net are uncorrelated, and so are its signals.
    back = sums[::-1]
    assert_allclose(
        profile.weight_grads, [2.0 * back.sum(), (back[1:] * 2.0 * w * sums[:-1]).sum()], rtol=CLOSE
    )


def test_the_steps_of_an_rnn_are_a_stack_of_layers_with_an_input():
    layer = p.RNN(recurrent_var=1.5, weight_var=0.6, bias_var=0.1)
    found = network(layer, steps=4).propagate(q0=0.9, c0=0.5)
    q, covariance = 0.0, 0.0
    for t in range(4):
        u, v = 0.6 * 0.9 + 1.5 * q + 0.1, 0.6 * 0.9 * 0.5 + 1.5 * covariance + 0.1
        q = float(p.moments(u, "tanh").second)
        covariance = float(p.covariance(u, u, v / u, "tanh"))
        assert_allclose(found.position_map(1)[t], q, rtol=CLOSE)
    equal = network(layer).propagate(c0=1.0)
    assert_allclose(equal.c[1], 1.0, rtol=1e-14)
    assert abs(equal.one_minus_c[1]) < 1e-15
    lanes = network(layer, steps=4).propagate(q0=[0.4, 0.9], c0=0.5)
    assert_allclose(lanes.q[1], found.q, rtol=1e-13)
    assert_allclose(lanes.grad[1], found.grad, rtol=1e-13)


def test_the_first_step_of_a_gated_cell_is_an_integral():
    # h_1 = sigma(o) tanh(sigma(i) tanh(g)), and (1 - sigma(z)) tanh(a), from states of zero.
    u, mass = gaussian_nodes(1.7)
    sigmoid = 1 / (1 + np.exp(-u))
    gate = float((mass * sigmoid**2).sum())
    inner = np.tanh(sigmoid[:, None] * np.tanh(u)) ** 2
    lstm = gate * float(mass @ inner @ mass)
    found = network(p.LSTM(weight_var=1.5, bias_var=0.2, forget_bias=3.0), steps=1).propagate()
    # 2^15 units: a mean square of kurtosis below 6 is good to sqrt(5/2^15) = 1.2 % at one sigma
    # without the exact covariances of what is drawn.
    assert_allclose(found.q[1], lstm, rtol=0.03)
    z, mass_z = gaussian_nodes(1.7)
    # Half of the bias, .1, lies behind the reset r: given r the sum is Gaussian with 1.6 + .1 r^2.
    unit, mass_unit = gaussian_nodes(1.0)
    total = np.sqrt(1.6 + 0.1 * sigmoid**2)[:, None] * unit
    square = mass @ np.tanh(total) ** 2 @ mass_unit
    gru = float((mass_z * (1 - 1 / (1 + np.exp(-z))) ** 2).sum() * square)
    found = network(p.GRU(weight_var=1.5, bias_var=0.2), steps=1).propagate()
    assert_allclose(found.q[1], gru, rtol=0.03)


@pytest.mark.parametrize("layer", [p.LSTM(40), p.GRU(40), p.RNN(40, activation="relu")])
def test_only_the_last_step_may_go_on(layer):
    whole = network(layer).propagate(c0=0.5)
    last = network(type(layer)(**{**vars(layer), "last": True}), p.Dense(7)).propagate(c0=0.5)
    assert_allclose(last.q[1], whole.position_map(1)[-1], rtol=1e-12)
    assert last.q.shape == (3,)
    # A gradient from the last step only reaches the first less.
    assert (np.diff(last.position_map(0, "grad")) > 0).all()
    assert last.grad[0] < whole.grad[0]


def test_equal_sequences_stay_equal_in_gated_cells():
    for layer in (p.LSTM(bias_var=0.1), p.GRU()):
        found = network(layer).propagate(c0=1.0)
        assert found.one_minus_c[1] < 1e-12
        again = network(layer).propagate(c0=1.0)
        assert (again.q == found.q).all() and (again.grad == found.grad).all()


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_drawn_networks_agree(kind):
    layers = [getattr(p, kind)(bias_var=0.2, recurrent_var=1.4), p.Dense(100)]
    found = network(*layers, width=150).simulate(networks=60, c0=0.5, seed=3)
    theory = network(*layers, width=150).propagate(c0=0.5)
    # Order steps/width, and the units of gated cells.
    for name in ("q", "grad"):
        value, error = getattr(found, name), getattr(found, f"{name}_se")
        expected = getattr(theory, name)
        assert (abs(value - expected) < 4 * error + (5 / 150 + 0.01) * expected).all(), name


@pytest.mark.parametrize(
    "make",
    [
        lambda: p.RNN(0),
        lambda: p.LSTM(recurrent_var=-1.0),
        lambda: p.RNN(activation="crelu"),
        lambda: p.Network([p.GRU()], width=3).propagate(),
        lambda: p.Network([p.GRU()], width=3, image=(4, 4)).propagate(),
    ],
)
def test_impossible_recurrent_layers_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_a_cell_remembers():
    # With an open forget gate the cell sums what comes in, so that correlations over time grow q.
    kept = network(p.LSTM(forget_bias=4.0), steps=12).propagate().position_map(1)
    lost = network(p.LSTM(forget_bias=-4.0), steps=12).propagate().position_map(1)
    assert (np.diff(kept) > 0).all() and kept[-1] > 3 * lost[-1]
    assert math.isclose(kept[0], lost[0], rel_tol=1e-12)
