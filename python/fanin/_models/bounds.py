"""The ends of a law in a dtype that the core does not write: float8.

As in the core's own dtypes: a uniform stays below its upper end, a truncated normal within both.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fanin._hints import of_one_number
from fanin._schemes.fans import as_layout
from fanin._schemes.registry import schemes
from fanin._schemes.weight import Weight

from .values import Value

__all__ = ["Ends", "ends_of"]


class Ends(NamedTuple):
    """The outermost numbers of a dtype that a law may give."""

    lowest: float
    highest: float


def ends_of(shape: tuple[int, ...], value: Value, dtype: np.dtype[Any]) -> Ends | None:
    """The ends of a law's values in a dtype of 8 bits; None for a law without ends.

    Raises
    ------
    ValueError
        No number of the dtype lies within them.
    """
    arguments = value.arguments
    if value.scheme == "uniform":
        low, high = float(arguments.get("low", 0.0)), float(arguments.get("high", 1.0))
        if low == high:
            return None
        if _nearest(low, dtype) == _nearest(high, dtype):
            raise ValueError(of_one_number(dtype, low, high))
        return _below(low, high, dtype)
    if value.scheme == "truncated_normal":
        loc, scale = float(arguments.get("loc", 0.0)), float(arguments.get("scale", 1.0))
        low, high = arguments.get("low", -2.0), arguments.get("high", 2.0)
        return _within(loc + scale * low, loc + scale * high, dtype) if scale else None
    row = schemes().get(value.scheme)
    if row is None or row.law is None:
        return None
    given = {name: argument for name, argument in arguments.items() if name != "gain"}
    layout = as_layout(given.pop("layout", "io"))
    parameters = row.read((), given)
    gain = row.read_gain(arguments.get("gain", 1.0), parameters)
    drawn = row.law_and_spread(Weight(shape, layout, gain), parameters)
    if drawn is None:
        return None
    law, spread = drawn
    if law.reach is None:
        return None
    reach = law.reach(spread)
    return (_below if law.name == "uniform" else _within)(-reach, reach, dtype)


def _below(low: float, high: float, dtype: np.dtype[Any]) -> Ends:
    """From `low` as the dtype has it to the largest number below `high`."""
    numbers = _numbers(dtype)
    lowest = _nearest(low, dtype)
    return Ends(lowest, max(lowest, float(numbers[numbers < high].max())))


def _nearest(number: float, dtype: np.dtype[Any]) -> float:
    return float(np.float32(number).astype(dtype))


def _within(low: float, high: float, dtype: np.dtype[Any]) -> Ends:
    """The outermost numbers in [low, high]."""
    numbers = _numbers(dtype)
    inside = numbers[(low <= numbers) & (numbers <= high)]
    if not inside.size:
        raise ValueError(f"no {dtype.name} lies within the bounds of the truncated normal")
    # An end that is infinite or beyond the dtype cuts nothing: overflow is that of the dtype.
    lowest = inside.min() if low >= numbers[0] else -np.inf
    highest = inside.max() if high <= numbers[-1] else np.inf
    return Ends(float(lowest), float(highest))


@lru_cache(maxsize=8)
def _numbers(dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """Every finite number of a dtype of 8 bits, in rising order."""
    every = np.arange(256, dtype=np.uint8).view(dtype).astype(np.float64)
    return np.sort(every[np.isfinite(every)])
