"""Haar-orthogonal and unitary weights: which matrices a call touches, where their columns go."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fanin import _core
from fanin._arrays.boxes import Box, assign, boxes, coordinates
from fanin._arrays.kinds import KINDS, REAL
from fanin._arrays.targets import Target, target
from fanin._checks import as_threads
from fanin._random.seeds import as_stream, check_seed
from fanin._types import Progress

from .fans import Layout
from .weight import Weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK_BYTES = 1 << 26  # of finished matrices held at a time when they cannot be made in place


class MatrixAxes(NamedTuple):
    """How a shape is read as matrices: the axes of their rows, columns and batch."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    batch: tuple[int, ...]


def matrix_axes(shape: tuple[int, ...], layout: Layout) -> MatrixAxes:
    """Rows and columns of the flattened weight: (kernel and in, out), or (out, in and kernel)."""
    axes = layout.axes(shape)
    inner, outputs = tuple(sorted(axes.inputs + axes.kernel)), tuple(sorted(axes.outputs))
    rows, columns = (outputs, inner) if layout.order == "oi" else (inner, outputs)
    return MatrixAxes(rows, columns, tuple(sorted(axes.batch)))


def size_of(shape: tuple[int, ...], axes: Sequence[int]) -> int:
    return math.prod([shape[axis] for axis in axes])


class _Part(NamedTuple):
    """What one box needs: the matrices and the columns first .. last - 1 of their tall form."""

    ids: NDArray[np.uint64]
    first: int
    last: int


def _flat_indices(shape: tuple[int, ...], box: Box, axes: Sequence[int]) -> NDArray[np.int64]:
    """The indices of a box on some axes, flattened in C order of the full shape."""
    flat = np.zeros(1, np.int64)
    for axis in axes:
        flat = (flat[:, None] * shape[axis] + coordinates(box[axis])).ravel()
    return flat


class _Tall:
    """A weight as matrices of at least as many rows as columns, transposed if it must be."""

    def __init__(self, shape: tuple[int, ...], axes: MatrixAxes) -> None:
        wide = size_of(shape, axes.rows) < size_of(shape, axes.columns)
        self.shape, self.batch = shape, axes.batch
        self.long, self.short = (axes.columns, axes.rows) if wide else (axes.rows, axes.columns)

    @property
    def rows(self) -> int:
        return size_of(self.shape, self.long)

    @property
    def columns(self) -> int:
        return size_of(self.shape, self.short)

    @property
    def turned(self) -> bool:
        """Whether the long axes come last in memory."""
        return max(self.long, default=-1) > max(self.short, default=-1)

    @property
    def order(self) -> tuple[int, ...]:
        """The axes of the weight as they lie in memory."""
        ends = (self.short, self.long) if self.turned else (self.long, self.short)
        return (*self.batch, *ends[0], *ends[1])

    def block(self, count: int, width: int) -> tuple[int, int, int]:
        """The shape in memory of some columns of some matrices."""
        return (count, width, self.rows) if self.turned else (count, self.rows, width)


def write_orthogonal(
    weight: Weight, det: int | None, goal: Target, progress: Progress | None = None
) -> Any:
    """Fill `goal` with Haar matrices of the weight's shape; `progress` is told of a large one."""
    axes = matrix_axes(weight.shape, weight.layout)
    form = _Tall(weight.shape, axes)
    if det is not None and form.rows != form.columns:
        rows, columns = size_of(weight.shape, axes.rows), size_of(weight.shape, axes.columns)
        raise ValueError(
            f"det={det} needs square matrices; shape {weight.shape} is read as {rows} x {columns}"
        )
    check_seed(weight.seed)
    threads = as_threads(weight.threads)
    stream = as_stream(weight.seed)
    if goal.array.size == 0:
        return goal.done()
    compute = KINDS[goal.array.dtype].compute
    dtype = np.result_type(compute, np.complex64) if KINDS[goal.array.dtype].complex else compute

    def make(part: _Part, out: NDArray[Any]) -> NDArray[Any]:
        _core.haar(
            stream._key, part.ids, form.rows, form.columns, part.first, part.last, det or 0,
            weight.gain, out, threads, progress, form.turned,
        )  # fmt: skip
        return out

    if _made_in_place(goal, form.order, dtype):
        matrices = goal.array.reshape(form.block(-1, form.columns))
        make(_Part(np.arange(len(matrices), dtype=np.uint64), 0, form.columns), matrices)
    else:
        _write_boxes(form, goal, dtype, make)
    return goal.done()


def _write_boxes(
    form: _Tall,
    goal: Target,
    dtype: np.dtype[Any],
    make: Callable[[_Part, NDArray[Any]], NDArray[Any]],
) -> None:
    """Matrices made elsewhere, a batch at a time, and what the target wants of them."""
    inverse = np.argsort(form.order)
    last_part: _Part | None = None
    made: NDArray[Any] = np.empty(0)
    for array, box in boxes(goal):
        chosen = _flat_indices(form.shape, box, form.short)
        along = _flat_indices(form.shape, box, form.long)
        if not (chosen.size and along.size):
            continue
        # A run of one matrix is several boxes: it is made once, with all its columns.
        whole = goal.part.flat is not None
        first, last = (0, form.columns) if whole else (int(chosen.min()), int(chosen.max()) + 1)
        nbytes = form.rows * (last - first) * dtype.itemsize
        longwise, across = _progression(along), _progression(chosen - first)
        for block, ids in _batches(array, box, form.shape, form.batch, nbytes):
            part = _Part(ids, first, last)
            if last_part is None or not np.array_equal(last_part.ids, part.ids):
                made = make(part, np.empty(form.block(len(ids), last - first), dtype))
                last_part = part if whole else None
            if form.turned:
                values = made[:, across][:, :, longwise]
            else:
                values = made[:, longwise][:, :, across]
            sides = [block.shape[axis] for axis in form.order]
            assign(block, values.reshape(sides).transpose(inverse))


def _progression(indices: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """The slice that selects `indices`, so that nothing is copied, where there is one."""
    if len(indices) < 2:
        return slice(int(indices[0]), int(indices[0]) + 1)
    first, last, step = int(indices[0]), int(indices[-1]), int(indices[1] - indices[0])
    if step == 0 or (np.diff(indices) != step).any():
        return indices
    stop = last + (1 if step > 0 else -1)
    return slice(first, stop if stop >= 0 else None, step)


def _made_in_place(goal: Target, order: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Whether the target is the matrices one after the other, in the type they are made in."""
    in_order = order == tuple(range(len(goal.shape)))
    part = goal.part
    full = part.axes is not None and part.axes == tuple(map(range, goal.shape))
    return (
        full and in_order and all(part.kept)
        and goal.array.dtype == dtype and goal.array.flags.c_contiguous and goal.array.flags.aligned
    )  # fmt: skip


def _batches(
    array: NDArray[Any], box: Box, shape: tuple[int, ...], batch: tuple[int, ...], nbytes: int
) -> Iterator[tuple[NDArray[Any], NDArray[np.uint64]]]:
    """Parts of a box of few enough matrices, each with their numbers."""
    most = max(1, _BLOCK_BYTES // max(1, nbytes))
    runs = []
    for axis in reversed(batch):  # whole inner axes while they fit
        length = min(len(box[axis]), most)
        most = max(1, most // max(1, length)) if length == len(box[axis]) else 1
        starts = range(0, len(box[axis]), length)
        runs.append([slice(start, start + length) for start in starts])
    for choice in itertools.product(*reversed(runs)):
        index: list[slice] = [slice(None)] * array.ndim
        part = list(box)
        for axis, run in zip(batch, choice, strict=True):
            index[axis], part[axis] = run, box[axis][run]
        ids = _flat_indices(shape, tuple(part), batch).astype(np.uint64)
        yield array[tuple(index)], ids


def with_batch(weight: Weight, batch_axes: tuple[int, ...]) -> Weight:
    if not batch_axes:
        return weight
    if weight.layout.batch_axes:
        raise TypeError("give batch_axes= or a Layout with batch_axes, not both")
    return replace(weight, layout=replace_batch(weight.layout, batch_axes))


def replace_batch(layout: Layout, batch_axes: tuple[int, ...]) -> Layout:
    """The layout with these batch axes."""
    return Layout(
        layout.order,
        in_axes=layout.in_axes,
        out_axes=layout.out_axes,
        batch_axes=batch_axes,
        groups=layout.groups,
        transposed=layout.transposed,
    )


def matrix(
    shape: tuple[int, int],
    *,
    seed: int,
    dtype: Any,
    gain: float = 1.0,
    det: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> NDArray[Any]:
    """``fanin.orthogonal(shape, ...)``, which tells `progress` the work done and the whole work."""
    weight = Weight(shape, Layout("io"), gain, seed, dtype, None, None, threads)
    goal = target(shape, dtype, None, None, accepted=REAL, function="orthogonal")
    made: NDArray[Any] = write_orthogonal(weight, det, goal, progress)
    return made
