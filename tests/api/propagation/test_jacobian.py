"""Singular values of the Jacobian against closed forms, published numbers and random matrices."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin

p = fanin.propagation

#: Quadratures, sums of a few hundred positive terms, inverses by Newton's method: 1e-12 is 10^4
#: roundings.
EXACT = 1e-12


def active_mass(q):
    """P(|u| < 1), u ~ N(0, q): the slopes of a hardtanh that are one."""
    return float(mpmath.erf(1 / mpmath.sqrt(2 * q)))


# ---- moments -------------------------------------------------------------------------------------


def test_the_mean_is_the_product_of_the_chis():
    q = np.array([0.3, 0.7, 1.0, 2.5])
    mean = p.jacobian("tanh", 4, weight_var=1.3, q=q).mean
    assert_allclose(mean, np.prod(p.chi(q, "tanh", weight_var=1.3)), rtol=EXACT)


def test_hundred_tanh_layers_at_variance_one_keep_the_published_gradient():
    # catalogue: weight_var 1, bias_var 0, q_0 = 1; six digits are given.
    q = p.propagate("tanh", 99, weight_var=1.0).q
    assert_allclose(p.jacobian("tanh", 100, q=q).mean, 7.13425e-3, rtol=1e-6)


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
def test_relative_variances_add_over_layers(weights):
    # sum of the layers' own, each n_0-normalised and square, so that one layer at a time is a term
    q = np.array([0.1, 0.5, 2.0])
    whole = p.jacobian("gelu", 3, weights=weights, q=q).relative_variance
    parts = [p.jacobian("gelu", 1, weights=weights, q=x).relative_variance for x in q]
    assert_allclose(whole, np.sum(parts), rtol=EXACT)


@pytest.mark.parametrize(
    ("activation", "q", "ratio"),
    [
        ("linear", 0.7, 1.0),
        ("relu", 0.7, 2.0),
        ("hardtanh", 0.6, 1 / active_mass(0.6)),
        ("hardtanh", 0.05, 1 / active_mass(0.05)),
        # erf_scaled at q is erf at pi q / 4: (1 + 4 q)/sqrt(1 + 8 q) in q of erf
        ("erf", 0.3, (1 + 4 * 0.3) / math.sqrt(1 + 8 * 0.3)),
        ("abs", 1.0, 1.0),
    ],
)
@pytest.mark.parametrize("depth", [1, 7])
def test_relative_variance_has_the_published_closed_forms(activation, q, ratio, depth):
    gaussian = p.jacobian(activation, depth, q=q)
    orthogonal = p.jacobian(activation, depth, q=q, weights="orthogonal")
    assert_allclose(gaussian.relative_variance, depth * ratio, rtol=EXACT)
    assert_allclose(orthogonal.relative_variance, depth * (ratio - 1), rtol=EXACT, atol=EXACT)


def test_rectangular_relu_net_has_the_published_relative_variance():
    widths = [256, 512, 384, 128]
    gaussian = p.jacobian("relu", 3, widths=widths)
    orthogonal = p.jacobian("relu", 3, widths=widths, weights="orthogonal")
    # Sum of n_0/n_l mu_2/mu_1^2 = 2 (1/2 + 2/3 + 2), and sum of n_0/n_l - n_0/n_(l-1), where
    # that is positive, and n_0/n_l for the other
    assert_allclose(gaussian.relative_variance, 19 / 3, rtol=EXACT)
    assert_allclose(orthogonal.relative_variance, 14 / 3, rtol=EXACT)


def test_tanh_becomes_an_isometry_as_q_falls_and_relu_does_not():
    q = np.array([1e-2, 1e-4, 1e-6])
    spread = p.jacobian("tanh", 50, weights="orthogonal", q=q[:, None] * np.ones(50))
    # mu_2/mu_1^2 - 1 = Var(phi'^2)/mu_1^2 = 8 q^2 + O(q^3): phi'^2 = 1 - 2 u^2, Var u^2 = 2 q^2
    assert_allclose(spread.relative_variance[1:], 50 * 8 * q[1:] ** 2, rtol=2e-3)
    relu = p.jacobian("relu", 50, weights="orthogonal", q=q[:, None] * np.ones(50))
    assert_allclose(relu.relative_variance, 50.0, rtol=EXACT)


# ---- the largest value ---------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 10, 100])
def test_edge_of_gaussian_linear_nets(depth):
    edge = (depth + 1) ** (depth + 1) / depth**depth
    assert_allclose(p.jacobian("linear", depth).lambda_max, edge, rtol=EXACT)


@pytest.mark.parametrize("depth", [2, 3, 10, 100])
def test_edge_of_orthogonal_relu_nets(depth):
    # lambda(z) is flat at its least value but z reaches 1e-1 of it only to half the digits
    edge = depth**depth / (depth - 1) ** (depth - 1)
    found = p.jacobian("relu", depth, weights="orthogonal").lambda_max
    # At depth 2, L (1 - p) = 1, the least value is at z = infinity and is p^-L.
    assert_allclose(found, edge, rtol=1e-11)


@pytest.mark.parametrize("depth", [1, 5, 60])
def test_edge_of_gaussian_relu_nets(depth):
    z = (math.sqrt(depth * depth + 1) - (depth - 1)) / (2 * depth)
    edge = (1 + z) / z * (1 + 2 * z) ** depth
    assert_allclose(p.jacobian("relu", depth).lambda_max, edge, rtol=EXACT)


@pytest.mark.parametrize("q", [0.05, 0.2, 0.5, 3.0])
def test_edge_of_orthogonal_hardtanh_nets_with_and_without_an_atom(q):
    depth, mass = 10, active_mass(q)
    if depth * (1 - mass) > 1:
        z = mass / (depth * (1 - mass) - 1)
        edge = (1 + z) / z * ((mass + z) / (mass * (1 + z))) ** depth
    else:
        edge = mass**-depth
    found = p.jacobian("hardtanh", depth, weights="orthogonal", q=q).lambda_max
    assert_allclose(found, edge, rtol=EXACT)


def test_one_gaussian_rectangular_layer_has_the_edge_of_marchenko_and_pastur():
    # W^T W, W (m, n), entries of variance 1/n: mean m/n, edge (1 + sqrt(m/n))^2.
    for n, m in [(100, 300), (300, 100)]:
        edge = (1 + math.sqrt(m / n)) ** 2 / (m / n)
        assert_allclose(p.jacobian("linear", 1, widths=[n, m]).lambda_max, edge, rtol=EXACT)


def test_orthogonal_linear_nets_are_isometries():
    found = p.jacobian("linear", 100, weights="orthogonal")
    assert_allclose([found.mean, found.lambda_max], 1.0, rtol=EXACT)
    assert_allclose(found.relative_variance, 0.0, atol=EXACT)


def random_jacobian(activation, widths, weights, stream, scale):
    """J of one network whose pre-activations are N(0, 1): Gaussian D, as free as theory has it."""
    matrix = np.eye(widths[0])
    for layer, (n, m) in enumerate(zip(widths, widths[1:], strict=False)):
        if weights == "gaussian":
            w = fanin.normal((m, n), scale=1 / math.sqrt(n), seed=stream[layer], dtype="float64")
        else:
            # Haar: QR of a normal matrix; signs of rows and columns do not matter to |J v|.
            square = fanin.normal((max(n, m),) * 2, seed=stream[layer], dtype="float64")
            w = np.linalg.qr(square)[0][:m, :n] * math.sqrt(max(n, m) / n)
        u = fanin.normal((m,), seed=stream[layer]["u"], dtype="float64")
        slope = fanin.Activation(activation).derivative(u)
        matrix = scale * slope[:, None] * (w @ matrix)
    return matrix


@pytest.mark.parametrize("weights", ["gaussian", "orthogonal"])
@pytest.mark.parametrize(
    ("activation", "widths"), [("tanh", [120, 120, 120]), ("elu", [100, 160, 120, 60])]
)
def test_random_matrices_have_the_mean_spread_and_edge(weights, activation, widths):
    depth = len(widths) - 1
    theory = p.jacobian(activation, depth, weights=weights, widths=widths, weight_var=1.44)
    found = []
    for k in range(6):
        j = random_jacobian(activation, widths, weights, fanin.Stream(3)[k], 1.2)
        s = np.linalg.svd(j, compute_uv=False) ** 2
        s = np.r_[s, np.zeros(widths[0] - len(s))]
        found.append([s.mean(), s.var() / s.mean() ** 2, s.max() / s.mean()])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / math.sqrt(len(found))
    expected = [theory.mean, theory.relative_variance, theory.lambda_max]
    # Corrections are O(1/n) to the moments and O(n^(-2/3)) to the edge, n = 60: 1.7 % and 7 %,
    # added to six standard errors of six networks (t with 5 degrees of freedom: 6 is 0.2 %).
    allowed = 6 * error + np.array([0.02, 0.04, 0.12]) * expected
    assert (abs(mean - expected) < allowed).all(), (mean, expected)


# ---- shapes and domain ---------------------------------------------------------------------------


def test_arguments_broadcast_and_bad_lanes_are_nan():
    found = p.jacobian("relu", 3, weight_var=[1.0, 2.0, -1.0, np.nan], q=[[1.0], [-1.0]])
    assert found.mean.shape == found.lambda_max.shape == (2, 4)
    assert_allclose(found.mean[0, :2], [0.125, 1.0], rtol=EXACT)
    assert np.isnan(found.mean[0, 2:]).all() and np.isnan(found.lambda_max[1]).all()
    assert p.jacobian("relu", 3).mean.shape == ()


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 0},
        {"depth": 2.5},
        {"weights": "haar"},
        {"widths": [3, 4]},
        {"q": 0.0},
        {"q": -1.0},
        {"weight_var": -1.0},
    ],
)
def test_arguments_out_of_range_are_refused(change):
    with pytest.raises(ValueError):
        p.jacobian("relu", **{"depth": 3, **change})


def test_the_instruction_set_changes_no_bit(isa):
    del isa
    found = p.jacobian("tanh", 5, q=0.37, weight_var=1.1)
    # Bits of the baseline, compared between instruction sets.
    first = _BITS.setdefault("tanh", (found.mean.tobytes(), found.lambda_max.tobytes()))
    assert first == (found.mean.tobytes(), found.lambda_max.tobytes())


_BITS: dict[str, tuple[bytes, bytes]] = {}


# ---- the density ---------------------------------------------------------------------------------


def moments_of_density(activation, depth, points, power, **given):
    """Integrals of rho, x rho and x^2 rho by the midpoint rule in x = edge g^power."""
    edge = float(p.jacobian(activation, depth, **given).lambda_max)
    g = (np.arange(points) + 0.5) / points
    x, dx = edge * g**power, edge * power * g ** (power - 1) / points
    density = p.jacobian_density(x, activation, depth, **given)
    return [float((density * x**k * dx).sum()) for k in range(3)]


def test_density_of_one_gaussian_layer_is_that_of_marchenko_and_pastur():
    x = np.array([0.01, 0.5, 1.0, 3.9, 4.1, 10.0])
    expected = np.sqrt(np.maximum(x * (4 - x), 0)) / (2 * math.pi * x)
    assert_allclose(p.jacobian_density(x, "linear", 1), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("activation", "depth", "weights", "q", "points", "power", "tolerance"),
    # The midpoint rule meets a square root at the edge: error ~ points^-1.5, 1e-3 with 400, 1e-2
    # with 60; what is below x = 1e-6 of the mass is not seen.
    [
        ("linear", 3, "gaussian", 1.0, 400, 5, 2e-3),
        ("relu", 4, "orthogonal", 1.0, 400, 4, 2e-3),
        ("relu", 2, "gaussian", 1.0, 400, 4, 2e-3),
        ("tanh", 5, "orthogonal", 0.3, 60, 3, 1e-2),
    ],
)
def test_density_has_the_moments(activation, depth, weights, q, points, power, tolerance):
    given = {"weights": weights, "q": q}
    mass, mean, square = moments_of_density(activation, depth, points, power, **given)
    assert_allclose(mean, 1.0, rtol=tolerance)
    expected = 1 + float(p.jacobian(activation, depth, **given).relative_variance)
    assert_allclose(square, expected, rtol=2 * tolerance)
    if activation == "tanh":  # nothing is at zero
        assert_allclose(mass, 1.0, rtol=tolerance)


def test_density_is_zero_outside_and_nan_where_there_is_nothing():
    edge = float(p.jacobian("relu", 5).lambda_max)
    found = p.jacobian_density([1.01 * edge, 0.99 * edge, 0.0, -1.0, np.nan], "relu", 5)
    assert found[0] == 0 and found[1] > 0 and np.isnan(found[2:]).all()
    for wrong in ({"depth": 0}, {"q": 0.0}, {"weights": "haar"}):
        with pytest.raises(ValueError):
            p.jacobian_density(1.0, "relu", **{"depth": 2, **wrong})


# ---- one orthogonal layer, atoms, two outputs a unit -----------------------------------------


def test_one_orthogonal_layer_has_the_law_of_the_squared_slope():
    # phi' = exp(-pi u^2/4): phi'^2 = d at u^2 = -2 ln(d)/pi, |d(phi'^2)/du| = pi |u| d, twice.
    q = 0.7
    mean = float(p.moments(q, "erf_scaled").slope_second)
    x = np.array([0.05, 0.3, 0.9, 1.2, 0.999 / mean, 1.001 / mean])
    u = np.sqrt(np.maximum(-2 * np.log(x * mean) / math.pi, 0))
    bell = np.exp(-u * u / (2 * q)) / math.sqrt(2 * math.pi * q)
    with np.errstate(divide="ignore"):
        expected = np.where(x * mean < 1, 2 * bell / (math.pi * u * x), 0.0)
    found = p.jacobian_density(x, "erf_scaled", 1, weights="orthogonal", q=q)
    assert_allclose(found, expected, rtol=1e-9)


def test_several_places_of_one_slope_add_up():
    # sin: phi'^2 = cos(u)^2 = x m at arccos(+-sqrt(x m)) + 2 pi k, |d/du| = |sin 2u|.
    q, x = 4.0, np.array([0.2, 0.7, 1.5])
    mean = float(p.moments(q, "sin").slope_second)
    turns = 2 * math.pi * np.arange(-6, 7)
    expected = np.zeros(3)
    for sign in (1, -1):
        for side in (1, -1):
            u = side * np.arccos(sign * np.sqrt(x * mean))[:, None] + turns
            bell = np.exp(-u * u / (2 * q)) / math.sqrt(2 * math.pi * q)
            expected += (bell * mean / np.abs(np.sin(2 * u))).sum(axis=1)
    assert_allclose(p.jacobian_density(x, "sin", 1, weights="orthogonal", q=q), expected, rtol=1e-9)


def singular_values(activation, depth, orthogonal, q, n=300):
    """Squared singular values over their mean of one large random Jacobian of square layers."""
    rng = np.random.default_rng(5)
    phi, product = fanin.Activation(activation), np.eye(n)
    for _ in range(depth):
        weight = rng.normal(size=(n, n)) / math.sqrt(n)
        if orthogonal:
            weight = np.linalg.qr(weight)[0]
        slope = phi.derivative(math.sqrt(q) * rng.normal(size=n))
        product = slope[:, None] * (weight @ product)
    square = np.linalg.svd(product, compute_uv=False) ** 2
    return square / square.mean()


@pytest.mark.parametrize(
    ("activation", "depth", "q", "orthogonal"),
    [("hardtanh", 1, 0.6, True), ("hardtanh", 4, 0.15, True), ("hardtanh", 4, 2.0, True),
     ("relu", 3, 1.0, True), ("relu", 3, 1.0, False), ("hardswish", 1, 9.0, True)],
)  # fmt: skip
def test_atoms_are_the_shares_of_equal_singular_values(activation, depth, q, orthogonal):
    weights = "orthogonal" if orthogonal else "gaussian"
    atoms = p.jacobian_atoms(activation, depth, weights=weights, q=q)
    assert (np.diff(atoms.x) > 0).all()
    found = singular_values(activation, depth, orthogonal, q)
    for x, mass in zip(atoms.x, atoms.mass, strict=True):
        # n units draw their slopes: a share p has the deviation sqrt(p (1 - p) depth/n) at most.
        share = float((np.abs(found - x) < 0.1 * max(x, 1e-3)).mean())
        assert abs(share - mass) < 4 * math.sqrt(0.25 * depth / 300), (x, share, mass)
    if activation == "hardtanh" and q == 0.15:
        assert_allclose(atoms.x[-1], p.jacobian("hardtanh", 4, weights=weights, q=q).lambda_max)
        assert_allclose(atoms.mass[-1], 1 - 4 * (1 - active_mass(q)), rtol=1e-12)
    if activation == "hardtanh" and q == 2.0:
        assert atoms.x.tolist() == [0.0]


@pytest.mark.parametrize(
    ("activation", "depth", "weights", "q"),
    [("relu", 1, "gaussian", 1.0), ("relu", 3, "orthogonal", 1.0),
     ("hardtanh", 2, "orthogonal", 0.3), ("hardtanh", 4, "orthogonal", 0.25)],
)  # fmt: skip
def test_density_and_atoms_have_the_mass_one(activation, depth, weights, q):
    t = np.linspace(math.log(1e-14), math.log(40), 3000)
    density = p.jacobian_density(np.exp(t), activation, depth, weights=weights, q=q)
    atoms = p.jacobian_atoms(activation, depth, weights=weights, q=q).mass.sum()
    assert abs(float(np.trapezoid(density * np.exp(t), t)) + atoms - 1) < 1e-3


def test_a_density_does_not_depend_on_the_points_beside_it():
    x = np.array([5e-324, 1e-20, 0.5, 1.0, 2.0, 1e300])
    for density in (
        lambda at: p.jacobian_density(at, "tanh", 3),
        lambda at: p.residual_jacobian_density(at, 0.5),
    ):
        assert_allclose(density(x), [density(at) for at in x], rtol=1e-9)
        assert density(1e300) == 0 and (density(x[2:5]) > 0).all()


def test_beside_an_atom_at_zero_there_is_nothing():
    assert (p.jacobian_density([1e-12, 1e-9, 1e-6, 1e-3], "relu", 1) == 0).all()


@pytest.mark.parametrize("orthogonal", [False, True])
def test_a_crelu_of_half_the_fan_has_the_spread_of_random_matrices(orthogonal):
    # From pre-activation to pre-activation, W (n, 2 n) times D (2 n, n).
    rng, n, depth = np.random.default_rng(1), 150, 5
    spreads, tops = [], []
    for _ in range(6):
        product = np.eye(n)
        for _ in range(depth):
            weight = rng.normal(size=(2 * n, n)) / math.sqrt(2 * n)
            if orthogonal:
                weight = np.linalg.qr(weight)[0]
            positive = rng.random(n) < 0.5
            columns = np.where(positive, np.arange(n), n + np.arange(n))
            product = (np.where(positive, 1.0, -1.0) * weight.T[:, columns]) @ product
        square = np.linalg.svd(product, compute_uv=False) ** 2
        spreads.append(square.var() / square.mean() ** 2)
        tops.append(square.max() / square.mean())
    got = p.jacobian("crelu", depth, weights="orthogonal" if orthogonal else "gaussian")
    assert_allclose(got.mean, 0.5**depth, rtol=EXACT)
    assert_allclose(got.relative_variance, depth / 2 if orthogonal else depth, rtol=EXACT)
    error = np.std(spreads) / math.sqrt(6)
    # What is left is 1/n of it.
    assert abs(np.mean(spreads) - float(got.relative_variance)) < 4 * error + 10 / n
    # Edges come from below by a few n^(-2/3) = 0.04. With the law of a ReLU it was twice as much.
    assert_allclose(np.mean(tops), got.lambda_max, rtol=0.2)


def test_the_density_of_a_crelu_has_its_moments():
    for weights in ("gaussian", "orthogonal"):
        mass, mean, square = moments_of_density("crelu", 3, 400, 4, weights=weights)
        assert_allclose([mass, mean], 1.0, rtol=2e-3)
        spread = float(p.jacobian("crelu", 3, weights=weights).relative_variance)
        assert_allclose(square, 1 + spread, rtol=4e-3)
