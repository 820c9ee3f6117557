"""Gradients of two inputs, and kernels of infinitely wide networks: NNGP and neural tangent."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fanin import _core
from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import SECOND, SLOPE_SECOND, check_slope, moments_at
from fanin._checks import as_count, as_variance, non_negative
from fanin._hints import short
from fanin._numbers import as_floats
from fanin._public import public
from fanin._types import Floats

from ._nodes import gaussian_nodes
from ._pairs import as_correlation, pairs_at
from ._stack import propagate

__all__ = ["Kernels", "gradient_correlation", "kernels", "slope_covariance"]

PADDINGS, READOUTS = ("circular", "zero"), ("flatten", "mean")
#: Covariances that are held at a time, 32 MB. Few parts: BLAS' threads spin after each product.
_TOGETHER = 1 << 22
#: Variances of inputs that differ by less are one: the rounding of sums of squares.
_ALIKE = 8 * 2.0**-52


def slope_covariance(q1: ArrayLike, q2: ArrayLike, c: ArrayLike, activation: ActivationLike) -> Any:
    """Covariance of the slopes of two inputs, E phi'(u) phi'(v).

    (u, v) normal with mean 0, variances q1 and q2 and correlation c. Times weight_var it is the
    factor by which the covariance of two inputs' gradients changes in a layer (Schoenholz et al.
    2017), and sqrt(q1 q2) times it is the derivative of :func:`covariance` by c (Price 1958).

    Parameters
    ----------
    q1, q2 : array, >= 0
        Variances of the two pre-activations.
    c : array, in [-1, 1]
        Their correlation; all three broadcast.
    activation : str, Activation or callable

    Returns
    -------
    float64 or ndarray of the broadcast shape

    Raises
    ------
    ValueError
        As :func:`covariance`.

    Examples
    --------
    >>> import fanin
    >>> p = fanin.propagation
    >>> round(float(p.slope_covariance(1.0, 1.0, 0.5, "relu")), 10)  # 1/2 - acos(c)/(2 pi)
    0.3333333333
    """
    a, b = as_variance("q1", q1), as_variance("q2", q2)
    phi = as_activation(activation)
    found = np.array(pairs_at(phi, a, b, as_correlation(c), slopes=True)[0])
    first, second = np.broadcast_to(a, found.shape), np.broadcast_to(b, found.shape)
    for at in np.argwhere((first == 0) != (second == 0)):
        q = float(max(first[tuple(at)], second[tuple(at)]))
        found[tuple(at)] = _slope_at_zero(phi) * _mean_slope(phi, q)
    return found[()]


def _slope_at_zero(phi: Activation) -> float:
    """At a kink the mean of both sides."""
    least = np.nextafter(0.0, 1.0)
    return float(np.mean(phi.derivative(np.array([-least, least]))))


def _mean_slope(phi: Activation, q: float) -> float:
    u, mass = gaussian_nodes(q, phi.kinks)
    return float((mass * phi.derivative(u)).sum())


def gradient_correlation(
    activation: ActivationLike,
    depth: int,
    *,
    weight_var: ArrayLike,
    bias_var: ArrayLike = 0.0,
    q0: ArrayLike = 1.0,
    c0: ArrayLike = 0.0,
) -> Floats:
    """Correlation of two inputs' gradients with respect to the pre-activations of every layer.

    Going back through a layer it is multiplied by E phi'(u) phi'(v) / E phi'(u)^2; at the output it
    is 1. In a ReLU network it halves per layer while inputs are apart: shattered gradients
    (Balduzzi et al. 2017).

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int, >= 0
        Layers after the first pre-activation.
    weight_var, bias_var, q0 : array_like, >= 0
        As in :func:`propagate`.
    c0 : array_like in [-1, 1]
        Correlation of the two inputs' first pre-activations.

    Returns
    -------
    ndarray
        The broadcast shape and an axis of length depth + 1; index depth is the output.

    Raises
    ------
    ValueError
        As :func:`propagate`; for an activation that jumps.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> p.gradient_correlation("relu", 3, weight_var=2.0).round(4)
    array([0.2003, 0.4007, 0.6644, 1.    ])
    """
    phi = as_activation(activation)
    check_slope(phi)
    passed = propagate(phi, depth, weight_var=weight_var, bias_var=bias_var, q0=q0, c0=c0)
    q, apart = passed.q[..., :-1], passed.one_minus_c[..., :-1]
    [both] = pairs_at(phi, q, q, apart, missing=True, slopes=True)
    [own] = moments_at(phi, q, SLOPE_SECOND)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = both / own
    out = np.ones(passed.q.shape)
    for layer in reversed(range(share.shape[-1])):
        out[..., layer] = out[..., layer + 1] * share[..., layer]
    return out


@public("fanin.propagation")
@dataclass(frozen=True)
class Kernels:
    """Kernels of an infinitely wide network, of shape (inputs, inputs of `x2` or again of `x`).

    Attributes
    ----------
    covariance : ndarray
        E f(x) f(x') over the weights: the prior of a Gaussian process (Lee et al. 2018).
    tangent : ndarray
        The neural tangent kernel, the sum over all parameters of df(x) df(x') in the
        parametrisation with sqrt(weight_var/fan) and sqrt(bias_var) in front (Jacot et al. 2018).
    """

    covariance: Floats
    tangent: Floats


@dataclass(frozen=True)
class _Net:
    """What all pairs go through."""

    activation: Activation
    depth: int
    weight_var: float
    bias_var: float
    image: tuple[int, int]
    kernel: tuple[int, int]
    zero: bool
    full: bool

    def averaged(self, x: Floats) -> Floats:
        """The mean over the taps at every place; x is (inputs, height, width)."""
        for axis, size in ((1, self.kernel[0]), (2, self.kernel[1])):
            total = np.zeros_like(x)
            for shift in range(-((size - 1) // 2), size // 2 + 1):
                moved = np.roll(x, -shift, axis)
                if self.zero and shift:
                    beyond = [slice(None)] * 3
                    beyond[axis] = slice(-shift, None) if shift > 0 else slice(None, -shift)
                    moved[tuple(beyond)] = 0.0
                total += moved
            x = total / size
        return x

    def variances(self, x: Floats) -> Floats:
        """Of the pre-activations in front of every activation, (depth, inputs, places)."""
        inputs = x.shape[0]
        second = (x * x).mean(axis=2).reshape(inputs, *self.image)
        found = np.empty((self.depth, inputs, self.image[0] * self.image[1]))
        for layer in range(self.depth):
            q = self.weight_var * self.averaged(second) + self.bias_var
            if layer == 0 and q.size and np.ptp(q) <= _ALIKE * q.max():
                q = np.full_like(q, q.flat[0])
            found[layer] = q.reshape(found.shape[1:])
            [second] = moments_at(self.activation, q, SECOND)
        return found

    def products(self, a: Floats, b: Floats) -> Floats:
        """Means over the channels, (places, inputs, other places, other inputs)."""
        (n, places, channels), m = a.shape, b.shape[0]
        first, second = a.transpose(1, 0, 2), b.transpose(1, 0, 2)
        if places == 1 or self.full:
            made = first.reshape(-1, channels) @ second.reshape(-1, channels).T
        else:
            made = np.matmul(first, second.transpose(0, 2, 1))
        made /= channels
        return made.reshape(places, n, places if self.full else 1, m)

    def pairs(self, a: Floats, b: Floats, q1: Floats, q2: Floats, same: int) -> Floats:
        made: Floats = _core.pair_kernels(
            self.activation.handle, self.products(a, b), q1, q2, self.image, self.kernel,
            self.zero, self.full, self.weight_var, self.bias_var, same,
        )  # fmt: skip
        return made


def kernels(
    x: ArrayLike,
    activation: ActivationLike,
    depth: int,
    *,
    weight_var: float,
    bias_var: float = 0.0,
    x2: ArrayLike | None = None,
    kernel: int | Sequence[int] | None = None,
    padding: str = "circular",
    readout: str = "flatten",
) -> Kernels:
    """NNGP and neural tangent kernels of inputs, for infinitely wide dense or convolutional nets.

    The network: `depth` times a linear layer and the activation, then a linear layer to one output.
    With K the covariances of pre-activations and T the tangent kernel, from K = weight_var x.x'/n +
    bias_var and T = K,

        K <- weight_var E phi(u) phi(v) + bias_var,   T <- K + weight_var T E phi'(u) phi'(v)

    With `kernel` the linear layers are convolutions, which average K and T over their taps, place
    by place (Garriga-Alonso et al. 2019, Novak et al. 2019, Arora et al. 2019).

    Parameters
    ----------
    x : array_like, shape (inputs, features), or (inputs, [height,] width, channels) with `kernel`
    activation : str, Activation or callable
    depth : int, >= 1
        Number of activations.
    weight_var, bias_var : float, >= 0
        Of every layer.
    x2 : array_like, optional
        Other inputs, for the second axis of the kernels.
    kernel : int or sequence of int, optional
        Sides of the convolutions, of stride 1.
    padding : {"circular", "zero"}
        What lies beyond the edge of an image.
    readout : {"flatten", "mean"}
        What the last layer sees of an image: every place, or the mean over all places. "flatten"
        needs the pairs of equal places only, "mean" all pairs, so places times the work.

    Returns
    -------
    Kernels
        covariance and tangent, float64 of shape (inputs, inputs of x2).

    Raises
    ------
    ValueError
        For shapes that do not fit, a kernel larger than the image, another padding or readout, a
        bad variance or depth, an activation that jumps.

    Notes
    -----
    Quick where E phi phi has a closed form (relu, erf, gelu, sin, ...) and, for every activation,
    where all inputs have one norm; else each pair of different variances is a quadrature.

    Examples
    --------
    >>> import numpy as np
    >>> from fanin import propagation as p
    >>> found = p.kernels(np.eye(2), "relu", 3, weight_var=2.0)
    >>> found.covariance.round(6)
    array([[1.      , 0.604826],
           [0.604826, 1.      ]])
    >>> found.tangent.round(6)
    array([[4.      , 1.060388],
           [1.060388, 4.      ]])
    """
    phi = as_activation(activation)
    check_slope(phi)
    layers = as_count(depth, "depth")
    for name, value, known in (("padding", padding, PADDINGS), ("readout", readout, READOUTS)):
        if value not in known:
            raise ValueError(f"{name} is one of {', '.join(map(repr, known))}, got {short(value)}")
    first, image = _as_inputs("x", x, kernel)
    second = first
    if x2 is not None:
        second, other = _as_inputs("x2", x2, kernel)
        if (other, second.shape[2]) != (image, first.shape[2]):
            raise ValueError(
                f"x2 has inputs of the shape of x's, got {np.shape(x2)} beside {np.shape(x)}"
            )
    weight, bias = non_negative("weight_var", weight_var), non_negative("bias_var", bias_var)
    full = readout == "mean" and math.prod(image) > 1
    taps = _as_kernel(kernel, image)
    net = _Net(phi, layers, weight, bias, image, taps, padding == "zero", full)
    q1 = net.variances(first)
    q2 = q1 if x2 is None else net.variances(second)
    out = np.empty((2, first.shape[0], second.shape[0]))
    for rows, columns in _parts(net, first.shape[0], second.shape[0], x2 is None):
        same = 0 if x2 is None and rows.start == columns.start else -1
        made = net.pairs(first[rows], second[columns], q1[:, rows], q2[:, columns], same)
        out[:, rows, columns] = made
        if x2 is None:
            _mirror(out, rows, columns)
    return Kernels(out[0], out[1])


def _mirror(out: Floats, rows: slice, columns: slice) -> None:
    """The kernels of equal inputs are symmetric, to the last bit."""
    right = columns.start
    if rows.start == columns.start:
        right = rows.stop
        for kernel in out:
            square = kernel[rows, rows]
            kernel[rows, rows] = np.triu(square) + np.triu(square, 1).T
    beyond = slice(right, columns.stop)
    out[:, beyond, rows] = out[:, rows, beyond].transpose(0, 2, 1)


def _parts(net: _Net, rows: int, columns: int, same: bool) -> Iterator[tuple[slice, slice]]:
    """Blocks of pairs that fit into memory; of equal inputs those on and above the diagonal."""
    places = math.prod(net.image)
    most = max(1, _TOGETHER // (places * places if net.full else places))
    width = max(1, min(columns, max(math.isqrt(most), most // max(1, rows))))
    height = max(1, min(rows, width, most // width))
    for top in range(0, rows, height):
        for left in range(top if same else 0, columns, width):
            yield slice(top, min(rows, top + height)), slice(left, min(columns, left + width))


def _as_inputs(
    name: str, x: ArrayLike, kernel: int | Sequence[int] | None
) -> tuple[Floats, tuple[int, int]]:
    """Inputs as (inputs, places, channels), and the image of the places."""
    array = as_floats(x, name)
    if kernel is None:
        if array.ndim != 2 or array.shape[1] == 0:
            raise ValueError(f"{name} has shape (inputs, features), got {array.shape}")
        return np.ascontiguousarray(array[:, None, :]), (1, 1)
    if array.ndim not in (3, 4) or min(array.shape[1:]) == 0:
        raise ValueError(
            f"{name} has shape (inputs, [height,] width, channels) with kernel=, got {array.shape}"
        )
    sides = array.shape[1:-1]
    image = (1, sides[0]) if len(sides) == 1 else (sides[0], sides[1])
    flat = (array.shape[0], math.prod(image), array.shape[-1])
    return np.ascontiguousarray(array).reshape(flat), image


def _as_kernel(kernel: int | Sequence[int] | None, image: tuple[int, int]) -> tuple[int, int]:
    """Taps along the two axes of the image; 1 along one that is not there."""
    if kernel is None:
        return 1, 1
    flat = image[0] == 1
    sizes = [kernel] * (1 if flat else 2) if isinstance(kernel, int) else list(kernel)
    if flat and len(sizes) == 1:
        sizes = [1, *sizes]
    if len(sizes) != 2 or any(
        not 1 <= as_count(size, "kernel") <= side for size, side in zip(sizes, image, strict=True)
    ):
        raise ValueError(f"kernel has a side of 1 .. {image} for each axis, got {short(kernel)}")
    return as_count(sizes[0], "kernel"), as_count(sizes[1], "kernel")
