"""Rows of recurrent layers: identities, and the biases of gates."""

from __future__ import annotations

from typing import Any

import numpy as np

from fanin._arrays.boxes import as_slices, assign, boxes, common
from fanin._arrays.targets import target
from fanin._checks import non_negative
from fanin._functions import log
from fanin._hints import short
from fanin._random.seeds import as_stream
from fanin._random.stateless import uniform
from fanin._schemes.accepts import NON_NEGATIVE, Accepts, Parameter
from fanin._schemes.laws import NORMAL
from fanin._schemes.patterns import write_pattern
from fanin._schemes.registry import add
from fanin._schemes.scheme import Scheme
from fanin._schemes.weight import Weight

from .constants import write_identity
from .parameters import DENSE, GATES


def write_forget_bias(weight: Weight, value: float, gates: str) -> Any:
    """`value` in the slice of the forget gate on the last axis, 0 elsewhere."""
    hidden = weight.gate_size(len(gates))
    forget = gates.index("f")
    return write_pattern(weight, lambda *at: value * (at[-1] // hidden == forget))


irnn = add(
    Scheme(
        name="irnn",
        summary="Recurrent weights of a network of ReLU units that starts as a memory.",
        formula="identity times gain",
        source="Le et al. 2015",
        example={"shape": (2, 2)},
        write=write_identity,
        needs_seed=False,
        notes="The paper also has gain = 0.01. Biases are zeros, input weights irnn_input.",
        printed="array([[1., 0.],\n       [0., 1.]], dtype=float32)",
    )
)
irnn_input = add(
    Scheme(
        name="irnn_input",
        summary="Input weights of a recurrent network of ReLU units.",
        formula="N(0, std**2), std = 0.001",
        source="Le et al. 2015",
        example=DENSE,
        law=NORMAL,
        spread=lambda weight, std: std,
        parameters=(Parameter("std", NON_NEGATIVE, "Standard deviation.", 0.001),),
    )
)
lstm_forget_bias = add(
    Scheme(
        name="lstm_forget_bias",
        summary="Bias of an LSTM that remembers at first: ones for the forget gate.",
        formula="b = value in the forget gate's slice, else 0",
        source="Gers et al. 2000; Jozefowicz et al. 2015",
        example={"shape": 8},
        write=write_forget_bias,
        parameters=(
            Parameter("value", NON_NEGATIVE, "Bias of the forget gate.", 1.0),
            GATES,
        ),
        needs_seed=False,
        notes="torch adds two biases, b_ih and b_hh: give one of them this and the other zeros.",
        printed="array([0., 0., 1., 1., 0., 0., 0., 0.], dtype=float32)",
    )
)


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
            with np.errstate(over="ignore"):
                assign(array[..., here], sign * weight.gain * log(spans))
    return goal.done()


def _read_t_max(name: str, value: Any) -> float:
    number = non_negative(name, value)
    if number < 2.0:
        raise ValueError(f"{name} must be at least 2, got {short(value)}")
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
