"""Random weights with structure: sparse, sub-pixel and gate-coupled, one row each.

Every value is a function of its address here too. The function that writes a scheme stands above
its row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fanin import _core
from fanin._arrays.destinations import target
from fanin._random.stateless import normal, random, uniform
from fanin._random.streams import as_stream
from fanin._schemes.accepts import (
    COUNT,
    FRACTION,
    GATES,
    NON_NEGATIVE,
    Accepts,
    Parameter,
    finite,
    one_of,
    optional,
)
from fanin._schemes.laws import Weight
from fanin._schemes.patterns import as_slices, assign, boxes, common, pieces
from fanin._schemes.scheme import Scheme, add, get

_BLOCK_KEYS = 1 << 20  # keys held at a time while connections are chosen

# ---------------------------------------------------------------------------------------------
# A fixed number of connections per output


def _kept_inputs(weight: Weight, sparsity: float | None, non_zeros: int | None) -> int:
    """Connections of each output."""
    if (sparsity is None) == (non_zeros is None):
        raise TypeError("sparse takes either sparsity= or non_zeros=")
    (in_axis,) = weight.single_axes(0, 0).inputs
    inputs = weight.shape[in_axis]
    if sparsity is None:
        return min(non_zeros or 0, inputs)
    return inputs - math.ceil(sparsity * inputs)


def _write_sparse(weight: Weight, sparsity: float | None, std: float, non_zeros: int | None) -> Any:
    kept = _kept_inputs(weight, sparsity, non_zeros)
    spread = finite("gain * std", weight.gain * std)
    (in_axis,) = weight.layout.axes(weight.shape).inputs
    column_axes = [axis for axis in range(len(weight.shape)) if axis != in_axis]
    columns_per_block = max(1, _BLOCK_KEYS // max(1, weight.shape[in_axis]))
    goal = target(weight.shape, weight.dtype, weight.out, weight.index)
    stream = as_stream(weight.seed)
    for array, box in boxes(goal):
        for block, part in pieces(array, box, column_axes, columns_per_block):
            index = as_slices(part)
            normal(
                weight.shape,
                0.0,
                spread,
                seed=stream,
                out=block,
                index=index,
                threads=weight.threads,
            )
            chosen = _chosen_inputs(weight, stream["choice"], in_axis, index, kept)
            block[~chosen[(slice(None),) * in_axis + (index[in_axis],)]] = 0
    return goal.done()


def _chosen_inputs(
    weight: Weight, stream: Any, in_axis: int, index: tuple[slice, ...], kept: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For the columns of `index`, which of their inputs have the `kept` smallest keys.

    A key is the random word of the element's address with the input's number in its low bits, so
    no two keys of a column are equal and every subset of inputs is as likely as any other.
    """
    inputs = weight.shape[in_axis]
    columns = (*index[:in_axis], slice(None), *index[in_axis + 1 :])
    words = random(
        weight.shape, seed=stream, dtype=np.float64, index=columns, threads=weight.threads
    )
    keys = (words * 2.0**53).astype(np.int64)
    if kept == 0:
        return np.zeros(keys.shape, dtype=np.bool_)
    number_bits = inputs.bit_length()
    numbers = np.arange(inputs).reshape((-1,) + (1,) * (keys.ndim - in_axis - 1))
    keys = (keys >> number_bits << number_bits) | numbers
    largest = np.partition(keys, kept - 1, axis=in_axis).take([kept - 1], axis=in_axis)
    return np.asarray(keys <= largest)


sparse = add(
    Scheme(
        name="sparse",
        summary="Each output has a fixed number of connections, to inputs chosen at random.",
        formula="N(0, std**2) for n - ceil(sparsity * n) inputs of each output, else 0; std = 0.01",
        source="Martens 2010",
        example={"shape": (256, 128), "sparsity": 0.9},
        write=_write_sparse,
        std=lambda weight, sparsity, std, non_zeros: (
            std * math.sqrt(_kept_inputs(weight, sparsity, non_zeros) / weight.fan_in)
        ),
        parameters=(
            Parameter("sparsity", optional(FRACTION), "Fraction of the inputs to leave out.", None),
            Parameter("std", NON_NEGATIVE, "Standard deviation of the connections.", 0.01),
            Parameter(
                "non_zeros",
                optional(COUNT),
                "Connections per output, instead of `sparsity`; the paper has 15.",
                None,
            ),
        ),
        notes="Dense weights; batch axes, named by a Layout, hold one matrix each. A part costs "
        "the columns that it touches, a column being all inputs of an output.",
    )
)

# ---------------------------------------------------------------------------------------------
# Sub-pixel convolution


def _read_base(name: str, value: Any) -> Callable[..., Any]:
    if isinstance(value, str):
        return get(value)
    if callable(value):
        function: Callable[..., Any] = value
        return function
    raise TypeError(f"{name} must be the name of a scheme or a scheme, got {value!r}")


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
        for copy in range(copies):
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

# ---------------------------------------------------------------------------------------------
# Gates with a spread of time scales


def _write_chrono(weight: Weight, t_max: float, gates: str) -> Any:
    hidden = weight.gate_size(len(gates))
    units_shape = (*weight.shape[:-1], hidden)
    goal = target(weight.shape, weight.dtype, weight.out, weight.index)
    stream = as_stream(weight.seed)
    for array, box in boxes(goal):
        array[...] = 0
        for gate, sign in (("f", 1.0), ("i", -1.0)):
            first = gates.index(gate) * hidden
            met = common(box[-1], range(first, first + hidden))
            if met is None:
                continue
            here, there = met
            spans = uniform(
                units_shape,
                1.0,
                t_max - 1.0,
                seed=stream,
                dtype=np.float64,
                index=(*as_slices(box)[:-1], there),
                threads=weight.threads,
            )
            assign(array[..., here], sign * weight.gain * _core.math_log(spans))
    return goal.done()


def _read_t_max(name: str, value: Any) -> float:
    number = finite(name, value)
    if number < 2.0:
        raise ValueError(f"{name} must be at least 2, got {value!r}")
    return number


chrono = add(
    Scheme(
        name="chrono",
        summary="Biases of an LSTM whose units forget on time scales up to t_max.",
        formula="b_f = log(U(1, t_max - 1)), b_i = -b_f, else 0",
        source="Tallec & Ollivier 2018, section 2",
        example={"shape": 512, "t_max": 100.0},
        write=_write_chrono,
        parameters=(
            Parameter(
                "t_max",
                Accepts("float, finite and >= 2", _read_t_max),
                "Longest time scale, in steps.",
            ),
            GATES,
        ),
        notes="The two gates of a unit share one draw. torch adds two biases, b_ih and b_hh: give "
        "one of them this and the other zeros.",
    )
)
