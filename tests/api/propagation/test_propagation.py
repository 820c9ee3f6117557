"""fanin.propagation, fanin.gain and fanin.Activation as users meet them."""

from __future__ import annotations

import json
import math
import pickle
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

import fanin

p = fanin.propagation
CASES = json.loads(Path(__file__).parents[2].joinpath("data", "theory_cases.json").read_text())


def computed(case):
    inputs, name = case["inputs"], case["activation"]
    match case["quantity"]:
        case "variance_map":
            keywords = {"weight_var": inputs["sw2"], "bias_var": inputs["sb2"]}
            return p.variance_map(inputs["q"], name, **keywords)
        case "gain_second_moment":
            return fanin.gain(name, q=inputs["q"])
        case "gain_std":
            return fanin.gain(name, q=inputs["q"], kind="std")
        case "chi1":
            return p.chi(inputs["q"], name, weight_var=inputs["sw2"])
        case "covariance":
            return p.covariance(inputs["q1"], inputs["q2"], inputs["c"], name)
        case "critical_sw2":
            return p.critical(name, bias_var=inputs["sb2"]).weight_var
        case "q_star":
            return p.fixed_points(name, weight_var=inputs["sw2"], bias_var=inputs["sb2"]).q
        case "jac_rel_var_gaussian":
            # L mu_2 / mu_1^2
            m = p.moments(inputs["q"], name)
            return inputs["depth"] * m.slope_fourth / m.slope_second**2
        case "truncnorm_std":
            return fanin.truncated_normal_std(inputs["a"], inputs["b"])
    raise AssertionError(case["quantity"])


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_the_cases_of_the_theory(case):
    assert float(computed(case)) == pytest.approx(float(case["value"]), rel=case["rtol"], abs=0)


# ---- published numbers (digits as printed) ---------------------------------------------------


def test_critical_points_of_the_literature():
    # Schoenholz et al. 2017; a half unit of the last printed digit
    rows = [
        ("tanh", 0.001, 1.1892, 0.1073, 0.834),
        ("tanh", 0.01, 1.4242, 0.2733, 0.678),
        ("tanh", 0.05, 1.7610, 0.5700, 0.518),
        ("tanh", 0.1, 1.9861, 0.8058, 0.439),
        ("tanh", 0.2, 2.2852, 1.1645, 0.359),
        ("tanh", 0.3, 2.5051, 1.4612, 0.312),
    ]
    for name, bias_var, weight_var, q, slope in rows:
        point = p.critical(name, bias_var=bias_var)
        assert float(point.weight_var) == pytest.approx(weight_var, abs=6e-5)
        assert float(point.q) == pytest.approx(q, abs=6e-5)
        assert float(point.slope) == pytest.approx(slope, abs=6e-4)
        assert point.stable and point.status == "unique"
    demonstration = p.critical("tanh", q=1 / 16)  # Xiao et al. 2018
    assert float(demonstration.weight_var) == pytest.approx(1.1154, abs=6e-5)
    assert float(demonstration.bias_var) == pytest.approx(2.369e-4, abs=6e-8)


def test_critical_points_that_repel_say_so():
    rows = [
        ("elu", 1.4968, 0.0347, 0.860),
        ("gelu", 2.1937, 0.0672, 1.067),
        ("silu", 2.6352, 0.0625, 1.099),
        ("mish", 2.0873, 0.0558, 1.016),
        ("hardswish", 2.7892, 0.0752, 1.132),
    ]
    for name, weight_var, bias_var, slope in rows:
        point = p.critical(name, q=1.0)
        assert float(point.weight_var) == pytest.approx(weight_var, abs=6e-5)
        assert float(point.bias_var) == pytest.approx(bias_var, abs=6e-5)
        assert float(point.slope) == pytest.approx(slope, abs=6e-4)
        assert bool(point.stable) == (slope < 1)


def test_critical_points_that_do_not_exist_say_so():
    q = np.geomspace(1e-4, 200, 40)
    assert (p.critical("softplus", q=q).status == "none").all()
    assert p.critical("softplus", bias_var=0.2).status == "none"
    relu = p.critical("relu", bias_var=0.0)
    assert relu.status == "continuum" and float(relu.weight_var) == 2.0
    assert p.critical("relu", bias_var=0.1).status == "none"
    assert p.critical("tanh", weight_var=0.9).status == "none"
    edge = p.critical("tanh", bias_var=0.0)  # Poole et al. 2016: sigma_w = 1, q* = 0
    assert edge.status == "zero" and float(edge.weight_var) == 1.0 and float(edge.q) == 0.0


@pytest.mark.parametrize("name", ["tanh", "erf", "elu", "sin", "gelu"])
def test_critical_round_trips(name):
    for q in (0.05, 0.4, 2.0):
        point = p.critical(name, q=q)
        if point.status == "none":
            continue
        by_bias = p.critical(name, bias_var=float(point.bias_var))
        candidates = [float(by_bias.q)]
        back = p.chi(candidates[0], name, weight_var=float(by_bias.weight_var))
        assert float(back) == pytest.approx(1.0, abs=1e-14)
        if by_bias.status == "unique":
            # q - F/mu loses 1/q^2 digits: 2e-16 / 0.05^2 at worst
            assert candidates[0] == pytest.approx(q, rel=1e-12)


def test_poole_and_schoenholz_fixed_points():
    for sigma, q, chi in ((1.3, 0.607, 0.940), (2.5, 4.079, 1.585), (4.0, 12.60, 2.367)):
        found = p.fixed_points("tanh", weight_var=sigma**2, bias_var=0.3**2)
        assert float(found.q) == pytest.approx(q, abs=6e-3 if q > 10 else 6e-4)
        assert float(found.chi) == pytest.approx(chi, abs=6e-4)
        assert (float(found.c) == 1.0) == (chi < 1)
    assert float(p.fixed_points("tanh", weight_var=2.5, bias_var=0.3).q) == pytest.approx(
        1.4577, abs=6e-5
    )
    scales = p.depth_scales("tanh", weight_var=[2.5, 1.3], bias_var=[0.3, 0.05])
    assert float(scales.xi_c[0]) == pytest.approx(933.4, abs=0.06)
    assert float(scales.xi_c[1]) == pytest.approx(7.83, abs=6e-3)


def test_iterated_tanh_keeps_the_published_digits():
    published = {1: 0.394294, 2: 0.236450, 3: 0.166656, 10: 0.0522001, 50: 0.0102193,
                 100: 0.00506902}  # fmt: skip
    q, product = 1.0, 1.0
    for layer in range(1, 101):
        product *= float(p.chi(q, "tanh", weight_var=1.0))
        q = float(p.variance_map(q, "tanh", weight_var=1.0))
        if layer in published:
            assert q == pytest.approx(published[layer], rel=5e-6)
    assert product == pytest.approx(7.13425e-3, rel=1e-6)


def test_relu_correlations_after_a_hundred_and_a_thousand_layers():
    # 1 - c ~ 9 pi^2 / (2 l^2); ratios 0.805 and 0.971 (Hayou et al. 2019)
    delta = 1.0
    for layer in range(1, 1001):
        delta = float(p.one_minus_correlation_map(delta, 1.0, "relu", weight_var=2.0))
        if layer in (100, 1000):
            ratio = delta / (9 * math.pi**2 / (2 * layer**2))
            assert ratio == pytest.approx({100: 0.805, 1000: 0.971}[layer], abs=6e-4)
        if layer == 100:
            assert delta == pytest.approx(3.6e-3, abs=6e-5)


def test_relu_selu_and_sigmoid_constants():
    assert float(p.correlation_map(0.0, 1.0, "relu", weight_var=2.0)) == pytest.approx(1 / math.pi)
    assert fanin.gain("relu") == pytest.approx(math.sqrt(2), rel=1e-15)
    assert fanin.gain(fanin.Activation("prelu", negative_slope=0.25)) == pytest.approx(
        math.sqrt(2 / 1.0625), rel=1e-15
    )
    assert float(p.chi(1.0, "selu", weight_var=1.0)) == pytest.approx(1.0716, abs=6e-5)
    assert float(p.moments(1.0, "sigmoid").slope_second) == pytest.approx(0.0448, abs=6e-5)
    m = p.moments(1.0, "relu")
    ratio = float(m.slope_second) / float(m.second - m.mean**2)
    assert ratio == pytest.approx(1.466942206924260361, rel=1e-14)
    silu = p.moments(1.0, "silu")
    assert float(silu.mean) == pytest.approx(0.2066, abs=6e-5)
    assert 1 / fanin.gain("silu", kind="std") == pytest.approx(0.5595, abs=6e-5)
    # SELU with gain 3/4 settles at rms .2024, tanh with 5/3 at .651
    for name, weight_var, rms in (("selu", 9 / 16, 0.2024), ("tanh", 25 / 9, 0.651)):
        q = p.fixed_points(name, weight_var=weight_var).q
        q = 0.0 if name == "selu" and float(q) == 0 else float(q)
        if q:
            assert math.sqrt(float(p.moments(q, name).second)) == pytest.approx(rms, abs=6e-4)


# ---- statuses --------------------------------------------------------------------------------


def test_fixed_points_answer_every_class_honestly():
    status = {
        ("relu", 2.0, 0.0): "continuum",
        ("relu", 1.0, 0.1): "unique",
        ("relu", 1.0, 0.0): "zero",
        ("relu", 2.5, 0.1): "none",
        ("tanh", 0.9, 0.0): "zero",
        ("tanh", 1.0, 0.0): "zero",
        ("tanh", 2.0, 0.1): "unique",
        ("sigmoid", 1.0, 0.0): "unique",
        ("gelu", 2.5, 0.0): "zero",
        ("silu", 2.6, 0.06): "multiple",
        ("silu", 2.6, 0.5): "none",
        ("squared_relu", 1.0, 0.0): "zero",
        ("exp", 0.1, 0.0): "multiple",
        ("exp", 5.0, 0.0): "none",
        ("tanh", math.nan, 0.0): "nan",
    }
    for (name, weight_var, bias_var), expected in status.items():
        found = p.fixed_points(name, weight_var=[weight_var], bias_var=bias_var)
        assert found.status[0] == expected, (name, weight_var, bias_var)
        assert found.q.shape == (1,)
        if found.stable[0]:
            again = p.variance_map(found.q, name, weight_var=weight_var, bias_var=bias_var)
            assert abs(again - found.q) <= found.error + 1e-15 * found.q
            assert abs(found.slope[0]) < 1 or expected == "zero"


def test_the_repelling_root_of_gelu_is_listed():
    found = p.fixed_points("gelu", weight_var=2.5)
    assert found.roots[0] == 0 and found.roots[1] > 0
    assert found.root_slopes[1] > 1
    q = float(found.roots[1])
    assert float(p.variance_map(q, "gelu", weight_var=2.5)) == pytest.approx(q, rel=1e-14)
    assert float(found.q) == 0.0


@pytest.mark.parametrize("name", ["tanh", "erf", "sin", "sigmoid", "hardtanh"])
def test_chaos_and_only_chaos_decorrelates(name):
    weight_var = np.array([0.5, 1.5, 2.5, 5.0])[:, None]
    found = p.fixed_points(name, weight_var=weight_var, bias_var=[0.01, 0.3])
    away = np.isfinite(found.q) & (np.abs(found.chi - 1) > 1e-6)
    assert ((found.c == 1) == (found.chi < 1))[away].all()
    # c* is fixed
    inside = away & (found.c < 1)
    again = p.correlation_map(found.c, found.q, name, weight_var=weight_var, bias_var=[0.01, 0.3])
    assert np.abs(again - found.c)[inside].max(initial=0) < 1e-12


@pytest.mark.parametrize("name", ["tanh", "erf", "sin", "hardtanh", "softsign", "gelu", "elu"])
def test_tiny_bias_variances_have_critical_points_too(name):
    # q - E phi^2 / E phi'^2 itself would lose all digits here
    q = np.array([1e-7, 1e-5, 1e-3, 0.05])
    found = p.critical(name, q=q)
    assert (found.status == "unique").all()
    if name in ("tanh", "erf", "sin"):
        # phi = s (u + k u^3 / 6): bias_var = k^2 q^3 / 3 and 2 or so times q of it
        k = {"tanh": -2.0, "erf": -2.0, "sin": -1.0}[name]
        assert np.allclose(found.bias_var[:2], k * k / 3 * q[:2] ** 3, rtol=1e-4, atol=0)
    back = p.critical(name, bias_var=found.bias_var)
    kept = found.bias_var > 0  # of hardtanh only the tails bend, exp(-1/(2 q)) of them
    assert kept[2:].all() or name == "hardtanh"
    assert (back.status[kept] == "unique").all()
    # the bias variance is good to 1e-15 / q
    assert (np.abs(back.q / q - 1) <= 2e-14 / q + 1e-12)[kept].all()


@pytest.mark.parametrize("name", ["step", "sign"])
def test_nothing_is_said_of_gradients_through_a_jump(name):
    for ask in (lambda: p.jacobian(name, 3), lambda: fanin.recommend(name)):
        with pytest.raises(ValueError, match="jumps"):
            ask()


def test_c_just_beyond_the_edge_keeps_its_digits():
    # near criticality 1 - c* is tiny; the deflated equation still finds a zero of the map
    point = p.critical("tanh", bias_var=0.05)
    found = p.fixed_points("tanh", weight_var=float(point.weight_var) * (1 + 1e-7), bias_var=0.05)
    missing = 1 - float(found.c)
    assert 0 < missing < 1e-5
    # R(c) - c = 0 to second order: 1 - c* = 2 (chi - 1) / R''(1), R'' = weight_var q E phi''^2
    m = p.moments(float(found.q), "tanh")
    bend = float(point.weight_var) * float(found.q) * float(m.curvature_second)
    assert missing == pytest.approx(2 * (float(found.chi) - 1) / bend, rel=1e-3)


def test_dropout_leaves_no_perfect_correlation():
    found = p.fixed_points("tanh", weight_var=2.0, bias_var=0.1, dropout=0.1)
    assert float(found.c) < 1
    q, c = float(found.q), float(found.c)
    f = float(p.moments(q, "tanh").second)
    assert 2.0 / 0.9 * f + 0.1 == pytest.approx(q, rel=1e-14)
    assert 2.0 * float(p.covariance(q, q, c, "tanh")) + 0.1 == pytest.approx(q * c, rel=1e-12)
    with pytest.raises(ValueError, match="dropout"):
        p.fixed_points("tanh", weight_var=1.0, dropout=1.0)


def test_a_phase_diagram_is_its_points():
    weight_var, bias_var = np.linspace(0.5, 4, 8), np.array([0.0, 0.05, 0.4])
    diagram = p.phase_diagram("tanh", weight_var, bias_var)
    points = p.fixed_points("tanh", weight_var=weight_var[:, None], bias_var=bias_var)
    scales = p.depth_scales("tanh", weight_var=weight_var[:, None], bias_var=bias_var)
    for field, other in (("q", points.q), ("c", points.c), ("chi", points.chi),
                         ("xi_q", scales.xi_q), ("xi_c", scales.xi_c)):  # fmt: skip
        assert np.array_equal(getattr(diagram, field), other, equal_nan=True)
    assert diagram.q.shape == (8, 3)
    chaotic = diagram.phase == "chaotic"
    assert (chaotic == (diagram.chi > 1)).all()
    assert chaotic.any() and (diagram.phase == "ordered").any()


# ---- gains -----------------------------------------------------------------------------------


def test_calculate_gain_is_the_table_of_torch():
    for name in ("linear", "identity", "conv1d", "conv2d", "conv3d", "conv_transpose2d", "sigmoid"):
        assert fanin.calculate_gain(name) == 1
    assert fanin.calculate_gain("tanh") == 5.0 / 3
    assert fanin.calculate_gain("relu") == math.sqrt(2.0)
    assert fanin.calculate_gain("leaky_relu") == math.sqrt(2.0 / (1 + 0.01**2))
    assert fanin.calculate_gain("leaky_relu", 2) == math.sqrt(2.0 / 5)
    assert fanin.calculate_gain("selu") == 0.75
    with pytest.raises(ValueError, match="Unsupported nonlinearity gelu"):
        fanin.calculate_gain("gelu")
    for unknown in (None, ["relu"], 5):
        with pytest.raises(ValueError, match=re.escape(f"Unsupported nonlinearity {unknown}")):
            fanin.calculate_gain(unknown)
    for slope in (True, "a"):
        with pytest.raises(ValueError, match=f"negative_slope {slope} not a valid number"):
            fanin.calculate_gain("leaky_relu", slope)


@pytest.mark.parametrize(
    ("name", "weight_var", "bias_var", "count"),
    [("silu", 2.0, 1e-3, 2), ("gelu", 2.0, 1e-3, 2), ("relu6", 2.0, 0.0, 1),
     ("hardtanh", 1.0, 0.0, 1)],
)  # fmt: skip
def test_roundings_of_the_variance_map_are_no_roots(name, weight_var, bias_var, count):
    found = p.fixed_points(name, weight_var=weight_var, bias_var=bias_var)
    roots = found.roots[np.isfinite(found.roots)]
    assert len(roots) == count
    again = p.variance_map(roots, name, weight_var=weight_var, bias_var=bias_var)
    np.testing.assert_allclose(again, roots, rtol=1e-12)


def test_lanes_that_overflow_or_have_no_slope_say_so_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        p.fixed_points("step", weight_var=[0.0, 1.0], bias_var=1.0)
        profile = p.propagate("relu", 1100, weight_var=[4.0, 1.0], c0=0.5)
    assert profile.q[0, -1] == np.inf and profile.q[1, -1] == 0


def test_a_derivative_that_jumps_beside_its_kink_by_a_rounding_still_jumps():
    off = fanin.Activation(
        lambda x: np.maximum(x - 0.1, 0) - 1,
        derivative=lambda x: (x > 0.1 + 1e-15) * 1.0,
        kinks=[0.1],
    )
    # E phi'' phi at the kink: the sum over u > .1 of phi u/q, by parts with the jump's own term.
    h = 1e-4
    rise = p.variance_map(1 + h, off, weight_var=1.0) - p.variance_map(1 - h, off, weight_var=1.0)
    assert p.variance_slope(1.0, off, weight_var=1.0) == pytest.approx(rise / (2 * h), abs=1e-7)


@pytest.mark.parametrize("name", ["hardtanh", "hardsigmoid", "relu6"])
def test_the_variance_slope_of_a_shaped_activation_with_kinks_is_one(name):
    shaped = p.dks(name, 1).as_activation()
    assert p.variance_slope(1.0, shaped, weight_var=1.0) == pytest.approx(1.0, abs=1e-12)


def test_a_scheme_takes_the_name_of_an_activation_as_its_gain():
    by_name = fanin.lecun_normal((64, 64), seed=3, gain="tanh")
    by_number = fanin.lecun_normal((64, 64), seed=3, gain=fanin.gain("tanh"))
    assert by_name.tobytes() == by_number.tobytes()
    with pytest.raises(ValueError, match="no activation 'tanhh'"):
        fanin.lecun_normal((64, 64), seed=3, gain="tanhh")


def test_gains_have_kinds_and_preserve():
    for name in ("tanh", "gelu", "elu"):
        g = fanin.gain(name)
        assert float(p.variance_map(1.0, name, weight_var=g * g)) == pytest.approx(1.0, rel=1e-15)
        b = fanin.gain(name, kind="backward")
        assert float(p.chi(1.0, name, weight_var=b * b)) == pytest.approx(1.0, rel=1e-15)
    assert fanin.gain("tanh", q=np.array([0.5, 2.0])).shape == (2,)
    with pytest.raises(ValueError, match="kind"):
        fanin.gain("tanh", kind="sideways")


# ---- activations of one's own ----------------------------------------------------------------


def test_a_callable_has_the_moments_of_its_formula():
    own = fanin.Activation(np.tanh)
    m, true = p.moments([0.01, 1.0, 30.0], own), p.moments([0.01, 1.0, 30.0], "tanh")
    # exact values, differenced slopes: eps / step = 1e-14, a few of them
    assert np.allclose(m.second, true.second, rtol=1e-14)
    assert np.allclose(m.slope_second, true.slope_second, rtol=1e-11)
    assert own.error(1.0) < 1e-11
    assert np.allclose(own(np.array([0.3])), np.tanh(0.3))


def test_kinks_of_callables_are_found():
    shifted = fanin.Activation(lambda x: np.maximum(x - 0.3, 0) + 2 * np.minimum(x + 1, 0))
    assert shifted.kinks == pytest.approx((-1.0, 0.3), abs=1e-9)
    assert fanin.Activation(np.tanh).kinks == ()
    assert fanin.Activation(lambda x: np.where(x > 0.1, x, 0.2 * x)).kinks != ()
    relu = fanin.Activation(lambda x: np.maximum(x, 0))
    assert relu.kinks == pytest.approx((0.0,), abs=1e-9)
    assert np.allclose(p.moments(1.0, relu).second, 0.5, rtol=1e-9)


def test_the_error_of_a_callable_holds():
    # Kinks that were not declared and are too small to be found leave an error; it is reported.
    rough = fanin.Activation(lambda x: np.abs(np.sin(3 * x)), kinks=[])
    estimate = rough.error(1.0)
    u = np.linspace(-12, 12, 240_001)
    weight = np.exp(-u * u / 2) * (u[1] - u[0]) / math.sqrt(2 * math.pi)
    true = float(weight @ np.sin(3 * u) ** 2)
    assert abs(float(p.moments(1.0, rough).second) / true - 1) <= max(estimate, 1e-13)


def test_a_callable_has_covariances_too():
    softplus = fanin.Activation(
        lambda x: np.logaddexp(0, x), derivative=lambda x: np.exp(x - np.logaddexp(0, x))
    )
    for c in (0.3, 0.8):
        got, true = (float(p.covariance(1.0, 1.0, c, a)) for a in (softplus, "softplus"))
        assert got == pytest.approx(true, rel=1e-10)


def test_an_activation_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="one value for each element"):
        fanin.Activation(lambda x: x.sum())


def test_names_parameters_and_pickles():
    leaky = fanin.Activation("leaky_relu", negative_slope=0.2)
    assert leaky == pickle.loads(pickle.dumps(leaky))
    assert hash(leaky) == hash(fanin.Activation("prelu", negative_slope=0.2))
    assert leaky != fanin.Activation("leaky_relu")
    assert fanin.Activation("swish") == fanin.Activation("silu")
    assert fanin.Activation(leaky.name, **leaky.parameters).formula == leaky.formula
    x = np.linspace(-2, 2, 9, dtype=np.float32).reshape(3, 3)
    assert leaky(x).dtype == np.float32 and leaky(x).shape == (3, 3)
    assert fanin.Activation("crelu")(x).shape == (3, 6)
    for bad, error in (
        (lambda: fanin.Activation("nope"), ValueError),
        (lambda: fanin.Activation("relu", negative_slope=0.1), ValueError),
        (lambda: fanin.Activation("elu", alpha=math.nan), ValueError),
        (lambda: fanin.Activation("softplus", beta=0.0), ValueError),
        (lambda: fanin.Activation(3), TypeError),
        (lambda: p.critical("tanh"), TypeError),
        (lambda: p.critical("tanh", q=1.0, bias_var=0.1), TypeError),
    ):
        with pytest.raises(error):
            bad()


def test_functions_broadcast_and_scalars_stay_scalars():
    q = np.ones((3, 1))
    assert p.variance_map(q, "tanh", weight_var=np.ones(4)).shape == (3, 4)
    assert p.correlation_map(np.zeros(4), q, "tanh", weight_var=2.0).shape == (3, 4)
    assert p.fixed_points("tanh", weight_var=q, bias_var=np.zeros(2)).q.shape == (3, 2)
    assert p.variance_map(1.0, "tanh", weight_var=1.0).shape == ()
    assert p.fixed_points("tanh", weight_var=2.0).q.shape == ()
    assert p.moments(np.empty((0, 2)), "tanh").mean.shape == (0, 2)


def test_parameters_scale():
    # softplus_beta(x) = softplus(beta x) / beta
    beta = 3.0
    own = fanin.Activation("softplus", beta=beta)
    scaled = p.moments(beta**2 * 0.7, "softplus").second / beta**2
    assert float(p.moments(0.7, own).second) == pytest.approx(float(scaled), rel=1e-14)
    celu = fanin.Activation("celu", alpha=0.5)
    unit = p.moments(0.7 / 0.25, "celu").second * 0.25
    assert float(p.moments(0.7, celu).second) == pytest.approx(float(unit), rel=1e-14)


def test_covariances_agree_with_sampling():
    # 4 standard errors of a mean of a million products
    rng = np.random.default_rng(1)
    u, w = rng.standard_normal((2, 1_000_000))
    c, q1, q2 = 0.6, 1.3, 0.5
    v = c * u + math.sqrt(1 - c * c) * w
    for name in ("tanh", "gelu", "elu", "hardswish"):
        phi = fanin.Activation(name)
        product = phi(math.sqrt(q1) * u) * phi(math.sqrt(q2) * v)
        z = (product.mean() - p.covariance(q1, q2, c, name)) / (product.std() / 1000)
        assert abs(z) < 4


@pytest.mark.timing
def test_a_phase_diagram_of_a_million_points_takes_seconds():
    fanin.runtime.set_threads(2)
    grids = np.linspace(0.5, 4, 1000), np.linspace(0, 0.5, 1000)
    p.phase_diagram("tanh", *grids)
    start = time.perf_counter()
    diagram = p.phase_diagram("tanh", *grids)
    assert time.perf_counter() - start <= 2
    assert np.isfinite(diagram.c).all() and np.isfinite(diagram.xi_q).all()
    assert (diagram.xi_c > 0).all()
    assert time.perf_counter() - start <= 20
