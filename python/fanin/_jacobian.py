"""Singular values of a network's input-output Jacobian at infinite width, by free probability.

J = D_L W_L ... D_1 W_1, D the diagonal of phi'. The law of J^T J follows from the S-transforms of
the factors (Pennington, Schoenholz & Ganguli 2017, 2018); rectangular layers enter through the
ratios of the widths.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ._activations import as_activation, check_variance
from ._nodes import gaussian_nodes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._activations import ActivationLike

    Array = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["Jacobian", "jacobian"]

WEIGHTS = ("gaussian", "orthogonal")
#: Beyond this the moment-generating variable z counts as infinite: the spectrum ends in an atom.
_FAR = 1e12


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

    mean: Array
    relative_variance: Array
    lambda_max: Array


@dataclass(frozen=True)
class SlopeLaw:
    """The law of phi'(u)^2 over its mean: `size` with probability `mass`."""

    size: Array
    mass: Array
    mean: float

    @property
    def square(self) -> float:
        """E of the square: mu_2/mu_1^2."""
        return float((self.mass * self.size * self.size).sum())

    def at(self, w: float) -> tuple[float, float]:
        """psi(w) = E[w d/(1 - w d)] and w psi'(w)."""
        part = self.mass * self.size * w
        rest = 1 / (1 - self.size * w)
        return float((part * rest).sum()), float((part * rest * rest).sum())

    def inverse(self, z: float) -> tuple[float, float]:
        """The w in (0, 1/max d) with psi(w) = z, and w psi'(w) there.

        psi(w) <= w d/(1 - w d) at d = max, and psi(w) >= w because the mean is 1; between these
        two bounds psi is convex, and Newton's step is kept inside the bracket."""
        largest = float(self.size.max())
        low, high = z / ((1 + z) * largest), min(z, 1 / largest)
        w = low
        for _ in range(200):
            value, slope = self.at(w)
            if value < z:
                low = w
            else:
                high = w
            step = w * (1 - (value - z) / slope)
            inside = low < step < high
            after = step if inside else 0.5 * (low + high)
            if abs(after - w) <= 2e-16 * w:
                break
            w = after
        return w, self.at(w)[1]


def slope_law(activation: ActivationLike, q: float) -> SlopeLaw:
    """The law of phi'^2 at variance q, equal values joined: two atoms for a ReLU."""
    phi = as_activation(activation)
    u, mass = gaussian_nodes(q, phi.kinks)
    square = np.asarray(phi.derivative(u), np.float64)
    square = square * square
    size, where = np.unique(square, return_inverse=True)
    joined = np.bincount(where.ravel(), weights=mass, minlength=size.size)
    mean = float((joined * size).sum())
    return SlopeLaw(size / mean, joined, mean)


def _edge(laws: Sequence[SlopeLaw], widths: Sequence[float], orthogonal: bool) -> float:
    """lambda_max at mean 1: the least lambda(z), z > 0.

    lambda(z) = (1 + z_L)/z_L / prod_l S_D(z_l) S_W(z_l), z_l = z n_0/n_l. An S-transform
    of a law with inverse psi is (1 + z)/z times that inverse; a Gaussian W W^T at mean 1 has
    1/(1 + z_(l-1)), a semi-orthogonal one 1 if it shrinks and (1 + z_l)/(1 + z_(l-1)) if it
    grows (it is then a projection).
    """
    ratios = [widths[0] / n for n in widths]
    different = {id(law): law for law in laws}

    def parts(z: float) -> tuple[float, float]:
        """d ln lambda / d ln z, and lambda over its mean."""
        last = z * ratios[-1]
        slope, value = last / (1 + last) - 1, (1 + last) / z
        known: dict[tuple[int, float], tuple[float, float]] = {}
        for layer, law in enumerate(laws):
            before, here = z * ratios[layer], z * ratios[layer + 1]
            key = (id(law), here)
            if key not in known:
                known[key] = different[id(law)].inverse(here)
            w, w_slope = known[key]
            value *= here / ((1 + here) * w)
            slope += 1 - here / (1 + here) - here / w_slope
            if not orthogonal or ratios[layer + 1] < ratios[layer]:
                value *= 1 + before
                slope += before / (1 + before)
            if orthogonal and ratios[layer + 1] < ratios[layer]:
                value /= 1 + here
                slope -= here / (1 + here)
        return slope, value

    low, high = 1e-12, 1e-6
    while parts(high)[0] < 0:
        low, high = high, 4 * high
        if high > _FAR:
            return _atom(laws, ratios)
    # lambda is flat at its least value, so half the digits of z are all that is needed.
    for _ in range(60):
        middle = math.sqrt(low * high)
        if parts(middle)[0] < 0:
            low = middle
        else:
            high = middle
    return parts(math.sqrt(low * high))[1]


def _atom(laws: Sequence[SlopeLaw], ratios: Sequence[float]) -> float:
    """lambda at z = infinity, where every layer takes its largest slope: orthogonal weights only."""
    value = ratios[-1]
    for layer, law in enumerate(laws):
        value *= float(law.size.max()) * max(1.0, ratios[layer] / ratios[layer + 1])
    return value


def _relative_variance(laws: Sequence[SlopeLaw], widths: Sequence[float], orthogonal: bool) -> float:
    total = 0.0
    for layer, law in enumerate(laws):
        shrink, before = widths[0] / widths[layer + 1], widths[0] / widths[layer]
        if orthogonal:
            total += max(0.0, shrink - before) + shrink * (law.square - 1)
        else:
            total += shrink * law.square
    return total


def _check(depth: int, weights: str, widths: Sequence[int] | None) -> list[float]:
    if weights not in WEIGHTS:
        raise ValueError(f"weights is one of {', '.join(map(repr, WEIGHTS))}, got {weights!r}")
    if isinstance(depth, bool) or not hasattr(depth, "__index__") or depth < 1:
        raise ValueError(f"depth is the number of layers, an int of at least 1, got {depth!r}")
    if widths is None:
        return [1.0] * (depth + 1)
    if len(widths) != depth + 1 or min(widths) < 1:
        raise ValueError(
            f"widths are the {depth + 1} positive sizes n_0 .. n_{depth} of {depth} layers, got {widths!r}"
        )
    return [float(n) for n in widths]


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
        that stands alone.

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
    sizes = _check(depth, weights, widths)
    scale, bias = check_variance("weight_var", weight_var), check_variance("bias_var", bias_var)
    variance = check_variance("q", q)
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
            edges[row.tobytes()] = (
                math.prod(law.mean for law in laws),
                _relative_variance(laws, sizes, weights == "orthogonal"),
                _edge(laws, sizes, weights == "orthogonal"),
            )
        mean, relative, edge = edges[row.tobytes()]
        power = 1.0
        for _ in range(depth):
            power *= float(scale[lane])
        out[(0, *lane)] = mean * power * (sizes[-1] / sizes[0])
        out[(1, *lane)], out[(2, *lane)] = relative, edge
    return Jacobian(np.array(out[0]), np.array(out[1]), np.array(out[2]))
