"""Advice: the published choices, and that every recommendation does what it says."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin

p = fanin.propagation


@pytest.mark.parametrize("objective", ["both", "forward", "backward", "critical"])
def test_relu_gets_he(objective):
    found = fanin.recommend("relu", objective)
    assert_allclose([found.weight_var, found.gain**2, found.bias_var], [2.0, 2.0, 0.0], rtol=1e-12)
    assert (found.profile.q == 1.0).all()
    assert found.scheme == ("variance_scaling" if objective == "backward" else "he_normal")
    assert found.mode == ("fan_out" if objective == "backward" else "fan_in")
    assert any("50% of the units" in text for text in found.warnings)


def test_leaky_relu_gets_its_own():
    leaky = fanin.Activation("leaky_relu", negative_slope=0.2)
    assert_allclose(fanin.recommend(leaky).weight_var, 2 / 1.04, rtol=1e-12)


def test_linear_gets_lecun():
    found = fanin.recommend("linear")
    assert found.scheme == "lecun_normal" and found.weight_var == pytest.approx(1.0, rel=1e-12)


def test_selu_keeps_its_design_with_a_word_on_its_gradients():
    found = fanin.recommend("selu")
    assert_allclose(found.weight_var, 1.0, rtol=1e-10)
    assert found.scheme == "lecun_normal" and found.bias_var == 0.0
    assert any("chi = 1.0716" in text for text in found.warnings)


def test_tanh_is_put_on_the_edge_of_chaos_for_its_depth():
    found = fanin.recommend("tanh", depth=16)
    # The delta-orthogonal demonstration of Xiao et al. 2018: q* = 1/16.
    assert_allclose([found.weight_var, found.bias_var], [1.1154, 2.369e-4], rtol=1e-4)
    assert_allclose(found.profile.grad, 1.0, rtol=1e-8)
    assert any("5/3 is chaotic" in text and "1.210" in text for text in found.warnings)


def test_the_word_on_torch_is_true():
    # q* = 1.178 and chi = 1.210 of weight_var (5/3)^2; 1.21^100 = 2e8.
    fixed = p.fixed_points("tanh", weight_var=25 / 9)
    assert_allclose([fixed.q, fixed.chi], [1.178, 1.210], atol=6e-4)
    assert 1.5e8 < fixed.chi**100 < 2.5e8


def test_a_bias_variance_chooses_the_point_of_the_edge():
    found = fanin.recommend("tanh", "critical", bias_var=0.05)
    assert_allclose(found.weight_var, 1.7609546, rtol=1e-7)
    assert_allclose(found.profile.q, 0.570, atol=5e-4)


@pytest.mark.parametrize(
    ("name", "weight_var", "bias_var", "slope"),
    # Critical points at q = 1, four digits.
    [
        ("gelu", 2.1937, 0.0672, "1.067"),
        ("silu", 2.6352, 0.0625, "1.099"),
        ("mish", 2.0873, 0.0558, "1.016"),
        ("hardswish", 2.7892, 0.0752, "1.132"),
    ],
)
def test_repelling_critical_points_say_so(name, weight_var, bias_var, slope):
    found = fanin.recommend(name, "critical")
    assert_allclose([found.weight_var, found.bias_var], [weight_var, bias_var], atol=6e-5)
    assert any("repels" in text and slope in text for text in found.warnings)


def test_elu_has_a_critical_point_that_attracts():
    found = fanin.recommend("elu", "critical")
    assert_allclose([found.weight_var, found.bias_var], [1.4968, 0.0347], atol=6e-5)
    assert not any("repels" in text for text in found.warnings)


def test_softplus_has_no_critical_point_and_is_told_so():
    found = fanin.recommend("softplus", "critical")
    assert any("no critical point" in text for text in found.warnings)
    assert_allclose(p.variance_map(1.0, "softplus", weight_var=found.weight_var), 1.0, rtol=1e-10)


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "elu", "sin", "softplus", "sigmoid"])
def test_forward_and_backward_keep_what_they_say(name):
    forward = fanin.recommend(name, "forward", bias_var=0.2)
    kept = p.variance_map(1.0, name, weight_var=forward.weight_var, bias_var=0.2)
    assert_allclose(kept, 1.0, rtol=1e-12)
    backward = fanin.recommend(name, "backward")
    assert_allclose(p.chi(1.0, name, weight_var=backward.weight_var), 1.0, rtol=1e-12)


def test_isometry_means_orthogonal_and_small_signals():
    tanh = fanin.recommend("tanh", "isometry", depth=100)
    assert tanh.scheme == "orthogonal" and tanh.profile.q[0] == pytest.approx(0.01)
    spread = p.jacobian("tanh", 100, weights="orthogonal", q=0.01, weight_var=tanh.weight_var)
    assert spread.relative_variance < 0.1 and spread.mean == pytest.approx(1.0, rel=1e-9)
    relu = fanin.recommend("relu", "isometry", depth=100)
    assert any("No variance of the weights" in text for text in relu.warnings)


def test_a_network_gets_weights_layer_by_layer():
    net = p.Network(["relu", p.Dense(300), "tanh", p.Dense(50)], width=100)
    found = fanin.recommend(net, "forward")
    assert found.weight_var.shape == (2,)
    assert_allclose(found.profile.q[[2, 4]], 1.0, rtol=1e-12)
    expected = [2.0, fanin.gain("tanh") ** 2]
    assert_allclose(found.weight_var, expected, rtol=1e-12)
    backward = fanin.recommend(net, "backward")
    assert_allclose(backward.profile.grad[[0, 2]], 1.0, rtol=1e-12)
    both = fanin.recommend(net)
    assert both.weight_var[0] ** 2 == pytest.approx(expected[0] * backward.weight_var[0], rel=1e-10)


def test_residual_networks_get_branches_that_share_the_growth():
    block = p.Residual(["relu", p.Dense()])
    found = fanin.recommend(p.Network([block] * 64), "forward")
    # Branches of variance 1, weighted by 1/64: one more altogether.
    assert found.profile.q[-1] == pytest.approx(2.0, rel=1e-12)
    assert any("64**-0.5" in text for text in found.reasons)


def test_advice_for_networks_follows_the_map_over_positions():
    conv = p.Conv(16, 3, padding="zero")
    found = fanin.recommend(p.Network(["relu", conv] * 10, width=16, image=(8, 8)), "forward")
    assert_allclose(found.profile.q[2::2], 1.0, rtol=1e-12)
    back = fanin.recommend(p.Network(["relu", conv] * 10, width=16, image=(8, 8)), "backward")
    assert_allclose(back.profile.grad[::2], 1.0, rtol=1e-12)
    # He's 2 over the share of taps inside, at first of an even image, in the end of the map that
    # keeps its form: the largest eigenvalue of an axis is (1 + 2 cos(pi/9))/3.
    eigenvalue = (1 + 2 * np.cos(np.pi / 9)) / 3
    assert_allclose(found.weight_var[0], 2 / (22 / 24) ** 2, rtol=1e-12)
    assert (np.diff(found.weight_var) < 0).all()
    assert 0 < found.weight_var[-1] / (2 / eigenvalue**2) - 1 < 3e-3


def test_advice_for_networks_says_what_it_does_not_do():
    net = p.Network(["relu", p.Dense(), "tanh", p.Dense()])
    both = fanin.recommend(net)
    for objective in ("critical", "isometry"):
        found = fanin.recommend(net, objective)
        assert_allclose(found.weight_var, both.weight_var)
        assert any(objective in text and "'both'" in text for text in found.reasons)
    assert not any("critical" in text for text in both.reasons)
    assert any("nothing is recommended" in t for t in fanin.recommend(p.Network(["relu"])).warnings)
    left = fanin.recommend(net, "forward", bias_var=1.5)
    assert (left.weight_var == 0).all() and any("no weights are left" in t for t in left.warnings)
    assert not any("left" in text for text in both.warnings)


def test_advice_on_residuals_says_how_they_grow():
    block = p.Residual([p.LayerNorm(), p.Attention(16, value_var=100.0)])
    found = fanin.recommend(p.Network([block] * 12), "forward")
    growth = found.profile.q[-1]
    assert growth > 2 * np.e
    assert any(f"multiply q by {growth:.4g}" in text for text in found.reasons)
    assert any("Attention keeps" in text for text in found.warnings)


def test_advice_prints_as_sentences():
    text = str(fanin.recommend("gelu", "critical"))
    assert "because" in text and "beware" in text and "variance_scaling" in text


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        (("relu", "best"), {}),
        (("relu",), {"depth": 0}),
        (("relu",), {"bias_var": -1.0}),
        (("relu",), {"bias_var": np.nan}),
        (("nonsense",), {}),
    ],
)
def test_impossible_wishes_are_refused(arguments, keywords):
    with pytest.raises(ValueError):
        fanin.recommend(*arguments, **keywords)


def test_crelu_is_made_an_isometry_by_mirrored_weights():
    advice = fanin.recommend("crelu", "isometry", depth=6)
    assert advice.scheme == "looks_linear" and advice.weight_var == pytest.approx(2.0)
    assert not any("isometry" in text for text in advice.warnings)
    crelu, stream = fanin.Activation("crelu"), fanin.Stream(0)
    x = np.eye(16)
    for layer in range(6):
        weight = advice.weight((32, 16), seed=stream[layer], dtype="float64")
        assert weight.var() * 32 == pytest.approx(2.0)
        x = crelu(x) @ weight
    assert np.allclose(x @ x.T, np.eye(16), atol=1e-12)


@pytest.mark.parametrize("call", [lambda x: np.exp(x * x), lambda x: x * np.nan])
def test_an_activation_without_moments_gets_no_advice(call):
    with pytest.raises(ValueError, match="no moments at variance 1"):
        fanin.recommend(call)
