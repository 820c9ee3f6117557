"""The table from which tokens come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fanin._public import public

from ._layer import EvenLayer, variance_parameters
from ._positions import Pairs
from ._state import Passage, State, times


@public("fanin.propagation")
@dataclass(frozen=True)
class Embedding(EvenLayer):
    """Rows of a table, one for each token, with one for its position and one for all.

    q' = weight_var q + position_var + common_var: q = 1 stands for the one-hot vector of a token,
    and c0 for the share of pairs of tokens that are equal. For patches of an image weight_var q is
    the variance that their linear map puts out.

    Parameters
    ----------
    weight_var : float, >= 0
        Variance of an entry of the table (its fan is 1).
    position_var : float, >= 0
        That of the positions: each position has a row of its own.
    common_var : float, >= 0
        Of what all tokens of a sequence share, as a type.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> layers = [p.Embedding(0.02**2, common_var=0.02**2), p.Attention(8)]
    >>> profile = p.Network(layers).propagate(c0=0.0)
    >>> round(profile.q[1].item(), 6), round(profile.c[1].item(), 6)
    (0.0008, 0.5)
    """

    weight_var: Any = 1.0
    position_var: Any = 0.0
    common_var: Any = 0.0

    def __post_init__(self) -> None:
        variance_parameters([self.weight_var], [self.position_var, self.common_var])

    def through(self, state: State, wanted: Pairs) -> Passage:
        weight = state.lifted(self.weight_var)
        position = state.lifted(self.position_var)
        made = state.selected(wanted).mixed(self.weight_var, self.common_var, position)
        made = replace(made, m=np.zeros_like(made.q), gaussian=True)
        return Passage(made, times(state, wanted, weight * np.ones_like(state.q)))
