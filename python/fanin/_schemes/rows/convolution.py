"""Rows of kernels: Dirac, bilinear, Hadamard, and sub-pixels (ICNR)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fanin._arrays.boxes import Coordinates, as_slices, boxes, common
from fanin._arrays.targets import target
from fanin._hints import short
from fanin._random.seeds import as_stream
from fanin._schemes.accepts import COUNT, Accepts, Parameter, one_of, optional
from fanin._schemes.patterns import write_delta, write_ones, write_pattern
from fanin._schemes.registry import add, gain_held_by, get
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight


def write_dirac(weight: Weight, groups: int | None) -> Any:
    """One at the centre of the kernel where input and output have the same number in a group."""
    return write_delta(weight.in_groups(groups), least_kernel_axes=1, most_kernel_axes=3)


def write_bilinear(weight: Weight) -> Any:
    """Product over the kernel axes of 1 - |i / f - c|."""
    kernel = weight.layout.axes(weight.shape).kernel
    if not kernel:
        raise ValueError(f"bilinear needs kernel axes, shape {weight.shape} has none")

    def values(*at: Coordinates) -> Any:
        product: Any = 1.0
        for axis in kernel:
            factor = (weight.shape[axis] + 1) // 2
            centre = (2 * factor - 1 - factor % 2) / (2 * factor)
            product = product * (1.0 - np.abs(at[axis] / factor - centre))
        return product

    return write_pattern(weight, values)


def write_zero_hadamard(weight: Weight) -> Any:
    """Partial identity, or the corner of a scaled Hadamard matrix if there are more outputs."""
    axes = weight.single_axes(0, 3)
    if weight.layout.groups != 1:
        raise ValueError(f"zero_hadamard has no grouped form, got groups={weight.layout.groups}")
    (in_axis,), (out_axis,) = axes.inputs, axes.outputs
    inputs, outputs = weight.shape[in_axis], weight.shape[out_axis]
    if outputs <= inputs:
        return write_ones(weight, out_axis, in_axis, max(1, outputs), axes.kernel)
    order = (outputs - 1).bit_length()  # the k of the Hadamard matrix of 2**k rows
    scale = math.sqrt(math.ldexp(1.0, 1 - order))

    def values(*at: Coordinates) -> Any:
        matrix = scale * (1.0 - 2.0 * _parity(at[in_axis] & at[out_axis]))
        for axis in axes.kernel:
            matrix = matrix * (at[axis] == weight.shape[axis] // 2)
        return matrix

    return write_pattern(weight, values)


def _parity(numbers: Coordinates) -> Coordinates:
    """The number of one bits of numbers below 2**32, modulo 2.

    Both indices of a matrix of at most 2**63 elements have no more bits than that in common.
    """
    for shift in (16, 8, 4, 2, 1):
        numbers = numbers ^ (numbers >> shift)
    return numbers & 1


dirac = add(
    Scheme(
        name="dirac",
        summary="Convolution kernel that passes its input channels on unchanged.",
        formula="w = gain at kernel position k // 2 where out == in within a group, else 0",
        source="Zagoruyko & Komodakis 2017",
        example={"shape": (1, 2, 2)},
        write=write_dirac,
        parameters=(
            Parameter(
                "groups",
                optional(COUNT),
                "Groups of the convolution, shorthand for those of a Layout.",
                None,
            ),
        ),
        needs_seed=False,
        notes="One to three kernel axes. Channels without a partner in their group are zero.",
        printed="array([[[1., 0.],\n        [0., 1.]]], dtype=float32)",
    )
)


zero_hadamard = add(
    Scheme(
        name="zero_hadamard",
        summary="ZerO: identities, and a Hadamard matrix where the width grows.",
        formula="partial identity; if m > n 2**(-(k - 1) / 2) times the (m, n) corner of the "
        "Hadamard matrix of size 2**k, k = ceil(log2(m))",
        source="Zhao et al. 2021, algorithm 1",
        example={"shape": (2, 3)},
        write=write_zero_hadamard,
        needs_seed=False,
        notes="A convolution has this matrix at its centre k // 2 and zeros elsewhere.",
        printed="array([[ 0.70710677,  0.70710677,  0.70710677],\n"
        "       [ 0.70710677, -0.70710677,  0.70710677]], dtype=float32)",
    )
)
bilinear = add(
    Scheme(
        name="bilinear",
        summary="Kernel of a transposed convolution that upsamples by linear interpolation.",
        formula="product over kernel axes of 1 - |i / f - c|, f = ceil(k / 2), "
        "c = (2 f - 1 - f % 2) / (2 f)",
        source="Long et al. 2015; the formula of MXNet and Caffe",
        example={"shape": (4, 1, 1), "index": (slice(None), 0, 0)},
        write=write_bilinear,
        needs_seed=False,
        notes="Every pair of channels gets the kernel, so give it to a depthwise (grouped) weight. "
        "For odd k the formula is lopsided: k = 3 gives 0.25, 0.75, 0.75, where the code of the "
        "paper gives 0.5, 1, 0.5. Choose k = 2 r - r % 2 for a factor r.",
        printed="array([0.25, 0.75, 0.75, 0.25], dtype=float32)",
    )
)


def _read_base(name: str, value: Any) -> Callable[..., Any]:
    if isinstance(value, str):
        return get(value)
    if callable(value):
        function: Callable[..., Any] = value
        return function
    raise TypeError(f"{name} must be the name of a scheme or a scheme, got {short(value)}")


def _write_icnr(weight: Weight, scale: int, base: Any, order: str | None) -> Any:
    axes = weight.single_axes(1, 3)
    (out_axis,) = axes.outputs
    copies = scale ** len(axes.kernel)
    outputs = weight.shape[out_axis]
    if outputs % copies:
        raise ValueError(
            f"scale {scale} makes {copies} outputs of each one, which does not divide the "
            f"{outputs} outputs of shape {weight.shape}"
        )
    base_shape = (*weight.shape[:out_axis], outputs // copies, *weight.shape[out_axis + 1 :])
    consecutive = order == "torch" if order else weight.layout.order == "oi"
    goal = target(weight.shape, weight.dtype, weight.out, weight.index)
    stream = as_stream(weight.seed)
    for array, box in boxes(goal):
        for copy in range(copies if outputs else 0):
            # The outputs that hold this copy of the base kernel, in the order of its outputs.
            held = (
                range(copy, outputs, copies)
                if consecutive
                else range(copy * base_shape[out_axis], (copy + 1) * base_shape[out_axis])
            )
            met = common(box[out_axis], held)
            if met is None:
                continue
            here, there = met
            index = as_slices(box)
            base(
                base_shape,
                seed=stream,
                layout=weight.layout,
                gain=weight.gain,
                out=array[(slice(None),) * out_axis + (here,)],
                index=(*index[:out_axis], there, *index[out_axis + 1 :]),
                threads=weight.threads,
            )
    return goal.done()


icnr = add(
    Scheme(
        name="icnr",
        summary="Sub-pixel convolution without checkerboard: one kernel for all sub-pixels.",
        formula="base kernel of out / r**d outputs, each repeated r**d times; r = scale, "
        "d kernel axes",
        source="Aitken et al. 2017",
        example={"shape": (3, 3, 16, 32)},
        write=_write_icnr,
        gain_of=lambda base, **_: gain_held_by(base),
        parameters=(
            Parameter("scale", COUNT, "Upsampling factor r of each kernel axis.", 2),
            Parameter(
                "base",
                Accepts("str or callable", _read_base),
                "Scheme of the base kernel: a name, or what fanin.get returns.",
                "he_normal",
            ),
            Parameter(
                "order",
                optional(one_of("torch", "tensorflow")),
                "How the sub-pixels of a channel are numbered: consecutively, as torch's "
                "pixel_shuffle reads them, or a channel block each, as TensorFlow's "
                'depth_to_space does. None takes torch\'s order for the layout "oi".',
                None,
            ),
        ),
    )
)
