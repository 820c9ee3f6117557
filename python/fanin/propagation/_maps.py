"""Maps of one layer for one input: moments, variance, its slope, chi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fanin import _core
from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import (
    CURVATURE_SECOND,
    GROWTH,
    MEAN,
    SECOND,
    SLOPE_FOURTH,
    SLOPE_SECOND,
    moments_at,
)
from fanin._checks import as_variance
from fanin._public import public
from fanin._types import Floats


@public("fanin.propagation")
@dataclass(frozen=True)
class Moments:
    """Gaussian moments of an activation at variance q; each field has the shape of q.

    Attributes
    ----------
    mean : ndarray
        E phi.
    second : ndarray
        E phi^2.
    slope_second, slope_fourth : ndarray
        E phi'^2 and E phi'^4; infinite where phi jumps.
    curvature_second : ndarray
        E phi''^2; infinite where phi' jumps.
    """

    mean: Floats
    second: Floats
    slope_second: Floats
    slope_fourth: Floats
    curvature_second: Floats


def moments(q: ArrayLike, activation: ActivationLike) -> Moments:
    """Gaussian moments E phi, E phi^2, E phi'^2, E phi'^4, E phi''^2 at u ~ N(0, q).

    Parameters
    ----------
    q : array, any shape, >= 0
        Variance (second moment) of the pre-activation; q = 0 and q = inf give the limit.
    activation : str, Activation or callable
        See :class:`fanin.Activation`.

    Returns
    -------
    Moments
        Fields of float64 of the shape of q. Errors of E phi^2 and E phi'^2 are at most 1e-12 of
        the value for 1e-12 <= q <= 1e12.

    Raises
    ------
    ValueError
        Unknown activation; a negative q that stands alone. In an array a q that is negative or
        no number gives NaN.

    Examples
    --------
    >>> import fanin
    >>> m = fanin.propagation.moments(1.0, "tanh")
    >>> round(float(m.second), 8), round(float(m.slope_second), 8)
    (0.39429449, 0.4644029)
    """
    columns = (MEAN, SECOND, SLOPE_SECOND, SLOPE_FOURTH, CURVATURE_SECOND)
    return Moments(*moments_at(as_activation(activation), as_variance("q", q), *columns))


def _variances(**named: ArrayLike) -> list[Floats]:
    return [as_variance(name, value) for name, value in named.items()]


def times(weight_var: Floats, moment: Floats) -> Floats:
    """Their product; NaN without a warning where one is 0 and the other infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(weight_var * moment)


def nan_where_negative(result: Any, *parameters: Floats) -> Any:
    """The result with NaN where a variance among the parameters is negative."""
    for parameter in parameters:
        if parameter.ndim and bool((parameter < 0).any()):
            result = np.where(parameter < 0, np.nan, result)
    return result


def variance_map(
    q: ArrayLike,
    activation: ActivationLike,
    *,
    weight_var: ArrayLike,
    bias_var: ArrayLike = 0.0,
) -> Any:
    """Variance of the pre-activations after one more layer.

    q' = weight_var * E phi(u)^2 + bias_var, u ~ N(0, q)      (Poole et al. 2016, eq. 3)

    Parameters
    ----------
    q : array, any shape, >= 0
        Variance (second moment) per unit, broadcast with `weight_var` and `bias_var`; 0 and inf
        give the limit.
    activation : str, Activation or callable
        See :class:`fanin.Activation`.
    weight_var : array, >= 0
        fan_in times the variance of a weight.
    bias_var : array, >= 0, default 0.0
        Variance of a bias.

    Returns
    -------
    float64 or ndarray of the broadcast shape

    Raises
    ------
    ValueError
        Unknown activation; a negative variance that stands alone (in an array it gives NaN).

    Examples
    --------
    >>> import fanin
    >>> float(fanin.propagation.variance_map(1.0, "relu", weight_var=2.0))
    1.0
    """
    at, sw2, sb2 = _variances(q=q, weight_var=weight_var, bias_var=bias_var)
    own = as_activation(activation)
    if np.broadcast_shapes(at.shape, sw2.shape, sb2.shape) == at.shape:
        return propagated(own, at, sw2, sb2, np.ones(1), start=False)[0][()]
    [second] = moments_at(own, at, SECOND)
    return nan_where_negative((times(sw2, second) + sb2)[()], sw2, sb2)


def propagated(
    own: Activation, q: Floats, weight: Floats, bias: Floats, factor: Floats, *, start: bool
) -> Floats:
    """Variances after each layer, in front of the axes of q, with `start` behind q itself.

    weight and bias broadcast to the shape of q; layer l has the weight factor[l] * weight.
    """
    at, scale, shift = (
        np.ascontiguousarray(x if x.size == 1 else np.broadcast_to(x, q.shape)).reshape(-1)
        for x in (q, weight, bias)
    )
    rows = _core.propagated_variances(own.handle, at, scale, shift, factor, start, 0)
    return rows.reshape(factor.size + start, *q.shape)


def variance_slope(q: ArrayLike, activation: ActivationLike, *, weight_var: ArrayLike) -> Any:
    """Slope dV/dq of the variance map; a fixed point is stable where it lies in (-1, 1).

    dV/dq = weight_var * E[phi(u) phi'(u) u] / q = weight_var * (E phi'^2 + E phi phi'')

    Parameters
    ----------
    q, weight_var : array, >= 0
        As in :func:`variance_map`.
    activation : str, Activation or callable

    Returns
    -------
    float64 or ndarray of the broadcast shape

    Raises
    ------
    ValueError
        As :func:`variance_map`.

    Examples
    --------
    >>> import fanin
    >>> float(fanin.propagation.variance_slope(0.3, "relu", weight_var=1.5))
    0.75
    """
    at, sw2 = _variances(q=q, weight_var=weight_var)
    [growth] = moments_at(as_activation(activation), at, GROWTH)
    return nan_where_negative(times(sw2, growth)[()], sw2)


def chi(q: ArrayLike, activation: ActivationLike, *, weight_var: ArrayLike) -> Any:
    """Growth of gradient variance per layer, and slope of the correlation map at c = 1.

    chi = weight_var * E phi'(u)^2, u ~ N(0, q)      (Schoenholz et al. 2017, eq. 5)

    Below 1 gradients vanish (ordered phase), above 1 they explode (chaotic phase).

    Parameters
    ----------
    q, weight_var : array, >= 0
        As in :func:`variance_map`.
    activation : str, Activation or callable

    Returns
    -------
    float64 or ndarray of the broadcast shape

    Raises
    ------
    ValueError
        As :func:`variance_map`.

    Examples
    --------
    >>> import fanin
    >>> round(float(fanin.propagation.chi(1.0, "tanh", weight_var=1.0)), 8)
    0.4644029
    """
    at, sw2 = _variances(q=q, weight_var=weight_var)
    [slopes] = moments_at(as_activation(activation), at, SLOPE_SECOND)
    return nan_where_negative(times(sw2, slopes)[()], sw2)
