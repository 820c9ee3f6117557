"""The edge of chaos: where the slope of the correlation map at c = 1 is exactly 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fanin._activations.activation import Activation, ActivationLike, as_activation
from fanin._activations.moments import EXCESS, GROWTH, SECOND, SLOPE_SECOND, moments_at
from fanin._checks import as_variance
from fanin._public import public
from fanin._types import Floats

Strings = NDArray[np.str_]

# Bisections that bring an interval of ratio 9/8 to neighbouring doubles.
_BISECTIONS = 56
_TOGETHER = 4096
# A bias variance below this part of q is the rounding of q - E phi^2 / E phi'^2.
_ROUNDING = 1e-15


@public("fanin.propagation")
@dataclass(frozen=True)
class Critical:
    """A point of the edge of chaos; each field has the shape of the given parameter.

    Attributes
    ----------
    weight_var, bias_var, q : ndarray
        Where chi = 1 and V(q) = q; NaN if there is no such point.
    slope : ndarray
        dV/dq there. Beyond 1 the point repels: no depth leads to it.
    stable : ndarray of bool
        Whether |slope| < 1.
    status : ndarray of str
        ``unique``, ``multiple`` (the one of smallest q is given), ``zero`` (at q = 0),
        ``continuum`` (every q; 1 is given), ``none`` or ``nan`` (bad parameter).
    """

    weight_var: Floats
    bias_var: Floats
    q: Floats
    slope: Floats
    stable: NDArray[np.bool_]
    status: Strings


def critical(
    activation: ActivationLike,
    *,
    bias_var: ArrayLike | None = None,
    q: ArrayLike | None = None,
    weight_var: ArrayLike | None = None,
) -> Critical:
    """The point of the edge of chaos with a given bias variance, q, or weight variance.

    weight_var = 1 / E phi'(u)^2,  bias_var = q - E phi(u)^2 / E phi'(u)^2 >= 0,  u ~ N(0, q)

    Parameters
    ----------
    activation : str, Activation or callable
        See :class:`fanin.Activation`.
    bias_var, q, weight_var : array, >= 0
        Exactly one of them.

    Returns
    -------
    Critical

    Raises
    ------
    TypeError
        Unless exactly one of the three is given.
    ValueError
        Unknown activation; a negative value that stands alone (in an array: status ``nan``).

    Notes
    -----
    For tanh-like activations bias_var is near (4/3) q^3. It is computed from phi - phi'(0) u, of
    which q E phi'^2 - E phi^2 is the same: its relative error is about 1e-15 / q.

    References
    ----------
    Schoenholz et al. 2017; Hayou et al. 2019, algorithm 1.

    Examples
    --------
    >>> import fanin
    >>> point = fanin.propagation.critical("tanh", bias_var=0.05)
    >>> round(float(point.weight_var), 4), round(float(point.q), 4), bool(point.stable)
    (1.761, 0.57, True)
    >>> str(fanin.propagation.critical("softplus", bias_var=0.1).status)
    'none'
    """
    own = as_activation(activation)
    given = {"bias_var": bias_var, "q": q, "weight_var": weight_var}
    chosen = {name: value for name, value in given.items() if value is not None}
    if len(chosen) != 1:
        raise TypeError(
            f"critical() takes exactly one of bias_var, q and weight_var, got {len(chosen)}"
        )
    [(name, value)] = chosen.items()
    array = as_variance(name, value)
    flat = array.reshape(-1)
    good = np.isfinite(flat) & (flat >= 0)
    if own.degree == 1:
        found = _homogeneous(own, name, flat)
    elif name == "q":
        found = flat, np.ones(flat.shape, np.int64)
    elif name == "bias_var":
        found = _roots(own, flat, _bias_of)
    else:
        with np.errstate(divide="ignore"):
            found = _roots(own, 1 / flat, lambda excess, slopes: slopes)
    return _assemble(own, name, flat, found[0], found[1], good, array.shape)


def half_stable(activation: ActivationLike) -> Critical:
    """The point of the edge of chaos where the variance is critical too: dV/dq = chi = 1.

    There perturbations along a signal and across it neither grow nor shrink to first order
    (chi_parallel = chi_perpendicular = 1, Roberts, Yaida & Hanin 2022, section 5.3.4): the variance
    is attracted from one side and leaves to the other, slowly. GELU and SiLU have such a point.

    Parameters
    ----------
    activation : str, Activation or callable
        Not homogeneous: of those every critical point is of this kind.

    Returns
    -------
    Critical
        Of the smallest such q; status ``unique``, ``multiple`` or ``none``.

    Raises
    ------
    ValueError
        Unknown activation.

    Examples
    --------
    >>> import fanin
    >>> point = fanin.propagation.half_stable("gelu")
    >>> round(float(point.weight_var), 8), round(float(point.bias_var), 8)
    (1.98305826, 0.17292239)
    """
    own = as_activation(activation)
    if own.degree == 1:
        return critical(own, q=1.0)
    steps = np.arange(641)
    grid = (1 + steps % 8 / 8) * np.ldexp(1.0, steps // 8 - 40)

    def beyond(q: Floats) -> Floats:
        """dV/dq - 1 on the critical line, and NaN where it has no bias variance."""
        growth, slopes, excess = moments_at(own, q, GROWTH, SLOPE_SECOND, EXCESS)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(_bias_of(excess, slopes) >= 0, growth / slopes - 1, np.nan)

    # A difference of 1e-9 could be that of rounding, where phi is straight.
    values = beyond(grid)
    sure = np.abs(values) > 1e-9
    crosses = sure[1:] & sure[:-1] & ((values[1:] > 0) != (values[:-1] > 0))
    [places] = np.nonzero(crosses)
    if not places.size:
        nothing = np.full((), np.nan)
        return Critical(nothing, nothing, nothing, nothing, np.array(False), np.array("none"))
    low, high = grid[places[:1]], grid[places[:1] + 1]
    rising = values[places[0]] < 0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        before = (beyond(middle) < 0) == rising
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    found = critical(own, q=float(0.5 * (low[0] + high[0])))
    status = np.array("multiple" if places.size > 1 else "unique")
    return replace(found, status=status, stable=np.array(False))


def _bias_of(excess: Floats, slopes: Floats) -> Floats:
    """q - E phi^2 / E phi'^2, from its numerator over E phi'^2."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.isfinite(slopes), excess / slopes, np.nan)


def _homogeneous(own: Activation, name: str, flat: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """One point, weight_var = 1 / E phi^2 at q = 1 and bias_var = 0, for every q."""
    if name == "q":
        return flat, np.full(flat.shape, -1)
    [unit] = moments_at(own, 1.0, SECOND)
    wanted = 0.0 if name == "bias_var" else 1 / float(unit)
    hit = np.abs(flat - wanted) <= 4e-16 * wanted
    return np.where(hit, 1.0, np.nan), np.where(hit, -1, 0)


def _roots(
    own: Activation, target: Floats, function: Callable[[Floats, Floats], Floats]
) -> tuple[Floats, NDArray[np.int64]]:
    """Smallest q with function(q) = target and bias variance >= 0, and how many there are."""
    roots, counts = np.empty(target.shape), np.empty(target.shape, np.int64)
    # Some lanes at a time: all beside the whole grid would take much memory, and hear no signal.
    for first in range(0, target.size, _TOGETHER):
        some = slice(first, first + _TOGETHER)
        roots[some], counts[some] = _some_roots(own, target[some], function)
    return roots, counts


def _some_roots(
    own: Activation, target: Floats, function: Callable[[Floats, Floats], Floats]
) -> tuple[Floats, NDArray[np.int64]]:
    steps = np.arange(641)
    grid = (1 + steps % 8 / 8) * np.ldexp(1.0, steps // 8 - 40)
    excess, slopes = moments_at(own, grid, EXCESS, SLOPE_SECOND)
    values = function(excess, slopes)
    bias = _bias_of(excess, slopes)
    possible = bias > -_ROUNDING * grid
    above = values[:, None] >= target  # (grid, lanes)
    with np.errstate(invalid="ignore"):
        crosses = (above[1:] != above[:-1]) & np.isfinite(values[1:] - values[:-1])[:, None]
    crosses &= (possible[1:] | possible[:-1])[:, None]
    count = crosses.sum(axis=0)
    at = crosses.argmax(axis=0)
    low, high, rising = grid[at], grid[at + 1], ~above[at, np.arange(target.size)]
    for _ in range(_BISECTIONS):
        middle = np.sqrt(low) * np.sqrt(high)
        inner = function(*moments_at(own, middle, EXCESS, SLOPE_SECOND))
        before = (inner < target) == rising
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    root = np.where(count > 0, 0.5 * (low + high), np.nan)
    # q = 0 is on the line wherever phi(0) = 0.
    zero = np.zeros(1)
    excess, slopes = moments_at(own, zero, EXCESS, SLOPE_SECOND)
    if excess[0] == 0 and slopes[0] > 0:
        at_zero = function(excess, slopes)[0] == target
        root, count = np.where(at_zero, 0.0, root), np.where(at_zero, 1, count)
    return root, count


def _assemble(
    own: Activation,
    name: str,
    given: Floats,
    q: Floats,
    count: NDArray[np.int64],
    good: NDArray[np.bool_],
    shape: tuple[int, ...],
) -> Critical:
    at = np.where(good, q, np.nan)
    excess, slopes, growth = moments_at(own, at, EXCESS, SLOPE_SECOND, GROWTH)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        weight_var = given if name == "weight_var" else 1 / slopes
        bias_var = given if name == "bias_var" else _bias_of(excess, slopes)
        if own.degree == 1:
            bias_var = np.zeros_like(at)
        tiny = (bias_var < 0) & (bias_var >= -_ROUNDING * at)
        bias_var = np.where(tiny, 0.0, bias_var)
        possible = np.isfinite(weight_var) & (bias_var >= 0) & np.isfinite(at)
        slope = weight_var * growth
    status = np.where(count > 1, "multiple", "unique").astype("<U9")
    status[at == 0] = "zero"
    status[count < 0] = "continuum"
    status[~possible] = "none"
    status[~good] = "nan"

    def kept(x: Floats) -> Floats:
        return np.where(possible, x, np.nan).reshape(shape)

    return Critical(
        weight_var=kept(weight_var),
        bias_var=kept(bias_var),
        q=kept(at),
        slope=kept(slope),
        stable=(possible & (np.abs(slope) < 1)).reshape(shape),
        status=status.reshape(shape),
    )
