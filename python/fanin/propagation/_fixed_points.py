"""Fixed points, depth scales, the edge of chaos and phase diagrams."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fanin import _core
from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import GROWTH, SECOND, SLOPE_SECOND, moments_at
from fanin._functions import log
from fanin._hints import short
from fanin._numbers import as_floats
from fanin._public import public
from fanin._types import Floats

Strings = NDArray[np.str_]
Flags = NDArray[np.bool_]

#: |chi - 1| up to which a point counts as critical.
CRITICAL = 1e-9
# Relative error of the variance map, for the error bounds: ten units of rounding.
_MAP_ERROR = 2e-15


@public("fanin.propagation")
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


@public("fanin.propagation")
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


STATUSES = np.array(["unique", "multiple", "zero", "continuum", "none", "nan"])
UNIQUE, MULTIPLE, ZERO, CONTINUUM, NONE, BAD = range(6)


@public("fanin.propagation")
@dataclass(frozen=True)
class Solved:
    """Fixed points of the variance map; all but `shape` are flat, `code` numbers STATUSES."""

    activation: Activation
    shape: tuple[int, ...]
    weight_var: Floats
    keep: Floats
    q: Floats
    slope: Floats
    stable: Flags
    code: NDArray[np.int8]
    roots: Floats
    root_slopes: Floats
    chi: Floats

    def shaped(self, x: Any) -> Any:
        """A flat field as the caller's arrays lie."""
        return x.reshape(self.shape + x.shape[1:])

    @cached_property
    def correlations(self) -> tuple[Floats, Floats]:
        """1 - c* and the slope of the correlation map there."""
        # Without dropout c = 1 is fixed; it attracts if chi <= 1.
        missing = np.where(np.isnan(self.q), np.nan, 0.0)
        slope = self.chi * self.keep
        noisy = self.keep < 1
        wanted = np.isfinite(self.q) & (self.q > 0) & (noisy | (self.chi > 1))
        if wanted.any():
            at, weights, keep = self.q[wanted], self.weight_var[wanted], self.keep[wanted]
            noise = np.zeros_like(at)
            if noisy.any():
                [second] = moments_at(self.activation, at, SECOND)
                noise = weights * second * (1 / keep - 1)
            found = _core.fixed_correlations(self.activation.handle, at, weights, noise, 0)
            missing[wanted], slope[wanted] = found
        return missing, slope


def _parameters(
    weight_var: ArrayLike, bias_var: ArrayLike, dropout: ArrayLike
) -> tuple[Floats, ...]:
    for name, value in (("weight_var", weight_var), ("bias_var", bias_var)):
        if np.ndim(value) == 0 and as_floats(value, name) < 0:
            raise ValueError(f"{name} is a variance and must be >= 0, got {short(value)}")
    if np.ndim(dropout) == 0 and not 0 <= as_floats(dropout, "dropout") < 1:
        raise ValueError(f"dropout is the rate of dropped units, in [0, 1), got {short(dropout)}")
    named = {"weight_var": weight_var, "bias_var": bias_var, "dropout": dropout}
    return tuple(np.broadcast_arrays(*(as_floats(value, name) for name, value in named.items())))


def solve(
    own: Activation, weight_var: ArrayLike, bias_var: ArrayLike, dropout: ArrayLike
) -> Solved:
    """Fixed points of the variance map."""
    sw2, sb2, rate = _parameters(weight_var, bias_var, dropout)
    shape = sw2.shape
    sw2, sb2, rate = (np.ascontiguousarray(x).reshape(-1) for x in (sw2, sb2, rate))
    good = np.isfinite(sw2) & np.isfinite(sb2) & (sw2 >= 0) & (sb2 >= 0) & (rate >= 0) & (rate < 1)
    keep = np.where(good, 1.0 - rate, 1.0)
    weights = np.where(good, sw2, np.nan)
    with np.errstate(over="ignore"):
        forward = weights / keep
    bias = np.where(good, sb2, np.nan)
    roots, slopes = _all_roots(own, forward, bias)
    attracts = np.abs(slopes) < 1

    zero, zero_slope = moments_at(own, 0.0, SECOND, GROWTH)
    from_zero = np.flatnonzero((bias == 0) & (zero == 0))
    if from_zero.size or roots.shape[1] == 0:
        # One more column: lanes with the root 0 begin with it.
        none = np.full((sw2.size, 1), np.nan)
        roots, slopes = np.hstack([roots, none]), np.hstack([slopes, none])
        attracts = np.hstack([attracts, np.zeros(none.shape, bool)])
        for table in (roots, slopes, attracts):
            table[from_zero, 1:] = table[from_zero, :-1]
        slope = forward[from_zero] * float(zero_slope)
        roots[from_zero, 0], slopes[from_zero, 0] = 0.0, slope
        # A slope of exactly 1 attracts if the map lies below the diagonal beside it.
        [beside] = moments_at(own, 1e-3, SECOND)
        level = (np.abs(slope - 1) < 1e-14) & (forward[from_zero] * float(beside) < 1e-3)
        attracts[from_zero, 0] = (slope < 1) | level
        if roots.shape[1] > 1 and not np.isfinite(roots[:, -1]).any():
            roots, slopes, attracts = roots[:, :-1], slopes[:, :-1], attracts[:, :-1]

    # The smallest root that attracts.
    q, slope = np.full(sw2.size, np.nan), np.full(sw2.size, np.nan)
    for column in reversed(range(roots.shape[1])):
        here = attracts[:, column]
        q[here], slope[here] = roots[here, column], slopes[here, column]
    stable = ~np.isnan(q)
    code = np.where((roots > 0).sum(axis=1) > 1, np.int8(MULTIPLE), np.int8(UNIQUE))
    code[q == 0] = ZERO
    code[~stable] = NONE
    if own.degree == 1:
        [unit] = moments_at(own, 1.0, SECOND)
        everywhere = (bias == 0) & (np.abs(forward * float(unit) - 1) <= 4e-16)
        q[everywhere] = slope[everywhere] = 1.0
        code[everywhere], stable[everywhere] = CONTINUUM, False
        roots[everywhere] = slopes[everywhere] = np.nan
    code[~good] = BAD
    [slope_second] = moments_at(own, q, SLOPE_SECOND)
    with np.errstate(invalid="ignore"):  # nothing times the endless slope of a step
        chi = forward * slope_second
    return Solved(own, shape, weights, keep, q, slope, stable, code, roots, slopes, chi)


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
    solved = solve(as_activation(activation), weight_var, bias_var, dropout)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(solved.q == 0, 0.0, _MAP_ERROR * solved.q / np.abs(1 - solved.slope))
    missing, _ = solved.correlations
    return FixedPoints(
        q=solved.shaped(solved.q),
        slope=solved.shaped(solved.slope),
        stable=solved.shaped(solved.stable),
        status=solved.shaped(STATUSES[solved.code]),
        roots=solved.shaped(solved.roots),
        root_slopes=solved.shaped(solved.root_slopes),
        c=solved.shaped(1.0 - missing),
        chi=solved.shaped(solved.chi),
        error=solved.shaped(error),
    )


def depth_scale(slope: Floats) -> Floats:
    """|1 / ln slope|: 0 at 0, infinite at 1 and NaN for a slope below 0."""
    usable = (slope > 0) & (slope < np.inf)
    value = log(np.where(usable, slope, 1.0))
    with np.errstate(divide="ignore"):
        scale = np.abs(1 / value)
    return np.where(usable, scale, np.where((slope == 0) | (slope == np.inf), 0.0, np.nan))


def _scales(solved: Solved) -> DepthScales:
    slope = np.minimum(solved.correlations[1], 1.0)
    found = (depth_scale(x) for x in (np.abs(solved.slope), slope, solved.chi))
    return DepthScales(*(solved.shaped(x) for x in found))


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
    return _scales(solve(as_activation(activation), weight_var, bias_var, 0.0))
