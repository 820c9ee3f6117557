"""Layers with weights drawn from a stream: what they make of signals, and the way back.

Signals are (inputs, units, *image); each function gives the signal behind the layer and the
function that takes its gradient to the one in front. Nothing here knows the theory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fanin._activations.activation import as_activation
from fanin._functions import exp
from fanin._modes import divisor
from fanin._random.stateless import normal, random
from fanin._random.streams import Stream
from fanin._types import Floats

from ._apply import Apply
from ._attention import Attention
from ._embedding import Embedding
from ._gated import Gated
from ._layers import Residual
from ._norms import BatchNorm, Dropout, LayerNorm, RMSNorm
from ._pools import AveragePool, Flatten, MaxPool
from ._positions import Taps, taps_of_kernel
from ._recurrent import GRU, LSTM, RNN
from ._weights import Conv, Dense

Back = Callable[[Floats], Floats]
#: Output and state behind a step, and the way back from their gradients to those of W x, of U h,
#: of the output before and of the state before.
Step = tuple[Floats, Floats, Callable[[Floats, Floats], tuple[Floats, Floats, Floats, Floats]]]
_SIGMOID, _TANH = as_activation("sigmoid"), as_activation("tanh")


class Draws:
    """Tensors of one network: the k-th of them from the k-th child of its stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._count = stream, 0

    def _next(self) -> Stream:
        self._count += 1
        return self._stream[self._count - 1]

    def normal(self, shape: Sequence[int], variance: float) -> Floats:
        drawn = normal(
            tuple(shape), scale=math.sqrt(float(variance)), seed=self._next(), dtype="float64"
        )
        return np.asarray(drawn)

    def random(self, shape: Sequence[int]) -> Floats:
        return np.asarray(random(tuple(shape), seed=self._next(), dtype="float64"))


def run(layers: Sequence[Any], x: Floats, draws: Draws) -> tuple[list[Floats], list[Back]]:
    """The signals, the first included, and the way back through each layer."""
    signals, ways = [x], []
    for layer in layers:
        x, back = _LAYERS[type(layer)](layer, x, draws)
        signals.append(x)
        ways.append(back)
    return signals, ways


def returned(ways: Sequence[Back], gradient: Floats) -> list[Floats]:
    """The gradients in front of each layer, and the given one behind the last."""
    found = [gradient]
    for back in reversed(ways):
        found.append(back(found[-1]))
    return found[::-1]


def _mixed(weight: Floats, x: Floats) -> Floats:
    """weight (out, in) on the units of x."""
    return np.moveaxis(np.tensordot(x, weight, (1, 1)), -1, 1)


def _constant(draws: Draws, like: Floats, variance: Any) -> Floats:
    """One number a unit, as a bias, which all inputs and positions share."""
    if not np.any(variance):
        return np.zeros(())
    return draws.normal((like.shape[1], *(1 for _ in like.shape[2:])), variance)


def _dense(layer: Dense, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    before, after = x.shape[1], layer.width or x.shape[1]
    variance = layer.weight_var / divisor(layer.mode, before, after)
    weight = draws.normal((after, before), variance)
    made = _mixed(weight, x)
    return made + _constant(draws, made, layer.bias_var), lambda g: _mixed(weight.T, g)


def _looks(rows: Sequence[Taps]) -> Iterator[tuple[Any, Any]]:
    """For every tap the outputs that it serves and the inputs that it sees, as indices."""
    for pieces in itertools.product(*(list(row.rows()) for row in rows)):
        yield (
            (slice(None), slice(None), *np.ix_(*(outputs for outputs, _ in pieces))),
            (slice(None), slice(None), *np.ix_(*(at for _, at in pieces))),
        )


def _conv(layer: Conv, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    sides = layer.sides
    rows = taps_of_kernel(x.shape[2:], sides, layer.strides, layer.padding == "circular")
    groups, fan_in = layer.groups, x.shape[1] // layer.groups * math.prod(sides)
    fan_out = layer.channels // groups * math.prod(sides)
    variance = layer.weight_var / divisor(layer.mode, fan_in, fan_out)
    shape = (math.prod(sides), groups, layer.channels // groups, x.shape[1] // groups)
    weight = draws.normal(shape, variance)

    def grouped(taps: Floats, values: Floats) -> Floats:
        parts = np.split(values, groups, axis=1)
        return np.concatenate([_mixed(w, v) for w, v in zip(taps, parts, strict=True)], axis=1)

    made = np.zeros((len(x), layer.channels, *(row.count for row in rows)))
    for tap, (outputs, inputs) in zip(weight, _looks(rows), strict=True):
        made[outputs] += grouped(tap, x[inputs])

    def back(gradient: Floats) -> Floats:
        found = np.zeros(x.shape)
        for tap, (outputs, inputs) in zip(weight, _looks(rows), strict=True):
            found[inputs] += grouped(tap.swapaxes(1, 2), gradient[outputs])
        return found

    return made + _constant(draws, made, layer.bias_var), back


def _apply(layer: Apply, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    phi = layer.activation
    if phi.name == "crelu":
        raise ValueError("crelu doubles the units and is not simulated: use relu")
    slope = np.asarray(phi.derivative(x))
    return np.asarray(phi(x), np.float64), lambda g: g * slope


def _gated(layer: Gated, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    gate_row = [Dense(layer.width, layer.weight_var), Apply(layer.activation)]
    gates, gate_ways = run(gate_row, x, draws)
    values, value_ways = run([Dense(layer.width, layer.value_var)], x, draws)
    gate, value = gates[-1], values[-1]
    return (
        gate * value,
        lambda g: returned(gate_ways, g * value)[0] + returned(value_ways, g * gate)[0],
    )


def _embedding(layer: Embedding, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    root = math.sqrt(layer.weight_var)
    inside = np.ones(x.shape[-1:])
    if layer.first_var is None:
        made = root * x
    else:
        inside[0] = 0.0
        made = root * x * inside
        made[..., 0] = draws.normal(x.shape[1:2], layer.first_var)
    made = made + draws.normal(x.shape[1:], layer.position_var)
    return made + _constant(draws, made, layer.common_var), lambda g: g * root * inside


def _residual(layer: Residual, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    skips, skip_ways = run(layer.projection, x, draws)
    branches, branch_ways = run(layer.layers, x, draws)
    return layer.skip * skips[-1] + layer.branch * branches[
        -1
    ], lambda g: returned(skip_ways, layer.skip * g)[0] + returned(branch_ways, layer.branch * g)[0]


def _dropout(layer: Dropout, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    mask = (draws.random(x.shape) >= layer.rate) / (1 - layer.rate)
    return x * mask, lambda g: g * mask


def _norm(layer: Any, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    axes = (0, *range(2, x.ndim)) if isinstance(layer, BatchNorm) else (1,)

    def mean(values: Floats) -> Floats:
        return np.asarray(values.mean(axis=axes, keepdims=True))

    centred = not isinstance(layer, RMSNorm)
    x = x - mean(x) if centred else x
    scale = 1 / np.sqrt(mean(x * x) + layer.epsilon)
    shift = _constant(draws, x, layer.beta_var)

    def back(gradient: Floats) -> Floats:
        gradient = gradient - mean(gradient) if centred else gradient
        along = mean(gradient * x) * scale * scale
        return np.asarray(layer.gamma * scale * (gradient - x * along))

    return layer.gamma * scale * x + shift, back


def _windows(layer: Any, x: Floats) -> tuple[list[Any], tuple[int, ...]]:
    if isinstance(layer, MaxPool):
        rows = layer.taps(x.shape[2:])
    else:
        size = tuple(layer.size or x.shape[2:])
        rows = tuple(
            Taps(side, side // w, w, tuple(range(w)), False)
            for side, w in zip(x.shape[2:], size, strict=True)
        )
    return list(_looks(rows)), (*x.shape[:2], *(row.count for row in rows))


def _average(layer: AveragePool, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    looks, shape = _windows(layer, x)
    made = np.zeros(shape)
    for outputs, inputs in looks:
        made[outputs] += x[inputs]

    def back(gradient: Floats) -> Floats:
        found = np.zeros(x.shape)
        for outputs, inputs in looks:
            found[inputs] += gradient[outputs]
        return found / len(looks)

    return made / len(looks), back


def _largest(layer: MaxPool, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    looks, shape = _windows(layer, x)
    made, which = np.full(shape, -np.inf), np.zeros(shape, np.int64)
    for i, (outputs, inputs) in enumerate(looks):
        which[outputs] = np.where(x[inputs] > made[outputs], i, which[outputs])
        made[outputs] = np.maximum(made[outputs], x[inputs])

    def back(gradient: Floats) -> Floats:
        found = np.zeros(x.shape)
        for i, (outputs, inputs) in enumerate(looks):
            found[inputs] += np.where(which[outputs] == i, gradient[outputs], 0.0)
        return found

    return made, back


def _flatten(layer: Flatten, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    return x.reshape(len(x), -1), lambda g: g.reshape(x.shape)


def _attention(layer: Attention, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    """One head as wide as the signal; value_var is that of one matrix."""
    width = x.shape[1]
    query, key, value = (
        draws.normal((width, width), variance / width)
        for variance in (layer.query_var, layer.key_var, layer.value_var)
    )
    q, k, v = (_mixed(weight, x) for weight in (query, key, value))
    logits = np.matmul(q.swapaxes(1, 2), k) / math.sqrt(width)
    if layer.causal:
        logits = np.where(np.tri(layer.tokens) > 0, logits, -np.inf)
    share = exp(np.maximum(logits - logits.max(axis=-1, keepdims=True), -800.0))
    share = share / share.sum(axis=-1, keepdims=True)

    def back(gradient: Floats) -> Floats:
        to_share = np.matmul(gradient.swapaxes(1, 2), v)
        mean = (share * to_share).sum(axis=-1, keepdims=True)
        to_logits = share * (to_share - mean) / math.sqrt(width)
        parts = (
            (query, np.matmul(k, to_logits.swapaxes(1, 2))),
            (key, np.matmul(q, to_logits)),
            (value, np.matmul(gradient, share)),
        )
        return np.asarray(sum(_mixed(weight.T, g) for weight, g in parts))

    return np.matmul(v, share.swapaxes(1, 2)), back


def _recurrent(layer: RNN | LSTM | GRU, x: Floats, draws: Draws) -> tuple[Floats, Back]:
    """Step by step; a cell's `step` gives its state, output and way back."""
    before, after = x.shape[1], layer.width or x.shape[1]
    gates = {RNN: 1, LSTM: 4, GRU: 3}[type(layer)]
    w = draws.normal((gates, after, before), layer.weight_var / before)
    u = draws.normal((gates, after, after), layer.recurrent_var / after)
    biases = [draws.normal((gates, after), layer.bias_var / 2) for _ in range(2)]
    steps_of: dict[type, Callable[..., Step]]
    steps_of = {RNN: _plain_step, LSTM: _lstm_step, GRU: _gru_step}
    step = steps_of[type(layer)]
    inputs, steps = len(x), x.shape[2]
    hidden = cell = np.zeros((inputs, after))
    outputs, ways = [], []
    for t in range(steps):
        of_x, of_h = (
            np.einsum("goi,bi->gbo", weight, value) + bias[:, None]
            for weight, value, bias in zip((w, u), (x[:, :, t], hidden), biases, strict=True)
        )
        hidden, cell, way = step(layer, of_x, of_h, hidden, cell)
        outputs.append(hidden)
        ways.append(way)

    def back(gradient: Floats) -> Floats:
        found = np.zeros(x.shape)
        of_hidden = of_cell = np.zeros((inputs, after))
        for t in reversed(range(steps)):
            if not layer.last or t == steps - 1:
                of_hidden = of_hidden + (gradient if layer.last else gradient[:, :, t])
            to_x, to_h, of_hidden, of_cell = ways[t](of_hidden, of_cell)
            found[:, :, t] = np.einsum("goi,gbo->bi", w, to_x)
            of_hidden = of_hidden + np.einsum("goi,gbo->bi", u, to_h)
        return found

    return outputs[-1] if layer.last else np.stack(outputs, axis=-1), back


def _plain_step(layer: RNN, of_x: Floats, of_h: Floats, hidden: Floats, cell: Floats) -> Step:
    [total] = of_x + of_h
    slope = np.asarray(layer.activation.derivative(total))
    return (
        np.asarray(layer.activation(total), np.float64),
        cell,
        lambda g, of_cell: ((g * slope)[None], (g * slope)[None], np.zeros_like(g), of_cell),
    )


def _lstm_step(layer: LSTM, of_x: Floats, of_h: Floats, hidden: Floats, cell: Floats) -> Step:
    i, f, g, o = of_x + of_h
    i, f, o = (np.asarray(_SIGMOID(v)) for v in (i, f + layer.forget_bias, o))
    g = np.asarray(_TANH(g))
    made = f * cell + i * g
    bent = np.asarray(_TANH(made))

    def back(of_hidden: Floats, of_cell: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        of_cell = of_cell + of_hidden * o * (1 - bent * bent)
        to = np.stack([
            of_cell * g * i * (1 - i), of_cell * cell * f * (1 - f),
            of_cell * i * (1 - g * g), of_hidden * bent * o * (1 - o),
        ])  # fmt: skip
        return to, to, np.zeros_like(of_hidden), of_cell * f

    return o * bent, made, back


def _gru_step(layer: GRU, of_x: Floats, of_h: Floats, hidden: Floats, cell: Floats) -> Step:
    reset, update = (np.asarray(_SIGMOID(of_x[k] + of_h[k])) for k in range(2))
    made = np.asarray(_TANH(of_x[2] + reset * of_h[2]))

    def back(of_hidden: Floats, of_cell: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        bent = of_hidden * (1 - update) * (1 - made * made)
        of_reset = bent * of_h[2] * reset * (1 - reset)
        of_update = of_hidden * (hidden - made) * update * (1 - update)
        to_x, to_h = (np.stack([of_reset, of_update, last]) for last in (bent, bent * reset))
        return to_x, to_h, of_hidden * update, of_cell

    return (1 - update) * made + update * hidden, cell, back


_LAYERS: dict[type, Callable[..., tuple[Floats, Back]]] = {
    Dense: _dense,
    Conv: _conv,
    Apply: _apply,
    Gated: _gated,
    Embedding: _embedding,
    Residual: _residual,
    Dropout: _dropout,
    LayerNorm: _norm,
    RMSNorm: _norm,
    BatchNorm: _norm,
    AveragePool: _average,
    MaxPool: _largest,
    Flatten: _flatten,
    Attention: _attention,
    RNN: _recurrent,
    LSTM: _recurrent,
    GRU: _recurrent,
}
