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
from ._softmax import SoftmaxMoments, softmax_moments
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
    values, and through queries and keys, S = E sum_j a_j^2 (g_j - sum a g)^2 for independent g.
    Losses of different tokens are independent; in front of an attention tokens share gradients,
    and the next one in front sums what they share. Any number of heads, also heads that share keys
    and values (grouped queries), has the same moments.

    Of a known width n there are terms of order tokens/n besides: weights favour what lies along
    the query, in all keys alike, so that A becomes A + s^2 P/n and S in the queries' part
    S + R/n, P and R near 1 for many tokens.

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
        c, apart, keys = state.c, state.one_minus_c, self.tokens
        with np.errstate(invalid="ignore", over="ignore"):
            spread = self.query_var * self.key_var * state.q * state.q * apart
        found = softmax_moments(spread, keys)
        share, slope, few = found.share, found.slope, _inverse(state.width)
        both = _common(share, share, keys, keys, c)
        scale = self.value_var * state.q
        with np.errstate(invalid="ignore", over="ignore"):
            pulled = spread * found.pull * few
            q = scale * (c + apart * (share + pulled))
            common = scale * (c + apart * (both + c * pulled))
            different = scale * apart * (share - both + apart * pulled)
        with np.errstate(divide="ignore", invalid="ignore"):
            made = replace(
                state.selected(wanted), q=q, m=np.zeros_like(q), c=common / q,
                one_minus_c=different / q, gaussian=True,
            )  # fmt: skip
            crossed = _crossed(found, found, keys, keys, c)
            turn = found.turn * few
            of_keys, of_keys_beside = spread * slope, spread * c * crossed
            of_queries = spread * apart * (slope + turn)
            of_queries_beside = spread * apart * (crossed + turn)

        def back(g: Gradient) -> Gradient:
            # What a token shares with all the others, through keys that sum to zero.
            beside = np.zeros_like(g.q) if g.own is None else g.own
            through_keys = g.q * of_keys + beside * of_keys_beside
            one = g.q * (share + of_queries) + beside * both + through_keys
            others = g.q * (1 - share) + beside * (1 - both + of_queries_beside) - through_keys
            return Gradient(self.value_var * one, own=self.value_var * others)

        return Passage(made, back)

    def _mapped(self, state: State, wanted: Pairs) -> Passage:
        """With all pairs of tokens, under a mask or without one."""
        if state.image != (self.tokens,):
            raise ValueError(f"attention of {self.tokens} tokens on positions {state.image}")
        count, at = self.tokens, np.arange(self.tokens)
        products = _square(state.q, state.same, state.pairs)
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
        queries = queries[..., None]
        spread = queries * state.q * spare
        found = softmax_moments(spread, keys)
        share, few = found.share, _inverse(state.width)
        pulled = spread * found.pull * few
        q = share / keys * own + (1 - share) / ordered * (block[..., at, at] - own)
        q = value * (q + spare * pulled)

        fewer, many = np.minimum.outer(keys, keys), np.maximum.outer(keys, keys)
        with np.errstate(divide="ignore", invalid="ignore"):
            c = np.nan_to_num(products / np.sqrt(_outer(state.q)))
            both = _common(share[..., None], share[..., None, :], keys[:, None], keys, c)
        both = np.minimum(both, 1.0)
        seen = np.where(keys[:, None] <= keys, own[..., :, None], own[..., None, :])
        rest = np.maximum(fewer * many - fewer, 1)
        moments = both / fewer * seen + (1 - both) / rest * (block - seen)
        moments = value[..., None] * (moments + c * np.sqrt(_outer(spare * pulled)))
        same = _beside(moments, wanted, q.shape)
        made = replace(
            state, q=q, m=np.zeros_like(q), same=same, cross=same, pairs=wanted, gaussian=True
        )

        def back(g: Gradient) -> Gradient:
            ahead = _square(g.q, g.same, wanted)
            level = queries[..., None] * np.sqrt(_outer(spare)) * ahead
            crossed = _crossed_squares(found, keys, c)
            of_queries = level * np.sqrt(_outer(spare))
            of_queries *= crossed + np.sqrt(_outer(found.turn)) * few
            both[..., at, at] = share
            made = self._of_values(ahead * both, ahead * (1 - both), fewer, rest)
            of_keys = level * products * crossed
            made += self._of_values(of_keys, -of_keys, fewer, rest)
            made = value[..., None] * (made + of_queries)
            return Gradient(made[..., at, at], _beside(made, state.pairs, made.shape[:-1]))

        return Passage(made, back)

    def _of_values(self, own: Floats, others: Floats, fewer: Floats, rest: Floats) -> Floats:
        """What pairs of keys hear from the queries that see them: `own` is shared by the keys that
        both queries see, `others` by the pairs of different ones."""
        alone, made = self._heard(own / fewer), self._heard(others / rest)
        at = np.arange(self.tokens)
        made[..., at, at] = alone[..., at, at]
        return made

    def _heard(self, values: Floats) -> Floats:
        """Sums over the pairs of queries that see a pair of keys."""
        if self.causal:
            return values[..., ::-1, ::-1].cumsum(axis=-1).cumsum(axis=-2)[..., ::-1, ::-1].copy()
        return np.broadcast_to(values.sum(axis=(-2, -1), keepdims=True), values.shape).copy()


def _inverse(width: float | None) -> float:
    return 0.0 if width is None else 1.0 / width


def _outer(values: Floats) -> Floats:
    return np.asarray(values[..., :, None] * values[..., None, :])


def _square(q: Floats, same: Floats | None, pairs: Pairs) -> Floats:
    """Moments of all pairs of tokens, as a matrix."""
    count = q.shape[-1]
    at, made = np.arange(count), np.zeros((*q.shape, count))
    made[..., at, at] = q
    if same is None:
        return made
    for i, (d,) in enumerate(pairs):
        made[..., at[:-d], at[d:]] = made[..., at[d:], at[:-d]] = same[..., :-d, i]
    return made


def _beside(square: Floats, pairs: Pairs, shape: tuple[int, ...]) -> Floats:
    """The entries of a matrix that these pairs name."""
    at, made = np.arange(shape[-1]), np.zeros((*shape, len(pairs)))
    for i, (d,) in enumerate(pairs):
        made[..., :-d, i] = square[..., at[:-d], at[d:]]
    return made


def _common(
    share: Floats, other: Floats, keys: Any, other_keys: Any, correlation: Floats
) -> Floats:
    """E sum_j a_j a'_j of two queries whose logits correlate."""
    level = np.sqrt(keys * share) * np.sqrt(other_keys * other)
    return np.asarray(power(level, correlation) / np.maximum(keys, other_keys))


def _crossed_squares(found: SoftmaxMoments, keys: Any, correlation: Floats) -> Floats:
    """`_crossed` of all pairs of queries, and `slope` of one with itself."""
    rows = SoftmaxMoments(*(x[..., None] for x in found))
    columns = SoftmaxMoments(*(x[..., None, :] for x in found))
    with np.errstate(divide="ignore", invalid="ignore"):
        made = _crossed(rows, columns, keys[:, None], keys, correlation)
    at = np.arange(len(keys))
    made[..., at, at] = found.slope
    return made


def _crossed(
    one: SoftmaxMoments, other: SoftmaxMoments, keys: Any, other_keys: Any, correlation: Floats
) -> Floats:
    """E sum_j a_j a'_j (g_j - sum a g) (g_j - sum a' g) of two queries whose logits correlate:
    exact where they are independent and, with as many keys, where they are equal."""
    many = np.maximum(keys, other_keys)
    none = (1 - one.share) * (1 - other.share) / np.maximum(many - 1, 1)
    equal = np.sqrt(keys * one.slope) * np.sqrt(other_keys * other.slope) / many
    some = (none > 0) & (equal > 0)
    ratio = np.where(some, equal / np.where(some, none, 1.0), 1.0)
    return np.where(some, none * power(ratio, correlation), 0.0)
