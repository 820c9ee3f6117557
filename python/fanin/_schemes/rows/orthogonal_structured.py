"""Rows of orthogonal weights with structure: mirrored, one matrix a gate, scaled.

Each is made of matrices of :func:`fanin.orthogonal`. Such a matrix is one object, so a part of a
weight costs the matrices that it touches; :class:`BaseWeight` makes those, each of them once.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from fanin._arrays.boxes import assign, boxes, common
from fanin._schemes.accepts import COUNT, Parameter, one_of
from fanin._schemes.base_weight import BaseWeight, begin, require_enough_outputs, require_no_groups
from fanin._schemes.fans import Layout
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight

from .orthogonal import orthogonal
from .orthogonal_convolution import delta_orthogonal

# ---------------------------------------------------------------------------------------------
# Looks-linear


def _write_looks_linear(weight: Weight, mirror: str) -> Any:
    axes = weight.single_axes(0, 3)
    require_no_groups(weight, "looks_linear")
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
        require_enough_outputs(shape[in_axis], shape[out_axis], weight, "looks_linear")
    goal, stream = begin(weight, "looks_linear")
    parts = [(array, box) for array, box in boxes(goal) if array.size]
    if not parts:
        return goal.done()
    base = BaseWeight(
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
    require_no_groups(weight, "recurrent_orthogonal")
    (in_axis,), (out_axis,) = axes.inputs, axes.outputs
    units = weight.shape[out_axis] // gates
    if weight.shape[out_axis] != gates * units:
        raise ValueError(
            f"the outputs must hold {gates} gates of equal size, got {weight.shape[out_axis]} "
            f"outputs in shape {weight.shape}"
        )
    goal, stream = begin(weight, "recurrent_orthogonal")
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
    blocks = BaseWeight(
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
        assign(array, np.squeeze(blocks[box], axis=out_axis))
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
