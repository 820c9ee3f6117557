"""The largest singular value that one weight is expected to have."""

from __future__ import annotations

import math

from fanin._checks import as_count, non_negative
from fanin._functions import power
from fanin._hints import short
from fanin._modes import as_mode, divisor

__all__ = ["largest_singular_value"]

#: Mean and variance of the law of Tracy and Widom for real matrices (Bornemann 2010).
_MEAN, _VARIANCE = -1.2065335745820, 1.6077810345810


def largest_singular_value(
    fan_in: int,
    fan_out: int,
    *,
    weight_var: float = 1.0,
    mode: str = "fan_in",
    weights: str = "gaussian",
) -> float:
    """Expected largest singular value of one weight at the start: its spectral norm.

    Gaussian entries of variance weight_var/N: with m, n = fan_in - 1/2, fan_out - 1/2 the largest
    eigenvalue of W W^T is (sqrt m + sqrt n)^2 plus (sqrt m + sqrt n)(1/sqrt m + 1/sqrt n)^(1/3)
    times the law of Tracy and Widom (Johnstone 2001, Ma 2012); its root is expected here, to
    relative terms of n^(-4/3). A (semi-)orthogonal weight has one singular value for all.

    Parameters
    ----------
    fan_in, fan_out : int, >= 1
        Sides of the weight as a matrix.
    weight_var : float, >= 0
        N times the variance of an entry.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo"}
        N.
    weights : {"gaussian", "orthogonal"}

    Returns
    -------
    float

    Raises
    ------
    ValueError
        For a side below 1, a negative variance, another mode or law.

    Examples
    --------
    >>> import fanin
    >>> p = fanin.propagation
    >>> round(p.largest_singular_value(512, 512), 4), round(p.largest_singular_value(512, 128), 4)
    (1.9871, 1.4848)
    >>> p.largest_singular_value(512, 128, weights="orthogonal")
    1.0
    """
    columns, rows = as_count(fan_in, "fan_in"), as_count(fan_out, "fan_out")
    scale = non_negative("weight_var", weight_var) / divisor(as_mode(mode), columns, rows)
    if weights == "orthogonal":
        return math.sqrt(scale * max(columns, rows))
    if weights != "gaussian":
        raise ValueError(f"weights is one of 'gaussian', 'orthogonal', got {short(weights)}")
    a, b = math.sqrt(columns - 0.5), math.sqrt(rows - 0.5)
    width = (a + b) * float(power(1 / a + 1 / b, 1 / 3))
    mean = (a + b) * (a + b) + width * _MEAN
    # E sqrt(x) = sqrt(E x) (1 - Var x/(8 (E x)^2))
    return math.sqrt(scale * mean) * (1 - _VARIANCE * width * width / (8 * mean * mean))
