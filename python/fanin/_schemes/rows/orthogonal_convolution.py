"""Rows of convolutions that keep the norm: delta-orthogonal, and orthogonal in blocks."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin import _core
from fanin._arrays.boxes import Box, as_slices, assign, boxes
from fanin._arrays.kinds import KINDS
from fanin._checks import as_threads
from fanin._random.stateless import random
from fanin._random.streams import Stream
from fanin._schemes.base_weight import BaseWeight, begin, require_enough_outputs, require_no_groups
from fanin._schemes.fans import Axes, Layout, Order
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight

from .orthogonal import orthogonal

if TYPE_CHECKING:
    from numpy.typing import NDArray

_XIAO = "Xiao et al. 2018"


def _kernel_std(weight: Weight, **_: Any) -> float:
    """Root mean square of a kernel that keeps norms: its squares add up to the inputs."""
    return math.sqrt(1.0 / weight.fan_out)


def _convolution(weight: Weight, name: str) -> tuple[Axes, int, int]:
    """The axes of a convolution, its inputs and its outputs."""
    axes = weight.single_axes(1, 3)
    require_no_groups(weight, name)
    (in_axis,), (out_axis,) = axes.inputs, axes.outputs
    return axes, weight.shape[in_axis], weight.shape[out_axis]


#: Layouts that name no axis: a shape that looks misread is warned of.
_UNNAMED = (Layout("io"), Layout("oi"))


def _warn_if_misread(weight: Weight, axes: Axes, inputs: int, outputs: int) -> None:
    """A UserWarning for a kernel larger than its channels, where the other layout reads a usual
    one: of one odd size, with as many outputs as inputs or more."""
    kernel = tuple(weight.shape[axis] for axis in axes.kernel)
    if max(kernel) <= max(inputs, outputs) or weight.layout not in _UNNAMED:
        return
    given = weight.layout.order
    other: Order = "io" if given == "oi" else "oi"
    read = Layout(other).axes(weight.shape)
    sizes = {weight.shape[axis] for axis in read.kernel}
    usual = len(sizes) == 1 and sizes.pop() % 2 == 1
    if not usual or weight.shape[read.inputs[0]] > weight.shape[read.outputs[0]]:
        return
    warnings.warn(
        f"delta_orthogonal: layout={given!r} reads shape {weight.shape} as a kernel of {kernel} "
        f"for {inputs} input and {outputs} output channels. If they stand the other way, give "
        f"layout={other!r}; if not, name the axes by fanin.Layout(in_axes=, out_axes=)",
        UserWarning,
        stacklevel=7,  # the writer, fill, the long way, its wrapper, the scheme, the caller
    )


def _write_delta(weight: Weight) -> Any:
    axes, inputs, outputs = _convolution(weight, "delta_orthogonal")
    require_enough_outputs(inputs, outputs, weight, "delta_orthogonal")
    _warn_if_misread(weight, axes, inputs, outputs)
    goal, stream = begin(weight, "delta_orthogonal")
    centre = {axis: (weight.shape[axis] - 1) // 2 for axis in axes.kernel}
    others = [axis for axis in range(len(weight.shape)) if axis not in centre]
    parts = list(boxes(goal))
    taps: list[tuple[NDArray[Any], Box]] = []  # the parts at the centre, without kernel axes
    for array, box in parts:
        if all(position in box[axis] for axis, position in centre.items()):
            at = [
                box[axis].index(centre[axis]) if axis in centre else slice(None)
                for axis in range(array.ndim)
            ]
            taps.append((array[tuple(at)], tuple(box[axis] for axis in others)))
    matrix = None
    if any(tap.size for tap, _ in taps):
        matrix = BaseWeight(
            orthogonal,
            tuple(weight.shape[axis] for axis in others),
            {others.index(axis) for axis in axes.batch},
            [box for _, box in taps],
            seed=stream,
            dtype=goal.array.dtype,
            gain=weight.gain,
            layout=Layout(
                weight.layout.order,
                in_axes=[others.index(axis) for axis in axes.inputs],
                out_axes=[others.index(axis) for axis in axes.outputs],
                batch_axes=[others.index(axis) for axis in axes.batch],
            ),
            threads=weight.threads,
        )
    for array, _ in parts:
        array[...] = 0
    if matrix is not None:
        for tap, box in taps:
            assign(tap, matrix[box])
    return goal.done()


delta_orthogonal = add(
    Scheme(
        name="delta_orthogonal",
        summary="Convolution that keeps norms: an orthogonal matrix at the centre of the kernel.",
        formula="w[(k - 1) // 2] = Q, Q Q^T = I, else 0",
        source=f"{_XIAO}, algorithm 2",
        example={"shape": (3, 3, 8, 16)},
        write=_write_delta,
        std=_kernel_std,
        notes="One to three kernel axes, in <= out. At stride 1 every input keeps its norm, be the "
        "borders padded circularly or with zeros, (k - 1) // 2 of them before. Q is "
        "fanin.orthogonal of the shape without its kernel axes, of the same seed; a part costs "
        "nothing if it does not touch the centre, else one matrix. Batch axes, named by a Layout, "
        "hold one kernel each.",
    )
)


def _projected(taps: NDArray[Any], columns: NDArray[Any], threads: int | None) -> NDArray[Any]:
    """Every tap times ``columns columns^T``, in the core's fixed order of sums."""
    rows = taps.reshape(-1, taps.shape[-1])
    inner = np.empty((len(rows), columns.shape[1]), taps.dtype)
    _core.gemm(rows, columns, inner, threads=as_threads(threads))
    made = np.empty_like(rows)
    _core.gemm(inner, columns, made, transpose_b=True, threads=as_threads(threads))
    return made.reshape(taps.shape)


def _block_orthogonal(
    inputs: int,
    outputs: int,
    size: int,
    kernel_axes: int,
    stream: Stream,
    dtype: np.dtype[Any],
    threads: int | None,
) -> NDArray[Any]:
    """The kernel (size, ..., size, inputs, outputs).

    The 2 x 2 block of the projections P and Q is the convolution of (P, 1 - P) along the first
    kernel axis with (Q, 1 - Q) along the second one, in three dimensions alike. So the rows H of
    a Haar matrix are convolved from the right with one pair after the other. With P = U U^T, U
    the kept columns, the pair turns the taps K into K[i] U U^T + (K[i - 1] - K[i - 1] U U^T).
    """
    taps: NDArray[Any] = orthogonal((inputs, outputs), seed=stream, dtype=dtype, threads=threads)
    taps = taps.reshape((1,) * kernel_axes + taps.shape)
    pairs = kernel_axes * (size - 1)
    kept = random((pairs, outputs), seed=stream["kept"], threads=threads) < 0.5
    for pair, rank in enumerate(np.count_nonzero(kept, axis=1).tolist()):
        columns = orthogonal(
            (outputs, rank), seed=stream["projection"][pair], dtype=dtype, threads=threads
        )
        projected = _projected(taps, columns, threads)
        before = (slice(None),) * (pair % kernel_axes)
        longer = np.zeros(
            [n + (axis == pair % kernel_axes) for axis, n in enumerate(taps.shape)], dtype
        )
        longer[(*before, slice(None, -1))] = projected
        longer[(*before, slice(1, None))] += taps - projected
        taps = longer
    return taps


def _write_block_orthogonal(weight: Weight) -> Any:
    axes, inputs, outputs = _convolution(weight, "conv_orthogonal")
    if axes.batch:
        raise ValueError("conv_orthogonal makes one kernel and has no batch axes")
    sizes = {weight.shape[axis] for axis in axes.kernel}
    if len(sizes) != 1:
        raise ValueError(f"the kernel axes must be of equal size, got shape {weight.shape}")
    require_enough_outputs(inputs, outputs, weight, "conv_orthogonal")
    goal, stream = begin(weight, "conv_orthogonal")
    parts = [(array, box) for array, box in boxes(goal) if array.size]
    if not parts:
        return goal.done()
    kernel = _block_orthogonal(
        inputs,
        outputs,
        sizes.pop(),
        len(axes.kernel),
        stream,
        KINDS[goal.array.dtype].compute,
        weight.threads,
    )
    places = (*axes.kernel, *axes.inputs, *axes.outputs)
    kernel = np.moveaxis(kernel, range(kernel.ndim), places)
    if weight.gain > float(np.finfo(kernel.dtype).max):  # infinity times 0 would be no number
        kernel = kernel.astype(np.float64)
    kernel = weight.gain * kernel
    for array, box in parts:
        assign(array, kernel[as_slices(box)])
    return goal.done()


conv_orthogonal = add(
    Scheme(
        name="conv_orthogonal",
        summary="Convolution that keeps norms under circular padding and uses its whole kernel.",
        formula="H B_1 * ... * B_(k-1); B = [[P Q, P (1 - Q)], [(1 - P) Q, (1 - P) (1 - Q)]], "
        "P and Q projections, H H^T = I",
        source=f"{_XIAO}, algorithm 1; Kautsky & Turcajova 1994",
        example={"shape": (3, 3, 8, 16)},
        write=_write_block_orthogonal,
        std=_kernel_std,
        notes="One to three kernel axes of equal size, in <= out; * convolves kernels of matrices. "
        "In one dimension the block is [P, 1 - P], in three it has 2 x 2 x 2 products. A "
        "projection is U U^T, U being a random orthogonal matrix of which each column is kept with "
        "probability 1/2. Flattened orthogonal kernels, fanin.orthogonal, do not keep norms.\n\n"
        "H is fanin.orthogonal((in, out)) of the same seed. The projections are counted from 0, "
        "along the kernel axes of the first block, then of the second. Column j of projection i is "
        'kept if element (i, j) of random(..., seed=seed["kept"]) is below 1/2, and the r kept '
        'columns are fanin.orthogonal((out, r), seed=seed["projection"][i]). A part costs the '
        "whole kernel.",
    )
)
