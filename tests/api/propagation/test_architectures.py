"""Written-down architectures and the layers that they need, against closed forms and draws."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin

p = fanin.propagation


def test_gates_multiply():
    gate = p.Gated("gelu", 32, weight_var=1.5, value_var=0.7)
    found = p.Network([gate, p.Dense(8)], width=16).propagate(q0=0.8, c0=0.3)
    at = p.moments(1.2, "gelu")
    value = 0.7 * 0.8
    assert_allclose(found.q[1], at.second * value, rtol=1e-12)
    product = float(p.covariance(1.2, 1.2, 0.3, "gelu")) * value * 0.3
    assert_allclose(found.q[1] * found.c[1], product, rtol=1e-12)
    assert_allclose(found.one_minus_c[1], 1 - found.c[1], rtol=1e-11)
    # 32 units out of 16, and 8 out of 32, whose fan divides the last weights.
    expected = 8 / 32 * 32 / 16 * (1.5 * at.slope_second * value + 0.7 * at.second)
    assert_allclose(found.grad[0], expected, rtol=1e-12)
    behind = found.grad[1]
    weights = [behind * at.slope_second * value * 0.8, behind * at.second * 0.8]
    assert_allclose(found.weight_grads, [*weights, found.q[1]], rtol=1e-12)
    with pytest.raises(ValueError, match="Gaussian"):
        p.Network([gate, "relu"]).propagate()
    with pytest.raises(ValueError, match="crelu"):
        p.Gated("crelu")


def test_embeddings_hold_tokens_positions_and_what_all_share():
    found = p.Network([p.Embedding(2.0, 1.0, 0.5)]).propagate(c0=0.25)
    # A quarter of the pairs of tokens is equal; positions differ.
    assert_allclose(found.q[1], 3.5)
    assert_allclose(found.c[1], (0.5 + 0.5) / 3.5, rtol=1e-15)
    assert_allclose(found.one_minus_c[1], 2.5 / 3.5, rtol=1e-15)
    masked = [p.Embedding(2.0, 1.0, 0.5), p.Attention(6, causal=True)]
    assert_allclose(p.Network(masked).propagate(c0=0.25).c[1], found.c[1], rtol=1e-14)


@pytest.mark.parametrize(("correlation", "phi"), [(0.0, "relu"), (0.3, "relu"), (0.5, "tanh")])
def test_the_largest_of_a_window_agrees_with_draws(correlation, phi):
    # A bias gives all pixels of an input one correlation.
    weight_var = 2.0 * (1 - correlation)
    conv = p.Conv(8, 3, weight_var=weight_var, bias_var=2.0 * correlation)
    net = p.Network([conv, phi, p.MaxPool(2), p.Dense()], image=(8, 8))
    found = net.propagate(c0=0.7)
    draws = 1_600_000
    z = fanin.normal((2, draws, 4), seed=3, dtype="float64")
    both = fanin.normal((draws, 5), seed=4, dtype="float64")
    # Two inputs: the bias is theirs in common, of the rest a share .7 pixel by pixel.
    rest = math.sqrt(0.7) * both[:, :4] + math.sqrt(0.3) * z
    u = math.sqrt(2 * correlation) * both[:, 4:] + math.sqrt(weight_var) * rest
    act = {"relu": lambda x: np.maximum(x, 0), "tanh": np.tanh}[phi]
    largest = act(u.max(axis=2))
    for value, sample in ((found.q[3], largest[0] ** 2), (found.q[3], largest[1] ** 2)):
        assert abs(sample.mean() - value) < 4 * sample.std() / math.sqrt(draws)
    product = largest[0] * largest[1]
    error = 4 * product.std() / math.sqrt(draws)
    assert abs(product.mean() - found.q[3] * found.c[3]) < error
    assert error < 0.005 * found.q[3]
    slope = {"relu": lambda x: (x > 0) * 1.0, "tanh": lambda x: 1 - np.tanh(x) ** 2}[phi]
    square = slope(u[0].max(axis=1)) ** 2
    expected = found.grad[3] / 4 * square.mean()
    assert_allclose(
        found.grad[1], expected, rtol=4 * square.std() / square.mean() / math.sqrt(draws)
    )
    assert_allclose(found.grad[2], found.grad[3] / 4, rtol=1e-14)


def test_a_window_of_one_pixel_is_no_pool():
    layers = [p.Conv(8, 3, weight_var=2.0, bias_var=0.3), "gelu"]
    with_pool = p.Network([*layers, p.MaxPool(1), p.Dense(8)]).propagate(c0=0.4)
    without = p.Network([*layers, p.Dense(8)]).propagate(c0=0.4)
    for name in ("q", "grad"):
        found = np.delete(getattr(with_pool, name), 3)
        assert_allclose(found, getattr(without, name), rtol=1e-9, err_msg=name)
    with pytest.raises(ValueError, match="alike"):
        zero = p.Conv(8, 3, padding="zero")
        p.Network([zero, "relu", p.MaxPool(2)], width=8, image=(4, 4)).propagate()
    with pytest.raises(ValueError, match="axes"):
        p.MaxPool(2, (1, 1, 1))
    with pytest.raises(ValueError, match="half the window"):
        p.MaxPool(2, padding=2)
    with pytest.raises(ValueError, match="does not fit"):
        p.Network(["relu", p.MaxPool(3)], image=(2, 2)).propagate()


@pytest.mark.parametrize(("given", "side", "behind"), [
    ((2,), 7, 3), ((3, 2, 1), 7, 4), ((3, 2), 8, 3), ((3, 1, 1), 5, 5), ((2, 3), 6, 2),
])  # fmt: skip
def test_windows_are_those_of_torch(given, side, behind):
    # floor((side + 2 padding - size)/stride) + 1
    assert p.MaxPool(*given).image_behind((side, side)) == (behind, behind)


def test_crelu_behind_or_as_a_skip_is_refused_in_words():
    own = p.Network(["crelu", p.Residual([p.Dense()]), "relu"])
    with pytest.raises(ValueError, match="crelu cannot be its own skip"):
        own.propagate(c0=0.3)
    behind = p.Network(["relu", p.Residual([p.Dense()]), "crelu"])
    with pytest.raises(ValueError, match="crelu needs a Gaussian"):
        behind.propagate()


def test_activations_that_are_their_own_skip_agree_with_draws():
    # s' = relu(s) + branch, relu behind it: the original order of residual nets.
    block = [p.Residual([p.Dense(weight_var=1.5)], skip=0.9, branch=0.8), "relu"]
    net = p.Network([p.Dense(), "relu", *block * 3])
    found = net.propagate(c0=0.0)
    draws, variance = 1_000_000, 1.0
    s = fanin.normal((draws,), seed=5, dtype="float64")
    x = np.maximum(s, 0)
    slopes = [s > 0]
    for i in range(3):
        variance = 0.64 * 1.5 * (x**2).mean()
        s = 0.9 * x + math.sqrt(variance) * fanin.normal((draws,), seed=6 + i, dtype="float64")
        x = np.maximum(s, 0)
        entry = 4 + 2 * i
        # Means of the draws feed the next variance: errors add up over three blocks.
        error = (i + 1) * 4 * (x**2).std() / math.sqrt(draws)
        assert abs((x**2).mean() - found.q[entry]) < error
        assert abs(x.mean() - found.mean[entry - 1]) < error
        slopes.append(s > 0)
    gradient = np.ones(draws)  # the expected square, given the unit's own path along the skips
    for i in range(3, -1, -1):
        behind, gradient = gradient, gradient * slopes[i]
        chi, error = gradient.mean() / behind.mean(), gradient.std() / math.sqrt(draws)
        assert abs(chi - found.chi[1 + 2 * i]) < 4 * error / behind.mean() + 1e-3
        gradient = 0.81 * gradient + 0.64 * 1.5 * gradient.mean()
    # Equal inputs stay equal, and the parabola keeps its ends.
    same = net.propagate(c0=1.0)
    assert_allclose(same.c, 1.0, rtol=1e-10)
    assert (abs(same.one_minus_c) < 1e-12).all()
    lanes = net.propagate(q0=[0.5, 1.0, np.nan])
    assert_allclose(lanes.q[1], found.q, rtol=1e-13)
    assert np.isnan(lanes.q[2]).all()
    assert_allclose(lanes.grad[1], found.grad, rtol=1e-13)
    # Lanes that begin behind them.
    last = [p.Network([*net.layers, p.Dense(weight_var=w)]).propagate() for w in ([1.0, 3.0], 3.0)]
    assert_allclose(last[0].grad[1], last[1].grad, rtol=1e-13)


def test_slopes_on_both_sides_of_a_skip_depend_on_each_other():
    def gradients(phi, variance, skip=1.0, branch=1.0):
        sums = p.Residual([p.Dense(weight_var=variance)], skip, branch)
        return p.Network([phi, sums, phi]).propagate()

    # P(s > 0, relu(s) + sqrt(v) z > 0) = 1/4 + arctan(1/sqrt(v))/(2 pi), v = 3/2.
    both = 0.25 + math.atan(1 / math.sqrt(1.5)) / (2 * math.pi)
    behind = 0.25 + both
    found = gradients("relu", 3.0)
    assert_allclose(found.grad[2], behind, rtol=1e-12)
    assert_allclose(found.grad[0], both + 3.0 * behind / 2, rtol=1e-12)
    # Of a smooth activation by sums over a grid of s and z, exact to rounding.
    z = np.arange(-12, 12, 0.05)
    weight = np.exp(-z * z / 2)
    weight = np.outer(weight, weight) / weight.sum() ** 2
    x, first = np.tanh(z), np.cosh(z) ** -4.0
    spread = 0.49 * 1.3 * (weight.sum(1) * x * x).sum()
    second = np.cosh(0.8 * x[:, None] + math.sqrt(spread) * z) ** -4.0
    path = 0.64 * (weight * first[:, None] * second).sum()
    others = 0.49 * 1.3 * (weight * second).sum() * (weight.sum(1) * first).sum()
    found = gradients("tanh", 1.3, 0.8, 0.7)
    assert_allclose(found.grad[0], path + others, rtol=1e-10)
    assert_allclose(found.grad[:-1], found.chi[:-1] * found.grad[1:], rtol=1e-13)


@pytest.mark.parametrize("padding", ["circular", "zero"])
def test_slopes_of_linear_units_do_not_depend_on_anything(padding):
    conv = p.Conv(8, 3, weight_var=1.5, padding=padding)
    sums = [p.Residual([conv], skip=0.9, branch=0.8)] * 4
    layers = [layer for one in sums for layer in (one, "linear")]
    found = p.Network([conv, "linear", *layers], width=8, image=(4, 3)).propagate(q0=[0.5, 2.0])
    plain = p.Network([conv, *sums], width=8, image=(4, 3)).propagate(q0=[0.5, 2.0])
    assert_allclose(found.grad[..., 1::2], plain.grad[..., 1:], rtol=1e-12)


@pytest.mark.parametrize("name", ["gpt2", "llama", "bert", "vit"])
def test_architectures_have_two_residuals_a_layer_and_end_in_norms(name):
    net = p.architecture(name, layers=3, width=32, tokens=8, inner=64)
    residuals = [layer for layer in net.layers if isinstance(layer, p.Residual)]
    assert len(residuals) == 6
    found = net.propagate(c0=0.0)
    assert_allclose(found.q[-1], 1.0, rtol=2e-2)  # gamma is 1, epsilon small beside .02^2
    assert (found.grad > 0).all() and (found.one_minus_c > 0).all()


def test_the_published_resnet_has_sixteen_blocks():
    net = p.architecture("resnet50")
    blocks = [layer for layer in net.layers if isinstance(layer, p.Residual)]
    assert len(blocks) == 16 and sum(bool(b.projection) for b in blocks) == 4
    found = net.propagate(c0=0.0)
    assert_allclose(found.q[-3], 2.0, rtol=0.4)
    # Every block's first half passes, 53 layers with weights have gradients.
    assert found.weight_grads.shape == (53,)
    assert (found.weight_grads > 0).all()


@pytest.mark.parametrize(
    ("arguments", "sizes", "error", "words"),
    [
        (("gpt3",), {}, ValueError, "did you mean 'gpt2'"),
        (("gpt2",), {"layers": 0}, ValueError, "layers"),
        (("resnet50",), {"blocks": (3, 0)}, ValueError, "blocks"),
        (("gpt2",), {"depth": 3}, TypeError, "depth"),
    ],
)
def test_unknown_architectures_and_sizes_are_refused(arguments, sizes, error, words):
    with pytest.raises(error, match=words):
        p.architecture(*arguments, **sizes)
