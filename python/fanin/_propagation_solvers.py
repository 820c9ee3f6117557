"""Fixed points, depth scales, the edge of chaos and phase diagrams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _core
from ._activations import (
    GROWTH,
    SECOND,
    SLOPE_SECOND,
    Activation,
    ActivationLike,
    as_activation,
    moments_at,
)

Floats = NDArray[np.float64]
Strings = NDArray[np.str_]
Flags = NDArray[np.bool_]

#: |chi - 1| up to which a point counts as critical.
CRITICAL = 1e-9
# Relative error of the variance map, for the error bounds: ten units of rounding.
_MAP_ERROR = 2e-15


@dataclass(frozen=True)
class FixedPoints:
    """Fixed points of the variance map; each field has the broadcast shape of the parameters.

    Attributes
    ----------
    q : ndarray
        The smallest stable fixed point; NaN if there is none, 1 as the representative of a
        continuum.
    slope : ndarray
        dV/dq there.
    stable : ndarray of bool
        Whether q attracts (a continuum does not).
    status : ndarray of str
        ``unique`` or ``multiple`` (positive fixed points), ``zero`` (q = 0), ``continuum`` (every
        q), ``none`` (nothing attracts; `roots` shows what repels) or ``nan`` (bad parameters).
    roots, root_slopes : ndarray
        One more axis: all fixed points in [1e-12, 1e12], and 0 if it is one, rising, then NaN.
    c : ndarray
        The stable correlation of two inputs at q.
    chi : ndarray
        Growth of gradient variance at q, weight_var E phi'^2 (over the keep probability).
    error : ndarray
        Bound on the error of q.
    """

    q: Floats
    slope: Floats
    stable: Flags
    status: Strings
    roots: Floats
    root_slopes: Floats
    c: Floats
    chi: Floats
    error: Floats


@dataclass(frozen=True)
class DepthScales:
    """Layers over which signals settle.

    Attributes
    ----------
    xi_q : ndarray
        -1 / ln |dV/dq|, of the variance.
    xi_c : ndarray
        -1 / ln R'(c*), of the correlation, at its stable value.
    xi_grad : ndarray
        1 / |ln chi|, of the gradient, whether it vanishes or explodes.
    """

    xi_q: Floats
    xi_c: Floats
    xi_grad: Floats


@dataclass(frozen=True)
class _Stable:
    """What all solvers need, flattened: fixed points and the correlation there."""

    points: FixedPoints
    one_minus_c: Floats
    correlation_slope: Floats


def _parameters(
    weight_var: ArrayLike, bias_var: ArrayLike, dropout: ArrayLike
) -> tuple[Floats, ...]:
    for name, value in (("weight_var", weight_var), ("bias_var", bias_var)):
        if np.ndim(value) == 0 and float(np.asarray(value)) < 0:
            raise ValueError(f"{name} is a variance and must be >= 0, got {value!r}")
    if np.ndim(dropout) == 0 and not 0 <= float(np.asarray(dropout)) < 1:
        raise ValueError(f"dropout is the rate of dropped units, in [0, 1), got {dropout!r}")
    given = (np.asarray(x, np.float64) for x in (weight_var, bias_var, dropout))
    return tuple(np.broadcast_arrays(*given))


def _solve(
    own: Activation, weight_var: ArrayLike, bias_var: ArrayLike, dropout: ArrayLike
) -> _Stable:
    """Fixed points of both maps."""
    sw2, sb2, rate = _parameters(weight_var, bias_var, dropout)
    shape = sw2.shape
    sw2, sb2, rate = (np.ascontiguousarray(x).reshape(-1) for x in (sw2, sb2, rate))
    good = np.isfinite(sw2) & np.isfinite(sb2) & (sw2 >= 0) & (sb2 >= 0) & (rate >= 0) & (rate < 1)
    keep = np.where(good, 1.0 - rate, 1.0)
    forward = np.where(good, sw2, np.nan) / keep
    bias = np.where(good, sb2, np.nan)
    roots, slopes = _all_roots(own, forward, bias)

    attracts = np.abs(slopes) < 1
    zero, zero_slope = moments_at(own, 0.0, SECOND, GROWTH)
    starts_at_zero = (bias == 0) & (zero == 0)
    if starts_at_zero.any():
        at_zero = np.where(starts_at_zero, 0.0, np.nan)
        slope = forward * float(zero_slope)
        roots = np.column_stack([at_zero, roots])
        slopes = np.column_stack([np.where(starts_at_zero, slope, np.nan), slopes])
        # A slope of exactly 1 attracts if the map lies below the diagonal beside it.
        [beside] = moments_at(own, 1e-3, SECOND)
        below = (slope < 1) | ((np.abs(slope - 1) < 1e-14) & (forward * float(beside) < 1e-3))
        attracts = np.column_stack([starts_at_zero & below, attracts])
    order = np.argsort(roots, axis=1)  # NaN last
    roots = np.take_along_axis(roots, order, 1)
    slopes = np.take_along_axis(slopes, order, 1)
    attracts = np.take_along_axis(attracts, order, 1)

    first = attracts.argmax(axis=1)[:, None]
    stable = attracts.any(axis=1)
    q = np.where(stable, np.take_along_axis(roots, first, 1)[:, 0], np.nan)
    slope = np.where(stable, np.take_along_axis(slopes, first, 1)[:, 0], np.nan)
    many = (roots > 0).sum(axis=1) > 1
    status = np.where(q == 0, "zero", np.where(many, "multiple", "unique")).astype("<U9")
    status[~stable] = "none"
    if own.degree == 1:
        [unit] = moments_at(own, 1.0, SECOND)
        everywhere = (bias == 0) & (np.abs(forward * float(unit) - 1) <= 4e-16)
        q, slope = np.where(everywhere, 1.0, q), np.where(everywhere, 1.0, slope)
        status[everywhere], stable = "continuum", stable & ~everywhere
        roots[everywhere], slopes[everywhere] = np.nan, np.nan
    status[~good] = "nan"

    [slope_second] = moments_at(own, q, SLOPE_SECOND)
    chi = forward * slope_second
    missing, correlation_slope = _correlations(own, q, np.where(good, sw2, np.nan), keep, chi)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(q == 0, 0.0, _MAP_ERROR * q / np.abs(1 - slope))
    widest = max(1, int(np.isfinite(roots).sum(axis=1).max(initial=0)))

    def shaped(x: Any) -> Any:
        return x.reshape(shape + x.shape[1:])

    points = FixedPoints(
        q=shaped(q),
        slope=shaped(slope),
        stable=shaped(stable),
        status=shaped(status),
        roots=shaped(roots[:, :widest]),
        root_slopes=shaped(slopes[:, :widest]),
        c=shaped(1.0 - missing),
        chi=shaped(chi),
        error=shaped(error),
    )
    return _Stable(points, shaped(missing), shaped(correlation_slope))


def _all_roots(own: Activation, forward: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Positive fixed points and the slopes there, one row a lane."""
    if own.degree != 1:
        roots, slopes = _core.fixed_variances(own.handle, forward, bias, 0)
        return roots, slopes
    [unit] = moments_at(own, 1.0, SECOND)
    slope = forward * float(unit)
    with np.errstate(divide="ignore", invalid="ignore"):
        root = bias / (1 - slope)
    found = (slope < 1) & (bias > 0)
    return (np.where(found, x, np.nan)[:, None] for x in (root, slope))  # type: ignore[return-value]


def _correlations(
    own: Activation, q: Floats, sw2: Floats, keep: Floats, chi: Floats
) -> tuple[Floats, Floats]:
    """1 - c* and the slope of the correlation map there."""
    # Without dropout c = 1 is fixed; it attracts if chi <= 1.
    missing = np.where(np.isnan(q), np.nan, 0.0)
    slope = chi * keep
    wanted = np.isfinite(q) & (q > 0) & ((keep < 1) | (chi > 1))
    if wanted.any():
        at, weights = q[wanted], sw2[wanted]
        [second] = moments_at(own, at, SECOND)
        noise = weights * second * (1 / keep[wanted] - 1)
        found = _core.fixed_correlations(own.handle, at, weights, noise, 0)
        missing[wanted], slope[wanted] = found
    return missing, slope


def fixed_points(
    activation: ActivationLike,
    *,
    weight_var: ArrayLike,
    bias_var: ArrayLike = 0.0,
    dropout: ArrayLike = 0.0,
) -> FixedPoints:
    """All fixed points of the variance map, and the stable correlation at the chosen one.

    q = weight_var / (1 - dropout) * E phi(u)^2 + bias_var, u ~ N(0, q)

    Sign changes are looked for on a grid of q of ratio 9/8 or less, then refined to rounding.
    With dropout the masks of two inputs are independent, so that c = 1 is not fixed.

    Parameters
    ----------
    activation : str, Activation or callable
        See :class:`fanin.Activation`.
    weight_var, bias_var : array, >= 0
        fan_in times the variance of a weight; variance of a bias.
    dropout : array, in [0, 1), default 0.0
        Rate of dropped units (kept ones are divided by 1 - dropout).

    Returns
    -------
    FixedPoints

    Raises
    ------
    ValueError
        Unknown activation; a bad parameter that stands alone (in an array: status ``nan``).

    References
    ----------
    Poole et al. 2016; Schoenholz et al. 2017.

    Examples
    --------
    >>> import fanin
    >>> found = fanin.propagation.fixed_points("tanh", weight_var=25 / 9)
    >>> str(found.status), round(float(found.q), 9), round(float(found.chi), 9)
    ('unique', 1.17848049, 1.20983132)
    """
    return _solve(as_activation(activation), weight_var, bias_var, dropout).points


def logarithm(x: ArrayLike) -> Floats:
    """ln x with ln 0 = -inf and NaN for negative x, by the core's logarithm."""
    array = np.asarray(x, np.float64)
    usable = (array > 0) & (array < np.inf)
    value = np.asarray(_core.math_log(np.where(usable, array, 1.0)), np.float64)
    value = np.where(array == 0, -np.inf, np.where(array == np.inf, np.inf, value))
    return np.where(array >= 0, value, np.nan)


def _scales(stable: _Stable) -> DepthScales:
    points = stable.points
    with np.errstate(divide="ignore", invalid="ignore"):
        xi_q = np.abs(1 / logarithm(np.abs(points.slope)))
        xi_c = np.abs(1 / logarithm(np.minimum(stable.correlation_slope, 1.0)))
        xi_grad = np.abs(1 / logarithm(points.chi))
    return DepthScales(np.asarray(xi_q), np.asarray(xi_c), np.asarray(xi_grad))


def depth_scales(
    activation: ActivationLike, *, weight_var: ArrayLike, bias_var: ArrayLike = 0.0
) -> DepthScales:
    """Depth scales of variance, correlation and gradient at the stable fixed point.

    xi_q = -1/ln |V'(q*)|,  xi_c = -1/ln R'(c*),  xi_grad = 1/|ln chi|   (Schoenholz et al. 2017)

    Parameters
    ----------
    activation : str, Activation or callable
    weight_var, bias_var : array, >= 0
        As in :func:`fixed_points`.

    Returns
    -------
    DepthScales
        Infinite at criticality, NaN without a stable fixed point.

    Raises
    ------
    ValueError
        As :func:`fixed_points`.

    Examples
    --------
    >>> import fanin
    >>> scales = fanin.propagation.depth_scales("tanh", weight_var=2.5, bias_var=0.3)
    >>> round(float(scales.xi_c), 1)
    933.4
    """
    return _scales(_solve(as_activation(activation), weight_var, bias_var, 0.0))


@dataclass(frozen=True)
class PhaseDiagram:
    """Fixed points over a grid of parameters; fields have shape (len(weight_var), len(bias_var)).

    Attributes
    ----------
    weight_var, bias_var : ndarray
        The two grids.
    q, c, chi : ndarray
        Stable variance and correlation, growth of gradients.
    phase : ndarray of str
        ``ordered`` (chi < 1), ``chaotic`` (chi > 1), ``critical`` (within 1e-9), ``none`` where
        nothing is stable.
    xi_q, xi_c : ndarray
        Depth scales.
    """

    weight_var: Floats
    bias_var: Floats
    q: Floats
    c: Floats
    chi: Floats
    phase: Strings
    xi_q: Floats
    xi_c: Floats
    activation: Activation

    def plot(self, **options: Any) -> Any:
        """Draw the diagram with matplotlib (an optional extra); returns its axes or figure."""
        from ._pictures import plot_phase_diagram

        return plot_phase_diagram(self, **options)


def phase_diagram(
    activation: ActivationLike, weight_var: ArrayLike, bias_var: ArrayLike
) -> PhaseDiagram:
    """Order and chaos over a grid of weight and bias variances.

    Parameters
    ----------
    activation : str, Activation or callable
    weight_var, bias_var : 1-D array, >= 0
        The two grids.

    Returns
    -------
    PhaseDiagram

    Raises
    ------
    ValueError
        If a grid has more than one axis, or the activation is unknown.

    Examples
    --------
    >>> import fanin
    >>> diagram = fanin.propagation.phase_diagram("tanh", [1.0, 2.0, 3.0], [0.05])
    >>> diagram.phase.ravel().tolist()
    ['ordered', 'chaotic', 'chaotic']
    """
    rows = np.atleast_1d(np.asarray(weight_var, np.float64))
    columns = np.atleast_1d(np.asarray(bias_var, np.float64))
    if rows.ndim != 1 or columns.ndim != 1:
        raise ValueError(
            f"weight_var and bias_var are grids of one axis, got shapes {rows.shape} and "
            f"{columns.shape}"
        )
    own = as_activation(activation)
    stable = _solve(own, rows[:, None], columns, 0.0)
    points, scales = stable.points, _scales(stable)
    chi = points.chi
    phase = np.where(chi < 1, "ordered", "chaotic").astype("<U8")
    phase[np.abs(chi - 1) <= CRITICAL] = "critical"
    phase[np.isnan(chi)] = "none"
    return PhaseDiagram(
        rows, columns, points.q, points.c, chi, phase, scales.xi_q, scales.xi_c, own
    )
