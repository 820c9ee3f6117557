"""Elementary functions of float64 arrays, the same bits on every machine: the core's, everywhere.

NumPy's own depend on the machine, so nothing that ends in a weight may use them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fanin import _core

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

#: e^x is below the smallest double below the first and infinite above the second.
_EXP_RANGE = -745.0, 709.782712893384
_LOG_2 = 0.6931471805599453


def exp(x: ArrayLike) -> NDArray[np.float64]:
    """e^x of every float64."""
    x = np.asarray(x, np.float64)
    lowest, highest = _EXP_RANGE
    inside = np.where((x >= lowest) & (x <= highest), x, 0.0)
    made = np.where(x < lowest, 0.0, np.where(x > highest, np.inf, _core.math_exp(inside)))
    return np.where(np.isnan(x), x, made)


def log(x: ArrayLike) -> NDArray[np.float64]:
    """Natural logarithm of every float64; nan below 0."""
    x = np.asarray(x, np.float64)
    tiny = x < np.finfo(np.float64).tiny  # the core takes normal numbers: scale up by 2^54
    scaled = x * np.where(tiny, 2.0**54, 1.0)
    inside = np.where((scaled > 0.0) & (scaled < np.inf), scaled, 1.0)
    made = _core.math_log(inside)
    made = np.where(tiny, made - 54.0 * _LOG_2, made)
    made = np.where(x == 0.0, -np.inf, np.where(x == np.inf, np.inf, made))
    return np.where((x < 0.0) | np.isnan(x), np.nan, made)


def power(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """x^y for finite x > 0."""
    return np.asarray(_core.math_pow(x, y))


def upper_tail(x: ArrayLike) -> NDArray[np.float64]:
    """P(Z > x) of the unit normal, at every x."""
    return np.asarray(_core.math_upper_tail(x))
