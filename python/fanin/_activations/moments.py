"""Gaussian moments of an activation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fanin import _core
from fanin._types import Floats

from .activation import Activation

# Columns of _core.activation_moments.
MEAN, SECOND, SLOPE_SECOND, SLOPE_FOURTH, CURVATURE_SECOND, GROWTH, VARIANCE, EXCESS = range(8)


def check_slope(activation: Activation) -> None:
    """Refuse an activation that jumps, where a gradient is needed."""
    if np.isinf(moments_at(activation, 1.0, SLOPE_SECOND)[0]):
        raise ValueError(
            f"{activation!r} jumps, so E phi'^2 is infinite: no gradient passes it and there is "
            "nothing to say of one"
        )


def moments_at(activation: Activation, q: ArrayLike, *which: int, threads: int = 0) -> list[Floats]:
    """The moments `which` at each q, each of the shape of q."""
    array = np.asarray(q, dtype=np.float64)
    flat = np.ascontiguousarray(array).reshape(-1)
    rows = _core.activation_moments(activation.handle, flat, which, threads)
    return [row.reshape(array.shape) for row in rows]
