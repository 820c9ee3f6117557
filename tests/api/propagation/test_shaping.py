"""DKS and TAT, half-stable points, learning rates, residual spectra, one weight's largest singular
value."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin

p = fanin.propagation
SMOOTH = ["tanh", "softplus", "gelu", "silu", "mish", "sigmoid", "erf", "atan", "sin"]


# ---- shaped activations --------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SMOOTH, "elu", "hardswish"])
@pytest.mark.parametrize("depth", [10, 100])
def test_dks_meets_its_four_conditions(name, depth):
    shaped = p.dks(name, depth)
    phi = shaped.as_activation()
    got = p.moments(1.0, phi)
    # Its own nodes against the panels of the core: 1e-14 of sums of order 1.
    assert float(got.mean) == pytest.approx(0, abs=1e-12)
    assert float(got.second) == pytest.approx(1, abs=1e-12)
    assert float(p.variance_slope(1.0, phi, weight_var=1.0)) == pytest.approx(1, abs=1e-12)
    assert float(got.slope_second) ** depth == pytest.approx(1.5, rel=1e-9)
    assert shaped.residual < 1e-9


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("depth", [10, 100])
def test_tat_meets_its_four_conditions(name, depth):
    phi = p.tat(name, depth, curvature=0.4).as_activation()
    got = p.moments(1.0, phi)
    assert_allclose([got.second, got.slope_second], 1, atol=1e-12)
    assert float(p.variance_slope(1.0, phi, weight_var=1.0)) == pytest.approx(1, abs=1e-12)
    assert depth * float(got.curvature_second) == pytest.approx(0.4, rel=1e-9)


def test_a_shaped_net_keeps_orthogonal_inputs_apart():
    depth = 50
    raw = p.propagate("softplus", depth, weight_var=fanin.gain("softplus") ** 2, c0=0.0)
    shaped = p.propagate(p.dks("softplus", depth).as_activation(), depth, weight_var=1.0, c0=0.0)
    assert float(raw.c[-1]) > 0.99
    assert abs(float(shaped.c[-1])) < 1e-9  # C(0) = 0
    assert_allclose(shaped.q, 1, atol=1e-9)


def test_leaky_tat_makes_the_correlation_that_was_asked_for():
    for depth, wanted in ((10, 0.6), (50, 0.9), (100, 0.9)):
        shaped = p.leaky_tat(depth, correlation=wanted)
        phi = shaped.activation
        weight = shaped.output_scale**2
        assert weight == pytest.approx(fanin.gain(phi) ** 2, rel=1e-12)
        c = p.propagate(phi, depth, weight_var=weight, c0=0.0).c
        assert float(c[-1]) == pytest.approx(wanted, rel=1e-9)
        x = np.array([-2.0, 3.0])
        assert_allclose(shaped(x), shaped.output_scale * phi(x))


def test_shapes_that_cannot_be_are_refused():
    for call in (p.dks, p.tat):
        with pytest.raises(ValueError, match="homogeneous"):
            call("relu", 10)
        with pytest.raises(ValueError, match="jumps"):
            call("step", 10)
        with pytest.raises(ValueError, match="depth"):
            call("tanh", 0)
    with pytest.raises(ValueError, match="slope of"):
        p.tat("hardswish", 10)
    with pytest.raises(ValueError, match="slope"):
        p.dks("tanh", 10, slope=1.0)
    with pytest.raises(ValueError, match="curvature"):
        p.tat("tanh", 10, curvature=0.0)
    with pytest.raises(ValueError, match="ReLU"):
        p.leaky_tat(1, correlation=0.9)


# ---- half-stable points --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "weight_var", "bias_var"),
    [("gelu", 1.98305826, 0.17292239), ("silu", 1.98800468, 0.555143171)],
)
def test_half_stable_points_are_the_published_ones(name, weight_var, bias_var):
    # Roberts, Yaida & Hanin 2022, section 5.3.4; silu is their SWISH.
    point = p.half_stable(name)
    assert float(point.weight_var) == pytest.approx(weight_var, abs=5e-9)
    assert float(point.bias_var) == pytest.approx(bias_var, abs=5e-9)
    q = float(point.q)
    assert p.chi(q, name, weight_var=point.weight_var) == pytest.approx(1, abs=1e-12)
    assert p.variance_slope(q, name, weight_var=point.weight_var) == pytest.approx(1, abs=1e-9)
    kept = p.variance_map(q, name, weight_var=point.weight_var, bias_var=point.bias_var)
    assert kept == pytest.approx(q, rel=1e-12)
    # It attracts from one side and repels to the other: V(q) - q has one sign on both.
    apart = [
        float(p.variance_map(x * q, name, weight_var=point.weight_var, bias_var=point.bias_var))
        - x * q
        for x in (0.99, 0.995, 1.005, 1.01)
    ]
    assert min(map(abs, apart)) > 1e-11 * q  # 1e4 roundings
    assert len(set(np.sign(apart))) == 1
    assert str(point.status) == "unique" and not point.stable


def test_where_there_is_no_half_stable_point_nothing_is_made_up():
    for name in ("tanh", "softplus", "erf"):
        assert str(p.half_stable(name).status) == "none"
        assert np.isnan(p.half_stable(name).q)
    assert str(p.half_stable("relu").status) == "continuum"


# ---- residual networks ---------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "orthogonal"), [("relu", False), ("tanh", True)])
def test_random_residual_nets_have_the_spectrum(activation, orthogonal):
    rng, n, depth, q = np.random.default_rng(3), 200, 200, 0.7
    branch, weight = depth**-0.5, 1.6
    phi, product = fanin.Activation(activation), np.eye(n)
    for _ in range(depth):
        matrix = rng.normal(size=(n, n)) / math.sqrt(n)
        if orthogonal:
            unitary, upper = np.linalg.qr(matrix)
            matrix = unitary * np.sign(np.diag(upper))  # Haar: the signs of LAPACK are not
        slope = phi.derivative(math.sqrt(q) * rng.normal(size=n))
        step = math.sqrt(weight) * slope[:, None] * (matrix @ product)
        product = product + branch * step
    square = np.linalg.svd(product, compute_uv=False) ** 2
    got = p.residual_jacobian(activation, depth, weight_var=weight, branch=branch, q=q)
    c = float(got.c)
    # Terms of relative size c/depth and 1/n, and the noise of one matrix, a few 1/n.
    assert_allclose(square.mean(), got.mean, rtol=0.05)
    square /= square.mean()
    assert_allclose(square.var(), got.relative_variance, rtol=0.1)
    assert_allclose([square.min(), square.max()], [got.lambda_min, got.lambda_max], rtol=0.2)
    ends = np.quantile(square, [0, 0.25, 0.5, 0.75])[1:]
    for share, end in zip((0.25, 0.5, 0.75), ends, strict=True):
        low = float(got.lambda_min)
        g = (np.arange(2000) + 0.5) / 2000
        x = low + (end - low) * g * g  # a root at the edge
        mass = (p.residual_jacobian_density(x, c) * 2 * (end - low) * g / 2000).sum()
        assert abs(mass - share) < 0.02


def test_the_residual_density_has_its_moments():
    for c in (0.05, 1.0, 4.0):
        found = p.residual_jacobian("linear", 10, branch=math.sqrt(c / 10))
        assert float(found.c) == pytest.approx(c)
        low, high = float(found.lambda_min), float(found.lambda_max)
        g = (np.arange(4000) + 0.5) / 4000
        x = low + (high - low) * g**4
        d = p.residual_jacobian_density(x, c) * 4 * g**3 * (high - low) / 4000
        # The midpoint rule at a square root: points^-1.5.
        assert_allclose([d.sum(), (d * x).sum(), (d * x * x).sum()], [1, 1, 1 + 2 * c], rtol=1e-3)
    assert np.isnan(p.residual_jacobian_density([-1.0, 0.0], 1.0)).all()
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="c is above 0"):
            p.residual_jacobian_density(1.0, wrong)


# ---- one weight ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("fan_in", "fan_out"), [(64, 64), (20, 60), (60, 20), (8, 8)])
def test_the_largest_singular_value_is_that_of_random_matrices(fan_in, fan_out):
    rng, draws = np.random.default_rng(0), 1200
    found = [
        np.linalg.svd(rng.normal(size=(fan_out, fan_in)), compute_uv=False)[0] for _ in range(draws)
    ]
    found = np.array(found) * math.sqrt(1.7 / fan_in)
    got = p.largest_singular_value(fan_in, fan_out, weight_var=1.7)
    error = found.std() / math.sqrt(draws)
    # n^(-4/3) of it is left: 0.003 at 64, 0.06 at 8 before its small factor.
    assert abs(found.mean() - got) < 4 * error + 0.3 * min(fan_in, fan_out) ** (-4 / 3) * got


def test_orthogonal_weights_have_one_singular_value():
    for shape in ((64, 64), (64, 16), (16, 64)):
        weight = fanin.orthogonal(shape, gain=1.3, seed=0, dtype="float64")
        top = np.linalg.svd(weight, compute_uv=False)
        entry = float((weight**2).mean())
        got = p.largest_singular_value(
            shape[0], shape[1], weight_var=entry * shape[0], weights="orthogonal"
        )
        assert_allclose(top, got, rtol=1e-6)
    with pytest.raises(ValueError, match="weights"):
        p.largest_singular_value(4, 4, weights="uniform")


# ---- learning rates ------------------------------------------------------------------------------


def test_rates_are_those_of_the_published_table():
    wide, base = [8, 512, 256, 3], [8, 64, 64, 3]
    for optimizer, rates, biases in (
        ("adam", [1, 1 / 8, 1 / 4], [1, 1, 1]),
        ("sgd", [8, 1, 1 / 4], [8, 4, 1]),
    ):
        found = p.mup_rates(wide, base, optimizer=optimizer)
        assert [each.role for each in found] == ["input", "hidden", "output"]
        assert [each.learning_rate for each in found] == rates
        assert [each.bias_learning_rate for each in found] == biases
        assert [each.weight_var for each in found] == [1, 1, 1 / 4]
    deep = p.mup_rates(base, base, blocks=64, base_blocks=4)
    assert [each.branch for each in deep] == [1, 1 / 4, 1]
    assert [each.learning_rate for each in deep] == [1, 1 / 4, 1]
    slow = p.mup_rates(base, base, optimizer="sgd", blocks=64, base_blocks=4)
    assert [each.learning_rate for each in slow] == [1, 1, 1]


@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 0.02), ("sgd", 0.05)])
def test_coordinates_move_alike_at_every_width_in_mup_only(optimizer, rate):
    given = {"optimizer": optimizer, "learning_rate": rate, "seed": 0}
    widths = [32, 64, 128, 256, 512]
    # Fits over a factor of 16 in width: means over 16 x 32 units scatter by a few per cent.
    assert np.abs(p.coordinate_check(widths, **given).exponent).max() < 0.1
    standard = p.coordinate_check(widths, parametrization="standard", **given)
    assert standard.exponent[1] > 0.7
    assert standard.change.shape == (5, 3, 4)


def test_wrong_tables_are_refused():
    for widths, base in (([8, 4], [8, 4]), ([8, 4, 2], [8, 4, 4, 2]), ([9, 4, 2], [8, 4, 2])):
        with pytest.raises(ValueError):
            p.mup_rates(widths, base)
    with pytest.raises(ValueError, match="optimizer"):
        p.mup_rates([8, 4, 2], [8, 4, 2], optimizer="lion")
    with pytest.raises(ValueError, match="widths"):
        p.coordinate_check([64], seed=0)
    with pytest.raises(TypeError, match="seed"):
        p.coordinate_check([64, 128])


@pytest.mark.parametrize(
    ("name", "depth", "slope"),
    [("atan", 2, 60.0), ("sigmoid", 1, 10.0), ("tanh", 1, 10.0), ("erf", 1, 20.0)],
)
def test_steep_shapes_meet_their_conditions_too(name, depth, slope):
    shaped = p.dks(name, depth, slope=slope).as_activation()
    moments = p.moments(1.0, shaped)
    assert float(moments.second) == pytest.approx(1.0, abs=1e-12)
    assert float(p.variance_slope(1.0, shaped, weight_var=1.0)) == pytest.approx(1.0, abs=1e-9)
    assert float(moments.slope_second) ** depth == pytest.approx(slope, rel=1e-10)
