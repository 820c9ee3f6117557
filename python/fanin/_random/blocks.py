"""Parameters that differ by element, a bounded number of elements at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fanin._arrays.targets import Target

_BLOCK = 1 << 15  # elements whose parameters are held as float64 at a time
_WIDE: dict[str, Any] = {"c": np.complex128}  # by kind of dtype; else float64


def blocks(
    values: tuple[Any, ...], shape: tuple[int, ...] | None = None, exact: bool = False
) -> Iterator[tuple[np.ndarray[Any, Any], ...]]:
    """The elements of values that broadcast, in C order, a bounded number at a time: 1-D arrays,
    valid until the next are asked for, of float64 (complex128), or as they are if `exact`."""
    arrays = [np.asarray(value) for value in values]
    dtypes = [a.dtype if exact else _WIDE.get(a.dtype.kind, np.float64) for a in arrays]
    steps = np.nditer(
        arrays, ["external_loop", "buffered", "zerosize_ok", "refs_ok"],
        [["readonly"]] * len(arrays), dtypes, "C", "same_kind", itershape=shape, buffersize=_BLOCK,
    )  # fmt: skip
    with steps:
        for block in steps:
            yield block if isinstance(block, tuple) else (block,)


def all_of(holds: Callable[[Any], Any], value: Any) -> bool:
    """Whether it holds for a number, or for all elements of an array, some at a time."""
    if not isinstance(value, np.ndarray):
        return bool(holds(value))
    return all(holds(block).all() for (block,) in blocks((value,)))


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
    if part.axes is None:
        return value  # `local_blocks` takes the run out of it
    return value[
        tuple(
            (slice(None) if s == 1 else _as_slice(r)) if kept else (0 if s == 1 else r.start)
            for s, r, kept in zip(sizes, part.axes, part.kept, strict=True)
        )
    ]


def _as_slice(r: range) -> slice:
    return slice(r.start, r.stop if r.stop >= 0 else None, r.step) if len(r) else slice(0, 0)


def local_blocks(
    parameters: tuple[Any, ...], goal: Target
) -> Iterator[tuple[np.ndarray[Any, Any], ...]]:
    """`blocks` of parameters that are localised, over the elements of `goal`."""
    run = goal.part.flat
    if run is None:
        yield from blocks(parameters, goal.array.shape)
        return
    for begin in range(run.start, run.stop, _BLOCK):
        at = np.arange(begin, min(begin + _BLOCK, run.stop), dtype=np.int64)
        run_of = [_gathered(p, at, goal.shape) for p in parameters]
        yield from blocks(tuple(run_of), at.shape)


def _gathered(value: Any, at: np.ndarray[Any, Any], full: tuple[int, ...]) -> Any:
    """The elements at places `at` of the flattened array of an array that broadcasts to `full`."""
    if not isinstance(value, np.ndarray):
        return value
    where = []
    for s, n in zip(reversed(value.shape), reversed(full), strict=True):
        where.append(at % n if s != 1 else np.zeros_like(at))
        at = at // n
    return value[tuple(reversed(where))]
