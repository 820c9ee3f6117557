"""Random networks of finite width: against exact finite-width formulas, theory, and each other."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin
from fanin import _core

p = fanin.propagation

METHODS = [
    (method, weights) for method in ("weights", "exact") for weights in ("gaussian", "orthogonal")
]
#: Scores of standard normal size: one of a hundred beyond 4 is expected in 1e6 of them; with the
#: seeds fixed none of the tests' is.
FAR = 4.0


def samples(activation, widths, *, networks, method, weights="gaussian", inputs=1, seed=0, **given):
    """Raw results of single networks: mean squares, products, gradients."""
    start = np.eye(inputs) * math.sqrt(given.get("q0", 1.0))
    return _core.simulate(
        method,
        weights,
        fanin.Activation(activation).handle,
        list(widths),
        inputs,
        given.get("weight_var", 1.0),
        given.get("bias_var", 0.0),
        start.ravel().tolist(),
        fanin.Stream(seed)._key,
        networks,
        0,
    )


def score(a, b):
    """Difference of two means over its standard error."""
    error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    return (a.mean() - b.mean()) / error


# ---- what is drawn -------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_the_matrices_are_those_of_the_named_streams(weights):
    width, depth, seed = 37, 3, fanin.Stream(5)["net"]
    found = p.simulate(
        "tanh", depth, width, weight_var=1.7, bias_var=0.3, q0=0.5, networks=1, weights=weights,
        seed=seed,
    )  # fmt: skip
    net = seed[0]
    phi = fanin.Activation("tanh")
    scale = {"scale": math.sqrt(1.7 / width)}
    matrices = []
    for layer in range(1, depth + 1):
        if weights == "gaussian":
            matrices.append(fanin.normal((width, width), seed=net[layer], **scale))
        else:
            matrices.append(fanin.orthogonal((width, width), gain=math.sqrt(1.7), seed=net[layer]))
    biases = [
        fanin.normal(width, scale=math.sqrt(0.3), seed=net[k + 1]["bias"]) for k in range(depth)
    ]
    h = [math.sqrt(0.5) * fanin.normal(width, seed=net[0])]
    for w, b in zip(matrices, biases, strict=True):
        h.append(phi(h[-1].astype(np.float64)) @ w + b)
    g = [fanin.normal(width, seed=net[depth + 1])]
    for w, before in zip(matrices[::-1], h[-2::-1], strict=True):
        g.append((w @ g[-1]) * phi.derivative(before.astype(np.float64)))
    # float32 throughout the simulation: products of 37 terms, three layers: below 1e-5.
    assert_allclose(found.q, [np.mean(x * x) for x in h], rtol=1e-5)
    assert_allclose(found.grad, [np.mean(x * x) for x in g[::-1]], rtol=1e-5)


@pytest.mark.parametrize(("method", "weights"), METHODS)
def test_bits_depend_on_neither_threads_nor_instruction_set(isa, method, weights):
    del isa
    given = {"weight_var": 1.5, "bias_var": 0.1, "inputs": 3, "networks": 5, "seed": 9}
    found = [
        p.simulate("tanh", 3, 45, method=method, weights=weights, threads=threads, **given)
        for threads in (1, 2, 5)
    ]
    bits = [b"".join(x.tobytes() for x in (s.q, s.q_se, s.grad, s.c)) for s in found]
    assert bits[0] == bits[1] == bits[2]
    assert _BITS.setdefault((method, weights), bits[0]) == bits[0]


_BITS: dict[tuple[str, str], bytes] = {}


def test_networks_come_one_by_one_whatever_their_number():
    few = samples("relu", [20] * 4, networks=3, method="exact", weight_var=2.0)
    many = samples("relu", [20] * 4, networks=7, method="exact", weight_var=2.0)
    for a, b in zip(few, many, strict=True):
        if a.shape[-1:] != (4,):  # products are not written for one input
            assert (a == b[:3]).all()


def test_a_generator_moves_by_one_child():
    rng = fanin.default_rng(3)
    first = p.simulate("relu", 1, 8, weight_var=2.0, networks=2, seed=rng)
    again = p.simulate(
        "relu", 1, 8, weight_var=2.0, networks=2, seed=fanin.default_rng(3).spawn(1)[0].stream
    )
    assert (first.q == again.q).all()
    with pytest.raises(ValueError):
        p.simulate("relu", 1, 8, weight_var=-1.0, seed=rng)
    after = rng.spawn(1)[0].stream
    expected = fanin.default_rng(3).spawn(2)[1].stream
    assert after == expected


# ---- exact laws of finite width ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["weights", "exact"])
def test_relu_norms_have_the_kurtosis_of_the_product_formula(method):
    # E|x|^4/(E|x|^2)^2 = prod (1 + 5/n_l) over the activations; the last pre-activation is Gaussian
    # given them, which is a factor 1 + 2/n.
    width, depth, networks = 16, 4, 60_000
    found = samples("relu", [width] * (depth + 1), networks=networks, method=method, weight_var=2.0)
    for layer in range(depth + 1):
        expected = (1 + 2 / width) * (1 + 5 / width) ** layer
        # Means of q and q^2, jointly: the error of the ratio from the linearised samples.
        q = found[0][:, layer, 0]
        line = q * q - 2 * expected * q
        error = line.std(ddof=1) / math.sqrt(networks)
        assert abs(np.mean(q * q) / np.mean(q) ** 2 - expected) < FAR * error + 1e-4


@pytest.mark.parametrize("method", ["weights", "exact"])
def test_linear_norms_have_their_own_product_formula(method):
    widths = [12, 30, 9, 20]
    found = samples("linear", widths, networks=40_000, method=method)
    expected = np.cumprod([1 + 2 / n for n in widths])
    q = found[0][:, :, 0]
    line = q * q - 2 * expected * q
    error = line.std(axis=0, ddof=1) / math.sqrt(len(q))
    assert (
        abs(np.mean(q * q, axis=0) / np.mean(q, axis=0) ** 2 - expected) < FAR * error + 1e-4
    ).all()


@pytest.mark.parametrize("method", ["weights", "exact"])
def test_orthogonal_linear_networks_keep_every_norm(method):
    found = samples("linear", [24] * 6, networks=4, method=method, weights="orthogonal", inputs=3)
    square, product, gradient = found
    # float32 matrices and products: 1e-6; float64: 1e-14.
    tolerance = 2e-6 if method == "weights" else 1e-13
    assert_allclose(square, square[:, :1] * np.ones((1, 6, 1)), rtol=tolerance)
    assert_allclose(gradient, gradient[:, -1:] * np.ones((1, 6, 1)), rtol=tolerance)
    assert_allclose(product, product[:, :1] * np.ones((1, 6)), atol=30 * tolerance)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("inputs", [1, 3])
def test_sampling_without_matrices_has_the_law_of_matrices(weights, inputs):
    # Means and variances of norms, gradients and of their product, n = 12, L = 3.
    given = {
        "networks": 40_000,
        "weights": weights,
        "inputs": inputs,
        "weight_var": 2.0,
        "bias_var": 0.1,
    }
    explicit = samples("tanh", [12] * 4, method="weights", seed=1, **given)
    exact = samples("tanh", [12] * 4, method="exact", seed=2, **given)
    quantities = [
        lambda s: s[0][:, 3].mean(axis=1),
        lambda s: s[0][:, 3].mean(axis=1) ** 2,
        lambda s: s[2][:, 0].mean(axis=1),
        lambda s: s[2][:, 0].mean(axis=1) ** 2,
        lambda s: s[0][:, 3, 0] * s[2][:, 0, 0],
        lambda s: s[0][:, 1, 0] * s[2][:, 1, 0],
        lambda s: s[2][:, 0, 0] * s[2][:, 2, -1],
    ]
    if inputs > 1:
        quantities += [
            lambda s: s[1][:, 3],
            lambda s: s[1][:, 3] ** 2,
            lambda s: s[1][:, 3] * s[2][:, 0, 0],
        ]
    scores = [score(f(explicit), f(exact)) for f in quantities]
    assert max(map(abs, scores)) < FAR, scores


def test_the_comparison_sees_a_gradient_that_ignores_the_forward_pass():
    # The same comparison with gradients of other networks must fail, or it could not fail at all.
    given = {"networks": 60_000, "weights": "gaussian", "weight_var": 2.0}
    explicit = samples("relu", [6] * 4, method="weights", seed=1, **given)
    exact = samples("relu", [6] * 4, method="exact", seed=2, **given)
    shuffled = exact[0][:, 3, 0] * np.roll(exact[2][:, 0, 0], 1)
    assert abs(score(explicit[0][:, 3, 0] * explicit[2][:, 0, 0], shuffled)) > 10


def test_more_inputs_than_units_are_dependent_and_stay_so():
    # 7 signals span all 4 dimensions, so that nothing of the gradient lies outside.
    given = {"networks": 20_000, "inputs": 7, "weight_var": 1.5}
    for weights in ("gaussian", "orthogonal"):
        explicit = samples("tanh", [4] * 3, method="weights", weights=weights, seed=3, **given)
        exact = samples("tanh", [4] * 3, method="exact", weights=weights, seed=4, **given)
        pairs = [
            (explicit[k][:, i].mean(axis=-1), exact[k][:, i].mean(axis=-1))
            for k, i in ((0, 2), (2, 0))
        ]
        assert max(abs(score(a, b)) for a, b in pairs) < FAR


# ---- against the theory --------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "weights"), METHODS)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_means_agree_with_the_theory_of_infinite_width(method, weights, activation):
    width, depth = 64, 6
    found = p.simulate(
        activation, depth, width, weight_var=1.6, bias_var=0.05, networks=256, c0=0.4,
        method=method, weights=weights, seed=11,
    )  # fmt: skip
    # Corrections to means are O(1/width) a layer; with kappa - 1 <= 5 the constant is below 5.
    drift = 5 * np.arange(depth + 1) / width
    theory = found.theory
    assert (abs(found.q - theory.q) < FAR * found.q_se + drift * theory.q).all()
    assert (abs(found.grad - theory.grad) < FAR * found.grad_se + drift[::-1] * theory.grad).all()
    assert (abs(found.c - theory.c) < FAR * found.c_se + drift).all()


def test_relu_means_are_exact_at_any_width():
    # E|h|^2 obeys the linear map exactly; so does the gradient, which meets independent signs.
    found = p.simulate("relu", 8, 50, weight_var=2.0, networks=4000, method="exact", seed=2)
    assert abs(found.z).max() < FAR and abs(found.z_grad).max() < FAR


def test_weights_two_percent_too_large_are_seen():
    given = {"networks": 64, "seed": 5, "method": "weights"}
    right = p.simulate("linear", 20, 400, weight_var=1.0, **given)
    wrong = p.simulate("linear", 20, 400, weight_var=1.02**2, **given)
    assert abs(right.z).max() < FAR
    # 1.0404^20 = 2.2; the standard error of 64 networks is about sqrt(2 * 20/400/64) = 4 %.
    z = (wrong.q - right.theory.q) / wrong.q_se
    assert z[-1] > 10
    assert abs(wrong.z).max() < FAR  # its own theory knows


def test_z_is_the_distance_from_the_profile():
    found = p.simulate("tanh", 3, 30, weight_var=1.2, networks=16, seed=1)
    profile = p.propagate("tanh", 3, weight_var=1.2)
    assert_allclose(found.z, (found.q - profile.q) / found.q_se)
    assert_allclose(found.z_grad, (found.grad - profile.grad) / found.grad_se)
    assert np.isnan(found.c).all()


# ---- arguments -----------------------------------------------------------------------------------


def test_correlated_inputs_start_with_their_correlation():
    for c0, inputs in [(0.9, 4), (-0.5, 2), (1.0, 3), (0.0, 3), (-1.0, 2)]:
        found = p.simulate(
            "linear", 0, 2000, weight_var=1.0, c0=c0, inputs=inputs, networks=20, q0=2.0, seed=1
        )
        error = 1e-6 + FAR / math.sqrt(2000 * 20)
        assert abs(found.c[0] - c0) < error and abs(found.q[0] - 2.0) < 4 * error


def test_a_python_function_is_an_activation():
    given = {"weight_var": 1.3, "networks": 3, "seed": 1, "method": "exact"}
    named = p.simulate("tanh", 3, 20, **given)
    slope = fanin.Activation("tanh").derivative
    own = fanin.Activation(fanin.Activation("tanh"), derivative=slope)
    called = p.simulate(own, 3, 20, threads=2, **given)
    assert_allclose(called.q, named.q, rtol=1e-14)
    assert_allclose(called.grad, named.grad, rtol=1e-12)


def test_an_activation_that_raises_ends_the_simulation_with_its_exception():
    def broken(x):
        if np.size(x) == 512:
            raise ZeroDivisionError("in the activation")
        return np.tanh(x)

    phi = fanin.Activation(broken, derivative=lambda x: 1 - np.tanh(x) ** 2, kinks=[])
    with pytest.raises(ZeroDivisionError):
        p.simulate(phi, 2, 600, weight_var=1.0, networks=2, seed=0)


def test_nan_and_overflow_go_through_and_raise_nothing():
    for method in ("weights", "exact"):
        found = p.simulate("exp", 6, 20, weight_var=50.0, networks=4, seed=1, method=method)
        assert not np.isfinite(found.q[-1])


@pytest.mark.parametrize(
    "change",
    [
        {"depth": -1},
        {"width": 0},
        {"width": [3, 4]},
        {"weight_var": -1.0},
        {"weight_var": math.inf},
        {"bias_var": math.nan},
        {"q0": -1.0},
        {"c0": 1.5},
        {"c0": -0.6, "inputs": 3},
        {"inputs": 0},
        {"networks": 0},
        {"method": "fast"},
        {"weights": "haar"},
        {"weights": "orthogonal", "width": [3, 4, 5]},
        {"activation": "crelu"},
    ],
)
def test_arguments_out_of_range_are_refused(change):
    given = {"activation": "relu", "depth": 2, "width": 5, "weight_var": 1.0, "seed": 0, **change}
    with pytest.raises(ValueError):
        p.simulate(given.pop("activation"), given.pop("depth"), given.pop("width"), **given)


@pytest.mark.parametrize("depth", [2**40, 2**62])
def test_a_depth_beyond_memory_is_named(depth):
    said = f"Unable to allocate {depth + 1} sizes of layers"
    with pytest.raises(MemoryError, match=said):
        p.simulate("tanh", depth, 4, weight_var=1.0, seed=0)
    with pytest.raises(MemoryError, match=said):
        p.propagate("tanh", depth, weight_var=1.0)
    with pytest.raises(MemoryError, match=said):
        p.jacobian("tanh", depth, q=1.0)


def test_a_seed_is_needed():
    with pytest.raises(TypeError, match="seed"):
        p.simulate("relu", 1, 5, weight_var=1.0)


@pytest.mark.timing
def test_a_hundred_layers_of_a_thousand_units_take_fifteen_seconds():
    begin = time.perf_counter()
    found = p.simulate(
        "tanh", 100, 1000, weight_var=1.5, bias_var=0.05, inputs=64, seed=0, threads=2
    )
    assert time.perf_counter() - begin < 15
    assert np.isfinite(found.grad).all()
