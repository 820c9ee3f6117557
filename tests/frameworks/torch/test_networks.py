"""Every kind of layer against networks drawn in torch, forward and, by autograd, backward."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch_networks

import fanin

p = fanin.propagation

#: Means over networks: |z| of some thirty entries of one case stays below 4 but once in 500 cases.
SCORE = 4.0


def compared(network, *, networks, c0, width_effect=0.0, **given):
    """Means over networks within SCORE standard errors, and a share for what is finite."""
    theory = network.propagate(q0=given.get("q0", 1.0), c0=c0)
    found = torch_networks.measured(network, networks=networks, c0=c0, **given)
    expected = {
        "square": theory.q,
        "product": theory.q * theory.c,
        "grad": theory.grad,
        "weight_grads": theory.weight_grads,
    }
    for name, values in expected.items():
        mean, error = found[name].mean(0), found[name].std(0, ddof=1) / math.sqrt(networks)
        room = SCORE * error + width_effect * abs(values) + 1e-12
        assert (abs(mean - values) <= room).all(), (name, mean, values, (mean - values) / error)
        # The comparison says something: errors are small against the values.
        assert np.median(error / abs(values)) < 0.1, (name, error / abs(values))


def conv(channels, kernel=3, **given):
    return p.Conv(channels, kernel, **{"weight_var": 2.0, "padding": "zero", **given})


CASES = {
    "a pool behind an activation": (
        [conv(128, padding="circular"), "relu", p.AveragePool(2), p.LayerNorm(), p.Dense(128, 2.0)],
        (6, 6),
    ),
    "zero padding, biases, pools": (
        [*["relu", conv(96, bias_var=0.1)] * 3, p.AveragePool(2), "relu", p.AveragePool(None),
         p.Dense(96)],
        (6, 6),
    ),
    "strides and a flattened image": (
        [conv(96, stride=2), "relu", conv(96, padding="circular"), "relu", p.AveragePool((2, 1)),
         p.Dense(96, 2.0), "gelu", p.Flatten(), p.Dense(96)],
        (7, 6),
    ),
    "a projected skip and a norm": (
        [p.Residual(["relu", conv(96, stride=2)], 0.8, 0.7, [p.Conv(96, 1, stride=2)]), "relu",
         p.Residual([conv(96)]), p.RMSNorm(1.3, 0.2, 0.1), p.Dense(96)],
        (7, 7),
    ),
    "groups and a delta kernel": (
        ["relu", conv(96, groups=4), "tanh", conv(96, 5, delta=True), "relu", conv(96)],
        (5, 5),
    ),
    "strides that do not divide a circle": (
        ["sigmoid", conv(96, padding="circular", stride=2), "relu", conv(96, padding="circular")],
        (5, 5),
    ),
    "the largest of windows that a side does not hold": (
        [conv(96, padding="circular"), "relu", p.MaxPool(2), conv(96, padding="circular"), "tanh",
         p.MaxPool((2, 1)), p.Flatten(), p.Dense(96)],
        (7, 5),
    ),
    "the largest of windows over the edge": (
        [conv(96, padding="circular"), "relu", p.MaxPool(3, 2, 1), conv(96, padding="circular")],
        (8, 8),
    ),
    "gates of an image": (
        [p.Gated("gelu", 128, 1.5, 1.2), conv(96, padding="circular"), "relu", p.AveragePool(2),
         p.Dense(96)],
        (4, 4),
    ),
    "gates behind norms": (
        [p.Residual([p.RMSNorm(1.2, 0.1, 0.05), p.Gated("silu", 600, 1.5, 1.2), p.Dense(800)]),
         p.Residual([p.LayerNorm(1.2, 0.3, 0.05), p.Gated("gelu", 600, 1.5, 1.2), p.Dense(800)])],
        None,
    ),
    "norms of all parameters": (
        [p.Dense(800, 1.0, 0.5), "relu", p.LayerNorm(1.5, 0.4, 0.2), p.Dense(800), "gelu",
         p.RMSNorm(0.7, 0.2, 0.3), p.Dense(800), p.LayerNorm(2.0, 0.3, 0.1), "tanh",
         p.Dense(800)],
        None,
    ),
    "norms and dropout behind activations": (
        [p.Dense(800), "relu", p.Dropout(0.3), p.LayerNorm(epsilon=0.05), p.Dense(800), "gelu",
         p.RMSNorm(), p.Dense(800)],
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_layers_agree_with_networks_drawn_in_torch(name):
    layers, image = CASES[name]
    width = 800 if image is None else 128 if "pool behind" in name else 96
    network = p.Network(layers, width=width, image=image)
    networks = 60 if image is None else 100
    # Width n shifts a mean by O(1/n) a layer, about (kappa - 1)/n with kappa up to 7 for relu
    # behind a norm: 1/n for each of the layers.
    effect = len(layers) / width
    compared(network, networks=networks, c0=0.5, width_effect=effect)


def test_signals_behind_sums_of_activations_agree_with_networks_drawn_in_torch():
    layers = [
        conv(128), "relu", p.Residual([conv(128), "relu", conv(128)]), "relu",
        p.Residual([conv(128)], branch=0.5), "relu", p.AveragePool(2), p.Flatten(), p.Dense(128),
    ]  # fmt: skip
    network, networks = p.Network(layers, width=128, image=(6, 6)), 60
    theory = network.propagate(c0=0.5)
    found = torch_networks.measured(network, networks=networks, c0=0.5)
    for name, values in (("square", theory.q), ("product", theory.q * theory.c)):
        mean, error = found[name].mean(0), found[name].std(0, ddof=1) / math.sqrt(networks)
        # 1/n for each of the layers, as above.
        room = SCORE * error + len(layers) / 128 * values
        assert (abs(mean - values) <= room).all(), (name, mean, values, error)
        assert (error < 0.05 * values).all()


@pytest.mark.parametrize(
    ("layer", "image", "blocks"),
    [(p.Dense(200, 2.0), None, 2), (p.Dense(200, 2.0), None, 6), (conv(96), (5, 5), 3)],
)
def test_gradients_along_skips_behind_activations_agree_with_networks_drawn_in_torch(
    layer, image, blocks
):
    block = [p.Residual([layer, "relu", layer], branch=0.5), "relu"]
    layers, width = [layer, "relu", *block * blocks], 96 if image else 200
    network, networks = p.Network(layers, width=width, image=image), 60 if image else 150
    theory = network.propagate()
    found = torch_networks.measured(network, networks=networks)
    for name, values in (("grad", theory.grad), ("weight_grads", theory.weight_grads)):
        mean, error = found[name].mean(0), found[name].std(0, ddof=1) / math.sqrt(networks)
        # 1/n for each of the layers, as above.
        room = SCORE * error + len(layers) / width * values
        assert (abs(mean - values) <= room).all(), (name, mean / values, error / values)
        assert (error < 0.05 * values).all(), error / values


@pytest.mark.parametrize("layers", [
    ["relu", conv(128), p.BatchNorm(), "relu", p.BatchNorm(), p.Dense(128)],
    ["relu", conv(128), p.BatchNorm(1.3, 0.2, 0.1), "relu", conv(128)],
])  # fmt: skip
def test_batch_norm_takes_its_mean_over_inputs_and_positions(layers):
    network = p.Network(layers, width=128, image=(4, 4))
    # 256 uncorrelated inputs of 16 pixels; weights see inputs without their batch mean, and the
    # loss of one input goes to the others through it.
    theory = network.propagate(c0=0.0)
    found = torch_networks.measured(network, networks=10, c0=0.0, inputs=256)
    for name, values in (
        ("square", theory.q), ("grad", theory.grad), ("weight_grads", theory.weight_grads),
    ):  # fmt: skip
        mean, error = found[name].mean(0), found[name].std(0, ddof=1) / math.sqrt(10)
        assert (abs(mean - values) <= SCORE * error + values * 6 / 128).all(), (name, mean, values)


def drawn_attention(layer, x, heads, normal):
    """One layer of attention over x, (tokens, width), in torch."""
    tokens, width = x.shape
    variances = (layer.query_var, layer.key_var, layer.value_var, 1.0)
    q, k, v, o = (normal(width, width) * math.sqrt(var / width) for var in variances)

    def split(w):
        return (x @ w).reshape(tokens, heads, width // heads).transpose(0, 1)

    logits = split(q) @ split(k).transpose(1, 2) / math.sqrt(width // heads)
    if layer.causal:
        logits = logits.masked_fill(torch.ones(tokens, tokens).triu(1) > 0, -math.inf)
    return (logits.softmax(-1) @ split(v)).transpose(0, 1).reshape(tokens, width) @ o


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("query_var", "c0"), [(1.0, 0.5), (6.0, 0.2), (16.0, 0.5)])
def test_attention_agrees_with_one_drawn_in_torch(causal, query_var, c0):
    tokens, width, networks = 64, 384, 40
    generator = torch.Generator().manual_seed(1)
    layer = p.Attention(tokens, query_var, 1.0, 2.0, causal=causal)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows = []
    for _ in range(networks):
        x = math.sqrt(c0) * normal(width) + math.sqrt(1 - c0) * normal(tokens, width)
        y = drawn_attention(layer, x.requires_grad_(), 2, normal)
        products = y.detach() @ y.detach().T / width
        pairs = (products.sum() - products.trace()) / (tokens * (tokens - 1))
        (gradient,) = torch.autograd.grad((y * normal(tokens, width)).sum(), x)
        rows.append([products.diag().mean(), pairs, (gradient**2).mean()])
    rows = np.array(rows)
    found = p.Network([layer]).propagate(c0=c0)
    expected = np.array([found.q[1], found.q[1] * found.c[1], found.grad[0]])
    error = rows.std(0, ddof=1) / math.sqrt(networks)
    # Heads of 192: logits of one query have a variance that fluctuates by 2/192, which moves means
    # by some s^4/192 of themselves, 5 % and less: the interpolation between correlations likewise.
    assert (abs(rows.mean(0) - expected) < SCORE * error + 0.05 * expected).all(), (
        rows.mean(0), expected, error,
    )  # fmt: skip
    assert (error < 0.05 * expected).all()
