"""Profiles of dense stacks and of networks with every kind of layer, against closed forms."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin
from fanin.propagation._softmax import softmax_moments

p = fanin.propagation

#: Closed forms through some hundred layers of maps that are good to 1e-12 each.
CLOSE = 1e-10

# ---- propagate -----------------------------------------------------------------------------------


def test_what_dropout_leaves_on_a_stream_is_not_gaussian():
    dense = p.Dense(weight_var=2.0, bias_var=0.1)
    block = p.Residual(["relu", dense, p.Dropout(0.4)])
    with pytest.raises(ValueError, match="needs a Gaussian pre-activation"):
        p.Network([block, "tanh", dense]).propagate()
    behind = p.Network([block, dense, "tanh", dense]).propagate()
    assert behind.q[1] == pytest.approx(1.0 + 1.1 / 0.6)  # q0 + (2 (1/2) + .1)/(1 - rate)
    none = p.Residual(["relu", dense, p.Dropout(0.0)])
    p.Network([none, "tanh", dense]).propagate()


def test_tanh_fades_as_published():
    # Computed with mpmath, six digits.
    found = p.propagate("tanh", 100, weight_var=1.0)
    at = [1, 2, 3, 10, 50, 100]
    expected = [0.394294, 0.236450, 0.166656, 0.0522001, 0.0102193, 0.00506902]
    assert_allclose(found.q[at], expected, rtol=5e-6)  # half a unit of the sixth digit of 1.0
    assert_allclose(found.grad[0], 7.13425e-3, rtol=1e-6)
    assert_allclose(found.grad[0], np.prod(found.chi[:-1]), rtol=CLOSE)


def test_he_keeps_a_relu_net_exactly_and_xavier_halves_it():
    assert (p.propagate("relu", 1000, weight_var=2.0).q == 1.0).all()
    assert_allclose(p.propagate("relu", 50, weight_var=1.0).q, 0.5 ** np.arange(51), rtol=CLOSE)


def test_entries_are_iterated_maps():
    given = {"weight_var": 1.7, "bias_var": 0.2}
    found = p.propagate("gelu", 5, q0=0.4, c0=0.3, **given)
    q, c = 0.4, 0.3
    for layer in range(6):
        assert_allclose([found.q[layer], found.c[layer]], [q, c], rtol=1e-12)
        assert_allclose(found.chi[layer], p.chi(q, "gelu", weight_var=1.7), rtol=1e-12)
        assert_allclose(found.one_minus_c[layer], 1 - c, rtol=1e-10)
        c = p.correlation_map(c, q, "gelu", **given)
        q = p.variance_map(q, "gelu", **given)


def test_relu_inputs_merge_as_published():
    # From c = 0 to 1 - c = 3.6e-3 in 100 layers (two digits), and 9 pi^2/(2 l^2) times
    # 0.805 there and 0.971 after 1000 (three digits).
    apart = p.propagate("relu", 1000, weight_var=2.0, c0=0.0).one_minus_c
    assert abs(apart[100] - 3.6e-3) < 5e-5
    ratio = apart[[100, 1000]] / (9 * math.pi**2 / (2 * np.array([100.0, 1000.0]) ** 2))
    assert_allclose(ratio, [0.805, 0.971], atol=6e-4)


def test_distances_stay_accurate_where_correlations_cannot():
    # Critical tanh: 1 - c shrinks slowly from 1e-9, where c itself has seven digits left.
    point = p.critical("tanh", q=0.5)
    given = {"weight_var": point.weight_var, "bias_var": point.bias_var, "q0": 0.5}
    apart = p.propagate("tanh", 30, c0=1.0, **given).one_minus_c
    assert (apart == 0).all()
    near = p.propagate("tanh", 30, c0=1 - 2.0**-30, **given).one_minus_c
    # chi = 1: relative change per layer ~ delta/beta ~ 1e-9.
    assert_allclose(near, 2.0**-30, rtol=1e-6)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo"])
def test_widths_enter_by_the_fan(mode):
    # Factors per unit of each fan.
    widths = [100, 300, 60]
    found = p.propagate("relu", 2, weight_var=2.0, widths=widths, mode=mode)
    q, grad = [1.0], [1.0]
    for n, m in zip(widths, widths[1:], strict=False):
        fan = {"fan_in": n, "fan_out": m, "fan_avg": (n + m) / 2, "fan_geo": math.sqrt(n * m)}
        q.append(q[-1] * n / fan[mode])
        grad.append(m / fan[mode])
    assert_allclose(found.q, q, rtol=1e-13)
    assert_allclose(found.grad, [grad[1] * grad[2], grad[2], 1.0], rtol=1e-13)


def test_he_forward_and_backward_differ_by_the_ratio_of_the_ends():
    widths = [64, 500, 33, 128]
    found = p.propagate("relu", 3, weight_var=2.0, widths=widths)
    assert_allclose(found.grad[0], 128 / 64, rtol=1e-13)


def test_gradients_of_weights_are_gradient_times_signal():
    found = p.propagate("tanh", 4, weight_var=1.5, bias_var=0.1, q0=0.8)
    second = p.moments(found.q, "tanh").second
    assert_allclose(found.weight_grad[1:], found.grad[1:] * second[:-1], rtol=1e-12)
    assert_allclose(found.weight_grad[0], found.grad[0] * (0.8 - 0.1) / 1.5, rtol=1e-12)


def test_dropout_enlarges_signals_and_parts_equal_inputs():
    given = {"weight_var": 1.2, "bias_var": 0.1}
    found = p.propagate("tanh", 40, c0=1.0, dropout=0.2, **given)
    moments = p.moments(found.q[:-1], "tanh")
    assert_allclose(found.q[1:], 1.2 / 0.8 * moments.second + 0.1, rtol=1e-12)
    assert_allclose(found.chi[:-1], 1.2 / 0.8 * moments.slope_second, rtol=1e-12)
    # One layer from equal inputs: covariance 1.2 F + 0.1.
    c1 = (1.2 * moments.second[0] + 0.1) / found.q[1]
    assert_allclose(found.c[1], c1, rtol=1e-12)
    fixed = p.fixed_points("tanh", dropout=0.2, **given)
    assert_allclose([found.q[-1], found.c[-1]], [fixed.q, fixed.c], rtol=1e-6)
    zero = p.propagate("tanh", 3, c0=0.99, dropout=0.0, **given)
    none = p.propagate("tanh", 3, c0=0.99, **given)
    assert (zero.one_minus_c == none.one_minus_c).all()


def test_saturated_and_dead_fractions():
    relu = p.propagate("relu", 1, weight_var=2.0)
    assert_allclose(relu.dead, 0.5, rtol=1e-15)
    hard = p.propagate("hardtanh", 0, weight_var=1.0, q0=[0.25, 4.0])
    # P(|u| > 1) = erfc(1/sqrt(2 q)): erfc(sqrt(2)), erfc(1/sqrt(8)); P(|u| > 3) likewise.
    assert_allclose(hard.dead[:, 0], [math.erfc(math.sqrt(2)), math.erfc(8**-0.5)], rtol=1e-12)
    assert_allclose(
        hard.saturated[:, 0], [math.erfc(18**0.5), math.erfc(9 / 8**0.5 / 3)], rtol=1e-12
    )
    assert (p.propagate("tanh", 0, weight_var=1.0, q0=100.0).dead == 0).all()
    assert_allclose(p.propagate("relu6", 0, weight_var=1.0).dead, 0.5 + math.erfc(6 / 2**0.5) / 2)


def test_lanes_broadcast_and_bad_ones_are_nan():
    found = p.propagate(
        "tanh", 3, weight_var=[1.0, 2.0, -1.0, np.nan], bias_var=[[0.0], [0.1]], c0=0.5
    )
    assert (
        found.q.shape == found.c.shape == found.grad.shape == found.weight_grad.shape == (2, 4, 4)
    )
    alone = p.propagate("tanh", 3, weight_var=2.0, bias_var=0.1, c0=0.5)
    assert_allclose(found.q[1, 1], alone.q, rtol=1e-15)
    assert_allclose(found.grad[1, 1], alone.grad, rtol=1e-15)
    assert_allclose(found.one_minus_c[1, 1], alone.one_minus_c, rtol=1e-13)
    assert np.isnan(found.q[:, 2:, 1:]).all()
    assert np.isfinite(found.q[:, :2]).all()


def test_depth_zero_is_what_was_given():
    found = p.propagate("relu", 0, weight_var=2.0, q0=3.0, c0=0.5)
    assert found.q.tolist() == [3.0] and found.grad.tolist() == [1.0] and found.c.tolist() == [0.5]


@pytest.mark.parametrize(
    "change",
    [
        {"depth": -1},
        {"depth": 1.5},
        {"weight_var": -1.0},
        {"bias_var": -1.0},
        {"q0": -1.0},
        {"c0": 1.1},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"mode": "fan"},
        {"widths": [3, 3]},
        {"widths": [3, 0, 3]},
    ],
)
def test_arguments_out_of_range_are_refused(change):
    given = {"depth": 2, "weight_var": 1.0, **change}
    with pytest.raises(ValueError):
        p.propagate("relu", given.pop("depth"), **given)


# ---- the record ----------------------------------------------------------------------------------


def test_a_profile_is_a_record():
    found = p.propagate("relu", 2, weight_var=2.0)
    with pytest.raises(AttributeError):
        found.q = 1
    with pytest.raises(ValueError):
        found.grad[0] = 1
    with pytest.raises(AttributeError, match="nothing"):
        _ = found.nothing
    assert found.q is found.q and "2 layers" in repr(found)


def test_json_has_every_field_and_no_nan():
    found = p.propagate("tanh", 2, weight_var=[1.0, 2.0])
    record = json.loads(found.to_json())
    assert record["c"] == [[None] * 3] * 2
    assert record["q"][1] == found.q[1].tolist()
    one = json.loads(found.to_json((1,)))
    assert one["grad"] == found.grad[1].tolist() and one["layers"] == ["0", "1", "2"]


def test_table_wants_one_lane():
    found = p.propagate("tanh", 2, weight_var=[1.0, 2.0])
    with pytest.raises(ValueError, match="1 axes before the layers"):
        found.table()
    text = found.table((1,))
    assert len(text.splitlines()) == 4 and " c " not in text.splitlines()[0]
    assert "one_minus_c" in p.propagate("tanh", 1, weight_var=1.0, c0=0.5).table()


# ---- layers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_a_network_of_dense_layers_is_the_stack(activation):
    layer = p.Dense(weight_var=1.6, bias_var=0.1)
    net = p.Network([activation, layer] * 6).propagate(q0=0.7, c0=0.2)
    stack = p.propagate(activation, 6, weight_var=1.6, bias_var=0.1, q0=0.7, c0=0.2)
    for name in ("q", "c", "one_minus_c", "grad"):
        assert_allclose(getattr(net, name)[::2], getattr(stack, name), rtol=1e-11, err_msg=name)
    assert_allclose(net.weight_grad[2::2], stack.weight_grad[1:], rtol=1e-11)
    assert_allclose(net.mean[:-1:2], stack.mean[:-1], rtol=1e-13)
    assert_allclose(net.dead[:-1:2], stack.dead[:-1])
    assert np.isnan(net.chi[-1]) and net.layers[1:3] == (activation, "Dense")


def test_dense_layers_with_widths_are_the_stack_with_widths():
    widths = [100, 300, 60]
    layers = ["tanh", p.Dense(300, 1.5, mode="fan_avg"), "tanh", p.Dense(60, 1.5, mode="fan_avg")]
    net = p.Network(layers, width=100).propagate()
    stack = p.propagate("tanh", 2, weight_var=1.5, widths=widths, mode="fan_avg")
    assert_allclose(net.q[::2], stack.q, rtol=1e-12)
    assert_allclose(net.grad[::2], stack.grad, rtol=1e-12)


def test_residual_relu_nets_double_or_grow_by_e():
    # Yang & Schoenholz 2017: q_L = (1 + b^2)^L, gradients likewise.
    def net(branch, blocks):
        block = p.Residual(["relu", p.Dense(weight_var=2.0)], branch=branch)
        return p.Network([block] * blocks).propagate()

    doubling = net(1.0, 20)
    assert_allclose(doubling.q, 2.0 ** np.arange(21), rtol=CLOSE)
    assert_allclose(doubling.grad[0], 2.0**20, rtol=CLOSE)
    assert_allclose(net(0.01, 10_000 // 50).q[-1], (1 + 1e-4) ** 200, rtol=CLOSE)
    # (1 + 1/L)^L = e (1 - 1/(2 L) + ...)
    assert_allclose(net(1000**-0.5, 1000).q[-1], math.e, rtol=6e-4)


def test_residual_covariances_add():
    block = p.Residual(["tanh", p.Dense(weight_var=1.3, bias_var=0.2)], skip=0.9, branch=0.5)
    found = p.Network([block]).propagate(q0=0.8, c0=0.6)
    inside = 1.3 * p.covariance(0.8, 0.8, 0.6, "tanh") + 0.2
    q = 0.81 * 0.8 + 0.25 * (1.3 * p.moments(0.8, "tanh").second + 0.2)
    assert_allclose(found.q[1], q, rtol=1e-12)
    assert_allclose(found.c[1], (0.81 * 0.8 * 0.6 + 0.25 * inside) / q, rtol=1e-12)
    assert_allclose(found.one_minus_c[1], 1 - found.c[1], rtol=1e-12)
    assert_allclose(found.grad[0], 0.81 + 0.25 * p.chi(0.8, "tanh", weight_var=1.3), rtol=1e-12)


@pytest.mark.parametrize(
    ("activation", "factor"),
    # mu_1(1)/F(1), four digits.
    [("relu", 1.0), ("tanh", 1.178), ("gelu", 1.072)],
)
@pytest.mark.parametrize("norm", [p.LayerNorm(), p.RMSNorm()])
@pytest.mark.parametrize("weight_var", [0.5, 7.0])
def test_layer_norm_makes_gradients_independent_of_the_weights(
    activation, factor, norm, weight_var
):
    net = p.Network([activation, p.Dense(weight_var=weight_var), norm] * 3).propagate()
    assert_allclose(net.q[::3], 1.0, rtol=1e-13)
    moments = p.moments(1.0, activation)
    exact = moments.slope_second / moments.second
    assert_allclose(net.grad[:-1:3] / net.grad[3::3], exact, rtol=CLOSE)
    assert abs(exact - factor) < 6e-4


def test_layer_norm_on_activations_removes_their_mean():
    net = p.Network(["relu", p.LayerNorm(), p.Dense(weight_var=1.0)]).propagate(c0=0.5)
    mean, second = 1 / math.sqrt(2 * math.pi), 0.5
    variance = second - mean**2
    assert_allclose(net.q[2:], 1.0, rtol=1e-13)
    assert_allclose(net.grad[0], 0.5 / variance, rtol=1e-12)
    covariance = p.covariance(1.0, 1.0, 0.5, "relu")
    assert_allclose(net.c[2], (covariance - mean**2) / variance, rtol=1e-12)
    assert_allclose(net.one_minus_c[2], 1 - net.c[2], rtol=1e-11)


def test_batch_norm_explodes_relu_gradients_by_the_published_constant():
    # Martens et al. 2021: pi/(pi - 1) = 1.466942206924260361 a layer.
    net = p.Network(["relu", p.Dense(weight_var=3.0), p.BatchNorm()] * 5).propagate()
    assert_allclose(net.grad[:-1:3] / net.grad[3::3], 1.466942206924260361, rtol=1e-12)
    # mu_1(1)/Var phi for another activation.
    moments = p.moments(1.0, "gelu")
    gelu = p.Network(["gelu", p.Dense(), p.BatchNorm()]).propagate()
    expected = moments.slope_second / (moments.second - moments.mean**2)
    assert_allclose(gelu.grad[0], expected, rtol=1e-12)


def test_dropout_layer_is_the_dropout_of_the_stack():
    layers = ["tanh", p.Dropout(0.3), p.Dense(weight_var=1.1, bias_var=0.05)]
    net = p.Network(layers * 4).propagate(c0=0.8)
    stack = p.propagate("tanh", 4, weight_var=1.1, bias_var=0.05, c0=0.8, dropout=0.3)
    for name in ("q", "c", "one_minus_c", "grad"):
        assert_allclose(getattr(net, name)[::3], getattr(stack, name), rtol=1e-11, err_msg=name)


def test_crelu_keeps_signals_and_gradients_exactly():
    # relu(x)^2 + relu(-x)^2 = x^2: with 2 n inputs weight_var 2 keeps every variance.
    net = p.Network(["crelu", p.Dense(weight_var=2.0)] * 20, width=64).propagate()
    assert_allclose(net.q[::2], 1.0, rtol=CLOSE)
    assert_allclose(net.grad[::2], 1.0, rtol=CLOSE)
    free = p.Network(["crelu", p.Dense(weight_var=2.0)] * 20).propagate()
    assert_allclose(free.grad, net.grad, rtol=1e-14)


def test_convolutions_have_the_fans_of_their_kernels():
    given = {"weight_var": 2.0, "mode": "fan_out"}
    conv = p.Conv(64, 3, groups=4, stride=2, **given)
    net = p.Network(["relu", conv], width=32).propagate()
    # fan_in 32/4 9, fan_out 64/4 9; backward fan divided by the stride's 4.
    assert_allclose(net.q[2], 2.0 * 0.5 * (8 * 9) / (16 * 9), rtol=1e-13)
    assert_allclose(net.grad[0], 0.5 * 2.0 / 4, rtol=1e-13)
    delta = p.Network(
        ["relu", p.Conv(64, (5, 5), weight_var=2.0, delta=True)], width=64
    ).propagate()
    assert_allclose([delta.q[2], delta.grad[0]], 1.0, rtol=1e-13)


def test_zero_padding_loses_the_taps_outside():
    # 3 x 3 on 4 x 4: an axis sees (2 + 3 + 3 + 2)/12 of its taps.
    conv = p.Conv(8, 3, weight_var=1.0, padding="zero")
    net = p.Network(["linear", conv], width=8, image=(4, 4)).propagate()
    assert_allclose(net.q[2], (10 / 12) ** 2, rtol=1e-13)
    delta = p.Conv(8, 3, weight_var=1.0, padding="zero", delta=True)
    assert p.Network(["linear", delta], width=8, image=(4, 4)).propagate().q[2] == 1.0


def test_zero_padding_agrees_with_a_drawn_convolution():
    stream, side, channels = fanin.Stream(8), 6, 40
    x = fanin.normal((channels, side, side), seed=stream["x"], dtype="float64")
    weight = fanin.normal(
        (channels, channels, 3, 3),
        scale=1 / math.sqrt(9 * channels),
        seed=stream["w"],
        dtype="float64",
    )
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    out = np.einsum("oiab,ixyab->oxy", weight, windows)
    net = p.Network(
        ["linear", p.Conv(channels, 3, padding="zero")], width=channels, image=(side,) * 2
    )
    # 1440 outputs and inputs, neighbours nearly independent: sqrt(2/1440) = 4 % each; four of both.
    assert abs(np.mean(out**2) / net.propagate().q[2] - 1) < 4 * math.sqrt(2) * math.sqrt(2 / 1440)


def test_average_pooling_divides_by_the_window():
    net = p.Network([p.AveragePool(2), p.AveragePool((3, 1), correlation=0.5)]).propagate(q0=8.0)
    assert_allclose(net.q, [8.0, 2.0, 2.0 * (1 + 2 * 0.5) / 3], rtol=1e-15)
    assert_allclose(net.grad[0], 1 / 16 / 9, rtol=1e-15)


def test_attention_merges_tokens_and_a_skip_delays_it():
    plain = p.Network([p.Attention(128)] * 4).propagate(c0=0.3)
    assert plain.one_minus_c[-1] < 1e-2 and (np.diff(plain.c[:4]) > 0).all()
    # First layer by hand: s^2 = 1 - c = 0.7.
    share = softmax_moments(np.array(0.7), 128)[0]
    assert_allclose(plain.q[1], 0.3 + 0.7 * share, rtol=1e-12)
    both = (128 * share) ** 0.3 / 128
    assert_allclose(plain.c[1], (0.3 + 0.7 * both) / plain.q[1], rtol=1e-12)
    skipped = p.Network([p.Residual([p.Attention(128)])] * 4).propagate(c0=0.3)
    assert skipped.one_minus_c[-1] > plain.one_minus_c[-1]
    assert "Attention~" in plain.layers


def test_attention_agrees_with_a_drawn_one():
    # One head, tokens of correlation rho; theory for many tokens and a wide model.
    tokens, width, rho, heads = 400, 300, 0.5, 12
    stream, found = fanin.Stream(2), []
    common = fanin.normal((width,), seed=stream["common"], dtype="float64")
    own = fanin.normal((tokens, width), seed=stream["own"], dtype="float64")
    x = math.sqrt(rho) * common + math.sqrt(1 - rho) * own
    for head in range(heads):
        q, k, v = (
            fanin.normal((width, width), scale=width**-0.5, seed=stream[head][n], dtype="float64")
            for n in "qkv"
        )
        logits = (x @ q) @ (x @ k).T / math.sqrt(width)
        a = np.exp(logits - logits.max(axis=1, keepdims=True))
        a /= a.sum(axis=1, keepdims=True)
        found.append(np.mean((a @ (x @ v)) ** 2))
    net = p.Network([p.Attention(tokens)]).propagate(c0=rho)
    error = np.std(found, ddof=1) / math.sqrt(heads)
    # An approximation: 1/tokens and the width's sqrt(2/300) in the one common vector, 8 %.
    assert abs(np.mean(found) - net.q[1]) < 4 * error + 0.2 * net.q[1]


def test_activations_need_gaussian_inputs():
    with pytest.raises(ValueError, match="Gaussian"):
        p.Network(["relu", "tanh"]).propagate()


@pytest.mark.parametrize(
    "make",
    [
        lambda: p.Dense(0),
        lambda: p.Dense(weight_var=-1.0),
        lambda: p.Dense(mode="fan"),
        lambda: p.Conv(8, 3, groups=3),
        lambda: p.Conv(8, 3, padding="same"),
        lambda: p.Conv(8, (3, 3), stride=(1, 1, 1)),
        lambda: p.Dropout(1.0),
        lambda: p.AveragePool(0),
        lambda: p.AveragePool(2, correlation=2.0),
        lambda: p.Attention(0),
        lambda: p.Residual([p.Dense(), "relu"]),
        lambda: p.Network(["nonsense"]),
        lambda: p.Network([p.Residual(["relu", p.Dense(8)])], width=4).propagate(),
        lambda: p.Network(["relu"]).propagate(q0=-1.0),
        lambda: p.Network(["relu"]).propagate(c0=2.0),
    ],
)
def test_impossible_layers_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_layers_are_a_list():
    with pytest.raises(TypeError, match="list"):
        p.Network("relu")


def test_networks_broadcast_over_lanes():
    net = p.Network(["tanh", p.Dense(weight_var=np.array([1.0, 1.5])), p.LayerNorm()])
    found = net.propagate(q0=[[0.5], [1.0], [2.0]], c0=0.1)
    assert found.q.shape == found.grad.shape == found.c.shape == (3, 2, 4)


def test_sides_may_be_integers_of_numpy():
    three = np.int64(3)
    assert p.MaxPool(three, np.int32(2), np.uint8(1)) == p.MaxPool(3, 2, 1)
    assert p.AveragePool(three) == p.AveragePool(3)
    assert p.Conv(8, three, stride=three) == p.Conv(8, 3, stride=3)
    assert p.Network([p.Dense()], image=(three, three)).image == (3, 3)
