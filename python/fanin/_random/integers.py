"""Bounds of `Generator.integers`, checked in NumPy's words and made exact: any two numbers that fit
the dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from fanin._arrays.kinds import numpys

#: dtype -> the core's Element; a bool is a byte that is 0 or 1.
INTEGERS: dict[np.dtype[Any], int] = {
    np.dtype(name): 4 + place
    for place, names in enumerate(
        (("bool", "int8", "uint8"), ("int16", "uint16"), ("int32", "uint32"), ("int64", "uint64"))
    )
    for name in names
}
TILE = 16  # integers made from one tile: two words each, whatever the dtype
_WORD = 1 << 64


def as_integer_dtype(dtype: Any) -> np.dtype[Any]:
    """`dtype` as one of `INTEGERS`, in NumPy's words where it is refused."""
    found = numpys(dtype)
    if found in INTEGERS:
        return found
    if found.kind in "iu" and not found.isnative:
        raise ValueError(
            "Providing a dtype with a non-native byteorder is not supported. If you require "
            "platform-independent byteorder, call byteswap when required."
        )
    names = ", ".join(d.name for d in INTEGERS)
    raise TypeError(f"Unsupported dtype {found!r} for integers; accepted: {names}")


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Smallest and largest value of the dtype."""
    if dtype.kind == "b":
        return 0, 1
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def held_integers(value: Any) -> Any:
    """An int, or an array of numbers of at most 64 bits, or of Python's ints."""
    array = np.asarray(value)
    if array.ndim == 0:
        return int(array.item())
    return array if array.dtype.kind in "biuf" and array.itemsize <= 8 else _exact(array)


def _exact(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """int64 where that is certain to hold the numbers, else Python's ints."""
    small = array.dtype.kind in "bi" or array.dtype.kind == "u" and array.itemsize < 8
    if small or not array.size or array.dtype.kind in "uf" and (abs(array) < 2.0**63).all():
        return array.astype(np.int64)
    exact = [int(entry) for entry in array.reshape(-1).tolist()]
    result = np.empty(len(exact), object)
    result[:] = exact
    return result.reshape(array.shape)


def refuse_bounds(low: Any, high: Any, dtype: np.dtype[Any], endpoint: bool) -> None:
    """ValueError in NumPy's words for bounds (ints or arrays that are `held_integers`) that do not
    fit the dtype or have no value in between."""
    low, high = (_exact(v) if isinstance(v, np.ndarray) else v for v in (low, high))
    smallest, largest = limits(dtype)
    if np.any(np.less(low, smallest)):
        raise ValueError(f"low is out of bounds for {dtype.name}")
    if np.any(np.greater(high, largest if endpoint else largest + 1)):
        raise ValueError(f"high is out of bounds for {dtype.name}")
    if np.any(np.greater(low, high) if endpoint else np.greater_equal(low, high)):
        if not np.any(low):
            raise ValueError("high < 0" if endpoint else "high <= 0")
        raise ValueError("low > high" if endpoint else "low >= high")


def low_and_span(low: int, high: int, endpoint: bool) -> tuple[int, int]:
    """The lowest value and how many there are, both modulo 2**64."""
    return low % _WORD, (high - low + endpoint) % _WORD


def low_and_last(
    low: Any, high: Any, dtype: np.dtype[Any], endpoint: bool
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The lowest and the last value of bounds that are not refused, as new arrays of the dtype."""
    first, end = (_exact(np.asarray(value)) for value in (low, high))
    return first.astype(dtype), np.asarray(end if endpoint else end - 1).astype(dtype)
