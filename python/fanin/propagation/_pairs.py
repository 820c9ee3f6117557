"""Maps of one layer for two inputs: covariance, correlation, and 1 - correlation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fanin import _core
from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import SECOND, moments_at
from fanin._checks import as_variance
from fanin._hints import short
from fanin._numbers import as_floats
from fanin._types import Floats

from ._maps import nan_where_negative

# A correlation may leave [-1, 1] by this much through rounding; the core then clips it.
_ROUNDING = 1e-12
# Variances whose maps of correlations are the limits at 0 and infinity to rounding; in range of the
# tables.
_NEXT_TO_ZERO, _NEXT_TO_INFINITY = 2.0**-111, 2.0**100

#: Columns from which a table is served as such.
_WIDE = 16


def pairs_at(
    activation: Activation,
    q1: ArrayLike,
    q2: ArrayLike,
    x: ArrayLike,
    *,
    missing: bool = False,
    covariance: bool = False,
    slopes: bool = False,
    gap: bool = False,
) -> list[Floats]:
    """The wanted ones of E phi(u) phi(v), E phi'(u) phi'(v), E (phi(u) - phi(v))^2 / 2.

    x is the correlation, or 1 - correlation if `missing`.
    """
    columns = [np.asarray(value, np.float64) for value in (q1, q2, x)]
    shape = np.broadcast_shapes(*(column.shape for column in columns))
    # One variance for all correlations stays one: the core then works along c.
    first, second = (x if x.size == 1 else np.broadcast_to(x, shape) for x in columns[:2])
    if covariance and not (slopes or gap):
        first, second = _once(first, second, shape)
    along = np.broadcast_to(columns[2], shape)
    first, second, along = (np.ascontiguousarray(x).reshape(-1) for x in (first, second, along))
    wanted = [covariance, slopes, gap]
    rows = _core.activation_pairs(activation.handle, first, second, along, missing, wanted, 0)
    return list(rows.reshape(len(rows), *shape))


def _once(first: Floats, second: Floats, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Of a table with a variance a row and one a column each of them once."""
    if len(shape) < 2 or shape[-1] < _WIDE or shape != first.shape or shape != second.shape:
        return first, second
    repeats = all(n == 1 or step == 0 for n, step in zip(shape, second.strides[:-1], strict=False))
    if first.strides[-1] != 0 or not repeats or first.size == shape[-1]:
        return first, second
    return first[..., 0], second[(0,) * (len(shape) - 1)]


def _limit(own: Activation, q: Floats, bias_var: Floats) -> Floats:
    """q, but next to 0 or infinity for these themselves where signals vanish or grow without bound
    there: correlations have a limit."""
    if (q == np.inf).any():
        [far] = moments_at(own, np.inf, SECOND)
        vanishes = (bias_var == 0) & (far == 0)
        q = np.where((q == np.inf) & (vanishes | (far == np.inf)), _NEXT_TO_INFINITY, q)
    if not (q == 0).any() or moments_at(own, 0.0, SECOND)[0] > 0:
        return q
    return np.where((q == 0) & (bias_var == 0), _NEXT_TO_ZERO, q)


def as_correlation(c: ArrayLike) -> Floats:
    """A correlation as float64. In an array one that lies outside [-1, 1] will give NaN."""
    array = as_floats(c, "c")
    if array.ndim == 0 and abs(float(array)) > 1 + _ROUNDING:
        raise ValueError(f"c is a correlation and must lie in [-1, 1], got {short(c)}")
    return array


def as_missing_correlation(delta: ArrayLike) -> Floats:
    """1 - c as float64, likewise."""
    array = as_floats(delta, "delta")
    if array.ndim == 0 and not (-_ROUNDING <= float(array) <= 2 + _ROUNDING or np.isnan(array)):
        raise ValueError(f"delta is 1 - correlation and must lie in [0, 2], got {short(delta)}")
    return array


def covariance(q1: ArrayLike, q2: ArrayLike, c: ArrayLike, activation: ActivationLike) -> Any:
    """Covariance of the activations of two inputs, E phi(u) phi(v), weights and biases not yet in.

    (u, v) normal with mean 0, variances q1 and q2 and correlation c.      (Cho & Saul 2009)

    Parameters
    ----------
    q1, q2 : array, >= 0
        Variances of the two pre-activations; 0 and inf give the limit.
    c : array, in [-1, 1]
        Their correlation; all three broadcast.
    activation : str, Activation or callable
        See :class:`fanin.Activation`.

    Returns
    -------
    float64 or ndarray of the broadcast shape

    Raises
    ------
    ValueError
        Unknown activation; a negative variance or a c outside [-1, 1] that stands alone (in an
        array it gives NaN).

    Examples
    --------
    >>> import fanin
    >>> round(float(fanin.propagation.covariance(1.0, 1.0, 0.5, "relu")), 10)
    0.3044988905
    """
    a, b = as_variance("q1", q1), as_variance("q2", q2)
    [found] = pairs_at(as_activation(activation), a, b, as_correlation(c), covariance=True)
    return found[()]


def correlation_map(
    c: ArrayLike,
    q: ArrayLike,
    activation: ActivationLike,
    *,
    weight_var: ArrayLike,
    bias_var: ArrayLike = 0.0,
    q2: ArrayLike | None = None,
) -> Any:
    """Correlation of the pre-activations of two inputs after one more layer.

    c' = (weight_var * E phi(u) phi(v) + bias_var) / sqrt(V(q) V(q2))      (Poole et al. 2016)

    Parameters
    ----------
    c : array, in [-1, 1]
        Correlation now.
    q, q2 : array, >= 0
        Variances of the two pre-activations; q2 = q if not given.
    activation : str, Activation or callable
    weight_var, bias_var : array, >= 0
        As in :func:`fanin.propagation.variance_map`.

    Returns
    -------
    float64 or ndarray of the broadcast shape, in [-1, 1]

    Raises
    ------
    ValueError
        As :func:`covariance`.

    Notes
    -----
    Near c = 1 iterate :func:`one_minus_correlation_map`: it keeps the digits of 1 - c. At q = 0 and
    q = inf the limit is given; NaN where all signals of the next layer are 0 (weight_var = bias_var
    = 0) or beyond a float64 (exp).

    Examples
    --------
    >>> import fanin
    >>> p = fanin.propagation
    >>> round(float(p.correlation_map(0.0, 1.0, "relu", weight_var=2.0)), 8)
    0.31830989
    """
    own = as_activation(activation)
    corr, at = as_correlation(c), as_variance("q", q)
    other = at if q2 is None else as_variance("q2", q2)
    sw2, sb2 = as_variance("weight_var", weight_var), as_variance("bias_var", bias_var)
    at, other = _limit(own, at, sb2), _limit(own, other, sb2)
    [shared] = pairs_at(own, at, other, corr, covariance=True)
    [first] = moments_at(own, at, SECOND)
    second = first if q2 is None else moments_at(own, other, SECOND)[0]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = np.sqrt(sw2 * first + sb2) * np.sqrt(sw2 * second + sb2)
        result = np.clip((sw2 * shared + sb2) / scale, -1.0, 1.0)
    return nan_where_negative(result[()], sw2, sb2)


def one_minus_correlation_map(
    delta: ArrayLike,
    q: ArrayLike,
    activation: ActivationLike,
    *,
    weight_var: ArrayLike,
    bias_var: ArrayLike = 0.0,
    q2: ArrayLike | None = None,
) -> Any:
    """1 - c after one more layer from delta = 1 - c, without cancellation.

    delta' = weight_var * E (phi(u) - phi(v))^2 / (2 V(q)), u and v of correlation 1 - delta

    For q2 = q the difference comes from the integral of E phi'(u) phi'(v) over the correlation
    (Price 1958), so tiny deltas keep their relative precision. For q2 different from q the term
    (sqrt V(q) - sqrt V(q2))^2 / 2 is taken away from the like expression.

    Parameters
    ----------
    delta : array, in [0, 2]
        1 - c now.
    q, q2 : array, >= 0
        Variances of the two pre-activations; q2 = q if not given.
    activation : str, Activation or callable
    weight_var, bias_var : array, >= 0
        As in :func:`fanin.propagation.variance_map`.

    Returns
    -------
    float64 or ndarray of the broadcast shape, in [0, 2]

    Raises
    ------
    ValueError
        A negative variance or a delta outside [0, 2] that stands alone (in an array it gives
        NaN).

    Examples
    --------
    >>> import fanin
    >>> p = fanin.propagation
    >>> delta = float(p.one_minus_correlation_map(1e-12, 1.0, "linear", weight_var=1.0))
    >>> f"{delta:.12g}"
    '1e-12'
    """
    own = as_activation(activation)
    left, at = as_missing_correlation(delta), as_variance("q", q)
    sw2, sb2 = as_variance("weight_var", weight_var), as_variance("bias_var", bias_var)
    at = _limit(own, at, sb2)
    [first] = moments_at(own, at, SECOND)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if q2 is None:
            [gap] = pairs_at(own, at, at, left, missing=True, gap=True)
            result = sw2 * gap / (sw2 * first + sb2)
        else:
            other = _limit(own, as_variance("q2", q2), sb2)
            [shared] = pairs_at(own, at, other, left, missing=True, covariance=True)
            [second] = moments_at(own, other, SECOND)
            v1, v2 = sw2 * first + sb2, sw2 * second + sb2
            scale = np.sqrt(v1) * np.sqrt(v2)
            apart = (v1 - v2) / (np.sqrt(v1) + np.sqrt(v2))
            half_square = sw2 * (0.5 * (first + second) - shared)
            result = (half_square - 0.5 * apart * apart) / scale
    return nan_where_negative(np.clip(result, 0.0, 2.0)[()], sw2, sb2)
