"""Gated layers: the product of an activation and a linear map of the same signal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fanin._activations.activation import as_activation
from fanin._checks import as_count
from fanin._public import public
from fanin._types import Floats

from ._apply import Apply
from ._gradient import Gradient
from ._layer import EvenLayer, asked_twice, passed, swept, variance_parameters
from ._positions import Pairs
from ._state import Passage, State
from ._weights import Dense


@public("fanin.propagation")
@dataclass(frozen=True)
class Gated(EvenLayer):
    """phi(W x) * (V x) with independent W and V: the first half of SwiGLU or GeGLU (Shazeer 2020).

    q' = value_var q E phi(u)^2, u of variance weight_var q; covariances multiply likewise, and a
    gradient goes back with width/units (weight_var value_var q E phi'^2 + value_var E phi^2).

    Parameters
    ----------
    activation : str, Activation or callable
    width : int, optional
        Units that come out; default: as many as come in.
    weight_var, value_var : float, >= 0
        fan_in times the variance of a weight of W and of V.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> layers = [p.Gated("relu", weight_var=2.0), p.Dense()]
    >>> p.Network(layers).propagate(q0=3.0).q.tolist()  # 3 times 2 * 3/2
    [3.0, 9.0, 9.0]
    """

    activation: Any
    width: int | None = None
    weight_var: Any = 1.0
    value_var: Any = 1.0

    def __post_init__(self) -> None:
        if self.width is not None:
            as_count(self.width, "width")
        variance_parameters([self.weight_var], self.value_var)
        object.__setattr__(self, "activation", as_activation(self.activation))
        if self.activation.name == "crelu":
            raise ValueError("crelu doubles the units and cannot be a gate")

    def through(self, state: State, wanted: Pairs) -> Passage:
        gate_layers = [Dense(self.width, self.weight_var), Apply(self.activation)]
        gates = passed(gate_layers, state, wanted)
        values = passed([Dense(self.width, self.value_var)], state, wanted)
        gate, value = gates[-1].after, values[-1].after
        made = replace(
            value,
            q=gate.q * value.q,
            c=gate.c * value.c,
            one_minus_c=(
                gate.one_minus_c + value.one_minus_c - gate.one_minus_c * value.one_minus_c
            ),
            same=gate.same * value.same,
            cross=gate.cross * value.cross,
            m=np.zeros_like(gate.q * value.q),
            gaussian=False,
        )

        def met(g: Gradient, factor: State) -> Gradient:
            """At one factor, through the other."""
            return g.scaled(factor.q, factor.same, factor.q * factor.c, factor.cross)

        def ways(g: Gradient) -> Any:
            return swept(gates, met(g, value)), swept(values, met(g, gate))

        both = asked_twice(ways)

        def back(g: Gradient) -> Gradient:
            of_gate, of_value = both(g)
            through_gate: Gradient = of_gate[0][0]
            return through_gate.plus(of_value[0][0])

        def weights(g: Gradient) -> list[Floats]:
            return [w for _, of_layers in both(g) for w in of_layers[0]]

        return Passage(made, back, weights)
