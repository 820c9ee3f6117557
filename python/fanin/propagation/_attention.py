"""Self-attention."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fanin._checks import as_count
from fanin._functions import exp
from fanin._public import public

from ._layer import EvenLayer, variance_parameters
from ._positions import Pairs
from ._state import Passage, State, times


@public("fanin.propagation")
@dataclass(frozen=True)
class Attention(EvenLayer):
    """Self-attention at initialisation, approximately: c is the correlation of two tokens.

    Logits have variance s^2 = query_var key_var q^2 (1 - c) over the keys, so that for many
    tokens sum_j a_j^2 ~ A = min(1, exp(s^2)/tokens); then q' = value_var q (c + (1 - c) A), and
    the covariance of two tokens is value_var q (c + (1 - c)/tokens): without a skip tokens become
    equal. The gradient through the values only; the one through the softmax is small.

    Parameters
    ----------
    tokens : int
        Length of the sequence.
    query_var, key_var, value_var : float, >= 0
        fan_in times the variance of these weights; value_var includes the output projection.
    """

    tokens: int
    query_var: float = 1.0
    key_var: float = 1.0
    value_var: float = 1.0

    def __post_init__(self) -> None:
        as_count(self.tokens, "tokens")
        variance_parameters([self.query_var, self.key_var], self.value_var)

    def through(self, state: State, wanted: Pairs) -> Passage:
        spread = self.query_var * self.key_var * state.q * state.q * state.one_minus_c
        # Beyond the logarithm of any number of tokens one key takes all the weight.
        sharp = exp(np.minimum(spread, 64.0))
        share = np.minimum(1.0, sharp / self.tokens)
        scale = self.value_var * state.q
        q = scale * (state.c + state.one_minus_c * share)
        with np.errstate(divide="ignore", invalid="ignore"):
            c = scale * (state.c + state.one_minus_c / self.tokens) / q
            apart = scale * state.one_minus_c * (share - 1 / self.tokens) / q
        made = replace(state.selected(wanted), q=q, m=np.zeros_like(q), c=c, one_minus_c=apart)
        return Passage(replace(made, gaussian=True), times(self.value_var * share))
