"""A draw: a law and its parameters, checked and cut to the part that is wanted."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from fanin import _core
from fanin._arrays.kinds import KINDS
from fanin._arrays.targets import Target
from fanin._floating_point import steady

_HALF_ROOT = 0.7071067811865476  # sqrt(1/2), whatever the rounding at import


class Draw(NamedTuple):
    """A law and its parameters, checked against the destination; writing it cannot be refused any
    more."""

    law: str
    scalars: tuple[float, ...] | None
    columns: list[np.ndarray[Any, Any]]  # one parameter an element, if they are not all scalars

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
        if self.scalars is None:
            _core.fill_each(self.law, self.columns, **where)
        else:
            _core.fill(self.law, self.scalars, **where, fresh=goal.fresh)


def prepare(law: str, parameters: tuple[Any, ...], goal: Target) -> Draw:
    """`parameters` are floats, or arrays that broadcast to the result's shape; a loc may be
    complex."""
    kind = KINDS[goal.array.dtype]
    if not any(isinstance(p, np.ndarray) for p in parameters):
        if kind.complex:
            loc, scale = parameters
            parameters = (loc.real, _half_power(scale), loc.imag)
        if law == "truncated_normal" and goal.array.size:
            _core.check_each(law, [np.array([p]) for p in parameters], kind.element)
        return Draw(law, parameters, [])
    full = [np.broadcast_to(p, goal.array.shape) for p in parameters]
    if kind.complex:
        loc, scale = full
        full = [
            np.stack([loc.real, loc.imag], axis=-1),
            np.stack([_half_power(scale)] * 2, axis=-1),
        ]
    columns = [np.ascontiguousarray(c, np.float64) for c in full]
    if law == "truncated_normal" and goal.array.size:
        _core.check_each(law, columns, kind.element)
    return Draw(law, None, columns)


def parameter(value: Any, name: str, complex_allowed: bool = False) -> Any:
    """A float (or complex) or an array of them; anything else is a TypeError."""
    if type(value) is float:
        return value
    array = np.asarray(value)
    if array.dtype.kind == "c" and complex_allowed:
        return complex(array) if array.ndim == 0 else array.astype(np.complex128)
    if array.dtype.kind not in "biuf" and array.dtype not in KINDS or array.dtype.kind == "c":
        raise TypeError(f"{name} must be a real number or an array of them, got {value!r}")
    return float(array) if array.ndim == 0 else array.astype(np.float64)


@steady
def _half_power(scale: Any) -> Any:
    """The scale of a real or imaginary part, which carry half the variance each."""
    return scale * _HALF_ROOT


def localise(value: Any, goal: Target, name: str) -> Any:
    """The elements of a broadcast parameter that belong to the part of the array that is wanted."""
    if not isinstance(value, np.ndarray):
        return value
    full = goal.shape
    sizes = (1,) * (len(full) - value.ndim) + value.shape
    if len(sizes) > len(full) or any(s not in (1, n) for s, n in zip(sizes, full, strict=True)):
        raise ValueError(f"{name} of shape {value.shape} does not broadcast to the shape {full}")
    value = value.reshape(sizes)
    part = goal.part
    if part.axes is not None:
        return value[
            tuple(
                (slice(None) if s == 1 else _as_slice(r)) if kept else (0 if s == 1 else r.start)
                for s, r, kept in zip(sizes, part.axes, part.kept, strict=True)
            )
        ]
    assert part.flat is not None  # a Part has axes or a flat run
    at = np.arange(part.flat.start, part.flat.stop, dtype=np.int64)
    where = []
    for s, n in zip(reversed(sizes), reversed(full), strict=True):
        where.append(at % n if s != 1 else np.zeros_like(at))
        at = at // n
    return value[tuple(reversed(where))]


def _as_slice(r: range) -> slice:
    return slice(r.start, r.stop if r.stop >= 0 else None, r.step) if len(r) else slice(0, 0)


def require_finite(value: Any, name: str) -> None:
    """ValueError for NaN and infinities."""
    if not (math.isfinite(value) if isinstance(value, float) else np.isfinite(value).all()):
        raise ValueError(f"{name} must be finite, got {value}")


def require_scale(scale: Any) -> None:
    require_finite(scale, "scale")
    if not (scale >= 0 if isinstance(scale, float) else (scale >= 0).all()):
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
