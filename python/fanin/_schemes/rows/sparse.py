"""Rows with a fixed number of connections per output."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fanin._arrays.boxes import as_slices, boxes, pieces
from fanin._arrays.targets import target
from fanin._checks import non_negative
from fanin._random.seeds import as_stream
from fanin._random.stateless import normal, random
from fanin._schemes.accepts import COUNT, FRACTION, NON_NEGATIVE, Parameter, optional
from fanin._schemes.choice import chosen
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight

_BLOCK_KEYS = 1 << 20  # keys held at a time while connections are chosen


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
    spread = non_negative("gain * std", weight.gain * std)
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
            made = _chosen_inputs(weight, stream["choice"], in_axis, index, kept)
            block[~made[(slice(None),) * in_axis + (index[in_axis],)]] = 0
    return goal.done()


def _chosen_inputs(
    weight: Weight, stream: Any, in_axis: int, index: tuple[slice, ...], kept: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """For the columns of `index`, which of their inputs have the `kept` smallest keys."""
    columns = (*index[:in_axis], slice(None), *index[in_axis + 1 :])
    words = random(
        weight.shape, seed=stream, dtype=np.float64, index=columns, threads=weight.threads
    )
    return chosen(words, in_axis, kept)


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
