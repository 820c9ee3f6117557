"""What an initialisation does to a network, in small experiments that can be checked by hand.

Equal units that stay equal, the spread of one pre-activation, how saturated a unit is, how a
gradient fades along a chain, and a report on a whole stack of layers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fanin._activations.activation import Activation, as_activation
from fanin._checks import as_count
from fanin._functions import upper_tail
from fanin._hints import short
from fanin._numbers import as_float, as_floats
from fanin._types import Floats
from fanin.propagation._nodes import gaussian_nodes
from fanin.propagation._profile import Profile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fanin._activations.activation import ActivationLike
    from fanin.propagation._networks import Network


__all__ = [
    "Report",
    "Saturation",
    "Symmetry",
    "chain_gradient",
    "logistic_gradient",
    "preactivation_std",
    "report",
    "saturation",
    "symmetry",
    "two_neurons",
]

#: Exclusive or: the smallest task that needs two different hidden units.
_INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
_TARGETS = np.array([0.0, 1.0, 1.0, 0.0])


@dataclass(frozen=True)
class Symmetry:
    """What training made of a hidden layer.

    Attributes
    ----------
    weight : array, shape (2, hidden)
        Weights into the hidden units after training; a column is a unit.
    rank : int
        Of `weight`: the number of units that do different things, at most 2.
    identical : bool
        Every column has the bits of the first.
    loss : float
        Mean squared error at the end.
    """

    weight: Floats
    rank: int
    identical: bool
    loss: float


def _rank(matrix: Floats) -> int:
    """Rank by elimination with full pivoting, to within rounding."""
    rest = matrix.copy()
    limit = np.abs(rest).max(initial=0.0) * max(rest.shape) * np.finfo(np.float64).eps
    for rank in range(min(rest.shape)):
        row, column = divmod(int(np.abs(rest).argmax()), rest.shape[1])
        pivot = rest[row, column]
        if abs(pivot) <= limit:
            return rank
        rest = rest - rest[:, [column]] * (rest[[row], :] / pivot)
    return int(min(matrix.shape))


def symmetry(
    weight: ArrayLike,
    *,
    activation: ActivationLike = "tanh",
    steps: int = 1000,
    learning_rate: float = 0.1,
) -> Symmetry:
    """Train a 2-h-1 network on exclusive or and see whether its hidden units stay equal.

    Units that start equal get equal gradients and stay equal for ever. Where all weights are zero
    nothing moves at all: the gradient of the hidden weights has the outgoing weights as a factor,
    the one of the outgoing weights the hidden units' outputs (for phi(0) = 0).

    Parameters
    ----------
    weight : array_like, a number or shape (2, h)
        Weights into the hidden units at the start; a number stands for three units with that one.
        The outgoing weights start at the mean of each column, the biases at zero.
    activation : str, Activation or callable
    steps : int, >= 0
        Full-batch gradient steps on the mean squared error.
    learning_rate : float

    Returns
    -------
    Symmetry
        weight, rank, identical, loss.

    Raises
    ------
    ValueError
        If `weight` is neither a number nor of shape (2, h).

    Examples
    --------
    >>> import fanin
    >>> zero, half = fanin.diagnose.symmetry(0.0), fanin.diagnose.symmetry(0.5)
    >>> zero.rank, bool((zero.weight == 0).all())
    (0, True)
    >>> half.rank, half.identical
    (1, True)
    >>> drawn = fanin.normal((2, 3), seed=0, dtype="float64")
    >>> fanin.diagnose.symmetry(drawn).rank
    2
    """
    phi = as_activation(activation)
    hidden, rate = as_floats(weight, "weight"), as_float(learning_rate, "learning_rate")
    if hidden.ndim == 0:
        hidden = np.full((2, 3), float(hidden))
    if hidden.ndim != 2 or hidden.shape[0] != 2:
        raise ValueError(f"weight is a number or has shape (2, h), got shape {hidden.shape}")
    steps = as_count(steps, "steps", 0)
    with np.errstate(over="ignore", invalid="ignore"):  # a rate with which training explodes
        return _trained(phi, hidden.copy(), rate, steps)


def _trained(phi: Activation, hidden: Floats, rate: float, steps: int) -> Symmetry:
    out = 0.5 * (hidden[0] + hidden[1])
    bias, out_bias, count = np.zeros(hidden.shape[1]), 0.0, len(_TARGETS)
    for step in range(steps + 1):
        # Sums over the four inputs and over units one after the other, the same for every unit: a
        # matrix product may round equal columns differently.
        before = _INPUTS[:, :1] * hidden[0] + _INPUTS[:, 1:] * hidden[1] + bias
        value = np.asarray(phi(before), np.float64)
        answer = np.array([sum(row) for row in (value * out).tolist()]) + out_bias
        error = answer - _TARGETS
        loss = float((error * error).sum() / count)
        if step == steps:
            break
        pull = (2 / count) * error
        back = pull[:, None] * out * np.asarray(phi.derivative(before), np.float64)
        by_input = [[sum(col) for col in (_INPUTS[:, [i]] * back).T.tolist()] for i in range(2)]
        by_out = [sum(col) for col in (pull[:, None] * value).T.tolist()]
        hidden = hidden - rate * np.array(by_input)
        bias = bias - rate * np.array([sum(col) for col in back.T.tolist()])
        out = out - rate * np.array(by_out)
        out_bias -= rate * sum(pull.tolist())
    identical = bool((hidden.view(np.uint64) == hidden[:, :1].copy().view(np.uint64)).all())
    return Symmetry(hidden, _rank(hidden), identical, loss)


def two_neurons(
    x: float,
    weights: Sequence[float] = (0.0, 0.0),
    *,
    out: Sequence[float] = (0.0, 0.0),
    activation: ActivationLike = "sigmoid",
) -> tuple[float, float]:
    """Gradients of the loss L = f - y with respect to the weights of two hidden neurons.

    f = sigmoid(v_1 a_1 + v_2 a_2), a_i = phi(w_i x): dL/dw_i = f (1 - f) v_i phi'(w_i x) x. Two
    neurons that start with equal weights get equal gradients, so they never differ.

    Parameters
    ----------
    x : float
        The input.
    weights : (float, float)
        w_1 and w_2.
    out : (float, float)
        v_1 and v_2.
    activation : str, Activation or callable

    Returns
    -------
    (float, float)
        dL/dw_1 and dL/dw_2.

    Examples
    --------
    >>> import fanin
    >>> first, second = fanin.diagnose.two_neurons(1.0, (0.3, 0.3), out=(1.0, 1.0))
    >>> first == second, round(first, 6)
    (True, 0.044677)
    >>> first, second = fanin.diagnose.two_neurons(1.0, (0.1, -0.3), out=(1.0, 1.0))
    >>> first == second
    False
    """
    phi, sigmoid = as_activation(activation), as_activation("sigmoid")
    at = as_float(x, "x")
    pairs = (as_floats(weights, "weights"), as_floats(out, "out"))
    if any(pair.shape != (2,) for pair in pairs):
        raise ValueError(
            f"weights and out are two numbers each, got {short(weights)}, {short(out)}"
        )
    given, leaving = (pair.tolist() for pair in pairs)
    before = np.array([given[0] * at, given[1] * at], np.float64)
    value = np.asarray(phi(before), np.float64)
    z = np.array([leaving[0] * value[0] + leaving[1] * value[1]])
    pull = float(np.asarray(sigmoid.derivative(z))[0])
    slope = np.asarray(phi.derivative(before), np.float64)
    first, second = (pull * v * float(s) * at for v, s in zip(leaving, slope, strict=True))
    return first, second


def logistic_gradient(x: ArrayLike, y: ArrayLike) -> Floats:
    """Gradient of logistic regression at weights zero: it is not zero, so zeros are a fair start.

    X^T (1/2 - y)/N, the gradient of the mean cross-entropy: with one layer there are no equal
    hidden units to tell apart.

    Parameters
    ----------
    x : array_like, shape (N, features)
    y : array_like, shape (N,), 0 or 1

    Returns
    -------
    array, shape (features,)

    Raises
    ------
    ValueError
        If the shapes do not match.

    Examples
    --------
    >>> import fanin
    >>> fanin.diagnose.logistic_gradient([[1.0, 2.0], [3.0, -1.0]], [0, 1])
    array([-0.5 ,  0.75])
    """
    inputs, labels = as_floats(x, "x"), as_floats(y, "y")
    if inputs.ndim != 2 or labels.shape != inputs.shape[:1]:
        raise ValueError(f"x is (N, features) and y (N,), got {inputs.shape} and {labels.shape}")
    return np.asarray((inputs * (0.5 - labels)[:, None]).sum(axis=0) / len(labels))


def preactivation_std(
    x: ArrayLike, *, weight_std: ArrayLike = 1.0, bias_std: ArrayLike = 1.0
) -> Floats:
    """Standard deviation of w x + b over random weights, for one given input.

    sqrt(weight_std^2 |x|^2 + bias_std^2): independent entries of mean zero, any law.

    Parameters
    ----------
    x : array_like, shape (..., n)
        The input or inputs.
    weight_std, bias_std : array_like, >= 0
        Standard deviations of a weight and of the bias; broadcast with x's leading shape.

    Returns
    -------
    array
        The broadcast shape of x without its last axis.

    Raises
    ------
    ValueError
        For a negative standard deviation, or an x without an axis.

    Examples
    --------
    Half of a thousand inputs are one; then the weights' variance is divided by their number.

    >>> import fanin, numpy as np
    >>> x = np.repeat([1.0, 0.0], 500)
    >>> round(fanin.diagnose.preactivation_std(x).item(), 4)
    22.383
    >>> round(fanin.diagnose.preactivation_std(x, weight_std=1 / np.sqrt(1000)).item(), 6)
    1.224745
    """
    inputs = as_floats(x, "x")
    weight, bias = as_floats(weight_std, "weight_std"), as_floats(bias_std, "bias_std")
    if inputs.ndim == 0:
        raise ValueError("x is a vector of inputs, shape (..., n); got a number")
    if (weight < 0).any() or (bias < 0).any():
        raise ValueError("weight_std and bias_std are standard deviations, at least 0")
    with np.errstate(over="ignore", invalid="ignore"):
        square = weight * weight * (inputs * inputs).sum(axis=-1) + bias * bias
    return np.asarray(np.sqrt(square))


@dataclass(frozen=True)
class Saturation:
    """How flat a unit is.

    Attributes
    ----------
    mean_slope : float
        E phi'(z), z normal with the given standard deviation.
    beyond : float
        P(|z| > threshold).
    """

    mean_slope: float
    beyond: float


def saturation(
    std: float, activation: ActivationLike = "sigmoid", *, threshold: float = 1.0
) -> Saturation:
    """Mean slope of a unit whose pre-activation has a given spread, and how often it is large.

    Parameters
    ----------
    std : float, > 0
        Standard deviation of the pre-activation, which is normal around zero.
    activation : str, Activation or callable
    threshold : float, >= 0
        What counts as large.

    Returns
    -------
    Saturation
        mean_slope, beyond.

    Raises
    ------
    ValueError
        For a std that is not above 0 or a negative threshold.

    Examples
    --------
    A sigmoid unit with a thousand inputs: weights of variance 1, and of variance 1/1000.

    >>> import fanin
    >>> wide = fanin.diagnose.saturation(501**0.5)
    >>> round(wide.mean_slope, 7), round(wide.beyond, 6)
    (0.0177653, 0.964365)
    >>> narrow = fanin.diagnose.saturation(1.5**0.5)
    >>> round(narrow.mean_slope, 7), round(narrow.beyond, 6)
    (0.1927627, 0.414216)
    """
    if not (as_float(std, "std") > 0 and std * std < math.inf):
        raise ValueError(f"std is a standard deviation above 0, got {short(std)}")
    if not as_float(threshold, "threshold") >= 0:
        raise ValueError(f"threshold is at least 0, got {short(threshold)}")
    phi = as_activation(activation)
    u, mass = gaussian_nodes(std * std, phi.kinks)
    mean = float((mass * np.asarray(phi.derivative(u), np.float64)).sum())
    return Saturation(mean, float(2 * upper_tail(threshold / std)))


def chain_gradient(
    w: ArrayLike,
    b: ArrayLike = 0.0,
    x: float = 0.0,
    activation: ActivationLike = "sigmoid",
    *,
    depth: int = 4,
) -> float:
    """Gradient of the output of a chain of single units with respect to its first bias.

    y_0 = x, z_l = w_l y_(l-1) + b_l, y_l = phi(z_l), and

        dy_L/db_1 = phi'(z_L) w_L ... phi'(z_2) w_2 phi'(z_1)

    With sigmoids phi' <= 1/4, so weights of size one lose at least (1/4)^L.

    Parameters
    ----------
    w, b : array_like, numbers or length L
        Weights and biases; two numbers stand for `depth` equal layers.
    x : float
        The input.
    activation : str, Activation or callable
    depth : int, >= 1
        Number of layers where w and b are numbers.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If w and b have more than one axis or do not match.

    Examples
    --------
    >>> import fanin
    >>> round(fanin.diagnose.chain_gradient(1.0), 8)
    0.00300813
    >>> w = 100.0  # with every z at 0 the same chain explodes
    >>> fanin.diagnose.chain_gradient([w] * 4, [0.0, -w / 2, -w / 2, -w / 2])
    3906.25
    """
    phi = as_activation(activation)
    weight, bias = np.broadcast_arrays(as_floats(w, "w"), as_floats(b, "b"))
    if weight.ndim == 0:
        count = as_count(depth, "depth")
        weight, bias = np.full(count, float(weight)), np.full(count, float(bias))
    if weight.ndim != 1:
        raise ValueError(f"w and b are numbers or vectors of length L, got shape {weight.shape}")
    value, gradient = as_float(x, "x"), 1.0
    for layer, (scale, shift) in enumerate(zip(weight.tolist(), bias.tolist(), strict=True)):
        z = np.array([scale * value + shift])
        slope = float(np.asarray(phi.derivative(z), np.float64)[0])
        gradient *= slope * (scale if layer else 1.0)
        value = float(np.asarray(phi(z), np.float64)[0])
    return gradient


@dataclass(frozen=True)
class Report:
    """What becomes of signals and gradients, layer by layer, and what to do about it.

    Attributes
    ----------
    profile : Profile
        Variances, correlations and gradients of every layer.
    findings : tuple of str
        One sentence each; empty if nothing is wrong.
    """

    profile: Profile
    findings: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.profile.table(), "", *(self.findings or ("Nothing to report.",))])


def report(
    network: ActivationLike | Network,
    depth: int | None = None,
    *,
    weight_var: float = 1.0,
    bias_var: float = 0.0,
    q0: float = 1.0,
    width: int | None = None,
) -> Report:
    """Per-layer variances and gradients of a network, with a sentence on everything that is wrong.

    Parameters
    ----------
    network : str, Activation, callable or Network
        The activation of `depth` dense layers, or a whole network, whose layers then say it all.
    depth : int, optional
        Number of dense layers; needed unless a Network is given.
    weight_var, bias_var : float
        Of the dense layers.
    q0 : float
        Variance of the first pre-activations.
    width : int, optional
        Units of a layer; then the fluctuations of a net of finite width are judged too.

    Returns
    -------
    Report
        profile, findings; `print` shows both.

    Raises
    ------
    TypeError
        If depth is missing.

    Examples
    --------
    >>> import fanin
    >>> found = fanin.diagnose.report("relu", 50, weight_var=1.0)
    >>> print(found.findings[0])
    The signal vanishes: its variance falls from 1 to 8.88e-16 (by 0.5 a layer). Use weight_var 2.
    >>> fanin.diagnose.report("relu", 50, weight_var=2.0).findings
    ()
    """
    from fanin.propagation._findings import findings
    from fanin.propagation._networks import Network
    from fanin.propagation._stack import propagate

    if isinstance(network, Network):
        return Report(profile := network.propagate(q0=q0), findings(profile))
    if width is not None:
        as_count(width, "width")
    if depth is None:
        raise TypeError("report needs the number of layers: report(activation, depth, ...)")
    profile = propagate(network, depth, weight_var=weight_var, bias_var=bias_var, q0=q0)
    return Report(profile, findings(profile, activation=network, width=width))
