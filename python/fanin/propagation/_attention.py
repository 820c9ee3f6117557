"""Self-attention: mixing of tokens by a softmax of random logits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fanin._checks import as_count
from fanin._functions import power
from fanin._public import public
from fanin._types import Floats

from ._gradient import Gradient
from ._layer import EvenLayer, Image, variance_parameters
from ._positions import Pairs, all_pairs
from ._softmax import softmax_moments
from ._state import Passage, State


@public("fanin.propagation")
@dataclass(frozen=True)
class Attention(EvenLayer):
    """Self-attention at initialisation, for wide heads: c is the correlation of two tokens.

    Over the keys of one query logits are independent, of variance s^2 = query_var key_var q^2
    (1 - c), besides a part that all share and the softmax does not see. With A = E sum_j a_j^2 of
    such logits, one integral, q' = value_var q (c + (1 - c) A); of two tokens sum_j a_j a'_j is
    taken as (tokens A)^c/tokens, exact at c = 0 and 1 and for many tokens, and without a skip
    tokens become equal. A gradient goes back with value_var (A + s^2 (2 - c) S): through the
    values, and through queries and keys, S = E sum_j a_j^2 (g_j - sum a g)^2 for independent g;
    losses of different tokens count as independent. Any number of heads, also heads that share
    keys and values (grouped queries), has the same moments.

    With `causal` token t sees the keys 0 .. t: q and the correlations of all pairs of tokens are
    maps over the positions, and c in the Profile is the mean over pairs of different tokens.

    Parameters
    ----------
    tokens : int
        Length of the sequence.
    query_var, key_var, value_var : float, >= 0
        fan_in times the variance of these weights; value_var includes the output projection.
    causal : bool

    Examples
    --------
    >>> from fanin import propagation as p
    >>> sharp = p.Network([p.Attention(256, query_var=6.0)]).propagate(c0=0.0)
    >>> round(sharp.q[1].item(), 4)
    0.1322
    >>> causal = p.Network([p.Attention(64, causal=True)]).propagate(c0=0.5)
    >>> causal.position_map(1).round(3)[[0, 1, -1]].tolist()
    [1.0, 0.793, 0.513]
    """

    tokens: int
    query_var: Any = 1.0
    key_var: Any = 1.0
    value_var: Any = 1.0
    causal: bool = False

    def __post_init__(self) -> None:
        as_count(self.tokens, "tokens")
        variance_parameters([self.query_var, self.key_var], self.value_var)

    def uneven(self, image: Image) -> bool:
        return self.causal

    def image_behind(self, image: Image) -> Image:
        if self.causal and image != (self.tokens,):
            raise ValueError(f"a causal mask of {self.tokens} tokens on positions {image}")
        return image

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        return pairs if grid is None else all_pairs(grid)

    def through(self, state: State, wanted: Pairs) -> Passage:
        if state.mapped:
            return self._mapped(state, wanted)
        with np.errstate(invalid="ignore", over="ignore"):
            spread = self.query_var * self.key_var * state.q * state.q * state.one_minus_c
        share, slope = softmax_moments(spread, self.tokens)
        both = _common(share, share, self.tokens, self.tokens, state.c)
        scale = self.value_var * state.q
        q = scale * (state.c + state.one_minus_c * share)
        with np.errstate(divide="ignore", invalid="ignore"):
            c = scale * (state.c + state.one_minus_c * both) / q
            apart = scale * state.one_minus_c * (share - both) / q
        made = replace(
            state.selected(wanted), q=q, m=np.zeros_like(q), c=c, one_minus_c=apart, gaussian=True
        )
        with np.errstate(invalid="ignore"):
            factor = self.value_var * (share + spread * (2 - state.c) * slope)
        # Losses of different tokens are independent; what their queries share is left out.
        return Passage(made, lambda g: Gradient(g.q * factor))

    def _mapped(self, state: State, wanted: Pairs) -> Passage:
        """With all pairs of tokens, under a mask or without one."""
        count, lanes = self.tokens, state.q.shape[:-1]
        products = np.zeros((*lanes, count, count))
        at = np.arange(count)
        products[..., at, at] = state.q
        for i, (d,) in enumerate(state.pairs):
            products[..., at[:-d], at[d:]] = products[..., at[d:], at[:-d]] = state.same[
                ..., :-d, i
            ]
        # Query t sees the first keys[t] keys.
        keys = at + 1 if self.causal else np.full(count, count)
        own = np.cumsum(state.q, axis=-1)[..., keys - 1]
        block = products.cumsum(axis=-1).cumsum(axis=-2)[..., keys - 1, :][..., keys - 1]
        # Keys deviate from what all of them share.
        ordered = np.maximum(keys * (keys - 1), 1)
        shared = (block[..., at, at] - own) / ordered
        spare = np.maximum(own / keys - np.where(keys > 1, shared, own / keys), 0.0)
        value = np.asarray(self.value_var, np.float64)[..., None]
        queries = np.asarray(self.query_var, np.float64) * np.asarray(self.key_var, np.float64)
        spread = queries[..., None] * state.q * spare
        share, slope = softmax_moments(spread, keys)
        q = value * (share / keys * own + (1 - share) / ordered * (block[..., at, at] - own))

        few, many = np.minimum.outer(keys, keys), np.maximum.outer(keys, keys)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.sqrt(state.q)
            c = np.nan_to_num(products / (scale[..., None] * scale[..., None, :]))
            both = _common(share[..., None], share[..., None, :], keys[:, None], keys, c)
        both = np.minimum(both, 1.0)
        seen = np.where(keys[:, None] <= keys, own[..., :, None], own[..., None, :])
        rest = np.maximum(few * many - few, 1)
        moments = value[..., None] * (both / few * seen + (1 - both) / rest * (block - seen))
        same = np.zeros((*q.shape, len(wanted)))
        for i, (d,) in enumerate(wanted):
            same[..., :-d, i] = moments[..., at[:-d], at[d:]]
        made = replace(
            state, q=q, m=np.zeros_like(q), same=same, cross=same, pairs=wanted, gaussian=True
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            deviating = np.where(state.q > 0, spare / state.q, 0.0)

        def back(g: Gradient) -> Gradient:
            by_key = g.q * (share + spread * slope) / keys
            # Key j hears from the queries that see it.
            heard = np.where(keys[:, None] > at, by_key[..., :, None], 0.0).sum(axis=-2)
            return Gradient(value * (heard + g.q * spread * deviating * slope))

        return Passage(made, back)


def _common(
    share: Floats, other: Floats, keys: Any, other_keys: Any, correlation: Floats
) -> Floats:
    """E sum_j a_j a'_j of two queries whose logits correlate."""
    level = np.sqrt(keys * share) * np.sqrt(other_keys * other)
    return np.asarray(power(level, correlation) / np.maximum(keys, other_keys))
