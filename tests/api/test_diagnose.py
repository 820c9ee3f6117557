"""Diagnoses against the numbers of the texts they come from."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin

diagnose = fanin.diagnose

# ---- equal units ---------------------------------------------------------------------------------


def test_zero_weights_stay_exactly_zero():
    found = diagnose.symmetry(0.0)
    assert (found.weight == 0).all() and found.rank == 0


def test_constant_weights_stay_bitwise_equal():
    found = diagnose.symmetry(0.5)
    assert found.identical and found.rank == 1
    assert (found.weight != 0.5).all()  # they did learn
    assert (found.weight.view(np.uint64)[:, 1:] == found.weight.view(np.uint64)[:, :1]).all()


def test_random_weights_become_two_features_and_learn():
    found = diagnose.symmetry(fanin.normal((2, 3), seed=0, dtype="float64"))
    assert found.rank == 2 and not found.identical
    # One feature cannot tell exclusive or; its best squared error is that of the equal units.
    assert found.loss < 0.01 < diagnose.symmetry(0.5).loss


@pytest.mark.parametrize("columns", [2, 5])
def test_rank_counts_different_units(columns):
    weight = np.tile([[1.0], [2.0]], (1, columns))
    assert diagnose.symmetry(weight, steps=0).rank == 1
    weight[0, -1] += 1e-9
    assert diagnose.symmetry(weight, steps=0).rank == 2


def test_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 2\)"):
        diagnose.symmetry(np.zeros((3, 2)))


def test_two_equal_neurons_get_equal_gradients_and_different_ones_do_not():
    first, second = diagnose.two_neurons(0.7, (0.3, 0.3), out=(1.0, 1.0))
    assert first == second != 0
    sigmoid = [1 / (1 + mpmath.exp(-0.7 * w)) for w in (0.3, -0.2)]
    f = 1 / (1 + mpmath.exp(-(sigmoid[0] + 2 * sigmoid[1])))
    expected = [f * (1 - f) * v * s * (1 - s) * 0.7 for v, s in zip((1, 2), sigmoid, strict=True)]
    found = diagnose.two_neurons(0.7, (0.3, -0.2), out=(1.0, 2.0))
    assert_allclose(found, [float(x) for x in expected], rtol=1e-14)


def test_two_zero_neurons_never_move():
    assert diagnose.two_neurons(1.0) == (0.0, 0.0)


def test_logistic_regression_may_start_at_zero():
    x = fanin.normal((50, 4), seed=1, dtype="float64")
    y = (x[:, 0] > 0).astype(float)
    found = diagnose.logistic_gradient(x, y)
    assert_allclose(found, x.T @ (0.5 - y) / 50, rtol=1e-13, atol=1e-16)
    assert (found != 0).all()
    with pytest.raises(ValueError):
        diagnose.logistic_gradient(x, y[1:])


# ---- one pre-activation --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "weight_std", "expected"),
    [
        (np.repeat([1.0, 0.0], 500), 1.0, math.sqrt(501)),
        (np.ones(1000), 1.0, math.sqrt(1001)),
        (np.ones(1000), 1000**-0.5, math.sqrt(2)),
        (np.repeat([1.0, 0.0], 500), 1000**-0.5, math.sqrt(1.5)),
    ],
)
def test_spread_of_a_preactivation(x, weight_std, expected):
    # Three roundings and a sum of equal terms.
    found = diagnose.preactivation_std(x, weight_std=weight_std, bias_std=1.0)
    assert_allclose(found, expected, rtol=1e-15 * 8)


def test_spread_of_a_preactivation_is_that_of_draws():
    draws, x = 100_000, np.repeat([1.0, 0.0], 500)
    # Half the inputs are zero: 500 weights and one bias each.
    stream = fanin.Stream(4)
    z = fanin.normal((draws,), seed=stream["b"], dtype="float64")
    for part in range(10):
        z += fanin.normal((draws, 50), seed=stream[part]).sum(axis=1, dtype=np.float64)
    # Relative standard error of a standard deviation: 1/sqrt(2 N).
    error = diagnose.preactivation_std(x) / math.sqrt(2 * draws)
    assert abs(z.std() - 22.3830) < 5 * error


def test_batches_of_inputs_broadcast_with_the_weights():
    found = diagnose.preactivation_std(np.ones((4, 1, 9)), weight_std=[1.0, 2.0], bias_std=0.0)
    assert_allclose(found, np.broadcast_to([3.0, 6.0], (4, 2)))


@pytest.mark.parametrize("change", [{"weight_std": -1.0}, {"bias_std": -1.0}, {"x": 1.0}])
def test_wrong_spreads_are_refused(change):
    with pytest.raises(ValueError):
        diagnose.preactivation_std(**{"x": [1.0], **change})


@pytest.mark.parametrize(
    ("std", "slope", "beyond"),
    [(math.sqrt(501), 0.0177653, 0.964365), (math.sqrt(1.5), 0.1927627, 0.414216)],
)
def test_saturated_sigmoids_have_the_published_slopes(std, slope, beyond):
    found = diagnose.saturation(std)
    assert_allclose([found.mean_slope, found.beyond], [slope, beyond], atol=5e-7)
    with mpmath.workdps(20):

        def weighted(u):
            return mpmath.npdf(u / std) / std / (2 + mpmath.exp(u) + mpmath.exp(-u))

        exact = mpmath.quad(weighted, [-60, -8, 0, 8, 60])
        assert_allclose(found.mean_slope, float(exact), rtol=1e-12)
        assert_allclose(found.beyond, float(mpmath.erfc(1 / (std * mpmath.sqrt(2)))), rtol=1e-13)


def test_a_slope_never_exceeds_a_quarter():
    assert diagnose.saturation(1e-6).mean_slope == pytest.approx(0.25, rel=1e-9)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError):
            diagnose.saturation(bad)


def test_sigmoid_at_ten():
    sigmoid = fanin.Activation("sigmoid")
    assert_allclose(sigmoid([10.0, -10.0]), [0.9999546021, 4.5397868702e-5], rtol=1e-10)


# ---- the chain -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("w", "expected"),
    [(1.0, 3.00813e-3), (0.01, 3.90618e-9), (10.0, 3.66388e-9), (100.0, 6.67298e-104)],
)
def test_four_sigmoids_in_a_row(w, expected):
    # Six digits are published; with w = 100 the naive y (1 - y) would be 0.
    assert_allclose(diagnose.chain_gradient(w, 0.0, 0.0, "sigmoid"), expected, rtol=2e-6)
    assert diagnose.chain_gradient([w] * 4, [0.0] * 4) == diagnose.chain_gradient(w)


@pytest.mark.parametrize(("w", "expected"), [(4.0, 0.25), (10.0, 3.90625), (100.0, 3906.25)])
def test_a_centred_chain_explodes(w, expected):
    assert diagnose.chain_gradient([w] * 4, [0.0, *[-w / 2] * 3], 0.0, "sigmoid") == expected


def test_a_chain_of_unit_weights_is_below_its_bound():
    assert diagnose.chain_gradient(1.0) < 0.25**4 == 0.00390625
    assert diagnose.chain_gradient(1.0, [0.0, *[-0.5] * 3]) == 0.00390625
    # Ten layers: below 0.25^10 = 9.5e-7.
    assert 0 < diagnose.chain_gradient(1.0, depth=10) < 9.5368e-7


def test_a_chain_gradient_is_the_derivative():
    w, x, h = [0.8, -1.3, 0.5], 0.4, 1e-6
    tanh = fanin.Activation("tanh")

    def out(shift):
        y = x
        for layer, scale in enumerate(w):
            y = float(tanh(scale * y + (shift if layer == 0 else 0.0)))
        return y

    found = diagnose.chain_gradient(w, 0.0, x, "tanh")
    # Central difference: error h^2 and 1e-16/h.
    assert_allclose(found, (out(h) - out(-h)) / (2 * h), rtol=1e-8)


def test_a_chain_of_matrices_is_refused():
    with pytest.raises(ValueError):
        diagnose.chain_gradient(np.ones((2, 2)))


# ---- the report ----------------------------------------------------------------------------------


def test_report_finds_a_vanishing_relu_and_says_what_to_do():
    found = diagnose.report("relu", 40, weight_var=1.0)
    assert any("signal vanishes" in text and "weight_var 2." in text for text in found.findings)
    assert any("gradient vanishes" in text for text in found.findings)
    assert found.findings[0] in str(found) and "weight_grad" in str(found)


def test_report_finds_an_explosion_and_saturation():
    found = diagnose.report("tanh", 100, weight_var=16.0)
    text = " ".join(found.findings)
    assert "gradient explodes" in text and "saturate" in text


def test_report_finds_nothing_wrong_with_he():
    assert diagnose.report("relu", 100, weight_var=2.0).findings == ()
    assert "Nothing to report." in str(diagnose.report("relu", 3, weight_var=2.0))


def test_report_warns_of_narrow_and_deep():
    # Sum of 5/width over 100 layers: 10 at width 50, 0.05 at width 10 000.
    assert "fluctuates" in diagnose.report("relu", 100, weight_var=2.0, width=50).findings[0]
    assert diagnose.report("relu", 100, weight_var=2.0, width=10_000).findings == ()


def test_report_of_a_network():
    p = fanin.propagation
    layers = ["relu", p.Dense(weight_var=2.0), p.BatchNorm()] * 40
    assert any("gradient explodes" in text for text in diagnose.report(p.Network(layers)).findings)


def test_report_needs_a_depth():
    with pytest.raises(TypeError, match="number of layers"):
        diagnose.report("relu")


def test_no_unit_lies_beyond_a_threshold_of_a_hundred_deviations():
    # P(|z| > 100) is about e^-5005, below the smallest double; P(|z| > 37) is 2 * 5.7e-300.
    assert fanin.diagnose.saturation(0.01).beyond == 0.0
    assert_allclose(
        fanin.diagnose.saturation(1 / 37).beyond, float(mpmath.erfc(37 / mpmath.sqrt(2))), rtol=1e-9
    )


def test_a_callable_may_bend_on_either_side_of_zero():
    hard = fanin.Activation(lambda x: np.clip(x, -1.0, 1.0), kinks=[-1.0, 1.0])
    assert hard.kinks == (-1.0, 1.0)
    with pytest.raises(ValueError, match="a kink must be finite"):
        fanin.Activation(np.tanh, kinks=[float("nan")])
