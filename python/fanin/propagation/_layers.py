"""Layers as maps of variances and correlations: what each does to a signal and to a gradient."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from fanin._activations.activation import as_activation
from fanin._hints import short
from fanin._numbers import as_floats
from fanin._public import public
from fanin._types import Floats

from ._apply import Apply
from ._attention import Attention
from ._embedding import Embedding
from ._gated import Gated
from ._gradient import Gradient
from ._laws import UnitLaw, applied_law, different, gaussian_laws, rounded
from ._layer import Image, any_uneven, asked_twice, demands, images_along, passed, swept
from ._norms import BatchNorm, Dropout, LayerNorm, RMSNorm
from ._pools import AveragePool, Flatten, MaxPool
from ._positions import Pairs, sorted_pairs
from ._recurrent import GRU, LSTM, RNN
from ._state import Passage, State
from ._weights import Conv, Dense

__all__ = [
    "LAYERS",
    "Apply",
    "Attention",
    "AveragePool",
    "BatchNorm",
    "Conv",
    "Dense",
    "Dropout",
    "GRU",
    "LSTM",
    "MaxPool",
    "RNN",
    "Gated",
    "Embedding",
    "Flatten",
    "LayerNorm",
    "RMSNorm",
    "Residual",
    "as_layers",
    "comes_as_tokens",
    "pools_tokens",
    "tokens_of",
]


class _Path:
    """The layers of one path of a residual, times a factor."""

    def __init__(self, layers: Sequence[Any], state: State, wanted: Pairs, factor: float) -> None:
        start = state.selected(demands(layers, wanted, state.image, state.mapped)[0])
        self._pairs, self._starts, self._share = state.pairs, start.pairs, factor * factor
        self._passages = passed(layers, start, wanted)
        self.after = self._passages[-1].after if layers else start
        self.swept = asked_twice(self._swept)

    def _swept(self, g: Gradient) -> tuple[list[Gradient], list[list[Floats]]]:
        """The path's part of a gradient, in front of each layer and behind; and at its weights."""
        part = replace(g.scaled(*[np.asarray(self._share)] * 4), profile=g.profile)
        ahead, weights = swept(self._passages, part)
        return [*ahead, part], weights

    def back(self, g: Gradient) -> Gradient:
        ahead: Gradient = self.swept(g)[0][0]
        return ahead.among(self._starts, self._pairs)


@public("fanin.propagation")
@dataclass(frozen=True)
class Residual:
    """skip x + branch f(x), the branch ending in weights of its own (Yang & Schoenholz 2017).

    q' = skip^2 q + branch^2 q_f, and a gradient goes back with skip^2 + branch^2 chi_f: the cross
    terms vanish because the branch's last weights have mean zero. With a projection x stands for
    what its layers, which end in weights of their own too, make of it.

    Parameters
    ----------
    layers : sequence of layers
        The branch f; its last layer with weights comes after its last activation. Behind a skip
        of an activation with nothing in between another one may follow: the law of the sum is
        carried along, from place to place with zero padding, and so is how a unit's gradient
        depends on it (exact for the squares; approximate for two inputs or places: correlations
        by a parabola, gradients with the share of one).
    skip, branch : float
        Factors of the two paths; branch = L**-0.5 keeps a net of L blocks bounded.
    projection : sequence of layers
        The skip's own layers, such as a strided convolution of kernel 1; default: none.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> half = p.Residual(["relu", p.Conv(64, 3, weight_var=2.0, stride=2)],
    ...                   projection=[p.Conv(64, 1, stride=2)])
    >>> p.Network([half], width=32).propagate().q.tolist()
    [1.0, 2.0]
    """

    layers: Sequence[Any]
    skip: float = 1.0
    branch: float = 1.0
    projection: Sequence[Any] = field(default=())

    def __post_init__(self) -> None:
        for name in ("layers", "projection"):
            object.__setattr__(self, name, as_layers(getattr(self, name)))
        for name in ("skip", "branch"):
            if not np.isfinite(as_floats(getattr(self, name), name)).all():
                raise ValueError(f"{name} must be finite, got {getattr(self, name)!r}")
        _ends_in_weights("the branch", self.layers)
        if self.projection:
            _ends_in_weights("the projection", self.projection)

    def uneven(self, image: Image) -> bool:
        return any_uneven(self.layers, image) or any_uneven(self.projection, image)

    def image_behind(self, image: Image) -> Image:
        ends = [images_along(row, image)[-1] for row in (self.layers, self.projection)]
        if ends[0] != ends[1]:
            raise ValueError(f"skip and branch cannot be added: images {ends[1]} and {ends[0]}")
        return ends[0]

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        rows = (self.layers, self.projection)
        return sorted_pairs(
            d for row in rows for d in demands(row, pairs, grid, grid is not None)[0]
        )

    def through(self, state: State, wanted: Pairs) -> Passage:
        paths = [
            _Path(row, state, wanted, factor)
            for row, factor in ((self.projection, self.skip), (self.layers, self.branch))
        ]
        skip, branch = paths

        def back(g: Gradient) -> Gradient:
            return skip.back(g).plus(branch.back(g))

        def weights(g: Gradient) -> list[Floats]:
            return [w for path in paths for layer in path.swept(g)[1] for w in layer]

        return Passage(self._sum(skip.after, branch.after), back, weights)

    def _sum(self, skip: State, inner: State) -> State:
        if skip.copies != inner.copies:
            raise ValueError(
                "crelu cannot be its own skip: it puts out twice the units that come in, and the "
                "branch ends with another number; put a Dense or Conv layer behind it, before the "
                "residual, or use relu"
            )
        if inner.width != skip.width and None not in (inner.width, skip.width):
            raise ValueError(
                f"skip and branch cannot be added: {skip.width:g} against {inner.width:g} units"
            )
        a, b = self.skip * self.skip, self.branch * self.branch
        q = a * skip.q + b * inner.q
        with np.errstate(invalid="ignore", divide="ignore"):
            c = (a * skip.q * skip.c + b * inner.q * inner.c) / q
            apart = (a * skip.q * skip.one_minus_c + b * inner.q * inner.one_minus_c) / q
        return replace(
            skip, q=q, m=self.skip * skip.m, c=c, one_minus_c=apart,
            same=a * skip.same + b * inner.same, cross=a * skip.cross + b * inner.cross,
            laws=self._laws(skip, inner), gaussian=skip.gaussian and inner.gaussian,
        )  # fmt: skip

    def _laws(self, skip: State, inner: State) -> tuple[UnitLaw, ...] | None:
        """Of an activation that is its own skip, with a normal added; one for every position, and
        the same one where variances are."""
        if skip.gaussian or not inner.gaussian or skip.applied is None:
            return None
        phi, before = skip.applied
        spreads = np.broadcast_arrays(self.branch**2 * inner.q, skip.q)[0]
        variances = np.broadcast_to(before.q, spreads.shape).ravel()
        if before.laws is not None and len(before.laws) != variances.size:
            return None
        laws = before.laws or gaussian_laws(variances, phi)
        outs = {id(law): applied_law(phi, law) for law in different(laws)}
        sums: dict[object, UnitLaw] = {}
        found = []
        for law, spread in zip(laws, spreads.ravel(), strict=True):
            out, key = outs[id(law)], (id(law), rounded(spread))
            if key not in sums:
                sums[key] = UnitLaw(self.skip * out.at, out.mass, float(spread))
            found.append(sums[key])
        return tuple(found)


def _ends_in_weights(what: str, layers: Sequence[Any]) -> None:
    for layer in reversed(layers):
        if isinstance(layer, Dense | Conv | Attention):
            return
        if not isinstance(layer, Dropout | AveragePool | LayerNorm | RMSNorm | BatchNorm):
            break
    raise ValueError(
        f"{what} of a residual must end in layers with weights of mean zero (Dense, Conv, "
        f"Attention), or the cross terms do not vanish; got {tuple(layers[-1:])!r}"
    )


LAYERS = (
    Dense,
    Conv,
    Residual,
    Dropout,
    AveragePool,
    MaxPool,
    Flatten,
    Embedding,
    Gated,
    LayerNorm,
    RMSNorm,
    BatchNorm,
    Attention,
    RNN,
    LSTM,
    GRU,
    Apply,
)


def as_layers(layers: Sequence[Any]) -> tuple[Any, ...]:
    """Layers as they are; everything else is an activation."""
    if isinstance(layers, str) or not isinstance(layers, Sequence):
        raise TypeError(f"layers are a list, such as ['relu', Dense(256)], got {short(layers)}")
    return tuple(
        layer if isinstance(layer, LAYERS) else Apply(as_activation(layer)) for layer in layers
    )


def pools_tokens(layers: Sequence[Any]) -> bool:
    """Whether a layer puts tokens of an attention together, which then count one by one."""
    mixing = [i for i, layer in enumerate(layers) if tokens_of([layer]) is not None]
    behind = layers[mixing[0] :] if mixing else []
    return any(isinstance(layer, AveragePool | MaxPool | Flatten) for layer in behind)


def comes_as_tokens(layers: Sequence[Any]) -> bool:
    """Whether the input is tokens already, and not an image of which layers make them."""
    for layer in layers:
        if isinstance(layer, Conv | AveragePool | MaxPool | Flatten):
            return False
        if tokens_of([layer]) is not None:
            return True
    return False


def tokens_of(layers: Sequence[Any]) -> int | None:
    """The number of tokens of the first attention, causal or not, inside residuals too."""
    return next((layer.tokens for layer in _attentions(layers)), None)


def _attentions(layers: Sequence[Any]) -> Iterator[Attention]:
    for layer in layers:
        if isinstance(layer, Attention):
            yield layer
        elif isinstance(layer, Residual):
            yield from _attentions([*layer.projection, *layer.layers])
