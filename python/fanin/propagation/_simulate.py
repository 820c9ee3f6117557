"""Random networks of finite width, beside the theory of infinite width."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, SupportsIndex

import numpy as np

from fanin import _core
from fanin._activations.activation import as_activation
from fanin._checks import as_count, as_threads, finite, non_negative
from fanin._hints import short
from fanin._public import public
from fanin._random.seeds import as_stream, check_seed
from fanin._types import Floats

from ._drawn import Draws, returned, run
from ._layer import repeated
from ._layers import pools_tokens, tokens_of
from ._stack import propagate

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fanin._activations.activation import ActivationLike
    from fanin._random.seeds import Seed

    from ._profile import Profile


__all__ = ["Simulation", "simulate"]

_MOST_NUMBERS = (1 << 63) // 16  # of 8 bytes, with room for padding
METHODS = ("weights", "exact")
WEIGHTS = ("gaussian", "orthogonal")


@public("fanin.propagation")
@dataclass(frozen=True)
class Simulation:
    """Means over random networks with their standard errors, and z-scores against the theory.

    Every field is a float64 array of length depth + 1, with the meaning of `Profile`'s entries.

    Attributes
    ----------
    q, q_se : array
        Mean square of a unit, over units, inputs and networks; its standard error.
    c, c_se : array
        Correlation of two inputs: mean product over mean square; NaN for one input.
    grad, grad_se : array
        Mean square of the gradient of a unit, for gradients of variance one at the last entry.
    z, z_c, z_grad : array
        (mean - theory)/standard error, theory the profile at infinite width. Finite width itself
        shifts c by O(1/width).
    norm_kurtosis : array
        E |h|^4/(E |h|^2)^2 over networks.
    theory : Profile
    """

    q: Floats
    q_se: Floats
    c: Floats
    c_se: Floats
    grad: Floats
    grad_se: Floats
    z: Floats
    z_c: Floats
    z_grad: Floats
    norm_kurtosis: Floats
    theory: Profile


class Drawable(Protocol):
    """What is drawn: a Network has it."""

    layers: tuple[Any, ...]
    width: int | None
    image: tuple[int, ...] | None

    def propagate(self, q0: ArrayLike = 1.0, c0: ArrayLike | None = None) -> Profile: ...


def _correlation_factor(inputs: int, correlation: float) -> list[float]:
    """Cholesky factor of the matrix with ones on and `correlation` off the diagonal, by rows."""
    factor = [[0.0] * inputs for _ in range(inputs)]
    # Columns have one value below the diagonal; `rest` is what is left of either kind of entry.
    diagonal, off = 1.0, correlation
    for j in range(inputs):
        if diagonal < -1e-12:
            raise ValueError(
                f"{inputs} inputs cannot all have the correlation {correlation}: "
                f"it is at least -1/{inputs - 1}"
            )
        pivot = math.sqrt(max(diagonal, 0.0))
        below = off / pivot if pivot > 1e-8 else 0.0
        factor[j][j] = pivot
        for i in range(j + 1, inputs):
            factor[i][j] = below
        diagonal, off = diagonal - below * below, off - below * below
    return [value for row in factor for value in row]


def _mean_and_error(samples: Floats) -> tuple[Floats, Floats]:
    """Mean over networks (axis 0) and its standard error; NaN for one network."""
    count = samples.shape[0]
    with np.errstate(invalid="ignore", over="ignore"):  # a signal that overflows
        mean = samples.sum(axis=0) / count
        rest = samples - mean
        if count == 1:
            return mean, np.full_like(mean, np.nan)
        return mean, np.sqrt((rest * rest).sum(axis=0) / (count - 1) / count)


def _score(found: Floats, expected: Floats, error: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((found - expected) / error)


def _sizes(width: int | Sequence[int], depth: int, weights: str) -> list[int]:
    """The units of every layer."""
    if isinstance(width, SupportsIndex):
        sizes = repeated(width, depth + 1, "sizes of layers")
    else:
        sizes = list(width)
    sizes = [operator.index(n) for n in sizes]
    if len(sizes) != depth + 1 or min(sizes) < 1:
        raise ValueError(f"width is a positive int, or {depth + 1} of them, got {short(width)}")
    if weights == "orthogonal" and len(set(sizes)) > 1:
        raise ValueError(f"orthogonal weights need equal widths, got {short(width)}")
    return sizes


def _refuse_beyond_memory(sizes: Sequence[int], inputs: int, networks: int, weights: str) -> None:
    widest = max(sizes)
    for numbers, what in (
        (inputs * widest, "signals of a layer"),
        (inputs * inputs, "pairs of inputs"),
        (networks * len(sizes) * inputs, "mean squares"),
        (widest * widest if weights == "orthogonal" else 0, "weights of a layer"),
    ):
        if numbers > _MOST_NUMBERS:
            raise ValueError(f"{numbers} {what} are more than any memory holds")


def simulate(
    activation: ActivationLike,
    depth: int,
    width: int | Sequence[int],
    *,
    weight_var: float,
    bias_var: float = 0.0,
    q0: float = 1.0,
    c0: float | None = None,
    inputs: int = 1,
    networks: int = 32,
    method: str = "weights",
    weights: str = "gaussian",
    seed: Seed,
    threads: int | None = None,
) -> Simulation:
    """Draw networks of finite width, run inputs and gradients through them, and compare.

    Samples come from fanin's streams and from nothing else: the theory is only compared with. The
    method "weights" draws every matrix, in float32: that of layer l in network k is
    ``fanin.normal((width, width), scale=sqrt(weight_var/width), seed=stream[k][l])``, from
    inputs to outputs, or sqrt(weight_var) times ``fanin.orthogonal`` of that stream. The method
    "exact" samples the same signals and gradients, at finite width, without the matrices, in
    float64: X W has, given X = R Q with orthonormal rows Q, the law of R times normals
    (or times a Haar frame), and the gradient's part outside the span of Q is independent of it.

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int, >= 0
    width : int, or depth + 1 of them
        Units of every layer; orthogonal weights need equal ones.
    weight_var, bias_var, q0 : float
        As for `propagate`, with fan_in.
    c0 : float, optional
        Correlation of every two inputs at the first pre-activation; makes `inputs` at least 2.
        Default: independent inputs.
    inputs : int, >= 1
        Inputs that share a network.
    networks : int, >= 1
        Independent networks; standard errors need two.
    method : {"weights", "exact"}
    weights : {"gaussian", "orthogonal"}
    seed : int, Stream or Generator
    threads : int, optional
        Workers; no bit depends on it.

    Returns
    -------
    Simulation

    Raises
    ------
    TypeError
        Without a seed.
    ValueError
        For a parameter out of its range.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> s = p.simulate("relu", 10, 400, weight_var=2.0, networks=300, method="exact", seed=0)
    >>> bool(abs(s.z).max() < 4)
    True
    >>> heavy = p.simulate("relu", 10, 400, weight_var=2.0 * 1.02**2, networks=300, seed=0,
    ...                    method="exact")
    >>> bool(((heavy.q - s.theory.q) / heavy.q_se)[-1] > 10)
    True
    """
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(map(repr, METHODS))}, got {short(method)}")
    if weights not in WEIGHTS:
        raise ValueError(f"weights is one of {', '.join(map(repr, WEIGHTS))}, got {short(weights)}")
    for value, least, what in (
        (depth, 0, "depth"),
        (inputs, 1, "inputs"),
        (networks, 1, "networks"),
    ):
        as_count(value, what, least)
    sizes = _sizes(width, depth, weights)
    for number, what in ((weight_var, "weight_var"), (bias_var, "bias_var"), (q0, "q0")):
        non_negative(what, number)
    if c0 is not None:
        if not -1 <= finite("c0", c0) <= 1:
            raise ValueError(f"c0 is a correlation, in [-1, 1], got {short(c0)}")
        inputs = max(inputs, 2)
    _refuse_beyond_memory(sizes, inputs, networks, weights)
    root = math.sqrt(q0)
    start = [root * entry for entry in _correlation_factor(inputs, c0 or 0.0)]
    phi = as_activation(activation)
    if phi.name == "crelu":
        raise ValueError("crelu doubles the width; simulate has layers of one width: use relu")
    check_seed(seed)
    count = as_threads(threads)
    square, product, gradient = _core.simulate(
        method,
        weights,
        phi.handle,
        sizes,
        inputs,
        float(weight_var),
        float(bias_var),
        start,
        as_stream(seed)._key,
        networks,
        count,
    )
    return _summary(
        square,
        product,
        gradient,
        propagate(
            phi,
            depth,
            weight_var=weight_var,
            bias_var=bias_var,
            q0=q0,
            c0=None if inputs == 1 else (c0 or 0.0),
            widths=sizes,
        ),
    )


def simulate_network(
    network: Drawable,
    *,
    width: int | None = None,
    q0: float = 1.0,
    c0: float | None = None,
    inputs: int = 1,
    networks: int = 32,
    seed: Seed,
) -> Simulation:
    """As :meth:`Network.simulate`."""
    size = network.width if width is None else as_count(width, "width")
    if size is None:
        raise ValueError("width= says how many units come in; the network has none of its own")
    for value, what in ((inputs, "inputs"), (networks, "networks")):
        as_count(value, what)
    non_negative("q0", q0)
    if c0 is not None and not 0 <= finite("c0", c0) <= 1:
        raise ValueError(f"c0 of a drawn network is a correlation in [0, 1], got {short(c0)}")
    tokens = tokens_of(network.layers)
    if c0 is not None and tokens is None:
        inputs = max(inputs, 2)
    theory = network.propagate(q0=q0, c0=c0 if tokens is None and inputs == 1 else c0 or 0.0)
    if theory.q.ndim > 1:
        raise ValueError("simulate draws one network: its layers' parameters have axes")
    image = network.image or (() if tokens is None else (tokens,))
    check_seed(seed)
    _refuse_beyond_memory([size] * (len(network.layers) + 1), inputs, networks, "gaussian")
    stream, rows = as_stream(seed), []
    own, common = math.sqrt(q0 * (1 - (c0 or 0.0))), math.sqrt(q0 * (c0 or 0.0))
    for number in range(networks):
        draws = Draws(stream[number])
        # What the two things that c0 speaks of have in common: inputs, or the tokens of one.
        shared = (1, size, *image) if tokens is None else (inputs, size, *(1 for _ in image))
        x = own * draws.normal((inputs, size, *image), 1.0) + common * draws.normal(shared, 1.0)
        with np.errstate(over="ignore", invalid="ignore"):  # a signal that overflows
            signals, ways = run(network.layers, x, draws)
            gradients = returned(ways, draws.normal(signals[-1].shape, 1.0))
            entries = [_means(signals, tokens), _means(gradients, tokens)]
            if pools_tokens(network.layers):  # of fewer tokens behind than in front the mean
                entries = [[(x.mean(keepdims=True), y) for x, y in row] for row in entries]
            rows.append(entries)
    square, product, gradient = (
        np.array([[entry[i] for entry in row[j]] for row in rows])
        for i, j in ((0, 0), (1, 0), (0, 1))
    )
    return _summary(square, product, gradient, theory)


def _means(values: Sequence[Floats], tokens: int | None) -> list[tuple[Floats, float]]:
    """Of each entry the mean square of every input (or token), and the mean product of two."""
    found = []
    for x in values:
        if tokens is not None:  # tokens of a sequence are what is compared; sequences add up
            x = x.transpose(2, 0, 1) if x.ndim > 2 else x[None]
        flat = x.reshape(len(x), -1)
        square, total = (flat * flat).mean(axis=1), flat.sum(axis=0)
        pairs = len(flat) * (len(flat) - 1)
        product = ((total * total).mean() - square.sum()) / pairs if pairs else math.nan
        found.append((square, float(product)))
    return found


def _summary(square: Floats, product: Floats, gradient: Floats, theory: Profile) -> Simulation:
    """Statistics over networks, (networks, depth + 1, inputs)."""
    inputs = square.shape[2]
    of_network = square.sum(axis=2) / inputs
    q, q_se = _mean_and_error(of_network)
    grad, grad_se = _mean_and_error(gradient.sum(axis=2) / inputs)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if np.isnan(product).all():
            c = c_se = np.full_like(q, np.nan)
        else:
            # A ratio of means; its error is that of the linearised difference.
            c = product.sum(axis=0) / of_network.sum(axis=0)
            _, error = _mean_and_error(product - c * of_network)
            c_se = error / q
        fourth = (square * square).sum(axis=(0, 2)) / (square.shape[0] * inputs)
        kurtosis = fourth / (q * q)
    return Simulation(
        q=q,
        q_se=q_se,
        c=c,
        c_se=c_se,
        grad=grad,
        grad_se=grad_se,
        z=_score(q, theory.q, q_se),
        z_c=_score(c, theory.c, c_se),
        z_grad=_score(grad, theory.grad, grad_se),
        norm_kurtosis=kurtosis,
        theory=theory,
    )
