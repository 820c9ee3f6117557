"""The whole law of the squared singular values of a Jacobian, for equal square layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import SLOPE_SECOND, check_slope, moments_at
from fanin._functions import exp
from fanin._hints import short
from fanin._numbers import as_float
from fanin._public import public
from fanin._types import Floats

from ._jacobian import check_depth, doubles, slope_law
from ._spectra import by_root, over_positive
from ._units import straight_pieces

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._spectra import Complex

__all__ = ["JacobianAtoms", "jacobian_atoms", "jacobian_density"]

#: Of one orthogonal layer: pieces of the axis of u that are searched, in deviations and in units.
_REACH, _PIECES, _BEND, _FINE = 10.0, 4096, 24.0, 64
_ROOT_TAU = 2.5066282746310002


@public("fanin.propagation")
@dataclass(frozen=True)
class JacobianAtoms:
    """Values that a share of the squared singular values has.

    Attributes
    ----------
    x : ndarray
        The values over the mean of all, rising.
    mass : ndarray
        Their shares; the density holds the rest.
    """

    x: Floats
    mass: Floats


def _checked_variance(q: float) -> float:
    variance = as_float(q, "q")
    if not 0 < variance < np.inf:
        raise ValueError(f"q is the variance of a pre-activation and must be > 0, got {short(q)}")
    return variance


def jacobian_atoms(
    activation: ActivationLike, depth: int, *, weights: str = "gaussian", q: float = 1.0
) -> JacobianAtoms:
    """Shares of the squared singular values of the Jacobian that are exactly equal.

    Where phi is flat the Jacobian loses rank: a share P(phi' = 0) is 0 at any depth. With
    orthogonal weights a slope that units have with probability p remains with the share 1 - depth
    (1 - p), if that is positive (Bercovici & Voiculescu 1998): hardtanh at a small q.

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int
        Number of square layers.
    weights : {"gaussian", "orthogonal"}
    q : float, > 0
        Variance of the pre-activations.

    Returns
    -------
    JacobianAtoms

    Raises
    ------
    ValueError
        As :func:`jacobian_density`.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> atoms = p.jacobian_atoms("hardtanh", 4, weights="orthogonal", q=0.25)
    >>> atoms.x.round(6), atoms.mass.round(6)
    (array([0.      , 1.204749]), array([0.0455  , 0.817999]))
    """
    check_depth(depth, weights, None)
    variance, phi = _checked_variance(q), as_activation(activation)
    check_slope(phi)
    if doubles(phi):
        return JacobianAtoms(np.zeros(0), np.zeros(0))
    [mean] = moments_at(phi, variance, SLOPE_SECOND)
    shares: dict[float, float] = {}
    for slope, share in straight_pieces(phi, variance):
        shares[slope * slope] = shares.get(slope * slope, 0.0) + share
    found = {}
    for square, share in shares.items():
        left = share if square == 0 else 1 - depth * (1 - share)
        if left > 0 and (square == 0 or weights == "orthogonal"):
            value = 1.0
            for _ in range(depth):
                value *= square / float(mean)
            found[value] = left
    values = sorted(found)
    return JacobianAtoms(np.array(values), np.array([found[value] for value in values]))


def jacobian_density(
    x: ArrayLike,
    activation: ActivationLike,
    depth: int,
    *,
    weights: str = "gaussian",
    q: float = 1.0,
) -> Floats:
    """Density of the squared singular values of the Jacobian over their mean.

    rho(x) = -Im G(x + i0)/pi, G = (1 + z)/lambda the resolvent and z the root of
    lambda(z) = (1 + z)/(z S(z)) = x (Pennington, Schoenholz & Ganguli 2018). With z = psi(w),
    psi(w) = E[w d/(1 - w d)] and d = phi'^2/E phi'^2, lambda is explicit in w; the root is
    followed from far above the real axis, where w is 1/lambda**(1/depth) of the right branch, down
    to it. One orthogonal layer has the law of d itself. Atoms are not part of the density, see
    :func:`jacobian_atoms`.

    Parameters
    ----------
    x : array_like, > 0
        Squared singular values over their mean.
    activation : str, Activation or callable
    depth : int
        Number of square layers.
    weights : {"gaussian", "orthogonal"}
    q : float, > 0
        Variance of the pre-activations.

    Returns
    -------
    array, shape of x
        0 outside the spectrum, NaN for x <= 0.

    Raises
    ------
    ValueError
        For another law, a depth below 1, q <= 0 or an activation that jumps.

    Examples
    --------
    One Gaussian linear layer has the quarter circle law of Marchenko and Pastur.

    >>> from fanin import propagation as p
    >>> import numpy as np
    >>> x = np.array([1.0, 2.0, 5.0])
    >>> p.jacobian_density(x, "linear", 1).round(6)
    array([0.275664, 0.159155, 0.      ])
    >>> (np.sqrt(x * (4 - x).clip(0)) / (2 * np.pi * x)).round(6)
    array([0.275664, 0.159155, 0.      ])
    """
    check_depth(depth, weights, None)
    variance, phi = _checked_variance(q), as_activation(activation)
    check_slope(phi)
    if weights == "orthogonal" and depth == 1 and not doubles(phi):
        return over_positive(x, lambda target: _of_slopes(target, phi, variance))
    at = _product(phi, depth, weights == "gaussian", variance)
    return over_positive(x, lambda target: by_root(target, at))


def _product(
    phi: Activation, depth: int, gaussian: bool, q: float
) -> Callable[[Complex], tuple[Complex, Complex, Complex]]:
    """z, lambda and d ln lambda/d ln w; far away psi(w) ~ w and lambda ~ 1/w."""
    law = slope_law(phi, q)
    halved = doubles(phi) and not gaussian  # (1 + z)/(1 + z/2) a layer

    def at(w: Complex) -> tuple[Complex, Complex, Complex]:
        share = w[:, None] * law.size
        part = law.mass * share / (1 - share)
        z, slope = part.sum(axis=1), (part / (1 - share)).sum(axis=1)
        value = (1 + z) / z * (z / ((1 + z) * w)) ** depth
        of_z = z / (1 + z) - 1 + depth / (1 + z)
        if gaussian or halved:
            value = value * (1 + z) ** depth
            of_z = of_z + depth * z / (1 + z)
        if halved:
            value = value / (1 + z / 2) ** depth
            of_z = of_z - depth * z / (2 + z)
        return z, value, slope / z * of_z - depth

    return at


def _of_slopes(target: Floats, phi: Activation, q: float) -> Floats:
    """Density of phi'(u)^2 over its mean m, u ~ N(0, q): the sum over the u where it is x of
    density(u) m/|2 phi'(u) phi''(u)|."""
    [mean] = moments_at(phi, q, SLOPE_SECOND)
    scale = float(np.sqrt(q))
    ends = np.concatenate([
        np.arange(-_PIECES, _PIECES + 1) * (_REACH * scale / _PIECES),
        np.arange(-_BEND * _FINE, _BEND * _FINE + 1) / _FINE,
    ])  # fmt: skip
    ends = np.unique(np.concatenate([ends[np.abs(ends) <= _REACH * scale], phi.kinks]))
    low, high = ends[:-1], ends[1:]
    # Within the pieces, so that neither end lies on a kink.
    low, high = low + 1e-9 * (high - low), high - 1e-9 * (high - low)

    def level(u: Floats) -> Floats:
        slope = np.asarray(phi.derivative(u), np.float64)
        return slope * slope / float(mean)

    at_low, at_high = level(low), level(high)
    rising = at_low < target[:, None]
    which, piece = np.nonzero(rising != (at_high < target[:, None]))
    a, b, up = low[piece], high[piece], rising[which, piece]
    for _ in range(60):
        middle = 0.5 * (a + b)
        before = (level(middle) < target[which]) == up
        a, b = np.where(before, middle, a), np.where(before, b, middle)
    u = 0.5 * (a + b)
    slope = np.asarray(phi.derivative(u), np.float64)
    steep = np.abs(2 * slope * np.asarray(phi.second_derivative(u), np.float64))
    bell = exp(-0.5 * (u / scale) * (u / scale)) / (scale * _ROOT_TAU)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(steep > 0, bell * float(mean) / steep, 0.0)
    return np.bincount(which, part, minlength=target.size).astype(np.float64)
