"""Numbers that a caller gives, as float64: what is none says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._hints import short

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_float", "as_floats", "as_reals"]


def as_floats(value: Any, name: str, advice: str = "") -> NDArray[np.float64]:
    """`value` as an array of float64.

    Raises
    ------
    TypeError
        For a str, None, a function, a complex number; `advice` is appended.
    ValueError
        For an int beyond the range of float64, and rows of unequal length.
    """
    return as_reals(value, name, advice).astype(np.float64, copy=False)


def as_reals(value: Any, name: str, advice: str = "") -> NDArray[Any]:
    """`as_floats`, but numbers of at most 64 bits stay as they are, and may be the caller's."""
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be a number or an array of them: {error}") from None
    if array.dtype == object and array.size:
        array = _of_objects(array, name)
    if array.dtype.kind in "USOcmM" or array.dtype.kind == "V" and array.dtype.isbuiltin != 2:
        what = "real number or an array of them"
        raise TypeError(f"{name} must be a {what}, got {short(value)}{advice}")
    if array.dtype.itemsize <= 8:
        return array
    with np.errstate(over="ignore"):  # a long double beyond the range is infinite
        return array.astype(np.float64)


def as_float(value: Any, name: str, advice: str = "") -> float:
    """`value` as a float; an array of one axis or more is a TypeError too."""
    if type(value) is float:
        return value
    array = as_floats(value, name, advice)
    if array.ndim:
        raise TypeError(f"{name} must be one number, got an array of shape {array.shape}")
    return float(array)


def _of_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Python numbers that no dtype of NumPy holds, such as ints of many digits."""
    entries = array.reshape(-1).tolist()
    if any(isinstance(entry, str | bytes) for entry in entries):
        return array
    try:
        return np.array([float(entry) for entry in entries]).reshape(array.shape)
    except OverflowError:
        raise ValueError(f"{name} must be finite, got an int beyond the range of float64") from None
    except (TypeError, ValueError):
        return array
