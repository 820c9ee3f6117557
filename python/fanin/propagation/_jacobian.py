"""Singular values of a network's input-output Jacobian at infinite width, by free probability.

J = D_L W_L ... D_1 W_1, D the diagonal of phi'. The law of J^T J follows from the S-transforms of
the factors (Pennington, Schoenholz & Ganguli 2017, 2018); rectangular layers enter through the
ratios of the widths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fanin._activations.activation import as_activation
from fanin._activations.moments import check_slope
from fanin._checks import as_count, as_variance
from fanin._hints import short
from fanin._public import public
from fanin._types import Floats

from ._layer import layer_sizes
from ._nodes import gaussian_nodes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fanin._activations.activation import ActivationLike


__all__ = ["Jacobian", "jacobian"]

WEIGHTS = ("gaussian", "orthogonal")
#: Beyond this the moment-generating variable z counts as infinite: the spectrum ends in an atom.
_FAR = 1e12


@public("fanin.propagation")
@dataclass(frozen=True)
class Jacobian:
    """Moments and edge of the squared singular values of a Jacobian.

    Every field is a float64 array of the broadcast shape of the arguments.

    Attributes
    ----------
    mean : array
        (1/n_0) tr J^T J, the mean squared singular value; for square layers the product of the
        layers' chi.
    relative_variance : array
        Variance of the squared singular values over the square of their mean: 0 is isometry.
    lambda_max : array
        The largest squared singular value over their mean.
    """

    mean: Floats
    relative_variance: Floats
    lambda_max: Floats


@dataclass(frozen=True)
class SlopeLaw:
    """The law of phi'(u)^2 over its mean: `size` with probability `mass`."""

    size: Floats
    mass: Floats
    mean: float

    @property
    def square(self) -> float:
        """E of the square: mu_2/mu_1^2."""
        return float((self.mass * self.size * self.size).sum())


class _Inverses:
    """psi(w) = E[w d/(1 - w d)] of several laws at once, and its inverse."""

    def __init__(self, laws: Sequence[SlopeLaw]) -> None:
        widest = max(law.size.size for law in laws)
        self._size, self._mass = np.zeros((2, len(laws), widest))
        for row, law in enumerate(laws):
            self._size[row, : law.size.size] = law.size
            self._mass[row, : law.size.size] = law.mass
        self._largest = self._size.max(axis=1)

    def at(self, z: Floats) -> tuple[Floats, Floats]:
        """The w in (0, 1/max d) with psi(w) = z, and w psi'(w) there, for one z a law.

        psi(w) <= w d/(1 - w d) at d = max, and psi(w) >= w because the mean is 1. Newton's method
        from the lower of these bounds; psi is convex, so only its first step can go too far, and
        every step is kept inside the bracket."""
        low, high = z / ((1 + z) * self._largest), np.minimum(z, 1 / self._largest)
        w = low
        for _ in range(200):
            share = self._size * w[:, None]
            part = self._mass * share / (1 - share)
            value, slope = part.sum(axis=1), (part / (1 - share)).sum(axis=1)
            low, high = np.where(value < z, w, low), np.where(value < z, high, w)
            step = w * (1 - (value - z) / slope)
            after = np.where((low < step) & (step < high), step, 0.5 * (low + high))
            if (abs(after - w) <= 4e-16 * w).all():
                break
            w = after
        return w, slope


def doubles(activation: ActivationLike) -> bool:
    """Whether it has two outputs a unit, one of which is active at any time."""
    return as_activation(activation).name == "crelu"


def slope_law(activation: ActivationLike, q: float) -> SlopeLaw:
    """The law of phi'^2 at variance q, equal values joined: two atoms for a ReLU.

    Of a crelu the law of the sum of its two outputs' squares, a half of which each output has."""
    phi = as_activation(activation)
    if doubles(phi):
        return SlopeLaw(np.ones(1), np.ones(1), 0.5)
    u, mass = gaussian_nodes(q, phi.kinks)
    square = np.asarray(phi.derivative(u), np.float64)
    square = square * square
    size, where = np.unique(square, return_inverse=True)
    joined = np.bincount(where.ravel(), weights=mass, minlength=size.size).astype(np.float64)
    joined /= joined.sum()  # one atom has the mass 1, not nearly 1
    mean = float((joined * size).sum())
    return SlopeLaw(size / mean, joined, mean)


def _edge(laws: Sequence[SlopeLaw], widths: Sequence[float], orthogonal: bool) -> float:
    """lambda_max at mean 1: the least lambda(z), z > 0.

    lambda(z) = (1 + z_L)/z_L / prod_l S_D(z_l) S_W(z_l), z_l = z n_0/n_l. An S-transform
    of a law with inverse psi is (1 + z)/z times that inverse; a Gaussian W W^T at mean 1 has
    1/(1 + z_(l-1)), a semi-orthogonal one 1 if it shrinks and (1 + z_l)/(1 + z_(l-1)) if it
    grows (it is then a projection).
    """
    ratios = np.array([widths[0] / n for n in widths])
    before, here = ratios[:-1], ratios[1:]
    pairs = {(id(law), ratio): law for law, ratio in zip(laws, here, strict=True)}
    place = {key: row for row, key in enumerate(pairs)}
    layers = np.array([place[id(law), ratio] for law, ratio in zip(laws, here, strict=True)])
    inverses, scale = _Inverses(list(pairs.values())), np.array([ratio for _, ratio in pairs])
    growing = here < before
    spread = growing | (not orthogonal)  # the layers with 1 + z_(l-1) in S_W
    bernoulli = growing & orthogonal  # those with 1 + z_l

    def parts(z: float) -> tuple[float, float]:
        """d ln lambda / d ln z, and lambda over its mean."""
        w, w_slope = (x[layers] for x in inverses.at(z * scale))
        last, first, second = z * ratios[-1], z * before, z * here
        slope = last / (1 + last) - 1
        slope += float((1 / (1 + second) - second / w_slope).sum())
        slope += float(
            (first / (1 + first))[spread].sum() - (second / (1 + second))[bernoulli].sum()
        )
        factors = second / ((1 + second) * w)
        factors = factors * np.where(spread, 1 + first, 1.0) / np.where(bernoulli, 1 + second, 1.0)
        return slope, (1 + last) / z * math.prod(factors.tolist())

    low, high = 1e-12, 1e-6
    at_low, at_high = -1.0, parts(high)[0]
    while at_high < 0:
        low, at_low, high = high, at_high, 16 * high
        if high > _FAR:
            return _atom(laws, ratios.tolist())
        at_high = parts(high)[0]
    # False position, halving the end that stays (Illinois). lambda is flat at its least value, so
    # that half the digits of z are all it needs.
    middle = high
    for _ in range(200):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        if not low < middle < high or high - low <= 1e-10 * high:
            break
        slope = parts(middle)[0]
        if abs(slope) < 1e-12:
            break
        if slope > 0:
            high, at_high, at_low = middle, slope, 0.5 * at_low
        else:
            low, at_low, at_high = middle, slope, 0.5 * at_high
    return parts(middle)[1]


def _atom(laws: Sequence[SlopeLaw], ratios: Sequence[float]) -> float:
    """lambda at z = infinity, where every layer takes its largest slope: orthogonal weights."""
    value = ratios[-1]
    for layer, law in enumerate(laws):
        value *= float(law.size.max()) * max(1.0, ratios[layer] / ratios[layer + 1])
    return value


def _relative_variance(
    laws: Sequence[SlopeLaw], widths: Sequence[float], orthogonal: bool
) -> float:
    total = 0.0
    for layer, law in enumerate(laws):
        shrink, before = widths[0] / widths[layer + 1], widths[0] / widths[layer]
        if orthogonal:
            total += max(0.0, shrink - before) + shrink * (law.square - 1)
        else:
            total += shrink * law.square
    return total


def _expanded(laws: list[SlopeLaw], sizes: list[float]) -> tuple[list[SlopeLaw], list[float]]:
    """Orthogonal weights behind a crelu: a step from n units to 2 n outputs that keeps lengths, and
    one from those to the next units."""
    steps = [laws[0]] + [law for law in laws for _ in range(2)][1:]
    widths = [sizes[0]]
    for before, after in zip(sizes, sizes[1:], strict=False):
        widths += [2 * before, after]
    return steps, widths


def check_depth(depth: int, weights: str, widths: Sequence[int] | None) -> list[float]:
    if weights not in WEIGHTS:
        raise ValueError(f"weights is one of {', '.join(map(repr, WEIGHTS))}, got {short(weights)}")
    depth = as_count(depth, "depth")
    return layer_sizes(widths, depth)


def jacobian(
    activation: ActivationLike,
    depth: int,
    *,
    weights: str = "gaussian",
    weight_var: ArrayLike = 1.0,
    bias_var: ArrayLike = 0.0,
    q: ArrayLike = 1.0,
    widths: Sequence[int] | None = None,
) -> Jacobian:
    r"""Mean, spread and edge of the squared singular values of the input-output Jacobian.

    J = D_L W_L ... D_1 W_1, with D_l = diag phi'(h_l). At infinite width and square layers

        mean               = chi**L,                        chi = weight_var E phi'(sqrt(q) z)^2
        relative variance  = L (mu_2/mu_1^2 - 1 - s_1),     s_1 = -1 Gaussian, 0 orthogonal

    with mu_k = E phi'^(2k); with widths n_0 .. n_L the layers' terms are, Gaussian,
    (n_0/n_l) mu_2/mu_1^2, and semi-orthogonal, max(0, n_0/n_l - n_0/n_(l-1)) + (n_0/n_l)
    (mu_2/mu_1^2 - 1). The largest value is the least lambda(z) = (1 + z)/(z S(z)), z > 0, of the
    product of S-transforms (Pennington, Schoenholz & Ganguli 2017, 2018).

    A crelu has two outputs a unit: its Jacobian is the one of pre-activations, W_(l+1) D_l, D_l (2
    n_l, n_l) with orthonormal columns, so that mu_2/mu_1^2 = 1 and an orthogonal W (n, 2 n) has the
    relative variance 1/2.

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int
        Number of layers L, at least 1.
    weights : {"gaussian", "orthogonal"}
        Law of W_l; orthogonal ones are Haar, semi-orthogonal where they are not square, and scaled
        to the variance of the Gaussian ones.
    weight_var : array_like, >= 0
        fan_in times the variance of a weight.
    bias_var : array_like, >= 0
        Broadcasts; with q given it has no influence.
    q : array_like, > 0
        Variance of the pre-activations, held constant; an array whose last axis has length
        `depth` gives every layer its own.
    widths : sequence of depth + 1 int, optional
        Sizes n_0 .. n_L of input and layers; default all equal. The trace is normalised on the
        input side, so that the mean has a factor n_L/n_0.

    Returns
    -------
    Jacobian
        mean, relative_variance, lambda_max (over the mean); NaN where an argument is out of range.

    Raises
    ------
    ValueError
        For another law, a depth below 1, a wrong number of widths, or a q <= 0 or negative variance
        that stands alone, or an activation that jumps.

    Examples
    --------
    Orthogonal weights make a linear network an isometry; no weights do that for a ReLU.

    >>> from fanin import propagation as p
    >>> p.jacobian("linear", 10, weights="orthogonal").relative_variance.item()
    0.0
    >>> r = p.jacobian("relu", 10, weights="orthogonal", weight_var=2.0)
    >>> round(r.relative_variance.item(), 10), round(r.lambda_max.item(), 6)
    (10.0, 25.811748)
    """
    sizes = check_depth(depth, weights, widths)
    check_slope(as_activation(activation))
    scale, bias = as_variance("weight_var", weight_var), as_variance("bias_var", bias_var)
    variance = as_variance("q", q)
    if variance.ndim == 0 and variance == 0:
        raise ValueError("q is the variance of a pre-activation and must be > 0, got 0")
    layered = variance.ndim > 0 and variance.shape[-1] == depth
    if not layered:
        variance = variance[..., None]
    shape = np.broadcast_shapes(scale.shape, bias.shape, variance.shape[:-1])
    scale = np.broadcast_to(scale, shape)
    variance = np.broadcast_to(variance, shape + variance.shape[-1:])

    known: dict[float, SlopeLaw] = {}
    edges: dict[bytes, tuple[float, float, float]] = {}
    out = np.full((3, *shape), np.nan)
    for lane in np.ndindex(shape):
        row = variance[lane]
        sane = (row > 0).all() and scale[lane] >= 0
        if not (sane and np.isfinite(row).all() and np.isfinite(scale[lane])):
            continue
        if row.tobytes() not in edges:
            for value in row:
                known.setdefault(float(value), slope_law(activation, float(value)))
            laws = [known[float(row[layer % row.size])] for layer in range(depth)]
            orthogonal, steps, widths_of = weights == "orthogonal", laws, sizes
            if orthogonal and doubles(activation):
                steps, widths_of = _expanded(laws, sizes)
            edges[row.tobytes()] = (
                math.prod(law.mean for law in laws),
                _relative_variance(steps, widths_of, orthogonal),
                _edge(steps, widths_of, orthogonal),
            )
        mean, relative, edge = edges[row.tobytes()]
        power = 1.0
        for _ in range(depth):
            power *= float(scale[lane])
        out[(0, *lane)] = mean * power * (sizes[-1] / sizes[0])
        out[(1, *lane)], out[(2, *lane)] = relative, edge
    return Jacobian(np.array(out[0]), np.array(out[1]), np.array(out[2]))
