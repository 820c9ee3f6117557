"""A draw: a law and its parameters, checked and cut to the part that is wanted."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from fanin import _core
from fanin._arrays.kinds import KINDS
from fanin._arrays.targets import Target
from fanin._floating_point import steady
from fanin._numbers import as_reals

from .blocks import all_of, local_blocks

_DOUBLE = 1  # the core's Element of float64
_HALF_ROOT = 0.7071067811865476  # sqrt(1/2), whatever the rounding at import


class Draw(NamedTuple):
    """A law and its parameters, checked against the destination; writing it cannot be refused any
    more."""

    law: str
    parameters: tuple[Any, ...]  # floats, or arrays that broadcast to the part that is wanted

    def write(self, goal: Target, key: bytes, first: int, threads: int, id: int = 0) -> None:
        """Fills `goal`; `first` is the address of element 0 of the full array, `id` counts the
        jumps of a BitGenerator."""
        kind = KINDS[goal.array.dtype]
        where: dict[str, Any] = {
            "element": kind.element,
            "complex": kind.complex,
            "key": key,
            "id": id,
            "array": goal.array,
            "first": first + goal.part.first,
            "steps": goal.part.steps,
            "threads": threads,
        }
        if not _differ(self.parameters):
            scalars = _arguments(self.law, self.parameters, goal.array.dtype)
            _core.fill(self.law, scalars, **where, fresh=goal.fresh)
            return
        begin = 0
        for block in local_blocks(self.parameters, goal):
            _core.fill_each(self.law, _columns(self.law, block, goal.array.dtype), begin, **where)
            begin += len(block[0])


def prepare(
    law: str, parameters: tuple[Any, ...], goal: Target, check: Callable[..., None] | None = None
) -> Draw:
    """`parameters` are floats, or arrays that broadcast to the result's shape; a loc may be
    complex.

    `check` is called with the parameters of some elements and the dtype before anything is written.
    """
    dtype = goal.array.dtype
    if not _differ(parameters):
        if check is not None:
            check(*parameters, dtype)
        if law == "truncated_normal" and goal.array.size:
            _core.check_each(law, [np.array([p]) for p in parameters], KINDS[dtype].element)
        return Draw(law, parameters)
    parameters = tuple(goal.apart(p) if isinstance(p, np.ndarray) else p for p in parameters)
    for block in local_blocks(parameters, goal):
        if check is not None:
            check(*block, dtype)
        if law == "truncated_normal":
            _core.check_each(law, _columns(law, block, dtype), KINDS[dtype].element)
    return Draw(law, parameters)


def _differ(parameters: tuple[Any, ...]) -> bool:
    """Whether elements have parameters of their own."""
    return any(isinstance(p, np.ndarray) for p in parameters)


def _arguments(law: str, parameters: tuple[Any, ...], dtype: np.dtype[Any]) -> tuple[Any, ...]:
    """Parameters, all floats or all columns, as the core takes them."""
    kind = KINDS[dtype]
    if law == "uniform" and kind.element != _DOUBLE:
        low, high = parameters
        return low, _where(ends_meet(low, high, dtype), low, high)
    if not kind.complex:
        return parameters
    loc, scale = parameters[0], _half_power(parameters[1])
    if not isinstance(scale, np.ndarray):
        return loc.real, scale, loc.imag
    return np.stack([loc.real, loc.imag], axis=-1), np.stack([scale, scale], axis=-1)


def _columns(law: str, block: tuple[Any, ...], dtype: np.dtype[Any]) -> list[Any]:
    """The arguments of a block of elements, contiguous: the core converts nothing, because NumPy
    lets go of the interpreter's lock in a copy and a thread must not end within the binding."""
    return [np.ascontiguousarray(a, np.float64) for a in _arguments(law, block, dtype)]


def ends_meet(low: Any, high: Any, dtype: np.dtype[Any]) -> Any:
    """Whether low < high round to one number of the dtype: then nothing of it lies between."""
    compute = KINDS[dtype].compute
    with np.errstate(over="ignore", under="ignore"):
        ends = [np.asarray(end, np.float64).astype(compute).astype(dtype) for end in (low, high)]
    return np.less(low, high) & (ends[0] == ends[1])


def _where(chosen: Any, there: Any, elsewhere: Any) -> Any:
    if not np.any(chosen):
        return elsewhere
    return there if np.ndim(chosen) == 0 else np.where(chosen, there, elsewhere)


def parameter(value: Any, name: str, complex_allowed: bool = False) -> Any:
    """A float (or complex) or an array of them; anything else is a TypeError.

    An array keeps a dtype that has no more than the digits of float64, and may be the caller's.
    """
    if type(value) is float:
        return value
    if complex_allowed and np.iscomplexobj(value):
        array = np.asarray(value)
        narrow = array.dtype.itemsize <= 16
        return complex(array) if array.ndim == 0 else array.astype(np.complex128, copy=not narrow)
    array = as_reals(value, name)
    return float(array) if array.ndim == 0 else array


@steady
def _half_power(scale: Any) -> Any:
    """The scale of a real or imaginary part, which carry half the variance each."""
    return scale * _HALF_ROOT


def require_finite(value: Any, name: str) -> None:
    """ValueError for NaN and infinities."""
    if not (math.isfinite(value) if isinstance(value, float) else all_of(np.isfinite, value)):
        raise ValueError(f"{name} must be finite, got {value}")


def require_scale(scale: Any) -> None:
    require_finite(scale, "scale")
    if not all_of(lambda part: part >= 0, scale):
        raise ValueError(f"scale < 0: it is a standard deviation, got {scale}")


def require_range(low: Any, high: Any, dtype: np.dtype[Any]) -> None:
    """ValueError for low > high, OverflowError for a range beyond the compute type."""
    with np.errstate(over="ignore", invalid="ignore"):
        span = np.subtract(high, low)
        limit = float(np.finfo(KINDS[dtype].compute).max)
        if not np.all(np.isfinite(span) & (np.abs(span) <= limit)):
            raise OverflowError("high - low range exceeds valid bounds")
    if not np.all(span >= 0):
        raise ValueError(f"high - low < 0: low is {low}, high is {high}")


def require_bounds(low: Any, high: Any) -> None:
    """Bounds of a truncated normal, in units of scale; infinite ones are allowed."""
    if not np.all(np.less(low, high)):
        raise ValueError(f"truncated_normal needs low < high, got low {low}, high {high}")
