"""Gaussian moments of an activation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fanin import _core
from fanin._types import Floats

from .activation import Activation

# Columns of _core.activation_moments.
MEAN, SECOND, SLOPE_SECOND, SLOPE_FOURTH, CURVATURE_SECOND, GROWTH, VARIANCE, EXCESS = range(8)


#: A relative error of a user's moments with which there is nothing to say.
_WORST = 0.01


def check_slope(activation: Activation) -> None:
    """Refuse an activation that jumps, where a gradient is needed."""
    if np.isinf(moments_at(activation, 1.0, SLOPE_SECOND)[0]):
        raise ValueError(
            f"{activation!r} jumps, so E phi'^2 is infinite: no gradient passes it and there is "
            "nothing to say of one"
        )


def check_moments(activation: Activation) -> None:
    """Refuse an activation without finite moments at variance 1, where they are to be relied on."""
    error = activation.error(1.0)
    if not error < _WORST:
        raise ValueError(
            f"{activation!r} has no moments at variance 1 that could be relied on: the relative "
            f"error of E phi^2 is {error:.3g} (infinite where it grows too fast, NaN where its "
            "values are no numbers)"
        )


def moments_at(activation: Activation, q: ArrayLike, *which: int, threads: int = 0) -> list[Floats]:
    """The moments `which` at each q, each of the shape of q."""
    array = np.asarray(q, dtype=np.float64)
    flat = np.ascontiguousarray(array).reshape(-1)
    rows = _core.activation_moments(activation.handle, flat, which, threads)
    return [row.reshape(array.shape) for row in rows]
