"""Orthogonal weights with structure: convolutions that keep norms, mirrored, gated and scaled ones.

Each is made of matrices of :func:`fanin.orthogonal`. Such a matrix is one object, so a part of a
weight costs the matrices that it touches; :class:`_Base` makes those, each of them once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fanin import _core
from fanin._arrays.destinations import KINDS, REAL, Target, target
from fanin._random.stateless import random
from fanin._random.streams import Stream, as_stream, check_seed
from fanin._schemes.accepts import COUNT, Parameter, one_of
from fanin._schemes.fans import Axes, Layout
from fanin._schemes.haar import orthogonal
from fanin._schemes.laws import Weight
from fanin._schemes.patterns import Box, as_slices, assign, boxes, common
from fanin._schemes.scheme import Scheme, add
from fanin.runtime import as_threads

_XIAO = "Xiao et al. 2018"


class _Base:
    """The weight that another one is made of: only what the boxes touch, made in one call.

    Along the axes `free` its parts are independent, along the others they are one object.
    """

    def __init__(
        self,
        scheme: Callable[..., NDArray[Any]],
        shape: tuple[int, ...],
        free: Collection[int],
        touched: Sequence[Box],
        **keywords: Any,
    ) -> None:
        self._ranges = tuple(
            _cover([box[axis] for box in touched]) if axis in free else range(size)
            for axis, size in enumerate(shape)
        )
        self._values = scheme(shape, index=as_slices(self._ranges), **keywords)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        """The values of a box that was named at the start, or of a part of one."""
        return self._values[as_slices(tuple(map(_within, box, self._ranges)))]


def _cover(parts: Sequence[range]) -> range:
    """The range itself if there is one, else the shortest of step 1 that holds all of them."""
    if len(parts) == 1:
        return parts[0]
    ends = [end for part in parts if part for end in (part[0], part[-1])]
    return range(min(ends), max(ends) + 1) if ends else range(0)


def _within(part: range, whole: range) -> range:
    """Where the numbers of `part` stand in `whole`, in the order of `part`."""
    if not part:
        return range(0)
    first = whole.index(part[0])
    step = part.step // whole.step if len(part) > 1 else 1
    return range(first, first + len(part) * step, step)


def _begin(weight: Weight, name: str) -> tuple[Target, Stream]:
    """Where to write and with which words, once all else is checked; takes a generator's child."""
    check_seed(weight.seed)
    as_threads(weight.threads)
    goal = target(
        weight.shape, weight.dtype, weight.out, weight.index, accepted=REAL, function=name
    )
    return goal, as_stream(weight.seed)


def _require_no_groups(weight: Weight, name: str) -> None:
    if weight.layout.groups != 1:
        raise ValueError(f"{name} has no grouped form, got groups={weight.layout.groups}")


def _require_enough_outputs(inputs: int, outputs: int, weight: Weight, name: str) -> None:
    if inputs > outputs:
        raise ValueError(
            f"{name} keeps the norm of every input, which needs at least as many outputs as "
            f"inputs; shape {weight.shape} has {inputs} inputs and {outputs} outputs. Are its axes "
            f'those of the layout, "io" (*kernel, in, out) or "oi" (out, in, *kernel)?'
        )


def _kernel_std(weight: Weight, **_: Any) -> float:
    """Root mean square of a kernel that keeps norms: its squares add up to the inputs."""
    return math.sqrt(1.0 / weight.fan_out)


# ---------------------------------------------------------------------------------------------
# Delta-orthogonal convolution


def _convolution(weight: Weight, name: str) -> tuple[Axes, int, int]:
    """The axes of a convolution, its inputs and its outputs."""
    axes = weight.single_axes(1, 3)
    _require_no_groups(weight, name)
    (in_axis,), (out_axis,) = axes.inputs, axes.outputs
    return axes, weight.shape[in_axis], weight.shape[out_axis]


def _write_delta(weight: Weight) -> Any:
    axes, inputs, outputs = _convolution(weight, "delta_orthogonal")
    _require_enough_outputs(inputs, outputs, weight, "delta_orthogonal")
    goal, stream = _begin(weight, "delta_orthogonal")
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
        matrix = _Base(
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
            tap[...] = matrix[box]
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

# ---------------------------------------------------------------------------------------------
# Block-orthogonal convolution


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
    _require_enough_outputs(inputs, outputs, weight, "conv_orthogonal")
    goal, stream = _begin(weight, "conv_orthogonal")
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
    kernel = weight.gain * np.moveaxis(kernel, range(kernel.ndim), places)
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

# ---------------------------------------------------------------------------------------------
# Looks-linear


def _write_looks_linear(weight: Weight, mirror: str) -> Any:
    axes = weight.single_axes(0, 3)
    _require_no_groups(weight, "looks_linear")
    (in_axis,), (out_axis,) = axes.inputs, axes.outputs
    mirrored = {"in": (in_axis,), "out": (out_axis,), "both": (in_axis, out_axis)}[mirror]
    halves = {axis: weight.shape[axis] // 2 for axis in mirrored}
    for axis, half in halves.items():
        if weight.shape[axis] != 2 * half:
            raise ValueError(
                f'mirror="{mirror}" doubles axis {axis}, so its size must be even; the shape is '
                f"that of the doubled weight, got {weight.shape}"
            )
    shape = tuple(halves.get(axis, size) for axis, size in enumerate(weight.shape))
    if axes.kernel:
        _require_enough_outputs(shape[in_axis], shape[out_axis], weight, "looks_linear")
    goal, stream = _begin(weight, "looks_linear")
    parts = [(array, box) for array, box in boxes(goal) if array.size]
    if not parts:
        return goal.done()
    base = _Base(
        delta_orthogonal if axes.kernel else orthogonal,
        shape,
        {*axes.kernel, *axes.batch},
        [box for _, box in parts],
        seed=stream,
        dtype=goal.array.dtype,
        gain=weight.gain,
        layout=weight.layout,
        threads=weight.threads,
    )
    for array, box in parts:
        for copies in itertools.product((0, 1), repeat=len(mirrored)):
            here: list[slice] = [slice(None)] * array.ndim
            there = list(box)
            for axis, copy in zip(mirrored, copies, strict=True):
                half = halves[axis]
                met = common(box[axis], range(copy * half, (copy + 1) * half))
                if met is None:
                    break
                here[axis], there[axis] = met[0], range(half)[met[1]]
            else:
                values = base[tuple(there)]
                array[tuple(here)] = 0.0 - values if sum(copies) == 1 else values
    return goal.done()


def _looks_linear_std(weight: Weight, mirror: str) -> float:
    axes = weight.single_axes(0, 3)
    (inputs,), (outputs,) = (
        [weight.shape[axis] for axis in side] for side in (axes.inputs, axes.outputs)
    )
    inputs //= 1 + (mirror != "out")
    outputs //= 1 + (mirror != "in")
    return math.sqrt(1.0 / max(1, max(inputs, outputs) * weight.fans.receptive_field))


looks_linear = add(
    Scheme(
        name="looks_linear",
        summary="Mirrored orthogonal weights: a deep ReLU network that starts exactly linear.",
        formula='[W, -W] along the inputs ("in") or outputs ("out"), [[W, -W], [-W, W]] ("both"); '
        "W orthogonal",
        source="Balduzzi et al. 2017, section 4",
        example={"shape": (16, 8)},
        write=_write_looks_linear,
        std=_looks_linear_std,
        parameters=(
            Parameter(
                "mirror",
                one_of("in", "out", "both"),
                "What is doubled: the inputs, for a layer after CReLU(x) = (max(0, x), max(0, -x))"
                '; the outputs, for the first layer before ReLU; or "both", for the layers '
                "between, which replace CReLU by ReLU on twice the units.",
                "in",
            ),
        ),
        notes="`shape` is that of the doubled weight. As max(0, x) - max(0, -x) = x, W crelu(x) is "
        "W x: the network computes the product of its matrices, and no gradient is shattered. "
        "Texts that print CReLU or the weight without the minus signs describe a network that is "
        "not linear.\n\n"
        "W is fanin.orthogonal of the halved shape and the same seed, for a convolution "
        "fanin.delta_orthogonal, which needs in <= out after halving.",
    )
)

# ---------------------------------------------------------------------------------------------
# Recurrent weights


def _write_gates(weight: Weight, gates: int) -> Any:
    axes = weight.single_axes(0, 0)
    _require_no_groups(weight, "recurrent_orthogonal")
    (in_axis,), (out_axis,) = axes.inputs, axes.outputs
    units = weight.shape[out_axis] // gates
    if weight.shape[out_axis] != gates * units:
        raise ValueError(
            f"the outputs must hold {gates} gates of equal size, got {weight.shape[out_axis]} "
            f"outputs in shape {weight.shape}"
        )
    goal, stream = _begin(weight, "recurrent_orthogonal")
    met = []
    for array, box in boxes(goal):
        for gate in range(gates):
            shared = common(box[out_axis], range(gate * units, (gate + 1) * units))
            if array.size and shared is not None:
                here = array[(slice(None),) * out_axis + (shared[0],)]
                gate_box = (range(gate, gate + 1), range(units)[shared[1]])
                met.append((here, (*box[:out_axis], *gate_box, *box[out_axis + 1 :])))
    if not met:
        return goal.done()

    def after(axis: int) -> int:
        """The number of an axis once the gates have one of their own before the outputs."""
        return axis + (axis >= out_axis)

    batch = {*map(after, axes.batch), out_axis}
    blocks = _Base(
        orthogonal,
        (*weight.shape[:out_axis], gates, units, *weight.shape[out_axis + 1 :]),
        batch,
        [box for _, box in met],
        seed=stream,
        dtype=goal.array.dtype,
        gain=weight.gain,
        layout=Layout(
            weight.layout.order,
            in_axes=after(in_axis),
            out_axes=after(out_axis),
            batch_axes=sorted(batch),
        ),
        threads=weight.threads,
    )
    for array, box in met:
        array[...] = np.squeeze(blocks[box], axis=out_axis)
    return goal.done()


def _gates_std(weight: Weight, gates: int) -> float:
    return math.sqrt(1.0 / max(weight.fan_in, weight.fan_out // gates))


recurrent_orthogonal = add(
    Scheme(
        name="recurrent_orthogonal",
        summary="Recurrent weights of LSTM, GRU and RNN: an orthogonal matrix for every gate.",
        formula="[Q_1, ..., Q_g] along the outputs, each Q_i Haar, g = gates",
        source="Saxe et al. 2014; practice",
        example={"shape": (16, 64)},
        write=_write_gates,
        std=_gates_std,
        parameters=(
            Parameter("gates", COUNT, "Blocks: 4 for an LSTM, 3 for a GRU, 1 for an RNN.", 4),
        ),
        notes='torch, (gates * h, h) with layout "oi", and Keras, (h, gates * h), both stack the '
        "gates along the outputs. The blocks are those of fanin.orthogonal with the gates as a "
        "batch axis before the outputs. Keras's own default makes one orthogonal matrix of the "
        "whole shape, whose blocks are not orthogonal.",
    )
)

# ---------------------------------------------------------------------------------------------
# Scaled


def _write_scaled(weight: Weight, factor: float) -> Any:
    return orthogonal(
        weight.shape,
        gain=weight.gain * factor,
        seed=weight.seed,
        dtype=weight.dtype,
        layout=weight.layout,
        out=weight.out,
        index=weight.index,
        threads=weight.threads,
    )


def _matrix_std(weight: Weight) -> float:
    """Root mean square of the flattened orthogonal matrix."""
    outputs = weight.fan_out // max(1, weight.fans.receptive_field)
    return math.sqrt(1.0 / max(weight.fan_in, outputs))


scaled_orthogonal = add(
    Scheme(
        name="scaled_orthogonal",
        summary="Orthogonal weights, smaller in deeper models.",
        formula="sqrt(2 / L) Q, Q Haar, L = n_layers",
        source="GPT-NeoX",
        example={"shape": (64, 32), "n_layers": 12},
        write=lambda weight, n_layers: _write_scaled(weight, math.sqrt(2.0 / n_layers)),
        std=lambda weight, n_layers: math.sqrt(2.0 / n_layers) * _matrix_std(weight),
        parameters=(Parameter("n_layers", COUNT, "Layers L of the model."),),
        notes="Q is fanin.orthogonal of the same shape and seed.",
    )
)

_PPO_GAINS = {"hidden": math.sqrt(2.0), "value": 1.0, "policy": 0.01}

ppo_orthogonal = add(
    Scheme(
        name="ppo_orthogonal",
        summary="Orthogonal weights of actor and critic, as PPO implementations have them.",
        formula="g Q, Q Haar; g = sqrt(2) hidden, 1 value, 0.01 policy",
        source="Andrychowicz et al. 2021; Huang et al. 2022",
        example={"shape": (64, 32)},
        write=lambda weight, part: _write_scaled(weight, _PPO_GAINS[part]),
        std=lambda weight, part: _PPO_GAINS[part] * _matrix_std(weight),
        parameters=(
            Parameter(
                "part",
                one_of(*_PPO_GAINS),
                "The layer: hidden, the critic's output or the actor's output.",
                "hidden",
            ),
        ),
        notes="Biases are zeros. Q is fanin.orthogonal of the same shape and seed.",
    )
)
