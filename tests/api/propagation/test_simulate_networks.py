"""Networks of any layers at finite width: ways back by differences, and means beside the theory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin
from fanin.propagation._drawn import Draws, returned, run

p = fanin.propagation

CASES = {
    "dense": ([p.Dense(5, 2.0, 0.3), "tanh", p.Dense(3, mode="fan_avg")], (2, 4)),
    "strides, groups, zero padding": (
        [p.Conv(6, 3, groups=2, stride=2, padding="zero")],
        (2, 4, 5, 4),
    ),
    "circular and delta": (
        [p.Conv(4, (3, 2), bias_var=0.1), "gelu", p.Conv(3, 3, delta=True, padding="zero")],
        (1, 3, 4, 5),
    ),
    "pools": ([p.AveragePool(2), p.MaxPool(3, 2), p.Flatten()], (2, 3, 8, 9)),
    "norms": ([p.LayerNorm(1.2, 0.3, 0.1), p.RMSNorm(0.7, 0.2, 0.1)], (2, 5)),
    "batch": ([p.BatchNorm(1.3, 0.1, 0.05)], (4, 3, 2, 2)),
    "dropout": ([p.Dropout(0.3)], (3, 7)),
    "gates": ([p.Embedding(0.5, 0.2, 0.1), p.Gated("silu", 6), p.Dense(2)], (2, 4)),
    "attention": ([p.Attention(5, 2.0)], (2, 4, 5)),
    "a mask": ([p.Attention(5, 2.0, causal=True)], (2, 4, 5)),
    "a skip": (
        [p.Residual(["tanh", p.Dense(6)], 0.8, 0.7, [p.Dense(6, 1.5)])],
        (2, 4),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_ways_back_are_the_derivatives_of_the_ways_there(name):
    layers, shape = CASES[name]
    layers = p.Network(layers).layers
    x = fanin.normal(shape, seed=1, dtype="float64")
    step = fanin.normal(shape, seed=2, dtype="float64")

    def value(at):
        signals, ways = run(layers, at, Draws(fanin.Stream(3)))
        return signals[-1], ways

    out, ways = value(x)
    ahead = fanin.normal(out.shape, seed=4, dtype="float64")
    h = 1e-5
    change = ((value(x + h * step)[0] - value(x - h * step)[0]) * ahead).sum() / (2 * h)
    # The error of a central difference: h^2 of a third derivative, and 1e-16/h of rounding.
    assert_allclose((returned(ways, ahead)[0] * step).sum(), change, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("layers", "width", "image", "c0"),
    [
        (
            ["relu", p.Dropout(0.2), p.Dense(300, 2.0), p.Residual(["tanh", p.Dense()])],
            300, None, 0.4,
        ),
        (
            [p.Conv(96, 3, 2.0, padding="zero", stride=2), "relu", p.AveragePool(2), p.LayerNorm(),
             p.Dense(96), "gelu", p.Flatten(), p.Dense(64)],
            96, (8, 6), 0.3,
        ),
        (
            [p.Embedding(0.5, 0.3, 0.2),
             p.Residual([p.RMSNorm(), p.Attention(24, 2.0, causal=True)]),
             p.Residual([p.RMSNorm(), p.Gated("silu", 400), p.Dense(200)])],
            200, None, 0.3,
        ),
    ],
)  # fmt: skip
def test_drawn_networks_agree_with_the_theory(layers, width, image, c0):
    net = p.Network(layers, width=width, image=image)
    found = net.simulate(networks=60, seed=0, c0=c0)
    theory = net.propagate(c0=c0)
    assert_allclose(found.theory.q, theory.q)
    # 1/width a layer for what is finite, as in the tests with torch.
    effect = len(layers) / width
    for name in ("q", "c", "grad"):
        mean, error = getattr(found, name), getattr(found, f"{name}_se")
        expected = getattr(theory, name)
        room = 4 * error + effect * abs(expected) + 1e-12
        assert (abs(mean - expected) <= room).all(), (name, mean, expected, error)
        assert np.nanmedian(error / expected) < 0.05


def test_heavier_weights_are_found_out():
    # A theory of 4 percent less weight a layer is rejected after ten layers.
    def net(variance):
        return p.Network(["relu", p.Dense(weight_var=variance)] * 10, width=300)

    found = net(2.0 * 1.04).simulate(networks=200, seed=0)
    assert (found.q[-1] - net(2.0).propagate().q[-1]) / found.q_se[-1] > 4
    assert abs(found.z[-1]) < 4


def test_a_simulation_is_its_seed_and_refuses_what_it_cannot_draw():
    net = p.Network(["relu", p.Dense(8, 2.0)], width=8)
    assert (net.simulate(networks=3, seed=1).q == net.simulate(networks=3, seed=1).q).all()
    assert (net.simulate(networks=3, seed=1).q != net.simulate(networks=3, seed=2).q).any()
    # The first networks are the same, however many there are.
    assert np.isnan(net.simulate(networks=1, seed=1).q_se).all()
    with pytest.raises(TypeError, match="seed"):
        net.simulate()
    for given, words in (
        ({"networks": 0}, "networks"),
        ({"c0": -0.5}, "c0"),
        ({"q0": math.inf}, "q0"),
        ({"width": 0}, "width"),
    ):
        with pytest.raises(ValueError, match=words):
            net.simulate(seed=0, **given)
    with pytest.raises(ValueError, match="width="):
        p.Network(["relu"]).simulate(seed=0)
    with pytest.raises(ValueError, match="axes"):
        p.Network([p.Dense(weight_var=np.ones(2))], width=4).simulate(seed=0)
    with pytest.raises(ValueError, match="crelu"):
        p.Network(["crelu", p.Dense()], width=4).simulate(seed=0)


def test_narrow_deep_relu_networks_are_born_dead_as_often_as_said():
    widths, networks = [3] * 8, 4000
    dead = 0
    for number in range(networks):
        stream = fanin.Stream(9)[number]
        x = np.ones(3)
        for layer in range(8):
            x = np.maximum(fanin.normal((3, 3), seed=stream[layer], dtype="float64") @ x, 0)
        dead += not x.any()
    expected = 1 - (1 - 1 / 8) ** 8
    assert_allclose(p.born_dead(widths), expected, rtol=1e-14)
    assert abs(dead / networks - expected) < 4 * math.sqrt(expected * (1 - expected) / networks)
    assert p.born_dead(1) == 0.5 and p.born_dead([]) == 0.0
    with pytest.raises(ValueError, match="width"):
        p.born_dead([4, 0])
