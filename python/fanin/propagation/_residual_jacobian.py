"""Singular values of the Jacobian of a deep residual network (Tarnowski et al. 2019)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fanin._activations.activation import ActivationLike, as_activation
from fanin._activations.moments import SLOPE_SECOND, check_slope, moments_at
from fanin._checks import as_count, as_variance
from fanin._functions import exp
from fanin._hints import short
from fanin._numbers import as_float, as_floats
from fanin._public import public
from fanin._types import Floats

from ._spectra import by_root, over_positive

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._spectra import Complex

__all__ = ["ResidualJacobian", "residual_jacobian", "residual_jacobian_density"]


@public("fanin.propagation")
@dataclass(frozen=True)
class ResidualJacobian:
    """Moments and edges of the squared singular values; float64 arrays of one shape.

    Attributes
    ----------
    c : array
        What the law depends on: the sum over the blocks of branch^2 weight_var E phi'^2.
    mean : array
        The mean squared singular value, exp(c).
    relative_variance : array
        Variance over mean^2, 2 c.
    lambda_min, lambda_max : array
        The edges over the mean: the spectrum has a gap at 0 at any depth.
    """

    c: Floats
    mean: Floats
    relative_variance: Floats
    lambda_min: Floats
    lambda_max: Floats


def residual_jacobian(
    activation: ActivationLike,
    depth: int,
    *,
    weight_var: ArrayLike = 1.0,
    branch: ArrayLike = 1.0,
    q: ArrayLike = 1.0,
) -> ResidualJacobian:
    """Spectrum of J = prod (1 + branch D_l W_l) for many blocks with little each.

    Whatever phi and the law of the weights (Gaussian or Haar), the squared singular values over
    their mean have S(z) = exp(-2 c z), c = depth branch^2 weight_var E phi'^2 (Tarnowski et al.
    2019), up to terms of relative size c/depth: isometry is a matter of c alone. The edges are the
    lambda(z) = (1 + z)/z exp(2 c z) at 2 c z (1 + z) = 1.

    Parameters
    ----------
    activation : str, Activation or callable
    depth : int, >= 1
        Blocks, each a skip and a branch of one layer.
    weight_var : array_like, >= 0
        Of the branch's weights.
    branch : array_like
        Factor of the branch: depth**-0.5 keeps c from growing with the depth.
    q : array_like, > 0
        Variance of the pre-activations, held constant.

    Returns
    -------
    ResidualJacobian

    Raises
    ------
    ValueError
        For a depth below 1, a negative variance that stands alone, an activation that jumps.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> found = p.residual_jacobian("relu", 100, weight_var=2.0, branch=0.1)
    >>> [round(x.item(), 6) for x in (found.c, found.lambda_min, found.lambda_max)]
    [1.0, 0.01744, 7.760205]
    """
    phi = as_activation(activation)
    check_slope(phi)
    blocks = as_count(depth, "depth")
    [slopes] = moments_at(phi, as_variance("q", q), SLOPE_SECOND)
    part = as_floats(branch, "branch")
    weight = as_variance("weight_var", weight_var)
    with np.errstate(over="ignore", invalid="ignore"):
        c = np.asarray(blocks * part * part * weight * slopes)
    c = np.where(c >= 0, c, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(1 + 2 / c)
        upper = 1 / (c * (1 + root))  # (root - 1)/2 without cancellation
        lower = -(1 + root) / 2
        edges = [(1 + z) / z * exp(2 * c * z) for z in (lower, upper)]
    edges = [np.where(c == 0, 1.0, edge) for edge in edges]
    return ResidualJacobian(c, np.asarray(exp(c)), np.asarray(2 * c), *edges)


def residual_jacobian_density(x: ArrayLike, c: float) -> Floats:
    """Density of the squared singular values of a deep residual network over their mean.

    rho(x) = -Im G(x + i0)/pi with G = (1 + z)/x and (1 + z)/z exp(2 c z) = x; see
    :func:`residual_jacobian`.

    Parameters
    ----------
    x : array_like, > 0
        Squared singular values over their mean.
    c : float, > 0
        As :func:`residual_jacobian` gives it.

    Returns
    -------
    array, shape of x
        0 outside the spectrum, NaN for x <= 0.

    Raises
    ------
    ValueError
        For a c that is not above 0.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> p.residual_jacobian_density([0.1, 1.0, 10.0], 1.0).round(6)
    array([1.885952, 0.196803, 0.      ])
    """
    part = as_float(c, "c")
    if not 0 < part < math.inf:
        raise ValueError(f"c is above 0, got {short(c)}")
    spread = 2 * part

    def at(z: Complex) -> tuple[Complex, Complex, Complex]:
        value = (1 + z) / z * np.exp(spread * z)
        return z, value, z / (1 + z) - 1 + spread * z

    return over_positive(x, lambda target: by_root(target, at))
