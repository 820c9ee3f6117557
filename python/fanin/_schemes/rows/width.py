"""Rows that scale with the width: maximal update and its relatives."""

from __future__ import annotations

import math

from fanin._arrays.shapes import as_sizes
from fanin._schemes.accepts import NON_NEGATIVE, Accepts, Parameter, one_of
from fanin._schemes.laws import LAWS, NORMAL
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight

from .parameters import DENSE, SCALING

_ROLES = one_of("multiplier", "weight", "zeros")
_BASE_SHAPE = Parameter(
    "base_shape",
    Accepts("int or sequence of int", lambda name, value: as_sizes(value)),
    "Shape of the same weight in the base model. Axes that differ are those that grow.",
)
_OUTPUT = Parameter(
    "output",
    _ROLES,
    "What an output layer does, whose inputs alone grow: keep its std and divide its "
    'result by r in the model ("multiplier"), carry that factor in the weights, '
    'std / r ("weight"), or start at 0 ("zeros").',
    "multiplier",
)


def _base_weight(weight: Weight, base_shape: tuple[int, ...]) -> Weight:
    if len(base_shape) != len(weight.shape):
        raise ValueError(f"base_shape {base_shape} must have the axes of shape {weight.shape}")
    return Weight(base_shape, weight.layout)


def _mup_std(weight: Weight, base: Weight, std: float, output: str) -> float:
    """`std` of the base model, by which axes grow: both hidden, inputs only output layer."""
    inputs_grow = weight.fan_in != base.fan_in
    outputs_grow = weight.fan_out != base.fan_out
    width_multiplier = weight.fan_in / base.fan_in
    if inputs_grow and outputs_grow:
        return std / math.sqrt(width_multiplier)
    if not inputs_grow or output == "multiplier":
        return std
    return std / width_multiplier if output == "weight" else 0.0


mup = add(
    Scheme(
        name="mup",
        summary="Maximal update parametrisation: a law tuned at a base width, carried to another.",
        formula="N(0, std**2 / r) if inputs and outputs grow, else N(0, std**2); r = n / base n",
        source="Yang & Hu 2021; Yang et al. 2022, table 8",
        example={"shape": (256, 128), "base_shape": (64, 32)},
        law=NORMAL,
        spread=lambda weight, base_shape, std, output: _mup_std(
            weight, _base_weight(weight, base_shape), std, output
        ),
        parameters=(
            _BASE_SHAPE,
            Parameter("std", NON_NEGATIVE, "Standard deviation in the base model.", 0.02),
            _OUTPUT,
        ),
        notes="With Adam, the learning rate of hidden layers goes down by r as well, and attention "
        "logits are divided by the head's width, not by its root.",
    )
)


def _mup_scaling_spread(
    weight: Weight,
    base_shape: tuple[int, ...],
    scale: float,
    mode: str,
    distribution: str,
    output: str,
) -> float:
    base = _base_weight(weight, base_shape)
    factor = 3.0 * scale if distribution == "uniform" else scale
    return _mup_std(weight, base, math.sqrt(factor / base.fan(mode)), output)


mup_variance_scaling = add(
    Scheme(
        name="mup_variance_scaling",
        summary="Maximal update parametrisation of Glorot's, He's and LeCun's rules.",
        formula="Var(w) = scale / base fan, over r if inputs and outputs grow; r = n / base n",
        source="Yang & Hu 2021; Yang et al. 2022, table 8; mup.init",
        example={"shape": (256, 128), "base_shape": (64, 32)},
        law=lambda distribution, **_: LAWS[distribution],
        spread=_mup_scaling_spread,
        parameters=(_BASE_SHAPE, *SCALING, _OUTPUT),
        notes="At the base shape this is variance_scaling. Hidden layers with mode fan_in keep its "
        "rule; input and output layers keep the numbers of the base shape. glorot_uniform is "
        'mode="fan_avg", distribution="uniform"; He\'s rules have scale=2.',
    )
)
spectral_mup = add(
    Scheme(
        name="spectral_mup",
        summary="Maximal update parametrisation by the spectral condition.",
        formula="N(0, (min(1, sqrt(m / n)) / sqrt(n))**2)",
        source="Yang, Simon & Bernstein 2023",
        example=DENSE,
        law=NORMAL,
        spread=lambda weight: math.sqrt(min(1.0, weight.fan_out / weight.fan_in) / weight.fan_in),
    )
)
unit_normal = add(
    Scheme(
        name="unit_normal",
        summary="Unit normal of unit scaling and u-muP, where the scale sits in the operations.",
        formula="N(0, 1)",
        source="Blake et al. 2023, 2024",
        example=DENSE,
        law=NORMAL,
        spread=lambda weight: 1.0,
    )
)
