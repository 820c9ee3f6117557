"""Gradients of pairs of inputs and kernels of wide networks, against slow formulas and nets."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin

p = fanin.propagation
#: Sums of a few hundred terms and closed forms of a few roundings each.
EXACT = 1e-13


def relu_pair(q1, q2, covariance):
    root = np.sqrt(q1 * q2)
    angle = np.arccos(np.clip(covariance / root, -1, 1))
    arc = np.sin(angle) + (np.pi - angle) * np.cos(angle)
    return root * arc / (2 * np.pi), (np.pi - angle) / (2 * np.pi)


def dense(x, y, depth, weight, bias):
    """The recursion of Jacot et al. 2018 for a ReLU, on whole matrices."""
    n = x.shape[1]
    q1, q2 = (weight * (z * z).sum(axis=1) / n + bias for z in (x, y))
    kernel = weight * x @ y.T / n + bias
    tangent = kernel
    for _ in range(depth):
        value, slope = relu_pair(q1[:, None], q2[None], kernel)
        kernel = weight * value + bias
        tangent = kernel + weight * slope * tangent
        q1, q2 = weight * q1 / 2 + bias, weight * q2 / 2 + bias
    return kernel, tangent


def averaged(s, kernel, zero):
    """Of covariances between all places, (inputs, inputs, height, width, height, width)."""
    total = np.zeros_like(s)
    for dy in range(-((kernel[0] - 1) // 2), kernel[0] // 2 + 1):
        for dx in range(-((kernel[1] - 1) // 2), kernel[1] // 2 + 1):
            moved = s
            for axis, by in ((2, dy), (3, dx), (4, dy), (5, dx)):
                moved = np.roll(moved, -by, axis)
                if zero and by:
                    beyond = [slice(None)] * 6
                    beyond[axis] = slice(-by, None) if by > 0 else slice(None, -by)
                    moved[tuple(beyond)] = 0
            total += moved
    return total / np.prod(kernel)


def convolutional(x, y, depth, weight, bias, kernel, zero, mean):
    pairs = {"xy": (x, y), "xx": (x, x), "yy": (y, y)}
    made = {
        name: weight * averaged(np.einsum("ihwc,jklc->ijhwkl", a, b) / x.shape[-1], kernel, zero)
        + bias
        for name, (a, b) in pairs.items()
    }
    tangent = made["xy"]
    for layer in range(depth):
        own = {z: np.einsum("iihwhw->ihw", made[2 * z]) for z in "xy"}
        values = {}
        for name, s in made.items():
            q1 = own[name[0]][:, None, :, :, None, None]
            q2 = own[name[1]][None, :, None, None]
            values[name], slope = relu_pair(q1, q2, s)
            if name == "xy":
                tangent = slope * tangent
        if layer < depth - 1:
            made = {k: weight * averaged(v, kernel, zero) + bias for k, v in values.items()}
            tangent = made["xy"] + weight * averaged(tangent, kernel, zero)
    read = (lambda s: s.mean(axis=(2, 3, 4, 5))) if mean else (
        lambda s: np.einsum("ijhwhw->ij", s) / (x.shape[1] * x.shape[2])
    )  # fmt: skip
    last = weight * read(values["xy"]) + bias
    return last, last + weight * read(tangent)


def test_a_slope_at_variance_zero_is_the_slope_at_zero():
    # tanh' = 1 - tanh^2; sigma' = sigma - sigma^2, and 1/4 at 0.
    rest = 1 - float(p.moments(1.0, "tanh").second)
    assert_allclose(p.slope_covariance([1.0, 0.0], [0.0, 1.0], 0.0, "tanh"), rest, rtol=1e-12)
    second = float(p.moments(1.0, "sigmoid").second)
    found = p.slope_covariance(1.0, 0.0, 0.0, "sigmoid")
    assert_allclose(found, (0.5 - second) / 4, rtol=1e-12)


def test_covariances_of_slopes_are_the_derivative_of_covariances():
    c, h = np.array([-0.8, -0.3, 0.2, 0.6, 0.9]), 1e-5
    for name in ("tanh", "gelu", "relu", "softplus", "erf", "silu"):
        for q1, q2 in ((1.0, 1.0), (0.5, 2.0)):
            up, down = (p.covariance(q1, q2, c + s * h, name) for s in (1, -1))
            # Price 1958; the difference is good to h^2 and 1e-16/h.
            slopes = (up - down) / (2 * h) / np.sqrt(q1 * q2)
            assert_allclose(p.slope_covariance(q1, q2, c, name), slopes, rtol=1e-8, atol=1e-9)
    at_one = float(p.moments(1.0, "tanh").slope_second)
    assert_allclose(p.slope_covariance(1.0, 1.0, 1.0, "tanh"), at_one, rtol=10 * EXACT)
    with pytest.raises(ValueError, match="correlation"):
        p.slope_covariance(1.0, 1.0, 2.0, "tanh")


def test_gradients_of_a_relu_net_shatter():
    got = p.gradient_correlation("relu", 30, weight_var=2.0, c0=[0.0, 0.9])
    c = p.propagate("relu", 30, weight_var=2.0, c0=[0.0, 0.9]).c
    share = 1 - np.arccos(c[:, :-1]) / np.pi
    expected = np.cumprod(np.hstack([np.ones((2, 1)), share[:, ::-1]]), axis=1)[:, ::-1]
    assert_allclose(got, expected, rtol=1e-9)  # from c; near 1 it knows its angle to 1e-8 sqrt
    assert got[0, 0] < 0.01 < got[1, 0] < 1


def test_gradients_of_a_finite_net_have_the_correlation():
    rng, n, depth, nets = np.random.default_rng(0), 400, 3, 60
    q0, c0, weight = 1.3, 0.4, 1.8
    tanh = fanin.Activation("tanh")
    sums = np.zeros((3, depth + 1))
    for _ in range(nets):
        z = rng.normal(size=(2, n))
        h = [np.sqrt(q0) * np.array([z[0], c0 * z[0] + np.sqrt(1 - c0 * c0) * z[1]])]
        weights = []
        for _ in range(depth):
            weights.append(rng.normal(size=(n, n)) * np.sqrt(weight / n))
            h.append(tanh(h[-1]) @ weights[-1].T)
        g = np.repeat(rng.normal(size=(1, n)), 2, axis=0)
        for layer in range(depth, -1, -1):
            sums[:, layer] += (g[0] * g[1]).sum(), (g[0] ** 2).sum(), (g[1] ** 2).sum()
            if layer:
                g = (g @ weights[layer - 1]) * tanh.derivative(h[layer - 1])
    found = sums[0] / np.sqrt(sums[1] * sums[2])
    got = p.gradient_correlation("tanh", depth, weight_var=weight, q0=q0, c0=c0)
    # 24000 pairs have the deviation 0.0065, which adds up over layers; 1/n is left.
    assert np.abs(found - got).max() < 4 * 0.0065 * np.sqrt(depth) + 2 / n


def test_kernels_of_dense_nets_follow_the_recursion():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(130, 17)), rng.normal(size=(41, 17))
    for depth in (1, 4):
        kernel, tangent = dense(x, y, depth, 1.7, 0.1)
        got = p.kernels(x, "relu", depth, weight_var=1.7, bias_var=0.1, x2=y)
        assert_allclose(got.covariance, kernel, rtol=0, atol=10 * EXACT)
        assert_allclose(got.tangent, tangent, rtol=0, atol=10 * EXACT)
        kernel, tangent = dense(x, x, depth, 1.7, 0.1)
        got = p.kernels(x, "relu", depth, weight_var=1.7, bias_var=0.1)
        apart = ~np.eye(130, dtype=bool)
        assert_allclose(got.covariance, kernel, rtol=EXACT)
        assert_allclose(got.tangent[apart], tangent[apart], rtol=0, atol=10 * EXACT)
        # The recursion loses half the digits at c = 1; the kernel of an input and itself is exact.
        q = 1.7 * (x * x).mean(axis=1) + 0.1
        own = q
        for _ in range(depth):
            q = 1.7 * q / 2 + 0.1
            own = q + 1.7 / 2 * own
        assert_allclose(np.diag(got.tangent), own, rtol=EXACT)
        assert (got.tangent == got.tangent.T).all()


@pytest.mark.parametrize("readout", ["flatten", "mean"])
@pytest.mark.parametrize("padding", ["circular", "zero"])
@pytest.mark.parametrize("kernel", [(3, 3), (2, 1), (1, 4)])
def test_kernels_of_convolutional_nets_follow_the_recursion(readout, padding, kernel):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(3, 5, 4, 2)), rng.normal(size=(2, 5, 4, 2))
    given = {"weight_var": 1.7, "bias_var": 0.1, "kernel": kernel, "padding": padding}
    got = p.kernels(x, "relu", 3, x2=y, readout=readout, **given)
    expected = convolutional(x, y, 3, 1.7, 0.1, kernel, padding == "zero", readout == "mean")
    assert_allclose([got.covariance, got.tangent], expected, rtol=EXACT)
    again = p.kernels(y, "relu", 3, x2=x, readout=readout, **given)
    assert_allclose(again.tangent.T, got.tangent, rtol=EXACT)


def test_a_row_of_places_is_an_image_of_height_one():
    x = np.random.default_rng(3).normal(size=(4, 9, 2))
    given = {"weight_var": 1.5, "readout": "mean", "padding": "zero"}
    row = p.kernels(x, "gelu", 2, kernel=3, **given)
    image = p.kernels(x[:, :, None], "gelu", 2, kernel=(3, 1), **given)
    assert_allclose(row.tangent, image.tangent, rtol=EXACT)


@pytest.mark.parametrize("name", ["tanh", "silu", "elu"])
def test_inputs_of_one_norm_use_the_tables_and_agree_with_the_maps(name):
    x = np.random.default_rng(4).normal(size=(50, 6))
    x /= np.sqrt((x * x).mean(axis=1, keepdims=True))
    got = p.kernels(x, name, 3, weight_var=1.5, bias_var=0.05)
    q, kernel = 1.55, 1.5 * x @ x.T / 6 + 0.05
    tangent = kernel
    for _ in range(3):
        c = np.clip(kernel / q, -1, 1)
        np.fill_diagonal(c, 1)
        kernel = 1.5 * p.covariance(q, q, c, name) + 0.05
        tangent = kernel + 1.5 * p.slope_covariance(q, q, c, name) * tangent
        q = float(p.variance_map(q, name, weight_var=1.5, bias_var=0.05))
    assert_allclose(got.covariance, kernel, rtol=1e-12)
    assert_allclose(got.tangent, tangent, rtol=1e-11)


#: Those with a closed form of both E phi phi and E phi' phi'.
CLOSED = ("linear", "relu", "leaky_relu", "abs", "squared_relu", "erf", "erf_scaled", "gelu", "sin",
          "cos", "gaussian", "exp")  # fmt: skip


@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_in_a_network_are_those_of_one_pair(name):
    x, y = np.random.default_rng(6).normal(scale=0.5, size=(2, 13, 4))
    x[0] = 0  # a variance of 0 in the first layer
    got = p.kernels(x, name, 2, weight_var=0.8, x2=y)
    q1, q2 = (0.8 * (z * z).mean(axis=1) for z in (x, y))
    kernel = tangent = 0.8 * x @ y.T / 4
    for _ in range(2):
        root = np.sqrt(np.outer(q1, q2))
        c = np.divide(kernel, root, out=np.zeros_like(root), where=root > 0)
        pair = q1[:, None], q2[None], c
        slopes = np.empty_like(c)
        slopes[1:] = p.slope_covariance(pair[0][1:], pair[1], c[1:], name)
        if q1[0] > 0:
            slopes[0] = p.slope_covariance(q1[0], q2, c[0], name)
        else:
            tangent[0] = slopes[0] = 0  # no kernel: x and the bias are 0
        kernel = 0.8 * p.covariance(*pair, name)
        tangent = kernel + 0.8 * slopes * tangent
        q1, q2 = (p.variance_map(q, name, weight_var=0.8) for q in (q1, q2))
    assert_allclose(got.covariance, kernel, rtol=10 * EXACT, atol=10 * EXACT)
    assert_allclose(got.tangent, tangent, rtol=10 * EXACT, atol=10 * EXACT)


@pytest.mark.parametrize(("name", "together"), [("relu", 700), ("tanh", 700), ("relu", 1)])
def test_parts_are_those_of_the_whole(monkeypatch, name, together):
    x = np.random.default_rng(7).normal(size=(41, 3))
    x /= np.sqrt((x * x).mean(axis=1, keepdims=True))  # one norm: tables serve tanh
    whole = p.kernels(x, name, 2, weight_var=1.5, bias_var=0.1)
    apart = p.kernels(x, name, 2, weight_var=1.5, bias_var=0.1, x2=x)
    monkeypatch.setattr("fanin.propagation._kernels._TOGETHER", together)
    parts = p.kernels(x, name, 2, weight_var=1.5, bias_var=0.1)
    rectangle = p.kernels(x, name, 2, weight_var=1.5, bias_var=0.1, x2=x)
    # BLAS sums in another order; near c = 1 the tangent kernel keeps half the digits.
    off = ~np.eye(len(x), dtype=bool)
    for other in (apart, parts, rectangle):
        assert_allclose(other.covariance, whole.covariance, rtol=1e-12)
        assert_allclose(other.tangent[off], whole.tangent[off], rtol=1e-11)
    assert_allclose(np.diag(parts.tangent), np.diag(whole.tangent), rtol=1e-14)


def test_threads_and_instruction_sets_change_no_bit(isa):
    x = np.random.default_rng(5).normal(size=(150, 8))
    before = fanin.runtime.threads()
    try:
        fanin.runtime.set_threads(1)
        one = p.kernels(x, "gelu", 3, weight_var=1.5).tangent
        fanin.runtime.set_threads(2)
        assert (p.kernels(x, "gelu", 3, weight_var=1.5).tangent == one).all()
    finally:
        fanin.runtime.set_threads(before)


@pytest.mark.parametrize(
    ("change", "match"),
    [({"x": np.ones(3)}, "shape"), ({"x": np.ones((2, 3, 4))}, "shape"), ({"depth": 0}, "depth"),
     ({"weight_var": -1.0}, "weight_var"), ({"x2": np.ones((2, 4))}, "x2"),
     ({"padding": "same"}, "padding"), ({"readout": "max"}, "readout"),
     ({"x": np.ones((2, 4, 3)), "kernel": 5}, "kernel"), ({"activation": "step"}, "jumps"),
     ({"x": np.ones((2, 4, 3)), "kernel": (1, 2, 3)}, "kernel")],
)  # fmt: skip
def test_kernels_refuse_what_does_not_fit(change, match):
    given = {"x": np.ones((2, 3)), "activation": "relu", "depth": 2, "weight_var": 2.0, **change}
    with pytest.raises(ValueError, match=match):
        p.kernels(given.pop("x"), given.pop("activation"), given.pop("depth"), **given)


def test_no_inputs_have_empty_kernels():
    assert p.kernels(np.ones((0, 3)), "relu", 2, weight_var=2.0).tangent.shape == (0, 0)
