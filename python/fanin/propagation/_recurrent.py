"""Recurrent layers: one cell after another in time, all with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from fanin._activations.activation import as_activation
from fanin._checks import as_count
from fanin._public import public
from fanin._types import Floats

from ._cells import GatedCell, gru_cell, lstm_cell
from ._gradient import Gradient
from ._layer import Image, variance_parameters
from ._maps import moments
from ._pairs import pairs_at
from ._positions import Pairs, all_pairs
from ._state import Passage, State


@dataclass(frozen=True)
class Sequence2:
    """Second moments over time, one lane.

    same, cross  of every two steps of one sequence and of two, (steps, steps)
    apart        E (x - x')^2/2 of two sequences at one step
    mean         of a unit
    """

    same: Floats
    cross: Floats
    apart: Floats
    mean: Floats


class Unrolled(Protocol):
    """A layer in time for one lane."""

    hidden: Sequence2

    def back(self, loss: Floats) -> tuple[Floats, list[Floats]]:
        """From the moments of the gradient at every two steps those in front of the layer, for
        weights of variance 1/units, and the gradient variances of W and of U."""


class _Recurrent:
    """Reads moments from the state in front, lane by lane, and writes those behind."""

    width: int | None
    weight_var: float
    recurrent_var: float
    bias_var: float
    last: bool

    def _check(self) -> None:
        if self.width is not None:
            as_count(self.width, "width")
        variance_parameters([self.weight_var, self.recurrent_var], self.bias_var)

    def uneven(self, image: Image) -> bool:
        return True

    def image_behind(self, image: Image) -> Image:
        if image is None or len(image) != 1:
            raise ValueError(
                f"{type(self).__name__} runs over the one side of an image, its steps: give "
                f"Network image=(steps,), got {image}"
            )
        return None if self.last else image

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        assert grid is not None
        return all_pairs(grid)

    def _unrolled(self, seen: Sequence2) -> Unrolled:
        raise NotImplementedError

    def through(self, state: State, wanted: Pairs) -> Passage:
        lanes, image = state.q.shape[:-1], self.image_behind(state.image)
        behind = all_pairs(state.image or ())
        before = (state.width or self.width or 1.0) * state.copies
        after = self.width or state.width or 1.0
        runs = [self._unrolled(_moments(state, at)) for at in np.ndindex(lanes)]

        def stacked(values: Sequence[Floats]) -> Floats:
            return np.reshape(values, (*lanes, *np.shape(values[0])))

        same, cross = (
            stacked([getattr(run.hidden, name) for run in runs]) for name in ("same", "cross")
        )
        q = np.diagonal(same, axis1=-2, axis2=-1)
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = stacked([run.hidden.apart for run in runs]) / q
            c = np.diagonal(cross, axis1=-2, axis2=-1) / q
        made = replace(
            state, q=q, m=stacked([run.hidden.mean for run in runs]), c=c, one_minus_c=apart,
            same=_displaced(same, behind), cross=_displaced(cross, behind), pairs=behind,
            width=self.width or state.width, copies=1, gaussian=False,
        )  # fmt: skip
        if self.last:
            none = np.zeros((*lanes, len(wanted)))
            made = replace(
                made, q=q[..., -1], m=made.m[..., -1], c=c[..., -1], one_minus_c=apart[..., -1],
                same=none, cross=none, pairs=wanted, image=image, mapped=False,
            )  # fmt: skip
        else:
            made = made.selected(wanted)

        def swept(g: Gradient) -> tuple[Floats, list[Floats]]:
            loss = np.zeros((*lanes, *q.shape[-1:] * 2))
            if self.last:
                loss[..., -1, -1] = g.q
            else:
                loss += _matrix(g.q, g.same, wanted)
            parts = [run.back(loss[at]) for run, at in zip(runs, np.ndindex(lanes), strict=True)]
            ahead = stacked([part[0] for part in parts]) * (after / before * self.weight_var)
            return ahead, [
                np.reshape([part[1][i] for part in parts], lanes) for i in range(len(parts[0][1]))
            ]

        def back(g: Gradient) -> Gradient:
            ahead = swept(g)[0]
            one = np.diagonal(ahead, axis1=-2, axis2=-1)
            return Gradient(one, _displaced(ahead, state.pairs))

        return Passage(made, back, lambda g: swept(g)[1])


def _moments(state: State, at: tuple[int, ...]) -> Sequence2:
    own = state.q * state.c
    return Sequence2(
        _matrix(state.q[at], state.same[at], state.pairs),
        _matrix(own[at], state.cross[at], state.pairs),
        (state.q * state.one_minus_c)[at],
        state.m[at],
    )


def _matrix(diagonal: Floats, values: Floats | None, pairs: Pairs) -> Floats:
    """Moments of every two steps, from those of a step and those by displacement."""
    at = np.arange(diagonal.shape[-1])
    made = np.zeros((*diagonal.shape, at.size))
    made[..., at, at] = diagonal
    for i, (d,) in enumerate(pairs if values is not None else ()):
        assert values is not None
        made[..., at[:-d], at[d:]] = made[..., at[d:], at[:-d]] = values[..., :-d, i]
    return made


def _displaced(matrix: Floats, pairs: Pairs) -> Floats:
    """The other way round."""
    made = np.zeros((*matrix.shape[:-1], len(pairs)))
    at = np.arange(matrix.shape[-1])
    for i, (d,) in enumerate(pairs):
        made[..., :-d, i] = matrix[..., at[:-d], at[d:]]
    return made


@public("fanin.propagation")
@dataclass(frozen=True)
class RNN(_Recurrent):
    """h_t = phi(W x_t + U h_(t-1) + b) from h = 0, over the steps of an image of one side.

    The pre-activations u_t of a unit are normal over time and inputs, with covariances K(t, s) =
    weight_var k(t, s) + recurrent_var E phi(u_(t-1)) phi(u_(s-1)) + bias_var, k those of what
    comes in: the same weights at every step change nothing else (Yang 2019; Chen et al. 2018). A
    gradient goes back with the covariances G(t, s) + recurrent_var M(t+1, s+1), M = G E phi' phi'.
    Exact at infinite width. Steps of an input are independent, as pixels are; c0 is the correlation
    of two sequences.

    Parameters
    ----------
    width : int, optional
        Units; default: as many as come in.
    weight_var, recurrent_var, bias_var : float, >= 0
        fan_in times the variance of an entry of W, of U, and the variance of b (torch has two).
    activation : str, Activation or callable
    last : bool
        Only the last step goes on.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> profile = p.Network([p.RNN(recurrent_var=1.5)], width=64, image=(4,)).propagate()
    >>> profile.position_map(1).round(4)  # E tanh(u)^2 at variances 1, 1.59, 1.72, ...
    array([0.3943, 0.479 , 0.4929, 0.4951])
    """

    width: int | None = None
    weight_var: float = 1.0
    recurrent_var: float = 1.0
    bias_var: float = 0.0
    activation: Any = "tanh"
    last: bool = False

    def __post_init__(self) -> None:
        self._check()
        object.__setattr__(self, "activation", as_activation(self.activation))
        if self.activation.name == "crelu":
            raise ValueError("crelu doubles the units and cannot be a recurrent activation")

    def _unrolled(self, seen: Sequence2) -> Unrolled:
        return _Plain(self, seen)


class _Plain:
    """The exact recursion of `RNN`."""

    def __init__(self, layer: RNN, seen: Sequence2) -> None:
        self._layer, self._seen = layer, seen
        steps = len(seen.same)
        self._same, self._cross = np.zeros((2, steps, steps))
        hidden = np.zeros((2, steps, steps))
        gap, apart = np.zeros((2, steps))
        for t in range(steps):
            past = slice(0, t)
            for k, h, x in (
                (self._same, hidden[0], seen.same), (self._cross, hidden[1], seen.cross)
            ):  # fmt: skip
                row = layer.weight_var * x[t, : t + 1] + layer.bias_var
                row[1:] += layer.recurrent_var * h[t - 1, past] if t else 0.0
                k[t, : t + 1] = k[: t + 1, t] = row
            apart[t] = layer.weight_var * seen.apart[t]
            if t:
                apart[t] += layer.recurrent_var * gap[t - 1]
            for k, h in ((self._same, hidden[0]), (self._cross, hidden[1])):
                h[t, : t + 1] = h[: t + 1, t] = self._pairs(k, t, covariance=True)
            q = self._same[t, t]
            [gap[t]] = pairs_at(
                layer.activation, q, q, apart[t] / q if q else 0.0, missing=True, gap=True
            )
        found = moments(np.diagonal(self._same), layer.activation)
        np.fill_diagonal(hidden[0], found.second)
        self.hidden = Sequence2(hidden[0], hidden[1], gap, np.asarray(found.mean))

    def _pairs(self, k: Floats, t: int, **what: bool) -> Floats:
        """Of step t and every step up to it."""
        here, there = self._same[t, t], np.diagonal(self._same)[: t + 1]
        root = np.sqrt(here) * np.sqrt(there)
        c = np.where(root > 0, k[t, : t + 1] / np.where(root > 0, root, 1.0), 0.0)
        [found] = pairs_at(self._layer.activation, here, there, np.clip(c, -1.0, 1.0), **what)
        return found

    def back(self, loss: Floats) -> tuple[Floats, list[Floats]]:
        steps, recurrent = len(loss), self._layer.recurrent_var
        slopes = np.zeros((steps, steps))
        for t in range(steps):
            slopes[t, : t + 1] = slopes[: t + 1, t] = self._pairs(self._same, t, slopes=True)
        np.fill_diagonal(
            slopes, moments(np.diagonal(self._same), self._layer.activation).slope_second
        )
        ahead = np.zeros((steps, steps))
        for t in reversed(range(steps)):
            row = loss[t, t:].copy()
            if t < steps - 1:
                row[:-1] += recurrent * ahead[t + 1, t + 1 :]
            ahead[t, t:] = ahead[t:, t] = row * slopes[t, t:]
        return ahead, _of_weights(ahead, self._seen.same, self.hidden.same)


def _of_weights(ahead: Floats, seen: Floats, hidden: Floats) -> list[Floats]:
    """Gradient variances of W and of U, sums over every two steps."""
    past = (ahead[1:, 1:] * hidden[:-1, :-1]).sum()
    return [np.asarray((ahead * seen).sum()), np.asarray(past)]


class _Sampled:
    """A gated cell, whose law has no closed form: of units drawn from a fixed stream."""

    def __init__(self, cell: GatedCell, seen: Sequence2) -> None:
        self._cell, self._seen = cell, seen
        units = cell.forward(seen.same, seen.cross)
        self._units = units
        steps = len(seen.same)
        both = units.products
        same = 0.5 * (both[:steps, :steps] + both[steps:, steps:])
        cross = 0.5 * (both[:steps, steps:] + both[steps:, :steps])
        # The mean is zero: with the candidate's sign the output changes its own.
        self.hidden = Sequence2(same, cross, units.apart, np.zeros(steps))

    def back(self, loss: Floats) -> tuple[Floats, list[Floats]]:
        seen, past = self._cell.back(self._units, loss)
        rows = self._cell.matrices
        weights = _of_weights(seen, self._seen.same, self.hidden.same)[0]
        recurrent = _of_weights(past, self._seen.same, self.hidden.same)[1]
        return seen, [weights / rows, recurrent / rows]


@public("fanin.propagation")
@dataclass(frozen=True)
class LSTM(_Recurrent):
    """c_t = sigma(f) c_(t-1) + sigma(i) tanh(g), h_t = sigma(o) tanh(c_t), from zeros, over the
    steps of an image of one side (Hochreiter & Schmidhuber 1997, with forget gates).

    i, f, g and o = W x_t + U h_(t-1) + b are independent normal processes over time, each with the
    covariances of :class:`RNN` (Chen et al. 2018, Gilboa et al. 2019; correlations over time are
    not left out). The law of a unit has no closed form: moments are those of 2^15 units drawn
    from a fixed stream, good to about 1 % and the same at every call; 30 steps take two seconds.

    Parameters
    ----------
    width : int, optional
        Units; default: as many as come in.
    weight_var, recurrent_var, bias_var : float, >= 0
        fan_in times the variance of an entry of W and of U, and the variance of b (of the sum of
        torch's two), of every gate.
    forget_bias : float
        A constant in the forget gate.
    last : bool
        Only the last step goes on.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> net = p.Network([p.LSTM(forget_bias=1.0)], width=64, image=(20,))
    >>> profile = net.propagate(c0=0.9)
    >>> bool(profile.q_high[1] < 0.2), bool(profile.c[1] < 0.9)
    (True, True)
    """

    width: int | None = None
    weight_var: float = 1.0
    recurrent_var: float = 1.0
    bias_var: float = 0.0
    forget_bias: float = 0.0
    last: bool = False

    def __post_init__(self) -> None:
        self._check()

    def _unrolled(self, seen: Sequence2) -> Unrolled:
        given = (self.weight_var, self.recurrent_var, self.bias_var)
        return _Sampled(lstm_cell(*given, float(self.forget_bias)), seen)


@public("fanin.propagation")
@dataclass(frozen=True)
class GRU(_Recurrent):
    """h_t = (1 - sigma(z)) n + sigma(z) h_(t-1), n = tanh(W x_t + b + sigma(r) (U h_(t-1) + b')),
    from h = 0, over the steps of an image of one side (Cho et al. 2014; the order of torch).

    Its moments are found as those of :class:`LSTM`.

    Parameters
    ----------
    width : int, optional
        Units; default: as many as come in.
    weight_var, recurrent_var, bias_var : float, >= 0
        fan_in times the variance of an entry of W and of U, and the variance of a gate's bias, half
        of it in b and half in b'.
    last : bool
        Only the last step goes on.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> net = p.Network([p.GRU(), p.GRU(last=True), p.Dense(10)], width=64, image=(20,))
    >>> profile = net.propagate()
    >>> profile.q.shape, bool(profile.q[1] < 1)
    ((4,), True)
    """

    width: int | None = None
    weight_var: float = 1.0
    recurrent_var: float = 1.0
    bias_var: float = 0.0
    last: bool = False

    def __post_init__(self) -> None:
        self._check()

    def _unrolled(self, seen: Sequence2) -> Unrolled:
        return _Sampled(gru_cell(self.weight_var, self.recurrent_var, self.bias_var), seen)
