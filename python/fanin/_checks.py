"""Checks of single arguments that every room shares: what came, what is accepted."""

from __future__ import annotations

import math
import operator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike

from fanin._types import Floats


def as_integer(value: SupportsIndex, name: str) -> int:
    """`value` as a Python int; bool and everything that is not an integer is a TypeError."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def as_threads(count: Any) -> int:
    """`threads=` as the core takes it: 0 for None."""
    if count is None:
        return 0
    if isinstance(count, bool):
        raise TypeError(f"threads must be an int of at least 1 or None, got {count!r}")
    number = operator.index(count)
    if not 1 <= number <= 4096:
        raise ValueError(f"threads must be in 1 .. 4096 or None, got {number}")
    return number


def non_negative(name: str, value: Any) -> float:
    """`value` as a finite float >= 0."""
    number = _number(name, value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{name} must be finite and >= 0, got {value!r}")
    return number + 0.0  # -0.0 becomes 0.0




def as_variance(name: str, value: ArrayLike) -> Floats:
    """A variance as float64; a negative one is an error where it stands alone, NaN in an array."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0 and array < 0:
        raise ValueError(f"{name} is a variance (second moment) and must be >= 0, got {value!r}")
    return array


def as_count(value: object, name: str, least: int = 1) -> int:
    """`value` as a Python int of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise ValueError(f"{name} is an int of at least {least}, got {value!r}")
    count = operator.index(value)
    if count < least:
        raise ValueError(f"{name} is an int of at least {least}, got {value!r}")
    return count


def finite(name: str, value: Any) -> float:
    """`value` as a finite float of either sign."""
    number = _number(name, value)
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def _number(name: str, value: Any) -> float:
    if isinstance(value, (str, bytes, bool)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except TypeError:
        raise TypeError(f"{name} must be a number, got {value!r}") from None
