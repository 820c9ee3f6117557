"""Layers with weights of mean zero, one for every position: dense ones and convolutions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fanin._checks import as_count
from fanin._hints import short
from fanin._modes import as_mode, divisor
from fanin._public import public
from fanin._types import Floats

from ._gradient import Back, Gradient
from ._layer import EvenLayer, Image, variance_parameters
from ._positions import (
    Displacement,
    Pairs,
    as_sides,
    fits,
    gathered,
    scattered,
    share_behind,
    taps_of_kernel,
    within,
    wrapped,
)
from ._state import PairSums, Passage, State, shared_weight, times


@public("fanin.propagation")
@dataclass(frozen=True)
class Dense(EvenLayer):
    """A fully connected layer with independent weights.

    q' = s weight_var q + bias_var, s = fan_in/N; a gradient goes back with fan_out weight_var/N,
    N the fan of `mode`. Of an image it maps the channels of every pixel.

    Parameters
    ----------
    width : int, optional
        Units; default: as many as come in.
    weight_var, bias_var : float, >= 0
        N times the variance of a weight; the variance of a bias.
    mode : {"fan_in", "fan_out", "fan_avg", "fan_geo"}
        Which fan N divides.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> p.Network(["relu", p.Dense(weight_var=2.0)]).propagate(q0=3.0).q.tolist()
    [3.0, 1.5, 3.0]
    """

    width: int | None = None
    weight_var: Any = 1.0
    bias_var: Any = 0.0
    mode: str = "fan_in"

    def __post_init__(self) -> None:
        if self.width is not None:
            as_count(self.width, "width")
        variance_parameters(self.weight_var, self.bias_var)
        object.__setattr__(self, "mode", as_mode(self.mode))

    def through(self, state: State, wanted: Pairs) -> Passage:
        units = state.width or self.width or 1.0
        before, after = units * state.copies, self.width or units
        number = divisor(self.mode, before, after)
        weight = np.asarray(self.weight_var, np.float64)
        seen = state.selected(wanted)
        made = seen.mixed(before / number * weight, self.bias_var)
        made = replace(
            made, m=np.zeros_like(made.q), width=self.width or state.width, copies=1, gaussian=True
        )
        back = times(state, wanted, state.lifted(after / number * weight) * np.ones_like(state.q))
        return Passage(made, back, shared_weight(made, seen))


@public("fanin.propagation")
@dataclass(frozen=True)
class Conv(EvenLayer):
    """A convolution with independent kernel entries, or a delta kernel (Xiao et al. 2018).

    Every pixel is a dense layer of fan_in = (channels_in/groups) prod(kernel) inputs. Strides
    leave the signal as it is and divide the average gradient by prod(stride). With zero padding
    the pixels at the edge see fewer taps: q'(a) = weight_var sum_b q(s a + b)/prod(kernel) +
    bias_var over the taps b inside, and the gradient goes back by the transpose, layer by layer,
    where the image's sides are known; else as with circular padding.

    Parameters
    ----------
    channels : int
        Channels that come out.
    kernel : int or tuple of int
        Sides; an int stands for a square.
    weight_var, bias_var, mode
        As for `Dense`. For a delta kernel the fan counts the centre tap only.
    groups : int
    stride : int or tuple of int
    padding : {"circular", "zero"}
        By (kernel - 1)//2 in front, as torch: ceil(side/stride) pixels come out.
    delta : bool
        Only the centre tap is not zero.

    Examples
    --------
    >>> from fanin import propagation as p
    >>> conv = p.Conv(64, 3, weight_var=2.0, padding="zero")
    >>> profile = p.Network(["relu", conv] * 30, width=64, image=(8, 8)).propagate()
    >>> round(profile.q[-1].item(), 4), round(profile.q_low[-1].item(), 4)
    (0.0681, 0.0158)
    """

    channels: int
    kernel: int | Sequence[int]
    weight_var: Any = 1.0
    bias_var: Any = 0.0
    mode: str = "fan_in"
    groups: int = 1
    stride: int | Sequence[int] = 1
    padding: str = "circular"
    delta: bool = False

    def __post_init__(self) -> None:
        as_count(self.channels, "channels")
        as_count(self.groups, "groups")
        kernel = as_sides(self.kernel, "kernel", 2)
        strides = as_sides(self.stride, "stride", len(kernel))
        if len(strides) != len(kernel):
            raise ValueError(f"stride has {len(strides)} axes, the kernel {len(kernel)}")
        if self.padding not in ("circular", "zero"):
            raise ValueError(f"padding is 'circular' or 'zero', got {short(self.padding)}")
        if self.channels % self.groups:
            raise ValueError(f"{self.channels} channels do not split into {self.groups} groups")
        variance_parameters(self.weight_var, self.bias_var)
        object.__setattr__(self, "mode", as_mode(self.mode))
        object.__setattr__(self, "kernel", kernel)
        object.__setattr__(self, "stride", strides)

    @property
    def sides(self) -> tuple[int, ...]:
        """Those of the part of the kernel that is not zero."""
        sides: tuple[int, ...] = tuple(self.kernel)  # type: ignore[arg-type]
        return (1,) * len(sides) if self.delta else sides

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(self.stride)  # type: ignore[arg-type]

    def uneven(self, image: Image) -> bool:
        return image is not None and self.padding == "zero" and max(self.sides) > 1

    def image_behind(self, image: Image) -> Image:
        if image is None:
            return None
        if len(image) != len(self.strides):
            raise ValueError(f"a kernel of {len(self.strides)} axes on an image of {len(image)}")
        return tuple(-(-side // step) for side, step in zip(image, self.strides, strict=True))

    def _sources(self, d: Displacement, grid: tuple[int, ...]) -> list[Displacement]:
        """Displacements of the two inputs that one tap sees at two outputs that are d apart."""
        apart = tuple(x * step for x, step in zip(d, self.strides, strict=True))
        return [apart] if self.padding == "zero" else wrapped(apart, grid)

    def wanted(self, pairs: Pairs, grid: Image) -> Pairs:
        if grid is None:
            return pairs
        return within(grid, (e for d in pairs for e in self._sources(d, grid)))

    def through(self, state: State, wanted: Pairs) -> Passage:
        before = (state.width or self.channels) * state.copies
        taps = math.prod(self.sides)
        fan_in, fan_out = before / self.groups * taps, self.channels / self.groups * taps
        number = divisor(self.mode, fan_in, fan_out)
        weight = np.asarray(self.weight_var, np.float64)
        seen = self._averaged(state, wanted) if state.mapped else state.selected(wanted)
        image = self.image_behind(state.image)
        made = replace(seen, image=image).mixed(fan_in / number * weight, self.bias_var)
        made = replace(
            made,
            m=np.zeros_like(made.q),
            width=float(self.channels),
            copies=1,
            gaussian=True,
        )
        factor = state.lifted(fan_out / number * weight)
        weights = shared_weight(made, seen)
        if not state.mapped or state.image is None:
            even = factor * share_behind(state.image, image, self.strides) * np.ones_like(state.q)
            return Passage(made, times(state, wanted, even), weights)
        return Passage(made, self._back(state, wanted, factor / taps), weights)

    def _back(self, state: State, behind: Pairs, factor: Floats) -> Back:
        """Every tap gives what it sees at an output, and at a pair of outputs, back."""
        grid, axes = state.image, state.axes
        assert grid is not None
        rows = taps_of_kernel(grid, self.sides, self.strides, self.padding == "circular")

        def given(values: Floats) -> Floats:
            return scattered(values, rows, values.ndim - axes) * factor

        def pairs(values: Floats | None) -> Floats | None:
            if values is None:
                return None
            found = PairSums(state)
            for i, d in enumerate(behind):
                for e in self._sources(d, grid):
                    found.add(e, given(values[..., i]))
            return found.total()

        def back(g: Gradient) -> Gradient:
            own = None if g.own is None else given(g.own)
            return Gradient(given(g.q), pairs(g.same), own, pairs(g.cross))

        return back

    def _averaged(self, state: State, wanted: Pairs) -> State:
        """The signal's mean over the taps of every output, 0 outside."""
        grid = state.image
        assert grid is not None
        rows = taps_of_kernel(grid, self.sides, self.strides, self.padding == "circular")
        taps = math.prod(self.sides)

        def mean(values: Floats) -> Floats:
            return gathered(values, rows, state.first) / taps

        def apart(values: Floats, d: Displacement) -> Floats:
            near = (e for e in self._sources(d, grid) if fits(e, grid))
            return mean(sum((state.pair(values, e) for e in near), np.zeros_like(state.q)))

        q = mean(state.q)
        with np.errstate(invalid="ignore", divide="ignore"):
            c = mean(state.q * state.c) / q
            one_minus_c = mean(state.q * state.one_minus_c) / q
        none = np.zeros((*q.shape, 0))
        same, cross = (
            np.stack([apart(v, d) for d in wanted], axis=-1) if wanted else none
            for v in (state.same, state.cross)
        )
        return replace(
            state, q=q, m=q, c=c, one_minus_c=one_minus_c, same=same, cross=cross, pairs=wanted
        )
