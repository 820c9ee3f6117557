"""Maps over the positions of an image, against slow sums over every tap and every pair."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fanin

p = fanin.propagation

#: Sums of some hundred products, each good to 1e-12 in its moments.
CLOSE = 1e-11


def conv(channels=8, kernel=3, **given):
    return p.Conv(channels, kernel, **{"weight_var": 2.0, "padding": "zero", **given})


# ---- the slow truth ------------------------------------------------------------------------------


def grid(image):
    return list(itertools.product(*(range(side) for side in image)))


def seen(output, image, kernel, stride, padding):
    """The input position of each tap at an output; None outside."""
    places = []
    for tap in itertools.product(*(range(-((k - 1) // 2), k // 2 + 1) for k in kernel)):
        at = [o * s + t for o, s, t in zip(output, stride, tap, strict=True)]
        if padding == "circular":
            at = [a % side for a, side in zip(at, image, strict=True)]
        inside = all(0 <= a < side for a, side in zip(at, image, strict=True))
        places.append(tuple(at) if inside else None)
    return places


def slow(layers, image, q0, c0):
    """Second moments of every pair of (input, position), layer by layer, by the definitions."""
    points = [(i, *a) for i in range(2) for a in grid(image)]
    k = {
        (s, t): q0 * (1.0 if s == t else c0 if s[1:] == t[1:] else 0.0)
        for s in points
        for t in points
    }
    for layer in layers:
        if isinstance(layer, str):
            k = {
                (s, t): float(
                    p.covariance(
                        k[s, s], k[t, t], np.clip(v / math.sqrt(k[s, s] * k[t, t]), -1, 1), layer
                    )
                )
                for (s, t), v in k.items()
            }
            continue
        if isinstance(layer, p.Conv):
            out = [-(-side // step) for side, step in zip(image, layer.stride, strict=True)]
            taps = {a: seen(a, image, layer.kernel, layer.stride, layer.padding) for a in grid(out)}
            weight, bias, shared = layer.weight_var, layer.bias_var, True
        else:
            size = layer.size or image
            out = [side // w for side, w in zip(image, size, strict=True)]
            taps = {
                a: [
                    tuple(x * w + y for x, w, y in zip(a, size, b, strict=True)) for b in grid(size)
                ]
                for a in grid(out)
            }
            weight, bias, shared = 1.0, 0.0, False
        image = tuple(out)
        points = [(i, *a) for i in range(2) for a in grid(image)]
        made = {}
        for s, t in itertools.product(points, points):
            here, there = taps[s[1:]], taps[t[1:]]
            # One weight a tap against one window of both.
            both = zip(here, there, strict=True) if shared else itertools.product(here, there)
            count = len(here) if shared else len(here) ** 2
            total = sum(
                k[(s[0], *a), (t[0], *b)] for a, b in both if a is not None and b is not None
            )
            made[s, t] = weight * total / count + bias
        k = made
    q = np.array([k[(0, *a), (0, *a)] for a in grid(image)]).reshape(image)
    product = np.array([k[(0, *a), (1, *a)] for a in grid(image)]).reshape(image)
    return q, product


@pytest.mark.parametrize(
    ("layers", "image"),
    [
        (["relu", conv(), "tanh", conv(kernel=(3, 2), bias_var=0.1)], (4, 3)),
        (["relu", conv(stride=2), "relu", conv()], (5, 4)),
        (["relu", conv(), "relu", p.AveragePool(2), conv(bias_var=0.2)], (4, 4)),
        (["gelu", conv(bias_var=0.1), "relu", p.AveragePool(None)], (3, 3)),
        (["relu", conv(padding="circular"), "relu", conv(), "relu", p.AveragePool(2)], (4, 5)),
        (["relu", conv(), "relu", conv(padding="circular", bias_var=0.3), "relu",
          p.AveragePool((2, 1)), conv(stride=(2, 1)), "relu", p.AveragePool(None)], (4, 3)),
        (["relu", conv(kernel=(3,), stride=(2,)), "relu", p.AveragePool((2,))], (7,)),
    ],
)  # fmt: skip
def test_the_map_is_the_sum_over_taps_and_pairs(layers, image):
    found = p.Network(layers, width=8, image=image).propagate(q0=0.8, c0=0.4)
    q, product = slow(layers, image, 0.8, 0.4)
    assert_allclose(found.position_map(-1), q, rtol=CLOSE)
    assert_allclose(found.q[-1], q.mean(), rtol=CLOSE)
    assert_allclose([found.q_low[-1], found.q_high[-1]], [q.min(), q.max()], rtol=CLOSE)
    assert_allclose(found.c[-1], product.mean() / q.mean(), rtol=CLOSE)
    assert_allclose(found.one_minus_c[-1], 1 - product.mean() / q.mean(), rtol=1e-10)


def test_a_gradient_goes_back_by_the_same_taps():
    # Linear layers: d out_o/d in_p has the variance of the weights on the paths from p to o.
    image, layers = (5, 4), [conv(stride=(2, 1)), conv(kernel=(2, 3))]
    paths = np.eye(20).reshape(20, *image)
    ways = []
    for at in range(20):
        signal, here = paths[at], image
        for layer in layers:
            out = [-(-side // step) for side, step in zip(here, layer.stride, strict=True)]
            made = np.zeros(out)
            for o in grid(out):
                places = seen(o, here, layer.kernel, layer.stride, "zero")
                made[o] = 2.0 / len(places) * sum(signal[a] for a in places if a is not None)
            signal, here = made, tuple(out)
        ways.append(signal.sum())
    found = p.Network(layers, width=8, image=image).propagate()
    assert_allclose(found.position_map(0, "grad"), np.reshape(ways, image), rtol=CLOSE)
    assert_allclose(found.grad[0], np.mean(ways), rtol=CLOSE)
    assert_allclose([found.grad_low[0], found.grad_high[0]], [min(ways), max(ways)], rtol=CLOSE)
    assert_allclose(found.chi[0] * found.grad[1], found.grad[0], rtol=CLOSE)


def slow_weights(layers, image, q0):
    """Gradient variances of the weights of every convolution, from the moments of a gradient at
    every two positions; the loss is independent at those of the output."""
    q = {(a, b): q0 * (a == b) for a in grid(image) for b in grid(image)}
    steps = []
    for layer in layers:
        if isinstance(layer, str):
            steps.append((layer, q, None))
            q = {
                (a, b): float(p.covariance(q[a, a], q[b, b], correlation(q, a, b), layer))
                for a, b in q
            }
            continue
        if isinstance(layer, p.Conv):
            out = [-(-side // step) for side, step in zip(image, layer.stride, strict=True)]
            taps = {o: seen(o, image, layer.kernel, layer.stride, layer.padding) for o in grid(out)}
            ways = {
                (o, r): [(a, b) for a, b in zip(taps[o], taps[r], strict=True) if a and b]
                for o in taps for r in taps
            }  # fmt: skip
            factor, bias = layer.weight_var / len(taps[tuple(0 for _ in out)]), layer.bias_var
        else:
            out = [side // w for side, w in zip(image, layer.size, strict=True)]
            windows = {
                o: [tuple(x * w + y for x, w, y in zip(o, layer.size, b, strict=True))
                    for b in grid(layer.size)]
                for o in grid(out)
            }  # fmt: skip
            ways = {
                (o, r): list(itertools.product(windows[o], windows[r]))
                for o in windows for r in windows
            }  # fmt: skip
            factor, bias = 1 / math.prod(layer.size) ** 2, 0.0
        steps.append((layer, q, (ways, factor)))
        q = {key: factor * sum(q[pair] for pair in pairs) + bias for key, pairs in ways.items()}
        image = tuple(out)
    g = {(a, b): 1.0 * (a == b) for a in grid(image) for b in grid(image)}
    found = []
    for layer, before, back in reversed(steps):
        if back is None:
            g = {
                (a, b): v * float(p.slope_covariance(before[a, a], before[b, b],
                                                     correlation(before, a, b), layer))
                for (a, b), v in g.items()
            }  # fmt: skip
            continue
        ways, factor = back
        if isinstance(layer, p.Conv):
            seen_there = (sum(before[pair] for pair in ways[key]) * v for key, v in g.items())
            found.append(sum(seen_there) * factor / layer.weight_var)
        gave = dict.fromkeys(before, 0.0)
        for key, v in g.items():
            for pair in ways[key]:
                gave[pair] += factor * v
        g = gave
    return found[::-1]


def correlation(q, a, b):
    return np.clip(q[a, b] / math.sqrt(q[a, a] * q[b, b]), -1, 1)


@pytest.mark.parametrize(
    ("layers", "image"),
    [
        (["relu", conv(), "relu", conv(bias_var=0.3), "tanh", p.AveragePool(2)], (5, 4)),
        (["relu", conv(stride=2, kernel=(3, 2)), "relu", p.AveragePool((1, 2)), conv(), "relu",
          p.AveragePool((2, 1))], (7, 8)),
        (["relu", conv(padding="circular", stride=(2, 1)), "gelu", conv(padding="circular"),
          "relu", conv(kernel=(1, 3)), "relu", p.AveragePool(2)], (6, 4)),
        # Alike positions: one number stands for all pairs.
        (["relu", conv(padding="circular"), "relu", conv(padding="circular"), "relu",
          p.AveragePool(2), conv(padding="circular"), "relu", p.AveragePool((2, 1))], (4, 4)),
    ],
)  # fmt: skip
def test_weights_in_front_of_pools_see_that_positions_share_their_gradient(layers, image):
    found = p.Network(layers, width=8, image=image).propagate(q0=0.8)
    assert_allclose(found.weight_grads, slow_weights(layers, image, 0.8), rtol=CLOSE)


@pytest.mark.parametrize("padding", ["circular", "zero"])
def test_residuals_pass_shared_gradients_along_both_paths(padding):
    # A branch of weight 0 changes nothing, and the skip of weight 0 leaves the branch.
    first, inner = conv(padding=padding), ["relu", conv(padding=padding)]
    pool = ["relu", p.AveragePool(2)]
    for skip, branch, plain in ((1.0, 0.0, []), (0.0, 1.0, inner)):
        block = p.Residual(inner, skip, branch)
        found = p.Network([first, block, *pool], width=8, image=(4, 4)).propagate()
        bare = p.Network([first, *plain, *pool], width=8, image=(4, 4)).propagate()
        assert_allclose(found.weight_grads[0], bare.weight_grads[0], rtol=CLOSE)


def test_weights_in_front_of_a_batch_norm_see_deviations_from_the_batch():
    net = p.Network(["relu", p.Dense(), p.BatchNorm()]).propagate()
    deviation = 0.5 - 1 / (2 * math.pi)
    assert_allclose(net.weight_grads[0], net.grad[2] * deviation, rtol=1e-12)
    # An activation between them: its slopes at two inputs have a covariance.
    net = p.Network(["relu", p.Dense(), "gelu", p.BatchNorm(), p.Dense()]).propagate()
    both = float(p.slope_covariance(0.5, 0.5, 1 / math.pi, "gelu")) / (2 * math.pi)
    expected = net.grad[3] * (p.moments(0.5, "gelu").slope_second / 2 - both)
    assert_allclose(net.weight_grads[0], expected, rtol=1e-12)


# ---- published and measured figures --------------------------------------------------------------


def test_thirty_layers_keep_twelve_times_what_even_edges_would():
    # Every layer with the mean share of taps, (22/24)^2, would leave (22/24)^60.
    net = p.Network(["relu", conv(64)] * 30, width=64, image=(8, 8)).propagate()
    assert abs(net.q[-1] / (22 / 24) ** 60 - 12.6) < 0.05
    # The operator is symmetric and so is the sum: gradients fare as signals.
    assert_allclose(net.grad[0], net.q[-1], rtol=CLOSE)
    assert net.q_low[-1] < net.q[-1] / 4 and net.q_high[-1] > 1.9 * net.q[-1]


def test_four_layers_have_the_pixel_mean_of_another_library():
    # As neural-tangents gives it: SAME, 9 x 9, W_std sqrt(2), b_std .1; four digits.
    net = p.Network(["relu", conv(64, bias_var=0.01)] * 4, width=64, image=(9, 9)).propagate()
    assert abs(net.q[-1] - 0.6728) < 5e-5


def test_a_stride_on_an_odd_side_sees_both_edges():
    # Centres 0, 2, 4, 6 of 7 see 2, 3, 3, 2 of 3 taps; measured with torch: .702 +- .007.
    net = p.Network([conv(128, weight_var=1.0, stride=2)], width=128, image=(7, 7)).propagate()
    assert_allclose(net.q[-1], (10 / 12) ** 2, rtol=1e-14)
    assert abs(net.q[-1] - 0.702) < 2 * 0.007


# ---- what does not change ------------------------------------------------------------------------


def test_circular_padding_stays_even_to_the_last_digits():
    layers = ["relu", conv(padding="circular"), "tanh", conv(padding="circular", bias_var=0.1)]
    alike = p.Network(layers * 3, width=8, image=(6, 5)).propagate(c0=0.3)
    # A delta kernel of zero padding depletes nothing, a kernel of 1 neither; a map that is forced
    # by a layer behind says the same in front of it.
    forced = p.Network([*layers * 3, conv()], width=8, image=(6, 5)).propagate(c0=0.3)
    with pytest.raises(ValueError, match="alike"):
        alike.position_map(0)
    for name in ("q", "c", "mean", "dead"):
        expected = getattr(alike, name)[:-1]
        assert_allclose(getattr(forced, name)[:-2], expected, rtol=1e-15, atol=1e-15)
    assert_allclose(forced.q_low[:-1], forced.q_high[:-1], rtol=1e-15)


def test_lanes_are_batched_and_equal_single_ones():
    def net(weight_var):
        first = conv(weight_var=weight_var, bias_var=0.1)
        layers = ["relu", first, "relu", p.AveragePool(2), conv(), "gelu", p.Flatten()]
        return p.Network([*layers, p.Dense(4)], width=8, image=(4, 4))

    weights, starts = np.array([0.5, 2.0]), np.array([[0.3], [1.0], [2.0]])
    found = net(weights).propagate(q0=starts, c0=0.2)
    assert found.q.shape == (3, 2, 9) and found.position_map(2).shape == (3, 2, 4, 4)
    alone = net(2.0).propagate(q0=0.3, c0=0.2)
    for name in ("q", "c", "grad", "q_low", "grad_high", "chi"):
        assert_allclose(getattr(found, name)[0, 1], getattr(alone, name), rtol=1e-13, err_msg=name)
    assert_allclose(found.weight_grads[0, 1], alone.weight_grads, rtol=1e-13)


# ---- what follows from means and pairs -----------------------------------------------------------


def test_pooling_keeps_the_mean_of_an_activation():
    # Independent pixels: E mean_r^2 = (q + (r - 1) m^2)/r, relu of variance 2: q = 1, m^2 = 1/pi.
    layers = [p.Conv(16, (3, 3), weight_var=2.0), "relu", p.AveragePool(2), p.LayerNorm()]
    found = p.Network([*layers, p.Dense(weight_var=2.0)]).propagate(q0=1.0, c0=0.5)
    q = (1 + 3 / math.pi) / 4
    assert_allclose(found.q[3], q, rtol=1e-14)
    product = float(p.covariance(2.0, 2.0, 0.5, "relu"))
    assert_allclose(found.c[3], (product + 3 / math.pi) / (4 * q), rtol=1e-13)
    assert_allclose(found.one_minus_c[3], (1 - product) / (4 * q), rtol=1e-12)
    assert_allclose(found.q[4:], [1.0, 2.0], rtol=1e-14)
    # Without the mean: the covariance of the two over the variance of one.
    m2 = 1 / math.pi
    assert_allclose(found.c[4], (product - m2) / (1 - m2), rtol=1e-12)
    assert (found.grad > 0).all() and (abs(found.c) <= 1).all()
    assert_allclose(found.grad[3] / found.grad[4], 4 / (1 - m2), rtol=1e-12)


def test_a_window_of_known_correlation_pools_deviations_from_the_mean():
    # Deviations of variance 1/2 - 1/(2 pi), half of it shared by two pixels.
    found = p.Network(["relu", p.AveragePool((2, 1), correlation=0.5)]).propagate()
    m2 = 1 / (2 * math.pi)
    assert_allclose(found.q[2], m2 + (0.5 - m2) * 0.75, rtol=1e-13)
    on_image = [conv(kernel=(1, 1)), "relu", p.AveragePool((2, 1), correlation=0.5), conv()]
    mapped = p.Network(on_image, width=8, image=(4, 4)).propagate()
    m2 = 1 / math.pi
    assert_allclose(mapped.q[3], m2 + (1 - m2) * 0.75, rtol=1e-13)


def test_the_pool_of_a_whole_image_needs_its_sides():
    with pytest.raises(ValueError, match="image"):
        p.Network(["relu", p.AveragePool(None)]).propagate()
    found = p.Network(["relu", p.AveragePool(None)], image=(4, 4)).propagate(q0=2.0)
    assert_allclose(found.q[2], (1 + 15 / math.pi) / 16, rtol=1e-14)
    # A gradient comes back to the Flatten as a scalar, which has no axes to reshape.
    layers = ["relu", p.AveragePool(None), p.Flatten(), p.Dense(9, weight_var=2.0), "tanh"]
    behind = p.Network(layers, image=(4, 4), width=3).propagate()
    assert_allclose(behind.grad[1], behind.grad[4] * 9 / 3 * 2 / 16**2, rtol=1e-14)
    with pytest.raises(ValueError, match="fit"):
        p.Network([p.AveragePool(5)], image=(4, 4)).propagate()
    with pytest.raises(ValueError, match="axes"):
        p.Network([conv()], image=(4,)).propagate()


def test_norms_scale_and_shift():
    rms = p.Network([p.RMSNorm(gamma=2.0, beta_var=0.5, epsilon=1.0)]).propagate(q0=3.0, c0=0.2)
    assert_allclose(rms.q[1], 4 * 3 / 4 + 0.5, rtol=1e-15)
    assert_allclose(rms.c[1], (3 * 0.2 + 0.5) / 3.5, rtol=1e-15)
    assert_allclose(rms.one_minus_c[1], 3 * 0.8 / 3.5, rtol=1e-15)
    assert_allclose(rms.grad[0], 1.0, rtol=1e-15)
    layer = p.Network(["relu", p.LayerNorm(gamma=3.0, epsilon=0.1)]).propagate()
    variance = 0.5 - 1 / (2 * math.pi)
    assert_allclose(layer.q[2], 9 * variance / (variance + 0.1), rtol=1e-13)
    for bad in ({"gamma": -1.0}, {"epsilon": math.nan}, {"beta_var": -0.1}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            p.LayerNorm(**bad)


def test_a_projection_is_a_second_branch():
    block = p.Residual(
        ["relu", p.Conv(32, 3, weight_var=2.0, stride=2)],
        skip=0.8,
        branch=0.5,
        projection=[p.Conv(32, 1, weight_var=1.5, stride=2)],
    )
    found = p.Network([block], width=8, image=(4, 4)).propagate(q0=2.0, c0=0.3)
    shared = float(p.covariance(2.0, 2.0, 0.3, "relu"))
    q = 0.64 * 3.0 + 0.25 * 2.0
    assert_allclose(found.q[1], q, rtol=1e-13)
    assert_allclose(found.c[1], (0.64 * 1.5 * 0.6 + 0.25 * 2 * shared) / q, rtol=1e-12)
    # 32 channels out of 8; every fourth pixel has an output.
    assert_allclose(found.grad[0], (0.64 * 1.5 + 0.25 * 2 * 0.5) * 32 / 8 / 4, rtol=1e-13)
    # Four outputs share a weight.
    assert_allclose(found.weight_grads, [4 * 0.64 * 2.0, 4 * 0.25 * 1.0], rtol=1e-13)
    with pytest.raises(ValueError, match="projection"):
        p.Residual([p.Dense()], projection=["relu"])
    with pytest.raises(ValueError, match="images"):
        p.Network([p.Residual([p.Conv(8, 3, stride=2)])], width=8, image=(4, 4)).propagate()


def test_a_weight_that_pixels_share_has_the_sum_of_their_gradients():
    net = p.Network(["relu", p.Conv(16, 3, weight_var=2.0)], width=16, image=(10, 10)).propagate()
    alone = p.Network(["relu", p.Dense(weight_var=2.0)], width=16).propagate()
    assert_allclose(net.weight_grad[2] / alone.weight_grad[2], 100.0, rtol=1e-13)
    block = p.Residual(["relu", p.Dense(), "relu", p.Dense()], branch=0.5)
    inside = p.Network([block]).propagate()
    assert_allclose(inside.weight_grads, [0.25 * 0.5 * 0.5, 0.25 * 0.25], rtol=1e-13)
    assert inside.weight_grad[1] == inside.weight_grads[-1]


def test_sums_of_activations_are_the_same_from_place_to_place_as_all_alike():
    def behind(last):
        def conv(padding="circular"):
            return p.Conv(16, 3, 2.0, 0.1, padding=padding)

        sums = [p.Residual([conv(), "tanh", conv()]), "relu", p.Residual([conv()], 0.8), "gelu"]
        layers = [conv(), "relu", *sums, conv(last)]
        return p.Network(layers, width=16, image=(4, 3)).propagate(q0=[0.5, 1.5], c0=0.3)

    # A zero-padded layer at the end asks all those before it for a map of alike places.
    mapped, alike = behind("zero"), behind("circular")
    assert mapped.q.shape == alike.q.shape
    assert_allclose(mapped.q[..., :-1], alike.q[..., :-1], rtol=1e-11)
    assert_allclose(mapped.c[..., :-1], alike.c[..., :-1], rtol=1e-11)
    # In the middle the last layer sees what the circular one sees.
    middle = mapped.position_map(len(alike.q[0]) - 1)[..., 1, 1]
    assert_allclose(middle, alike.q[..., -1], rtol=1e-11)
    edge = mapped.position_map(len(alike.q[0]) - 1)[..., 0, 0]
    assert_allclose(edge - 0.1, (alike.q[..., -1] - 0.1) * 4 / 9, rtol=1e-11)


@pytest.mark.parametrize(("side", "behind"), [(3, 2), (4, 2), (7, 4)])
def test_a_stride_that_does_not_divide_a_circle_gives_back_from_every_place_behind(side, behind):
    conv = p.Conv(16, 3, 1.5, stride=2)
    profile = p.Network([conv], width=16, image=(side, side)).propagate()
    # Every output gives 1.5 back in all, to some of side^2 inputs.
    assert profile.grad[0] == pytest.approx(1.5 * behind**2 / side**2, rel=1e-15)
