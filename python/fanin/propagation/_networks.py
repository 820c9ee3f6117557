"""Whole networks: layers in a row, and the stack of equal dense layers that theory speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fanin._checks import as_count
from fanin._modes import divisor
from fanin._public import public
from fanin._types import Floats

from ._findings import norm_kurtosis
from ._finite_width import Step, corrected, fluctuation_hints, width_hints
from ._gradient import Gradient
from ._layer import any_uneven, demands, images_along, passed, swept
from ._layers import (
    Apply,
    Attention,
    Dense,
    MaxPool,
    Residual,
    as_layers,
    comes_as_tokens,
    pools_tokens,
    tokens_of,
)
from ._positions import Pairs, all_pairs, as_sides, positions
from ._profile import FIELDS, Profile
from ._simulate import Simulation, simulate_network
from ._state import Passage, State, starting_state
from ._units import dead_fraction, saturated_fraction

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from fanin._random.seeds import Seed


__all__ = ["Network"]


def _title(layer: Any) -> str:
    """How a table calls it."""
    if isinstance(layer, Apply):
        return layer.activation.name
    if isinstance(layer, Residual):
        return f"Residual({', '.join(_title(inner) for inner in layer.layers)})"
    return type(layer).__name__ + ("~" if isinstance(layer, Attention | MaxPool) else "")


@public("fanin.propagation")
class Network:
    """A sequence of layers at initialisation.

    Parameters
    ----------
    layers : sequence
        `Dense`, `Conv`, `Gated`, `Embedding`, `Residual`, `Dropout`, `AveragePool`, `MaxPool`,
        `RNN`, `LSTM`, `GRU`, `Flatten`, `LayerNorm`, `RMSNorm`, `BatchNorm`, `Attention` (the
        last and MaxPool in part approximations), and activations: a name, an `Activation` or a
        function. The first one
        meets Gaussian pre-activations.
    width : int, optional
        Units or channels that come in; needed only where a mode other than fan_in, or a
        non-square layer, makes the widths count.
    image : tuple of int, optional
        Sides of the image that comes in. With zero padding signals and gradients are then maps
        over its positions: fields hold their means, `Profile.q_low` and the like the extremes.

    Raises
    ------
    TypeError
        If `layers` is not a sequence.
    ValueError
        For an unknown activation, and a size below 1.

    Examples
    --------
    A residual net of 50 blocks whose branches have the weight 50**-0.5 grows by e, not by 2**50.

    >>> from fanin import propagation as p
    >>> block = p.Residual(["relu", p.Dense(weight_var=2.0)], branch=50**-0.5)
    >>> profile = p.Network([block] * 50).propagate()
    >>> round(profile.q[-1].item(), 4), round(profile.grad[0].item(), 4)
    (2.6916, 2.6916)
    """

    def __init__(
        self,
        layers: Sequence[Any],
        *,
        width: int | None = None,
        image: Sequence[int] | None = None,
    ) -> None:
        self.layers = as_layers(layers)
        self.width = None if width is None else as_count(width, "width")
        tokens = tokens_of(self.layers)
        if image is None and tokens is not None and comes_as_tokens(self.layers):
            image = (tokens,)
        self.image = None if image is None else as_sides(image, "image")

    def __repr__(self) -> str:
        return f"Network([{', '.join(_title(layer) for layer in self.layers)}])"

    @property
    def _mapped(self) -> bool:
        return any_uneven(self.layers, self.image) or pools_tokens(self.layers)

    @property
    def _tokens(self) -> bool:
        """Whether positions are tokens one by one."""
        return self._mapped and self.image == (tokens_of(self.layers),)

    @property
    def pairs_behind(self) -> Pairs:
        """The pairs of positions that the last entry keeps: those of tokens, if they differ."""
        if not self._tokens:
            return ()
        behind = images_along(self.layers, self.image)[-1]
        return () if behind is None else all_pairs(behind)

    def start(self, q0: ArrayLike, c0: ArrayLike | None) -> tuple[State, bool]:
        """The input's edge, with what the layers want of it, and whether a c0 was given."""
        mapped, tokens = self._mapped, self._tokens
        pairs = demands(self.layers, self.pairs_behind, self.image, mapped)[0]
        return starting_state(q0, c0, self.width, self.image, pairs, mapped, tokens)

    def propagate(self, q0: ArrayLike = 1.0, c0: ArrayLike | None = None) -> Profile:
        """Variances, correlations and gradients along the layers.

        Parameters
        ----------
        q0 : array_like, >= 0
            Variance of the pre-activations that come in.
        c0 : array_like in [-1, 1], optional
            Correlation of two inputs' pre-activations (for Attention, of two tokens). Different
            pixels of one input are independent.

        Returns
        -------
        Profile
            One entry per layer and one for the input.

        Raises
        ------
        ValueError
            For a q0 or c0 out of range, an activation on something that is not Gaussian, and
            a residual branch whose width does not fit.

        Examples
        --------
        >>> from fanin import propagation as p
        >>> layers = ["relu", p.Dense(weight_var=2.0), p.BatchNorm()]
        >>> profile = p.Network(layers * 10).propagate()
        >>> round((profile.grad[3] / profile.grad[6]).item(), 9)  # pi/(pi - 1)
        1.466942207
        """
        start, correlated = self.start(q0, c0)
        passages = passed(self.layers, start, self.pairs_behind)
        fields, maps = _fields(self.layers, start, passages, correlated)
        names = ("input", *(_title(layer) for layer in self.layers))
        edges = [start, *(passage.after for passage in passages)]
        hints = (lambda: _hints(self.layers, edges)) if fields["q"].ndim == 1 else ()
        return Profile(fields, names, maps, hints)

    def simulate(
        self,
        *,
        width: int | None = None,
        q0: float = 1.0,
        c0: float | None = None,
        inputs: int = 1,
        networks: int = 32,
        seed: Seed,
    ) -> Simulation:
        """Draw networks of finite width, run inputs and gradients through them, and compare.

        Every weight is normal, in float64, from `fanin.normal`; the theory is only compared with.
        Attention has one head as wide as the signal. Last bits are those of NumPy's matrix
        product.

        Parameters
        ----------
        width : int, optional
            Units or channels that come in; default: the network's.
        q0 : float, >= 0
        c0 : float in [0, 1], optional
            Correlation of every two inputs, or with attention of two tokens of one; makes
            `inputs` at least 2 in the former case.
        inputs : int, >= 1
            Inputs that share a network: the batch of a BatchNorm.
        networks : int, >= 1
        seed : int, Stream or Generator

        Returns
        -------
        Simulation

        Raises
        ------
        TypeError
            Without a seed.
        ValueError
            For a parameter out of its range, without any width, and for layers whose parameters
            have axes.

        Examples
        --------
        >>> from fanin import propagation as p
        >>> block = p.Residual(["relu", p.Dense(weight_var=2.0)], branch=0.5)
        >>> found = p.Network([block] * 4, width=300).simulate(networks=50, seed=0)
        >>> bool(abs(found.z[1:]).max() < 4)
        True
        """
        return simulate_network(
            self, width=width, q0=q0, c0=c0, inputs=inputs, networks=networks, seed=seed
        )


def _hints(layers: Sequence[Any], edges: Sequence[State]) -> tuple[str, ...]:
    """Of finite width: the first order where dense layers stand in a row, else how norms vary."""
    steps, total, dense = [], 0.0, True
    q0 = float(edges[0].over_positions(edges[0].q))
    for i, (layer, edge) in enumerate(zip(layers, edges, strict=False)):
        follows = layers[i + 1] if i + 1 < len(layers) else None
        if isinstance(layer, Apply):
            q, units = float(edge.over_positions(edge.q)), edge.width
            if units is None or not 0 < q < np.inf:
                return ()
            total += (norm_kurtosis(layer.activation, q) - 1) / (units * positions(edge.image))
            plain = isinstance(follows, Dense) and layer.activation.name not in (
                "step", "sign", "crelu",
            )  # fmt: skip
            if plain and follows is not None:
                share = units / divisor(follows.mode, units, follows.width or units)
                steps.append(
                    Step(layer.activation, follows.weight_var * share, follows.bias_var, units)
                )
            dense = dense and (plain or follows is None) and edge.image is None
        elif isinstance(layer, Dense) and not steps and i == 0:
            q0 = float(edges[1].q)
        elif not (isinstance(layer, Dense) and isinstance(layers[i - 1], Apply)):
            dense = False
    return width_hints(corrected(steps, q0)) if dense and steps else fluctuation_hints(total)


def _fields(
    layers: Sequence[Any], start: State, passages: Sequence[Passage], correlated: bool
) -> tuple[dict[str, Floats], dict[str, list[Any]]]:
    """The fields of a Profile, and the maps over positions behind some of them."""
    states = [start, *(passage.after for passage in passages)]
    end = Gradient(np.ones_like(states[-1].q))
    along, weights = swept(passages, end)
    edges = [*along, end]
    gradients = [g.q for g in edges]
    lanes = np.broadcast_shapes(
        *(s.over_positions(s.q).shape for s in states),
        *(s.over_positions(g).shape for s, g in zip(states, gradients, strict=True)),
    )
    count = len(states)
    out = {name: np.full((*lanes, count), np.nan) for name in FIELDS if name != "weight_grads"}
    for i, (state, gradient) in enumerate(zip(states, gradients, strict=True)):
        mean = state.over_positions
        for name, values in (("q", state.q), ("grad", gradient)):
            out[name][..., i] = mean(values)
            axes = tuple(range(-state.axes, 0))
            out[f"{name}_low"][..., i] = values.min(axis=axes) if axes else values
            out[f"{name}_high"][..., i] = values.max(axis=axes) if axes else values
        if correlated:
            _correlations(out, state, i)
        if i < len(layers) and isinstance(layers[i], Apply):
            after = states[i + 1]
            out["mean"][..., i], out["second"][..., i] = mean(after.m), mean(after.q)
            out["saturated"][..., i] = mean(saturated_fraction(state.q))
            out["dead"][..., i] = mean(dead_fraction(state.q, layers[i].activation))
        if i and weights[i - 1]:
            out["weight_grad"][..., i] = weights[i - 1][-1]
    for i, passage in enumerate(passages):
        # Where all positions are alike the factor itself, which neither underflows nor overflows.
        one = np.ones_like(states[i + 1].q)
        behind = Gradient(one, own=_per_unit(edges[i + 1]), profile=edges[i + 1].profile)
        factor = passage.back(behind).q if not states[i].mapped else gradients[i]
        over = one if not states[i].mapped else gradients[i + 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            out["chi"][..., i] = states[i].over_positions(factor) / (
                states[i + 1].over_positions(over)
            )
    every = [np.broadcast_to(w, lanes) for some in weights for w in some]
    out["weight_grads"] = np.stack(every, axis=-1) if every else np.zeros((*lanes, 0))
    maps: dict[str, list[Any]] = {}
    if start.mapped:
        images = [s.image if s.mapped else None for s in states]
        maps = {"q": [s.q for s in states], "grad": gradients, "image": images}
    return out, maps


def _per_unit(gradient: Gradient) -> Floats | None:
    """What inputs or tokens share of a gradient of variance one."""
    if gradient.own is None:
        return None
    some = gradient.q > 0
    return np.where(some, gradient.own / np.where(some, gradient.q, 1.0), 0.0)


def _correlations(out: dict[str, Floats], state: State, i: int) -> None:
    """Mean product over mean square."""
    c, apart = state.c, state.one_minus_c
    if state.tokens:  # NaN of a single one
        pairs = sum(state.image[0] - d for (d,) in state.pairs) if state.image else 0
        whole = state.over_positions(state.q)
        c = np.full_like(whole, np.nan)
        if pairs and state.mapped:
            c = state.same.sum(axis=(-2, -1)) / pairs / whole
        apart = 1 - c
    elif state.mapped:
        with np.errstate(invalid="ignore", divide="ignore"):
            whole = state.over_positions(state.q)
            c = state.over_positions(state.q * c) / whole
            apart = state.over_positions(state.q * apart) / whole
    out["c"][..., i], out["one_minus_c"][..., i] = c, apart
