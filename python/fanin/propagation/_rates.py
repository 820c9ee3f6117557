"""Learning rates that hold at every width and depth, and a check of them (muP, depth-muP)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._checks import as_count, non_negative
from fanin._functions import log
from fanin._hints import short
from fanin._public import public
from fanin._random.seeds import as_stream
from fanin._random.stateless import normal
from fanin._types import Floats

__all__ = ["CoordinateCheck", "LayerRate", "coordinate_check", "mup_rates"]

OPTIMIZERS, PARAMETRIZATIONS = ("adam", "sgd"), ("mup", "standard")
#: Of Adam.
_FIRST, _SECOND, _LEAST = 0.9, 0.999, 1e-12


@public("fanin.propagation")
@dataclass(frozen=True)
class LayerRate:
    """What one layer wants, over what it wants in the base network.

    Attributes
    ----------
    role : str
        ``input``, ``hidden`` or ``output``.
    fan_in, fan_out : int
    weight_var : float
        fan_in times the variance of a weight at the start.
    learning_rate, bias_learning_rate : float
        Factors of the base network's learning rate.
    branch : float
        Factor of the residual branch the layer lies in; 1 for input and output.
    """

    role: str
    fan_in: int
    fan_out: int
    weight_var: float
    learning_rate: float
    bias_learning_rate: float
    branch: float


def _known(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(map(repr, known))}, got {short(value)}")


def mup_rates(
    widths: Sequence[int],
    base_widths: Sequence[int],
    *,
    optimizer: str = "adam",
    blocks: int = 1,
    base_blocks: int = 1,
) -> tuple[LayerRate, ...]:
    """Variances and learning rates, layer by layer, with which a tuned rate holds at any size.

    With r = fan_in over that of the base network and s likewise for fan_out (Yang & Hu 2021, table
    3; weight_var is fan_in Var(W)):

    ======  ==========  =========  ========
    layer   weight_var  rate Adam  rate SGD
    ======  ==========  =========  ========
    input   1           1          s
    hidden  1           1/r        1
    output  1/r         1/r        1/r
    ======  ==========  =========  ========

    biases as the input layer. With `blocks` residual blocks the branches are divided by
    sqrt(blocks/base_blocks), and so is Adam's rate of hidden layers (depth-muP, Yang et al. 2023).

    Parameters
    ----------
    widths, base_widths : sequence of int
        Sizes n_0 .. n_L of the network and of the one whose learning rate was tuned; inputs n_0 and
        outputs n_L are those of the task and do not grow.
    optimizer : {"adam", "sgd"}
    blocks, base_blocks : int, >= 1
        Residual blocks of either network.

    Returns
    -------
    tuple of LayerRate

    Raises
    ------
    ValueError
        For widths of different length or fewer than three, an input or output that grows, another
        optimizer.

    Examples
    --------
    >>> import fanin
    >>> for rate in fanin.propagation.mup_rates([32, 1024, 1024, 10], [32, 128, 128, 10]):
    ...     print(rate.role, rate.weight_var, rate.learning_rate)
    input 1.0 1.0
    hidden 1.0 0.125
    output 0.125 0.125
    """
    _known("optimizer", optimizer, OPTIMIZERS)
    sizes = [as_count(n, "a width") for n in widths]
    base = [as_count(n, "a base width") for n in base_widths]
    if len(sizes) != len(base) or len(sizes) < 3:
        raise ValueError(
            "widths and base_widths are n_0 .. n_L of one network, L >= 2, got "
            f"{short(widths)} and {short(base_widths)}"
        )
    if (sizes[0], sizes[-1]) != (base[0], base[-1]):
        raise ValueError(
            f"inputs and outputs do not grow: {sizes[0]} and {sizes[-1]} beside {base[0]} and "
            f"{base[-1]} of the base network"
        )
    deeper = as_count(blocks, "blocks") / as_count(base_blocks, "base_blocks")
    found = []
    for layer in range(1, len(sizes)):
        r, s = sizes[layer - 1] / base[layer - 1], sizes[layer] / base[layer]
        role = "input" if layer == 1 else "output" if layer == len(sizes) - 1 else "hidden"
        adam = optimizer == "adam"
        rate = {"input": 1.0 if adam else s, "hidden": 1 / r if adam else 1.0, "output": 1 / r}
        branch = 1 / math.sqrt(deeper) if role == "hidden" else 1.0
        found.append(
            LayerRate(
                role,
                sizes[layer - 1],
                sizes[layer],
                1 / r if role == "output" else 1.0,
                rate[role] * (branch if adam else 1.0),
                1.0 if adam or role == "output" else s,
                branch,
            )
        )
    return tuple(found)


@public("fanin.propagation")
@dataclass(frozen=True)
class CoordinateCheck:
    """By how much training moves the pre-activations of networks of several widths.

    Attributes
    ----------
    widths : ndarray, shape (widths,)
    change : ndarray, shape (widths, layers, steps)
        Root mean square of h_l - h_l at the start, after each step.
    exponent : ndarray, shape (layers,)
        Of the width in the change after the last step: 0 where it holds at every width, above 0
        where wide networks blow up, below where they do not learn.
    """

    widths: Floats
    change: Floats
    exponent: Floats


def coordinate_check(
    widths: Sequence[int],
    *,
    parametrization: str = "mup",
    optimizer: str = "adam",
    learning_rate: float = 0.02,
    activation: ActivationLike = "relu",
    hidden: int = 2,
    steps: int = 4,
    inputs: int = 16,
    features: int = 8,
    seed: Any,
) -> CoordinateCheck:
    """Train networks of several widths for a few steps and see what moves: the coordinate check.

    Dense networks features - width - ... - width - 1 without biases, on random targets; the first
    width is the base network, whose learning rate is given. In "mup" the changes of all layers keep
    their size as the width grows, in "standard" (variances 1/fan_in, one rate) they do not (Yang &
    Hu 2021, section 4).

    Parameters
    ----------
    widths : sequence of int
        Two or more, rising.
    parametrization : {"mup", "standard"}
    optimizer : {"adam", "sgd"}
    learning_rate : float, > 0
    activation : str, Activation or callable
    hidden : int, >= 1
        Hidden layers.
    steps, inputs, features : int, >= 1
        Steps of training, inputs of the one batch, features of an input.
    seed : int, Stream or Generator
        Of weights, inputs and targets.

    Returns
    -------
    CoordinateCheck

    Raises
    ------
    ValueError
        For fewer than two widths, another parametrization or optimizer, a rate that is not above 0.

    Examples
    --------
    >>> import fanin
    >>> check = fanin.propagation.coordinate_check([32, 64, 128, 256], seed=0)
    >>> bool((abs(check.exponent) < 0.25).all())
    True
    >>> check = fanin.propagation.coordinate_check(
    ...     [32, 64, 128, 256], parametrization="standard", seed=0
    ... )
    >>> bool(check.exponent[1] > 0.5)
    True
    """
    _known("parametrization", parametrization, PARAMETRIZATIONS)
    _known("optimizer", optimizer, OPTIMIZERS)
    sizes = [as_count(n, "a width") for n in widths]
    if len(sizes) < 2 or sizes != sorted(set(sizes)):
        raise ValueError(f"widths are two or more, rising, got {short(widths)}")
    rate = non_negative("learning_rate", learning_rate)
    if rate == 0:
        raise ValueError("learning_rate is above 0, got 0")
    counts = {"hidden": hidden, "steps": steps, "inputs": inputs, "features": features}
    layers, times, batch, entries = (as_count(n, name) for name, n in counts.items())
    phi, stream = as_activation(activation), as_stream(seed)
    x = np.asarray(normal((batch, entries), seed=stream["inputs"], dtype="float64"))
    y = np.asarray(normal((batch, 1), seed=stream["targets"], dtype="float64"))
    change = np.empty((len(sizes), layers + 1, times))
    for number, width in enumerate(sizes):
        shape, base = ([entries, *[n] * layers, 1] for n in (width, sizes[0]))
        rates = mup_rates(shape, base, optimizer=optimizer)
        if parametrization == "standard":
            rates = mup_rates(shape, shape, optimizer=optimizer)
        weights = [
            np.asarray(
                normal(
                    (each.fan_in, each.fan_out),
                    scale=math.sqrt(each.weight_var / each.fan_in),
                    seed=stream["weights"][number][layer],
                    dtype="float64",
                )
            )
            for layer, each in enumerate(rates)
        ]
        scales = [rate * each.learning_rate for each in rates]
        with np.errstate(over="ignore", invalid="ignore"):  # a rate with which training explodes
            change[number] = _moved(phi, weights, scales, x, y, optimizer == "adam", times)
    places = log(np.array(sizes, np.float64))
    places = places - places.mean()
    last = log(np.maximum(change[:, :, -1], 1e-300))
    exponent = (places[:, None] * last).sum(axis=0) / (places * places).sum()
    return CoordinateCheck(np.array(sizes, np.float64), change, exponent)


def _moved(
    phi: Activation,
    weights: list[Floats],
    rates: list[float],
    x: Floats,
    y: Floats,
    adam: bool,
    steps: int,
) -> Floats:
    """Changes of the pre-activations of every layer, (layers, steps), for the mean square loss."""

    def forward() -> list[Floats]:
        signal, before = x, []
        for weight in weights:
            before.append(signal @ weight)
            signal = np.asarray(phi(before[-1]), np.float64)
        return before

    start = before = forward()
    first = [np.zeros_like(weight) for weight in weights]
    second = [np.zeros_like(weight) for weight in weights]
    moved = np.empty((len(weights), steps))
    for step in range(steps):
        pull = 2 * (before[-1] - y) / len(y)
        gradients: list[Floats] = []
        for layer in reversed(range(len(weights))):
            signal = x if layer == 0 else np.asarray(phi(before[layer - 1]), np.float64)
            gradients.insert(0, signal.T @ pull)
            if layer:
                slope = np.asarray(phi.derivative(before[layer - 1]), np.float64)
                pull = (pull @ weights[layer].T) * slope
        for layer, gradient in enumerate(gradients):
            update = gradient
            if adam:
                first[layer] = _FIRST * first[layer] + (1 - _FIRST) * gradient
                second[layer] = _SECOND * second[layer] + (1 - _SECOND) * gradient * gradient
                root = np.sqrt(second[layer] / (1 - _SECOND ** (step + 1)))
                update = first[layer] / (1 - _FIRST ** (step + 1)) / (root + _LEAST)
            weights[layer] = weights[layer] - rates[layer] * update
        before = forward()
        for layer, (old, new) in enumerate(zip(start, before, strict=True)):
            moved[layer, step] = math.sqrt(float(((new - old) ** 2).mean()))
    return moved
