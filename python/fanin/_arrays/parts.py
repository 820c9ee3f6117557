"""`index=`: which elements of the full array are wanted."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from fanin._hints import short
from fanin._public import public


class FlatRun(NamedTuple):
    """`fanin.flat[start:stop]`."""

    start: Any
    stop: Any

    def __reduce__(self) -> tuple[Any, ...]:
        return flat.__getitem__, (slice(self.start, self.stop),)


@public("fanin")
class _Flat:
    """``fanin.flat[start:stop]``: as `index=`, a run of the flattened array (1-D, step 1)."""

    def __getitem__(self, run: slice) -> FlatRun:
        if not isinstance(run, slice):
            raise TypeError(f"fanin.flat takes a slice, as in fanin.flat[10:20], got {short(run)}")
        if run.step is not None and operator.index(run.step) != 1:
            raise ValueError(f"fanin.flat takes runs of step 1, got step {run.step!r}")
        return FlatRun(run.start, run.stop)

    def __repr__(self) -> str:
        return "fanin.flat"

    def __reduce__(self) -> str:
        return "flat"


flat = _Flat()


class Part(NamedTuple):
    """Which elements of the full array are wanted."""

    axes: tuple[range, ...] | None
    kept: tuple[bool, ...]
    flat: range | None
    shape: tuple[int, ...]  # of the result
    first: int  # address of its first element
    steps: tuple[int, ...] | None  # address step along each axis of the result; None: C order


def part_of(shape: tuple[int, ...], index: Any) -> Part:
    """NumPy's basic indexing on ranges, for arrays of any size."""
    if index is None:
        return Part(tuple(map(range, shape)), (True,) * len(shape), None, shape, 0, None)
    if isinstance(index, FlatRun):
        total = 1
        for size in shape:
            total *= size
        run = range(total)[slice(index.start, index.stop)]
        return Part(None, (True,), run, (len(run),), run.start, None)

    entries = index if isinstance(index, tuple) else (index,)
    dots = [i for i, entry in enumerate(entries) if entry is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if len(entries) - len(dots) > len(shape):
        raise IndexError(
            f"too many indices for array: array is {len(shape)}-dimensional, "
            f"but {len(entries) - len(dots)} were indexed"
        )
    at = dots[0] if dots else len(entries)
    missing = len(shape) - (len(entries) - len(dots))
    entries = entries[:at] + (slice(None),) * missing + entries[at + len(dots) :]

    axes, kept = [], []
    for axis, (size, entry) in enumerate(zip(shape, entries, strict=True)):
        if isinstance(entry, slice):
            axes.append(range(size)[entry])
            kept.append(True)
            continue
        if isinstance(entry, (bool, np.bool_, np.ndarray)) or not hasattr(entry, "__index__"):
            raise TypeError(
                f"index= takes ints, slices, '...' and fanin.flat[start:stop], got {short(entry)}"
            )
        position = operator.index(entry)
        if not -size <= position < size:
            raise IndexError(f"index {position} is out of bounds for axis {axis} with size {size}")
        position %= size
        axes.append(range(position, position + 1))
        kept.append(False)
    first, stride, steps = 0, 1, []
    for size, axis_range, keep in zip(reversed(shape), reversed(axes), reversed(kept), strict=True):
        first += axis_range.start * stride if len(axis_range) else 0
        if keep:
            steps.append(axis_range.step * stride)
        stride *= size
    result = tuple(len(r) for r, keep in zip(axes, kept, strict=True) if keep)
    # What is never taken may exceed 64 bits; it is not used.
    used = tuple(s if n > 1 else 0 for s, n in zip(reversed(steps), result, strict=True))
    if 0 in result:
        first, used = 0, (0,) * len(result)
    return Part(tuple(axes), tuple(kept), None, result, first, used)
