"""Networks of fanin.propagation drawn in torch: what signals and gradients are, layer by layer.

Weights are drawn from their variances and gradients come from autograd, so that nothing here knows
the theory.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F

import fanin

p = fanin.propagation

ACTIVATIONS = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
    "linear": lambda x: x,
    "sigmoid": torch.sigmoid,
}


class Drawn:
    """One network: `entries` are the signals, `weights` every layer's, in order."""

    def __init__(self, generator):
        self.generator, self.weights = generator, []

    def normal(self, shape, variance):
        values = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return values * math.sqrt(variance)

    def weight(self, shape, variance):
        self.weights.append(self.normal(shape, variance).requires_grad_())
        return self.weights[-1]

    def run(self, layers, x):
        """The signals behind each layer, the input's included; x is (inputs, channels, *image)."""
        entries = [x]
        for layer in layers:
            x = self.through(layer, x)
            entries.append(x)
        return entries

    def through(self, layer, x):
        return getattr(self, f"_{type(layer).__name__}".lower())(layer, x)

    def _apply(self, layer, x):
        return ACTIVATIONS[layer.activation.name](x)

    def _bias(self, layer, x):
        if layer.bias_var:
            x = x + self.normal((x.shape[1], *(1,) * (x.ndim - 2)), layer.bias_var)
        return x

    def _dense(self, layer, x):
        n, m = x.shape[1], layer.width or x.shape[1]
        w = self.weight((m, n), layer.weight_var / n)
        return self._bias(layer, torch.einsum("oi,bi...->bo...", w, x))

    def _conv(self, layer, x):
        n, kernel = x.shape[1] // layer.groups, layer.kernel
        pads = [n for k in reversed(kernel) for n in ((k - 1) // 2, k // 2)]
        fan_in = n * (1 if layer.delta else math.prod(kernel))
        if layer.delta:
            centre = self.weight(
                (layer.channels, n, *(1 for _ in kernel)), layer.weight_var / fan_in
            )
            w = F.pad(centre, pads)
        else:
            w = self.weight((layer.channels, n, *kernel), layer.weight_var / fan_in)
        mode = "circular" if layer.padding == "circular" else "constant"
        convolve = {1: F.conv1d, 2: F.conv2d}[len(kernel)]
        y = convolve(F.pad(x, pads, mode=mode), w, stride=layer.stride, groups=layer.groups)
        return self._bias(layer, y)

    def _residual(self, layer, x):
        skip = self.run(layer.projection, x)[-1]
        return layer.skip * skip + layer.branch * self.run(layer.layers, x)[-1]

    def _dropout(self, layer, x):
        keep = 1 - layer.rate
        mask = torch.rand(x.shape, generator=self.generator, dtype=torch.float64) < keep
        return x * mask / keep

    def _averagepool(self, layer, x):
        size = layer.size or x.shape[2:]
        return {1: F.avg_pool1d, 2: F.avg_pool2d}[len(size)](x, tuple(size))

    def _maxpool(self, layer, x):
        pool = {1: F.max_pool1d, 2: F.max_pool2d}[len(layer.size)]
        return pool(x, layer.size, layer.stride, layer.padding)

    def _gated(self, layer, x):
        gate = self._dense(p.Dense(layer.width, layer.weight_var), x)
        value = self._dense(p.Dense(layer.width, layer.value_var), x)
        return ACTIVATIONS[layer.activation.name](gate) * value

    def _flatten(self, layer, x):
        return x.flatten(1)

    def _normed(self, layer, x, variance):
        x = layer.gamma * x / torch.sqrt(variance + layer.epsilon)
        return x + self.normal((x.shape[1], *(1,) * (x.ndim - 2)), layer.beta_var)

    def _rmsnorm(self, layer, x):
        return self._normed(layer, x, (x * x).mean(1, keepdim=True))

    def _layernorm(self, layer, x):
        x = x - x.mean(1, keepdim=True)
        return self._normed(layer, x, (x * x).mean(1, keepdim=True))

    def _batchnorm(self, layer, x):
        axes = (0, *range(2, x.ndim))
        x = x - x.mean(axes, keepdim=True)
        return self._normed(layer, x, (x * x).mean(axes, keepdim=True))


def measured(network, *, networks, q0=1.0, c0=0.0, inputs=2, seed=0, width=None):
    """Samples, one row a network: q, c, grad for each entry and the gradients of the weights, means
    over units, positions and inputs, with two inputs (or more) of correlation c0 whose positions
    are independent."""
    generator = torch.Generator().manual_seed(seed)
    rows = {"square": [], "product": [], "grad": [], "weight_grads": []}
    width = width or network.width
    for _ in range(networks):
        shape = (width, *(network.image or ()))
        common = torch.randn(shape, generator=generator, dtype=torch.float64)
        own = torch.randn((inputs, *shape), generator=generator, dtype=torch.float64)
        x = math.sqrt(q0) * (math.sqrt(c0) * common + math.sqrt(1 - c0) * own)
        drawn = Drawn(generator)
        entries = drawn.run(network.layers, x.requires_grad_())
        ahead = torch.randn(entries[-1].shape, generator=generator, dtype=torch.float64)
        ahead[1:] = 0  # the loss of one input
        sources = [*entries, *drawn.weights]
        found = torch.autograd.grad((entries[-1] * ahead).sum(), sources)
        squares = [(g * g).mean().item() for g in found]
        rows["square"].append([(x * x).mean().item() for x in entries])
        rows["product"].append([(x[0] * x[1]).mean().item() for x in entries])
        rows["grad"].append([g * inputs for g in squares[: len(entries)]])
        rows["weight_grads"].append(squares[len(entries) :])
    return {name: np.array(values) for name, values in rows.items()}


__all__ = ["Drawn", "measured"]
